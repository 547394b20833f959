"""What `SineLowRank` does with CuPy arrays: CuPy in, CuPy out, on the current stream."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from eigenflow._arrays import check_out
from eigenflow._gpu.arrays import as_float_array
from eigenflow._gpu.compile import kernel, launch_shape
from eigenflow.sine import _cpu

if TYPE_CHECKING:
    from eigenflow.sine import SineLowRank

# The block of threads of the product kernel, and what it computes: cuda/sine.cuh.
_ROWS, _GROUPS, _COLS = 32, 8, 64
_MAX_COLUMN_BLOCKS = 65_535
_INVERSE_PI, _INVERSE_PI_LOW = 1 / math.pi, -1.9678676675182486e-17


def factors(U: Any, V: Any, check_finite: bool) -> tuple[Any, Any]:
    """Both factors in their common dtype, C-contiguous."""
    left = as_float_array(U, "U", ndim=2, check_finite=check_finite)
    right = as_float_array(V, "V", ndim=2, check_finite=check_finite)
    dtype = np.result_type(left.dtype, right.dtype)
    return left.astype(dtype, copy=False), right.astype(dtype, copy=False)


def phase_accuracy(U: Any, V: Any, omega: float, exact_phase: bool) -> tuple[float, float, bool]:
    """As on the CPU, from one row of each factor that has the largest norm."""

    def longest_row(a: Any) -> Any:
        if a.size == 0:
            return np.zeros((1, a.shape[1]), a.dtype)
        wide = a.astype(np.float64)
        scale = float(abs(wide).max()) or 1.0
        i = int(((wide / scale) ** 2).sum(axis=1).argmax())
        return a[i : i + 1].get()

    return _cpu.phase_accuracy(longest_row(U), longest_row(V), omega, exact_phase)


def _suffix(dtype: Any) -> str:
    return "f32" if dtype == np.float32 else "f64"


def _scaled(op: "SineLowRank", factor: Any) -> tuple[Any, Any]:
    import cupy

    factor = cupy.ascontiguousarray(factor)
    high = cupy.empty_like(factor)
    low = cupy.empty_like(factor) if op.exact_phase else None
    scale = op.omega * _INVERSE_PI
    rest = math.fsum([*_product_error(op.omega, _INVERSE_PI), op.omega * _INVERSE_PI_LOW])
    grid, block = launch_shape(factor.size)
    arguments = (factor, np.int64(factor.size), scale, rest, high, 0 if low is None else low)
    kernel("sine", f"scale_factor_{_suffix(factor.dtype)}")(grid, block, arguments)
    return high, low


def _product_error(a: float, b: float) -> tuple[float]:
    from fractions import Fraction

    return (float(Fraction(a) * Fraction(b) - Fraction(a * b)),)


def _arguments(op: "SineLowRank", left: Any, right: Any) -> tuple[Any, ...]:
    import cupy

    left_low = right_low = None
    if op._scaled_left:
        left, left_low = _scaled(op, left)
        right = cupy.ascontiguousarray(right)
    else:
        right, right_low = _scaled(op, right)
        left = cupy.ascontiguousarray(left)
    lows = [0 if low is None else low for low in (left_low, right_low)]
    gain = left.dtype.type(1 / op.gain)
    return left, lows[0], right, lows[1], np.int64(left.shape[1]), gain


def entries(op: "SineLowRank", out: Any, workers: int) -> Any:
    """Return the matrix; `workers` has no meaning on the device."""
    del workers
    m, n = op.shape
    result = check_out(out, op.shape, op.dtype, op.U, op.V, kind="cupy")
    if result.size:
        grid, block = launch_shape(result.size)
        arguments = (*_arguments(op, op.U, op.V), np.int64(m), np.int64(n), result)
        kernel("sine", f"sine_entries_{_suffix(op.dtype)}")(grid, block, arguments)
    return result


def product(op: "SineLowRank", X: Any, out: Any, workers: int, check_finite: bool) -> Any:
    """Return ``op @ X``; `workers` has no meaning on the device."""
    import cupy

    del workers
    m, n = op.shape
    x = as_float_array(X, "X", ndim=(1, 2), check_finite=check_finite)
    if x.shape[0] != n:
        msg = f"X: got shape {x.shape}, want {n} rows, as the operator has columns"
        raise ValueError(msg)
    dtype = np.result_type(op.dtype, x.dtype)
    x = cupy.ascontiguousarray(x, dtype=dtype)
    left, right = (a.astype(dtype, copy=False) for a in (op.U, op.V))
    result = check_out(out, (m, *x.shape[1:]), dtype, op.U, op.V, x, kind="cupy")
    n_cols = 1 if x.ndim == 1 else x.shape[1]
    column_blocks = -(-n_cols // _COLS)
    if column_blocks > _MAX_COLUMN_BLOCKS:
        msg = f"X: got {n_cols} columns, want at most {_COLS * _MAX_COLUMN_BLOCKS} on the device"
        raise ValueError(msg)
    if result.size:
        sizes = (x, np.int64(m), np.int64(n), np.int64(n_cols), result)
        kernel("sine", f"sine_product_{_suffix(dtype)}")(
            (-(-m // _ROWS), column_blocks),
            (_ROWS, _GROUPS),
            (*_arguments(op, left, right), *sizes),
        )
    return result
