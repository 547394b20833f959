"""Sums of few products that stand for the sine matrix: S is close to A B^T with few columns.

Both kinds bound the error of every entry before anything is computed. They pay where the phases
depend on few numbers: for one column of the factors always, for two or three when phases are
moderate, for more only when phases are small.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from eigenflow._arrays import Array
from eigenflow._core import sine as _core
from eigenflow._threads import blas_limit

MAX_TERMS = 4096
_BLOCK_BYTES = 1 << 20


class Expansion(Protocol):
    """``sin(omega U V^T)`` as a sum of `n_terms` products, within `error` for every entry."""

    @property
    def n_terms(self) -> int:
        """How many."""
        ...

    @property
    def error(self) -> float:
        """Bound of the error of an entry."""
        ...

    def right(self, rows: Array) -> Array:
        """Factors of rows of V, one column a term."""
        ...

    def left_product(self, U: Array, Z: Array, gain: float, workers: int) -> Array:
        """Return the factors of U times Z, divided by the gain."""
        ...


def product(expansion: Expansion, U: Array, V: Array, X: Array, gain: float, workers: int) -> Array:
    """Return ``A (B^T X) / gain``, with the rows of B made in blocks of about 1 MiB."""
    Z = np.zeros((expansion.n_terms, X.shape[1]), X.dtype)
    with blas_limit(workers):
        for rows in _blocks(len(V), expansion.n_terms):
            Z += expansion.right(V[rows]).astype(X.dtype, copy=False).T @ X[rows]
        return expansion.left_product(U, Z, gain, workers)


def _blocks(n: int, n_terms: int) -> list[slice]:
    size = max(_BLOCK_BYTES // (16 * n_terms), 64)
    return [slice(first, min(first + size, n)) for first in range(0, n, size)]


def largest(a: Array) -> Array:
    """Largest modulus in each column."""
    wide: Array = np.abs(a).max(axis=0, initial=0).astype(np.float64)
    return wide


# --- Chebyshev anchors ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Anchors:
    """Interpolation of ``sin(omega u . v)`` in v at Chebyshev nodes of the box that holds V.

    The sine is odd, so nodes come in pairs, and half of them are enough. The factors of U are
    sines at the nodes, which the fused kernel makes. The error is below the sum over dimensions of
    ``4 sum_{p >= q} |J_p(a)|``, with a the largest phase of that dimension, times the Lebesgue
    constants of the dimensions before.
    """

    omega: float
    nodes: Array
    counts: tuple[int, ...]
    half_widths: Array
    error: float

    @property
    def n_terms(self) -> int:
        """Half of the nodes."""
        return len(self.nodes)

    def right(self, rows: Array) -> Array:
        """Differences of the Lagrange polynomials of a node and its mirror image."""
        full = np.ones((len(rows), 1))
        for l, (count, half_width) in enumerate(zip(self.counts, self.half_widths, strict=True)):
            one = _lagrange(rows[:, l] / half_width, count)
            full = (full[:, :, None] * one[:, None, :]).reshape(len(rows), -1)
        half = self.n_terms
        odd: Array = full[:, :half] - full[:, ::-1][:, :half]
        return odd

    def left_product(self, U: Array, Z: Array, gain: float, workers: int) -> Array:
        """Apply the sines between U and the nodes."""
        result = np.empty((len(U), Z.shape[1]), Z.dtype)
        nodes = self.nodes.astype(Z.dtype)
        _core.apply(U, nodes, Z, result, self.omega, gain, False, False, workers)
        return result


def anchors(U: Array, V: Array, omega: float, target: float) -> Anchors | None:
    """Return the fewest anchors with an error below `target`; None if there are too many."""
    k = V.shape[1]
    if not 1 <= k <= 3:
        return None
    half_widths = largest(V)
    phases = abs(omega) * largest(U) * half_widths
    half_widths[half_widths == 0] = 1.0
    counts, error, lebesgue = [], 0.0, 1.0
    for phase in phases:
        if phase > MAX_TERMS:
            return None
        count, tail = _count_nodes(float(phase), target / (k * lebesgue))
        counts.append(count)
        error += lebesgue * tail
        lebesgue *= 1 + 2 / math.pi * math.log(count + 1)
    if (math.prod(counts) + 1) // 2 > MAX_TERMS:
        return None
    grids = [w * _chebyshev_nodes(c) for w, c in zip(half_widths, counts, strict=True)]
    nodes = np.array(list(itertools.product(*grids))).reshape(-1, k)
    return Anchors(omega, nodes[: (len(nodes) + 1) // 2], tuple(counts), half_widths, error)


def _chebyshev_nodes(count: int) -> Array:
    # Exactly antisymmetric, so that mirror images are mirror images.
    angles = np.pi * (2 * np.arange(count) + 1 - count) / (2 * count)
    return np.asarray(np.sin(angles))


def _count_nodes(phase: float, target: float) -> tuple[int, float]:
    """Nodes of one dimension, and ``4 sum_{p >= count} |J_p(phase)|``."""
    from scipy import special

    orders = np.arange(int(phase + 12 * (phase + 1) ** (1 / 3)) + 60)
    tails = 4 * np.cumsum(np.abs(special.jv(orders, phase))[::-1])[::-1]
    # Two more than the bound asks for would round to nothing; beyond the orders it is below 1e-30.
    enough = np.flatnonzero(tails <= target)
    count = int(enough[0]) if enough.size else len(orders) - 1
    count = max(count + count % 2, 2)
    return count, float(tails[min(count, len(orders) - 1)])


def _lagrange(x: Array, count: int) -> Array:
    """Lagrange polynomials of the Chebyshev nodes at x in [-1, 1], shape (len(x), count)."""
    x = np.clip(x.astype(np.float64), -1, 1)
    T = np.empty((count, len(x)))
    T[0], T[1] = 0.5, x  # the constant counts half
    previous: Array = np.ones_like(x)
    for p in range(2, count):
        T[p] = 2 * x * T[p - 1] - previous
        previous = T[p - 1]
    angles = np.pi * (2 * np.arange(count)[::-1] + 1) / (2 * count)  # of the ascending nodes
    weights = 2 / count * np.cos(np.outer(np.arange(count), angles))
    return np.asarray(T.T @ weights)


# --- Taylor polynomials -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Taylor:
    """Odd Taylor polynomial of the sine, written out in monomials of u and v.

    The error is below ``R^(P + 2) / (P + 2)!`` for an order P and phases up to R.
    """

    omega: float
    exponents: Array  # (n_terms, k)
    coefficients: Array  # (n_terms,)
    error: float

    @property
    def n_terms(self) -> int:
        """Monomials of the odd orders."""
        return len(self.coefficients)

    def right(self, rows: Array) -> Array:
        """Monomials of v."""
        highest = int(self.exponents.max(initial=0))
        powers = np.ones((highest + 1, *rows.shape))
        for p in range(1, highest + 1):
            powers[p] = powers[p - 1] * rows
        result = np.ones((len(rows), self.n_terms))
        for l in range(rows.shape[1]):
            result *= powers[self.exponents[:, l], :, l].T
        return result

    def left_product(self, U: Array, Z: Array, gain: float, workers: int) -> Array:
        """Apply the monomials of u."""
        del workers  # the caller has limited BLAS
        weighted = (self.coefficients[:, None] / gain * Z).astype(Z.dtype)
        result = np.empty((len(U), Z.shape[1]), Z.dtype)
        for rows in _blocks(len(U), self.n_terms):
            monomials = self.right(self.omega * U[rows].astype(np.float64))
            result[rows] = monomials.astype(Z.dtype, copy=False) @ weighted
        return result


def taylor(k: int, omega: float, radius: float, target: float) -> Taylor | None:
    """Return the polynomial of lowest order with an error below `target`; None if it is long.

    Beyond phases of 2 radians the terms cancel: digits are lost, and other methods are shorter.
    """
    if radius > 2 or k == 0:
        return None
    order, error = 1, radius**3 / 6
    while error > target:
        order += 2
        error = radius ** (order + 2) / math.factorial(order + 2)
    n_terms = sum(math.comb(k + p - 1, p) for p in range(1, order + 1, 2))
    if n_terms > MAX_TERMS:
        return None
    exponents, coefficients = [], []
    for p in range(1, order + 1, 2):
        sign = (-1) ** (p // 2)
        for chosen in itertools.combinations_with_replacement(range(k), p):
            counts = [chosen.count(l) for l in range(k)]
            exponents.append(counts)
            coefficients.append(sign / math.prod(math.factorial(c) for c in counts))
    return Taylor(omega, np.array(exponents), np.array(coefficients), error)


def nufft_product(
    U: Array, V: Array, omega: float, X: Array, gain: float, eps: float, workers: int
) -> Any:
    """Return the product as the imaginary part of a type-3 nonuniform FFT."""
    import finufft

    transform = {1: finufft.nufft1d3, 2: finufft.nufft2d3, 3: finufft.nufft3d3}[U.shape[1]]
    points = [np.ascontiguousarray(V[:, l]) for l in range(V.shape[1])]
    frequencies = [np.ascontiguousarray(omega * U[:, l], X.dtype) for l in range(U.shape[1])]
    wide = np.result_type(X.dtype, np.complex64)
    strengths = np.ascontiguousarray(X.T, wide)
    found = transform(*points, strengths, *frequencies, isign=1, eps=eps, nthreads=workers)
    return (np.atleast_2d(found).imag / gain).T
