"""What `SineLowRank` does with NumPy arrays and CPU tensors; `_gpu.sine` does it with CuPy's."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eigenflow import _arrays
from eigenflow._core import sine as _core
from eigenflow.sine import methods

if TYPE_CHECKING:
    from eigenflow.sine import SineLowRank


def factors(U: Any, V: Any, check_finite: bool) -> tuple[_arrays.Array, _arrays.Array]:
    """Both factors in their common dtype."""
    left = _arrays.as_float_array(U, "U", ndim=2, check_finite=check_finite)
    right = _arrays.as_float_array(V, "V", ndim=2, check_finite=check_finite)
    dtype = _arrays.common_float_dtype(left, right)
    return left.astype(dtype, copy=False), right.astype(dtype, copy=False)


def phase_accuracy(
    U: _arrays.Array, V: _arrays.Array, omega: float, exact_phase: bool
) -> tuple[float, float, bool]:
    """Largest phase in half-turns, the error bound of a sine, and whether phases overflow."""
    left, right = (a[:1] if a.strides[0] == 0 else a for a in (U, V))  # rows that repeat
    return _core.phase_accuracy(left, right, omega, exact_phase)


def entries(op: "SineLowRank", out: Any, workers: int) -> _arrays.Array:
    """Return the matrix."""
    result: _arrays.Array = _arrays.check_out(out, op.shape, op.dtype, op.U, op.V)
    scaled, other = (op.U, op.V) if op._scaled_left else (op.V, op.U)
    oriented = result if op._scaled_left else result.T
    _core.entries(scaled, other, oriented, op.omega, op.gain, op.exact_phase, workers)
    return result


def product(op: "SineLowRank", X: Any, out: Any, workers: int, check_finite: bool) -> _arrays.Array:
    """Return ``op @ X``."""
    x = _right_hand_sides(op, X, check_finite)
    dtype = np.result_type(op.dtype, x.dtype)
    x, left, right = (a.astype(dtype, copy=False) for a in (x, op.U, op.V))
    result: _arrays.Array = _arrays.check_out(out, (len(left), *x.shape[1:]), dtype, op.U, op.V, x)
    columns = _columns(x)
    chosen, _ = op._choose(columns.shape[1])
    if chosen.method != "fused" and result.size and (op._method != "auto" or dtype == op.dtype):
        methods.product(op, chosen, (left, right), columns, _columns(result), workers)
        return result
    scaled, other = (left, right) if op._scaled_left else (right, left)
    settings = (op.omega, op.gain, op.exact_phase, not op._scaled_left, workers)
    _core.apply(scaled, other, columns, _columns(result), *settings)
    return result


def _right_hand_sides(op: "SineLowRank", X: Any, check_finite: bool) -> _arrays.Array:
    x = _arrays.as_float_array(X, "X", ndim=(1, 2), check_finite=check_finite)
    if x.shape[0] != op.shape[1]:
        msg = f"X: got shape {x.shape}, want {op.shape[1]} rows for a matrix of {op.shape}"
        raise ValueError(msg)
    return x


def _columns(x: _arrays.Array) -> _arrays.Array:
    return x if x.ndim == 2 else x[:, None]


def _shaped_like(
    a: Any, name: str, shape: tuple[int, ...], what: str, check_finite: bool
) -> _arrays.Array:
    array = _arrays.as_float_array(a, name, ndim=len(shape), check_finite=check_finite)
    if array.shape != shape:
        msg = f"{name}: got shape {array.shape}, want {shape} as {what}"
        raise ValueError(msg)
    return array


def vjp(
    op: "SineLowRank",
    X: Any,
    grad_output: Any,
    wrt: Sequence[str],
    workers: int,
    check_finite: bool,
) -> dict[str, Any]:
    """Return the gradients named in `wrt`."""
    x = _right_hand_sides(op, X, check_finite)
    shape = (op.shape[0], *x.shape[1:])
    y = _shaped_like(grad_output, "grad_output", shape, "op @ X has", check_finite)
    dtype = np.result_type(op.dtype, x.dtype, y.dtype)
    x, y, left, right = (a.astype(dtype, copy=False) for a in (x, y, op.U, op.V))
    found = {
        name: np.empty(a.shape, dtype)
        for name, a in {"U": left, "V": right, "X": x}.items()
        if name in wrt
    }
    found_x = _columns(found["X"]) if "X" in found else None
    settings = (op.omega, op.gain, op.exact_phase, not op._scaled_left, workers)
    omega, gain = _core.vjp(
        left, right, _columns(x), _columns(y), found.get("U"), found.get("V"), found_x, *settings
    )
    return {**found, "omega": omega, "gain": gain}


def jvp(
    op: "SineLowRank",
    X: Any,
    tangents: Mapping[str, Any],
    numbers: tuple[float, float],
    workers: int,
    check_finite: bool,
) -> _arrays.Array:
    """Return the derivative of ``op @ X`` along the tangents."""
    x = _right_hand_sides(op, X, check_finite)
    shapes = {"U": op.U.shape, "V": op.V.shape, "X": x.shape}
    moved = {
        name: _shaped_like(a, f"tangents[{name!r}]", shapes[name], f"{name} has", check_finite)
        for name, a in tangents.items()
    }
    dtype = np.result_type(op.dtype, x.dtype, *(a.dtype for a in moved.values()))
    x, left, right = (a.astype(dtype, copy=False) for a in (x, op.U, op.V))
    du, dv, dx = (
        _columns(moved[name].astype(dtype, copy=False)) if name in moved else None
        for name in shapes
    )
    result: _arrays.Array = np.empty((len(left), *x.shape[1:]), dtype)
    settings = (op.omega, op.gain, op.exact_phase, not op._scaled_left, workers)
    omega, gain = numbers
    _core.jvp(left, right, _columns(x), du, dv, dx, omega, gain, _columns(result), *settings)
    return result
