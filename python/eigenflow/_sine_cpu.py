"""What `SineLowRank` does with NumPy arrays and CPU tensors; `_gpu.sine` does it with CuPy's."""

from typing import TYPE_CHECKING, Any

import numpy as np

from eigenflow import _arrays
from eigenflow._core import sine as _core

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
    return _core.phase_accuracy(U, V, omega, exact_phase)


def entries(op: "SineLowRank", out: Any, workers: int) -> _arrays.Array:
    """Return the matrix."""
    result: _arrays.Array = _arrays.check_out(out, op.shape, op.dtype, op.U, op.V)
    scaled, other = (op.U, op.V) if op._scaled_left else (op.V, op.U)
    oriented = result if op._scaled_left else result.T
    _core.entries(scaled, other, oriented, op.omega, op.gain, op.exact_phase, workers)
    return result


def product(op: "SineLowRank", X: Any, out: Any, workers: int, check_finite: bool) -> _arrays.Array:
    """Return ``op @ X``."""
    m, n = op.shape
    x = _arrays.as_float_array(X, "X", ndim=(1, 2), check_finite=check_finite)
    if x.shape[0] != n:
        msg = f"X: got shape {x.shape}, want {n} rows, as the operator has columns"
        raise ValueError(msg)
    dtype = np.result_type(op.dtype, x.dtype)
    x, left, right = (a.astype(dtype, copy=False) for a in (x, op.U, op.V))
    result: _arrays.Array = _arrays.check_out(out, (m, *x.shape[1:]), dtype, op.U, op.V, x)
    columns, to = (x, result) if x.ndim == 2 else (x[:, None], result[:, None])
    scaled, other = (left, right) if op._scaled_left else (right, left)
    settings = (op.omega, op.gain, op.exact_phase, not op._scaled_left, workers)
    _core.apply(scaled, other, columns, to, *settings)
    return result
