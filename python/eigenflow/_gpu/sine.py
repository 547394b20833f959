"""What `SineLowRank` does with CuPy arrays: CuPy in, CuPy out, on the current stream."""

import math
from collections.abc import Mapping, Sequence
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


def _factors(op: "SineLowRank", left: Any, right: Any) -> tuple[Any, ...]:
    """What kernels take of the operator: one factor is scaled to half-turns."""
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


def _strided(a: Any) -> tuple[Any, np.int64, np.int64]:
    """An array of one or two dimensions as kernels take it."""
    row, col = (*a.strides, 0)[:2]
    return a, np.int64(row // a.dtype.itemsize), np.int64(col // a.dtype.itemsize)


# ---- launches, of arrays or addresses; `factors` is (left, its low part or 0, right, its low part
# or 0, depth, inverse gain), and matrices in any order are (entries, row stride, column stride)


def launch_entries(dtype: Any, factors: tuple[Any, ...], m: int, n: int, out: Any) -> None:
    """Fill `out`, row-major, with the m n entries."""
    grid, block = launch_shape(m * n)
    arguments = (*factors, np.int64(m), np.int64(n), out)
    kernel("sine", f"sine_entries_{_suffix(dtype)}")(grid, block, arguments)


def launch_times_cosine(
    dtype: Any, factors: tuple[Any, ...], G: tuple[Any, ...], m: int, n: int, out: Any
) -> None:
    """Fill `out`, row-major, with the m n cosines of the phases, times the entries of G."""
    grid, block = launch_shape(m * n)
    arguments = (*factors, *G, np.int64(m), np.int64(n), out)
    kernel("sine", f"times_cosine_{_suffix(dtype)}")(grid, block, arguments)


def launch_product(
    dtype: Any,
    factors: tuple[Any, ...],
    X: tuple[Any, ...],
    Y: tuple[Any, ...],
    shape: tuple[int, int, int],
    inner: tuple[Any, ...] = (),
) -> None:
    """Fill Y (m, T) with S X, for X (n, T) and a shape (m, n, T) without zeros before n.

    With ``inner = (*a, *b, size)`` the matrix is ``cos(phase) o a b^T / gain`` instead.
    """
    m, _, n_cols = shape
    column_blocks = -(-n_cols // _COLS)
    if column_blocks > _MAX_COLUMN_BLOCKS:
        msg = f"X: got {n_cols} columns, want at most {_COLS * _MAX_COLUMN_BLOCKS} on the device"
        raise ValueError(msg)
    name = "sine_slope_product" if inner else "sine_product"
    kernel("sine", f"{name}_{_suffix(dtype)}")(
        (-(-m // _ROWS), column_blocks),
        (_ROWS, _GROUPS),
        (*factors, *inner, *X, *map(np.int64, shape), *Y),
    )


# ---- the operator's methods


def entries(op: "SineLowRank", out: Any, workers: int) -> Any:
    """Return the matrix; `workers` has no meaning on the device."""
    del workers
    m, n = op.shape
    result = check_out(out, op.shape, op.dtype, op.U, op.V, kind="cupy")
    if result.size:
        launch_entries(op.dtype, _factors(op, op.U, op.V), m, n, result)
    return result


def product(op: "SineLowRank", X: Any, out: Any, workers: int, check_finite: bool) -> Any:
    """Return ``op @ X``; `workers` has no meaning on the device."""
    del workers
    x = _right_hand_sides(op, X, check_finite)
    dtype = np.result_type(op.dtype, x.dtype)
    result = check_out(out, (op.shape[0], *x.shape[1:]), dtype, op.U, op.V, x, kind="cupy")
    _multiply(op, x, result, dtype)
    return result


def _right_hand_sides(op: "SineLowRank", X: Any, check_finite: bool) -> Any:
    x = as_float_array(X, "X", ndim=(1, 2), check_finite=check_finite)
    if x.shape[0] != op.shape[1]:
        msg = f"X: got shape {x.shape}, want {op.shape[1]} rows for a matrix of {op.shape}"
        raise ValueError(msg)
    return x


def _shaped_like(a: Any, name: str, shape: tuple[int, ...], check_finite: bool) -> Any:
    array = as_float_array(a, name, ndim=len(shape), check_finite=check_finite)
    if array.shape != shape:
        msg = f"{name}: got shape {array.shape}, want {shape}"
        raise ValueError(msg)
    return array


def _multiply(op: "SineLowRank", x: Any, result: Any, dtype: Any, inner: Any = None) -> None:
    """Fill `result` with S x; with ``inner = (a, b)`` with (cos(phase) o a b^T / gain) x."""
    if not result.size:
        return
    x = x.astype(dtype, copy=False)
    left, right = (a.astype(dtype, copy=False) for a in (op.U, op.V))
    extra: tuple[Any, ...] = ()
    if inner is not None:
        a, b = (factor.astype(dtype, copy=False) for factor in inner)
        extra = (*_strided(a), *_strided(b), np.int64(a.shape[1]))
    shape = (*op.shape, 1 if x.ndim == 1 else x.shape[1])
    launch_product(dtype, _factors(op, left, right), _strided(x), _strided(result), shape, extra)


def vjp(
    op: "SineLowRank",
    X: Any,
    grad_output: Any,
    wrt: Sequence[str],
    workers: int,
    check_finite: bool,
) -> dict[str, Any]:
    """Return the gradients named in `wrt`; tiles are made again for each."""
    import cupy

    del workers
    x = _right_hand_sides(op, X, check_finite)
    y = _shaped_like(grad_output, "grad_output", (op.shape[0], *x.shape[1:]), check_finite)
    dtype = np.result_type(op.dtype, x.dtype, y.dtype)
    xs, ys = (a.reshape(len(a), -1) for a in (x, y))
    found: dict[str, Any] = {}
    if "U" in wrt or "omega" in wrt:
        slopes = cupy.empty(op.U.shape, dtype)  # Q V
        _multiply(op, op.V, slopes, dtype, (ys, xs))
        found["U"] = op.omega * slopes
        found["omega"] = float((op.U.astype(np.float64) * slopes).sum())
    if "V" in wrt:
        found["V"] = cupy.empty(op.V.shape, dtype)
        _multiply(op.T, op.U, found["V"], dtype, (xs, ys))
        found["V"] *= op.omega
    if "X" in wrt or "gain" in wrt:
        found["X"] = cupy.empty(x.shape, dtype)
        _multiply(op.T, y, found["X"], dtype)
        found["gain"] = -float((x.astype(np.float64) * found["X"]).sum()) / op.gain
    return found


def jvp(
    op: "SineLowRank",
    X: Any,
    tangents: Mapping[str, Any],
    numbers: tuple[float, float],
    workers: int,
    check_finite: bool,
) -> Any:
    """Return the derivative of ``op @ X`` along the tangents."""
    import cupy

    del workers
    x = _right_hand_sides(op, X, check_finite)
    shapes = {"U": op.U.shape, "V": op.V.shape, "X": x.shape}
    moved = {
        name: _shaped_like(a, f"tangents[{name!r}]", shapes[name], check_finite)
        for name, a in tangents.items()
    }
    dtype = np.result_type(op.dtype, x.dtype, *(a.dtype for a in moved.values()))
    omega, gain = numbers
    # omega (dU V^T + U dV^T) + domega U V^T as one product.
    dU = omega * op.U + (op.omega * moved["U"] if "U" in moved else 0)
    lefts, rights = [dU], [op.V]
    if "V" in moved:
        lefts, rights = [dU, op.omega * op.U], [op.V, moved["V"]]
    result = cupy.empty((op.shape[0], *x.shape[1:]), dtype)
    other = cupy.empty_like(result)
    inner = (cupy.concatenate(lefts, axis=1), cupy.concatenate(rights, axis=1))
    _multiply(op, x, result, dtype, inner)
    _multiply(op, moved.get("X", 0) - gain / op.gain * x, other, dtype)
    return result + other
