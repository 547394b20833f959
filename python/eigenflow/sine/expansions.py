"""Sums of few products that stand for the sine matrix: S is close to A B^T with few columns.

Both kinds bound the error of every entry before anything is computed. They pay where the phases
depend on few numbers: for one column of the factors always, for two or three when phases are
moderate, for more only when phases are small. The products are compiled.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from eigenflow._arrays import Array
from eigenflow._core import sine as _core

MAX_TERMS = 4096


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

    def product(self, U: Array, V: Array, X: Array, out: Array, gain: float, workers: int) -> None:
        """Write the product with X, divided by the gain."""
        ...


def largest(a: Array) -> Array:
    """Largest modulus in each column."""
    highest: Array = np.maximum(a.max(axis=0, initial=0), -a.min(axis=0, initial=0))
    return highest.astype(np.float64)


# --- Chebyshev anchors ------------------------------------------------------------------------


@dataclass(frozen=True)
class Anchors:
    """Interpolation of ``sin(omega u . v)`` in v at Chebyshev nodes of the box that holds V.

    The sine is odd, so nodes come in pairs, and half of them are enough. The factors of U are
    sines at the nodes, which the fused kernel makes. The error is below the sum over dimensions of
    ``4 sum_{p >= q} |J_p(a)|``, with a the largest phase of that dimension, times the Lebesgue
    constants of the dimensions before.
    """

    omega: float
    counts: tuple[int, ...]
    half_widths: tuple[float, ...]
    error: float

    @property
    def n_terms(self) -> int:
        """Half of the nodes."""
        return math.prod(self.counts) // 2

    def product(self, U: Array, V: Array, X: Array, out: Array, gain: float, workers: int) -> None:
        """Interpolate V, and apply the sines between U and the nodes."""
        settings = (self.counts, self.half_widths, self.omega, gain, workers)
        _core.apply_anchors(U, V, X, out, *settings)


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
    if math.prod(counts) > 2 * MAX_TERMS:
        return None
    return Anchors(omega, tuple(counts), tuple(half_widths.tolist()), error)


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


# --- Taylor polynomials -----------------------------------------------------------------------


@dataclass(frozen=True)
class Taylor:
    """Odd Taylor polynomial of the sine, written out in monomials of u and v.

    The error is below ``R^(P + 2) / (P + 2)!`` for an order P and phases up to R.
    """

    omega: float
    order: int
    n_terms: int
    error: float

    def product(self, U: Array, V: Array, X: Array, out: Array, gain: float, workers: int) -> None:
        """Multiply by the monomials of v, then by those of u."""
        _core.apply_taylor(U, V, X, out, self.order, self.omega, gain, workers)


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
    return Taylor(omega, order, n_terms, error)


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
