"""Upper bounds on spectral norms; see cpp/src/svd_bounds.cpp, which this repeats."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from eigenflow import _core
from eigenflow._arrays import Array
from eigenflow.lowrank.namespace.blocks import Library, Sides, squares_of_columns

# The columns of the Gaussian matrix that bounds take, far from those of the basis.
_COLUMN, _STEPS = 2**42, 4
PASSES = 2 * _STEPS + 1


def outside_bound(library: Library, key: int, a: Sides, V: Any) -> float:
    """Bound the norm of A (I - V V^H)."""

    def forward(W: Any) -> Any:
        return a.forward(W - V @ (V.conj().T @ W))

    return _norm_bound(library, key, a, forward, a.backward)


def outside_bound_by_squares(
    library: Library, key: int, squared: Callable[[Any], Any], V: Any, dtype: Any
) -> float:
    """Bound the same norm by products with A^H A: R^H R to the fourth power bounds ||R||^8.

    What is below sqrt(eps) of the norm of A is rounding of the products, and in the bound.
    """

    def outside(W: Any) -> Any:
        return W - V @ (V.conj().T @ W)

    W = library.normals(key, V.shape[0], _COLUMN, _core.svd.bound_vectors, dtype)
    log_scale = 0.0
    for _ in range(_STEPS):
        W, taken = _without_scale(outside(W))
        log_scale += taken
        W = outside(squared(W))
    return _root(library, W, log_scale, 2 * _STEPS)


def residual_bound(library: Library, key: int, a: Sides, left: Any, s: Any, right: Any) -> float:
    """Bound the norm of A - left diag(s) right^H."""

    def forward(W: Any) -> Any:
        return a.forward(W) - left @ (s[:, None] * (right.conj().T @ W))

    def backward(Y: Any) -> Any:
        return a.backward(Y) - right @ (s[:, None] * (left.conj().T @ Y))

    return _norm_bound(library, key, a, forward, backward)


def _norm_bound(
    library: Library,
    key: int,
    a: Sides,
    forward: Callable[[Any], Any],
    backward: Callable[[Any], Any],
) -> float:
    """Ten times sqrt(2 / pi) the largest image of ten Gaussian vectors, after power steps.

    With B = R (R^H R)^4 that bounds ||R||^9 but for a probability of 1e-10 (Halko, Martinsson and
    Tropp 2011, lemma 4.1), and the root takes the overshoot with it.
    """
    W = library.normals(key, a.shape[1], _COLUMN, _core.svd.bound_vectors, a.a.dtype)
    Y, log_scale = forward(W), 0.0
    for _ in range(_STEPS):
        Y, taken = _without_scale(Y)
        log_scale += taken
        W, taken = _without_scale(backward(Y))
        log_scale += taken
        Y = forward(W)
    return _root(library, Y, log_scale, PASSES)


def _root(library: Library, images: Any, log_scale: float, power: int) -> float:
    """Return the bound of a norm to this power from the images of Gaussian vectors."""
    largest = float(squares_of_columns(library, images).max())
    if not largest > 0:
        return 0.0
    log_bound = math.log(10 * math.sqrt(2 / math.pi)) + 0.5 * math.log(largest)
    return math.exp((log_bound + log_scale) / power)


def _without_scale(X: Any) -> tuple[Any, float]:
    """Bring the largest entry near 1 by a power of two; the logarithm of what was taken out."""
    largest = float(abs(X).max())
    if not 0 < largest < math.inf:
        return X, 0.0
    factor = math.ldexp(1.0, -max(-120, min(120, math.frexp(largest)[1])))
    return X * factor, -math.log(factor)


def deflated_bound(
    squares: Array, vectors: Array, coupling: Array, rank: int, outside: float
) -> float:
    """Bound the square of the error of the first `rank` Ritz triplets.

    Squares descend, and their vectors come in the opposite order. The newest block leads out of
    the basis by `coupling`, to where A has a norm of at most `outside`.
    """
    kept, width = squares.size - rank, len(coupling)
    C = coupling @ vectors[-width:, :kept]
    diagonal = np.concatenate((squares[::-1][:kept], np.full(width, outside**2)))
    H = np.diag(diagonal).astype(C.dtype)
    H[kept:, :kept] = C
    return float(np.linalg.eigvalsh(H)[-1])
