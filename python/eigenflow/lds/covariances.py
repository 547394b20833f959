"""Checks of covariance matrices, alone or in stacks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A stack longer than this is tried by Cholesky first, which is several times faster.
_MANY = 64


def as_covariance(a: Array, name: str) -> Array:
    """Symmetrised copy of symmetric positive semidefinite matrices; ValueError for any other."""
    if a.ndim == 2 and _is_variances(a):
        return a.copy()
    scale = np.max(np.abs(a), axis=(-2, -1), keepdims=True, initial=0.0)
    flipped = np.swapaxes(a, -2, -1)
    skew = np.max(np.abs(a / 2 - flipped / 2), axis=(-2, -1), keepdims=True, initial=0.0)
    if np.any(skew > 1e-10 * scale):
        worst = _place(skew > 1e-10 * scale)
        msg = (
            f"{name}: got a matrix {2 * float(skew[worst].item()):.3g} away from symmetric"
            f"{_at(worst)}, want a symmetric one"
        )
        raise ValueError(msg)
    symmetric = a / 2 + flipped / 2
    # Scaled to unit size, so that the squares inside the eigenvalue routine stay in range.
    unit = symmetric / np.where(scale > 0, scale, 1.0)
    if not _semidefinite(unit):
        smallest = np.linalg.eigvalsh(unit)[..., 0] * scale[..., 0, 0]
        lowest = np.unravel_index(int(np.argmin(smallest)), smallest.shape)
        msg = (
            f"{name}: got smallest eigenvalue {float(smallest[lowest]):.6g}{_at(lowest)}, "
            "want a positive semidefinite matrix"
        )
        raise ValueError(msg)
    return np.asarray(symmetric)


def require_joint_covariance(Q: Array, R: Array, cross: Array) -> None:
    """Refuse a cross covariance for which the two noises have no joint law."""
    shape = np.broadcast_shapes(Q.shape[:-2], R.shape[:-2], cross.shape[:-2])
    n, p = cross.shape[-2:]
    joint = np.empty((*shape, n + p, n + p))
    joint[..., :n, :n], joint[..., n:, n:] = Q, R
    joint[..., :n, n:], joint[..., n:, :n] = cross, np.swapaxes(cross, -2, -1)
    size = np.sqrt(np.diagonal(joint, axis1=-2, axis2=-1))
    unit = np.where(size > 0, size, 1.0)
    correlations = joint / unit[..., :, None] / unit[..., None, :]
    if not _semidefinite(correlations):
        smallest = float(np.linalg.eigvalsh(correlations)[..., 0].min())
        msg = (
            "cross_cov: got noises whose joint correlation matrix has smallest eigenvalue "
            f"{smallest:.6g}, want a positive semidefinite [[Q, S], [S.T, R]]"
        )
        raise ValueError(msg)


def _is_variances(a: Array) -> bool:
    """Whether a matrix is diagonal and not negative, which needs no eigenvalues."""
    diagonal = a.diagonal()
    return np.count_nonzero(a) == np.count_nonzero(diagonal) and bool((diagonal >= 0).all())


def _semidefinite(unit: Array) -> bool:
    """Whether matrices of size one are positive semidefinite up to rounding."""
    slack = 1e-12 * unit.shape[-1]
    if unit.size // max(1, unit.shape[-1] ** 2) > _MANY:
        try:
            np.linalg.cholesky(unit + slack * np.eye(unit.shape[-1]))
        except np.linalg.LinAlgError:
            pass
        else:
            return True
    return bool(np.min(np.linalg.eigvalsh(unit), initial=0.0) >= -slack)


def _place(mask: Any) -> tuple[int, ...]:
    flags = mask[..., 0, 0]
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(flags)), flags.shape))


def _at(position: Any) -> str:
    """Where in a stack; nothing for a single matrix."""
    return f" at {tuple(int(i) for i in position)}" if len(position) else ""
