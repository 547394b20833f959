"""Where the state starts: stationary along stable modes, exact diffuse along the rest."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import Movable

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Start(Movable):
    """Law of the first state: N(mean, cov) plus an infinite variance along `diffuse` (n, k)."""

    mean: Array
    cov: Array
    diffuse: Array
    description: str


def _linalg() -> Any:
    import scipy.linalg  # costs 50 ms, so only where it is needed

    return scipy.linalg


def default_start(A: Array, Q: Array, offset: Array) -> Start:
    """Stationary law of the stable modes; exact diffuse for modes on or outside the unit circle.

    The state splits into two invariant subspaces by an ordered Schur form and one Sylvester
    equation. The stationary covariance lives on the stable subspace; the diffuse directions are an
    orthonormal basis of the other one (the identity when every mode is diffuse), which fixes the
    constant in a diffuse log-likelihood. Cost: a few n^3.
    """
    n = len(A)
    cut = _modulus_cut(A)
    if cut == 0.0:
        return Start(np.zeros(n), np.zeros((n, n)), np.eye(n), "exact diffuse")
    stable, stable_rows, diffuse = _invariant_split(A, cut)
    block = stable_rows @ A @ stable
    noise = stable_rows @ Q @ stable_rows.T
    spread = stable @ stationary_cov(block, noise) @ stable.T
    mean = stable @ np.linalg.solve(np.eye(len(block)) - block, stable_rows @ offset)
    kind = "stationary" if diffuse.shape[1] == 0 else "stationary and exact diffuse"
    return Start(mean, (spread + spread.T) / 2, diffuse, kind)


def _modulus_cut(A: Array) -> float:
    """Modulus that parts stable from diffuse modes: 0 when all are diffuse, inf when none is.

    The eigenvalue of a Jordan block of size s moves by eps^(1/s), so the distance to the circle
    that still counts as "on it" follows the condition number of each eigenvalue.
    """
    n = len(A)
    eps = float(np.finfo(float).eps)
    values, left, right = _linalg().eig(A, left=True, right=True)
    overlap = np.abs(np.sum(left.conj() * right, axis=0))
    scale = 10 * n * eps * max(1.0, float(np.linalg.norm(A, 2)))
    margin = np.minimum(scale / np.maximum(overlap, eps), 10 * eps ** (1 / n))
    modulus = np.abs(values)
    diffuse = modulus >= 1 - margin
    if not diffuse.any():
        return np.inf
    smallest = float(modulus[diffuse].min())
    below = modulus[modulus < smallest * (1 - scale)]
    return (smallest + float(below.max())) / 2 if below.size else 0.0


def _invariant_split(A: Array, cut: float) -> tuple[Array, Array, Array]:
    """Orthonormal basis of the stable subspace, its dual rows, and a basis of the other one."""
    if np.isinf(cut):
        return np.eye(len(A)), np.eye(len(A)), np.zeros((len(A), 0))
    T, Z, k = _linalg().schur(A, output="real", sort=lambda re, im=0.0: abs(complex(re, im)) < cut)
    # A (Z1 X + Z2) = (Z1 X + Z2) T22 when T11 X - X T22 = -T12.
    X = _linalg().solve_sylvester(T[:k, :k], -T[k:, k:], -T[:k, k:])
    other, _ = np.linalg.qr(Z[:, :k] @ X + Z[:, k:])
    # Householder QR leaves the sign open: the largest entry of each direction is positive.
    largest = np.argmax(np.abs(other), axis=0)
    other = other * np.sign(other[largest, np.arange(other.shape[1])])
    return Z[:, :k], Z[:, :k].T - X @ Z[:, k:].T, other


def stationary_cov(A: Array, Q: Array) -> Array:
    """Sum of A^k Q A^k', by squaring: each term stays positive semidefinite."""
    total, power = Q, A
    for _ in range(64):
        step = power @ total @ power.T
        total = total + step
        if np.max(np.abs(step)) <= 1e-17 * np.max(np.abs(total), initial=0.0):
            break
        power = power @ power
    return total
