"""What `SineLowRank` does with CuPy arrays: CuPy in, CuPy out, on the current stream."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eigenflow._arrays import check_out
from eigenflow._gpu import sine_launch as launch
from eigenflow._gpu.arrays import as_float_array
from eigenflow._gpu.compile import kernel, launch_shape, suffix
from eigenflow.sine import _cpu

if TYPE_CHECKING:
    from eigenflow.sine import SineLowRank

_INVERSE_PI, _INVERSE_PI_LOW = 1 / math.pi, -1.9678676675182486e-17
_BLOCK = 1 << 23  # entries of a block of gradients: 32 MiB in float32


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


def _scaled(op: "SineLowRank", factor: Any) -> tuple[Any, Any]:
    import cupy

    factor = cupy.ascontiguousarray(factor)
    high = cupy.empty_like(factor)
    low = cupy.empty_like(factor) if op.exact_phase else None
    scale = op.omega * _INVERSE_PI
    rest = math.fsum([*_product_error(op.omega, _INVERSE_PI), op.omega * _INVERSE_PI_LOW])
    grid, block = launch_shape(factor.size)
    arguments = (factor, np.int64(factor.size), scale, rest, high, 0 if low is None else low)
    kernel("sine", f"scale_factor_{suffix(factor.dtype)}")(grid, block, arguments)
    return high, low


def _product_error(a: float, b: float) -> tuple[float]:
    from fractions import Fraction

    return (float(Fraction(a) * Fraction(b) - Fraction(a * b)),)


def _any_factors(op: "SineLowRank", left: Any, right: Any) -> tuple[Any, ...]:
    """What the kernels for any depth take of the operator."""
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


def _is_shallow(op: "SineLowRank") -> bool:
    """Whether the kernels that are compiled for a depth take the operator."""
    return not op.exact_phase and op.U.shape[1] <= launch.MAX_DEPTH


def _factors(op: "SineLowRank", dtype: Any) -> launch.Factors:
    import cupy

    left, right = (a.astype(dtype, copy=False) for a in (op.U, op.V))
    if op._scaled_left:
        left, _ = _scaled(op, left)
    else:
        right, _ = _scaled(op, right)
    (m, size), n = left.shape, len(right)
    left, right = (cupy.ascontiguousarray(a) for a in (left, right.T))
    return launch.Factors(left, right, m, size, n)


def _strided(a: Any) -> tuple[Any, np.int64, np.int64]:
    """An array of one or two dimensions as kernels take it."""
    row, col = (*a.strides, 0)[:2]
    return a, np.int64(row // a.dtype.itemsize), np.int64(col // a.dtype.itemsize)


def entries(op: "SineLowRank", out: Any, workers: int) -> Any:
    """Return the matrix; `workers` has no meaning on the device."""
    del workers
    m, n = op.shape
    result = check_out(out, op.shape, op.dtype, op.U, op.V, kind="cupy")
    if not result.size:
        return result
    if _is_shallow(op):
        kind = suffix(op.dtype)
        nothing = (0, np.int64(0), np.int64(0))
        launch.weights(kind, _factors(op, op.dtype), (0, 0, op.gain), nothing, result)
    else:
        launch.any_entries(op.dtype, _any_factors(op, op.U, op.V), m, n, result)
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


def _multiply(op: "SineLowRank", x: Any, result: Any, dtype: Any) -> None:
    """Fill `result` with S x."""
    import cupy

    if not result.size:
        return
    x = x.astype(dtype, copy=False)
    n_cols = 1 if x.ndim == 1 else x.shape[1]
    if not _is_shallow(op):
        _multiply_any(op, x, result, dtype)
        return
    factors, gain = _factors(op, dtype), (0, 0, op.gain)
    if n_cols <= launch.FEW:
        launch.few_columns(dtype, factors, _strided(x), n_cols, gain, _strided(result))
        return
    parts = launch.n_parts(factors, n_cols)
    sums = result[None] if parts == 1 else cupy.empty((parts, *result.shape), dtype)
    to = (sums, *(np.int64(s // dtype.itemsize) for s in (*sums.strides[1:], sums.strides[0])))
    launch.tiled_product(dtype, factors, _strided(x), n_cols, parts, gain, to)
    if parts > 1:
        result[...] = sums.sum(axis=0)


def _multiply_any(op: "SineLowRank", x: Any, result: Any, dtype: Any, inner: Any = None) -> None:
    """Fill `result` with S x; with ``inner = (a, b)`` with (cos(phase) o a b^T / gain) x."""
    if not result.size:
        return
    x, left, right = (a.astype(dtype, copy=False) for a in (x, op.U, op.V))
    extra: tuple[Any, ...] = ()
    if inner is not None:
        a, b = (factor.astype(dtype, copy=False) for factor in inner)
        extra = (*_strided(a), *_strided(b), np.int64(a.shape[1]))
    shape = (*op.shape, 1 if x.ndim == 1 else x.shape[1])
    factors = _any_factors(op, left, right)
    launch.any_product(dtype, factors, _strided(x), _strided(result), shape, extra)


def _factor_gradients(
    op: "SineLowRank", x: Any, y: Any, dtype: Any, wanted: tuple[bool, bool]
) -> tuple[Any, Any]:
    """``Q V`` and ``omega Q^T U``, for ``Q = cos(phase) o y x^T / gain``; of an op not turned."""
    import cupy

    x, y = (a.astype(dtype, copy=False) for a in (x, y))
    left, right = cupy.zeros(op.U.shape, dtype), cupy.zeros(op.V.shape, dtype)
    if not (left.size and right.size):
        return left, right
    if not _is_shallow(op):
        if wanted[0]:
            _multiply_any(op, op.V, left, dtype, (y, x))
        if wanted[1]:
            _multiply_any(op.T, op.U, right, dtype, (x, y))
        right *= op.omega
        return left, right
    n_cols = x.shape[1]
    if n_cols > launch.FEW:
        for rows, slopes in _blocks_of_slopes(op, x, y, dtype):
            left[rows] = slopes @ op.V.astype(dtype, copy=False)
            right += slopes.T @ op.U[rows].astype(dtype, copy=False)
        right *= op.omega
    else:
        # Kernels multiply by the right factor as they have it: for V that is omega / pi times U.
        turned = (_strided(y), _strided(x))
        if wanted[0]:
            launch.few_slopes(dtype, _factors(op, dtype), *turned, n_cols, _strided(left))
        if wanted[1]:
            launch.few_slopes(dtype, _factors(op.T, dtype), *turned[::-1], n_cols, _strided(right))
        right *= math.pi
    left *= 1 / op.gain
    right *= 1 / op.gain
    return left, right


def _blocks_of_slopes(op: "SineLowRank", x: Any, y: Any, dtype: Any) -> Iterator[tuple[slice, Any]]:
    """Rows of ``cos(phase) o y x^T``, block by block."""
    import cupy

    m, n = op.shape
    factors, step = _factors(op, dtype), max(1, _BLOCK // n)
    for begin in range(0, m, step):
        rows = slice(begin, min(begin + step, m))
        G = y[rows] @ x.T
        part = launch.Factors(factors.left[rows], factors.right, len(G), factors.size, n)
        slopes = cupy.empty(G.shape, dtype)
        launch.cosines(dtype, part, _strided(G), slopes)
        yield rows, slopes


def vjp(
    op: "SineLowRank",
    X: Any,
    grad_output: Any,
    wrt: Sequence[str],
    workers: int,
    check_finite: bool,
) -> dict[str, Any]:
    """Return the gradients named in `wrt`, and some more."""
    import cupy

    del workers
    x = _right_hand_sides(op, X, check_finite)
    y = _shaped_like(grad_output, "grad_output", (op.shape[0], *x.shape[1:]), check_finite)
    dtype = np.result_type(op.dtype, x.dtype, y.dtype)
    xs, ys = (a.reshape(len(a), -1) for a in (x, y))
    found: dict[str, Any] = {}
    wanted = ("U" in wrt or "omega" in wrt, "V" in wrt)
    if op._scaled_left and any(wanted):
        slopes, found["V"] = _factor_gradients(op, xs, ys, dtype, wanted)
        found["U"] = op.omega * slopes
        found["omega"] = float((op.U.astype(np.float64) * slopes).sum())
    elif any(wanted):
        wanted = ("V" in wrt or "omega" in wrt, "U" in wrt)
        slopes, found["U"] = _factor_gradients(op.T, ys, xs, dtype, wanted)
        found["V"] = op.omega * slopes
        found["omega"] = float((op.V.astype(np.float64) * slopes).sum())
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
    _multiply_any(op, x, result, dtype, inner)
    _multiply(op, moved.get("X", 0) - gain / op.gain * x, other, dtype)
    return result + other
