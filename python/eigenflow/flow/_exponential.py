"""Exponential Rosenbrock steps for u' = F(u) whose Jacobian is -A, A symmetric, A >= 0.

One step of the pair exprb43 (Hochbruck, Ostermann, Schweitzer, "Exponential Rosenbrock-type
methods", 2009):

    U2 = u + h/2 phi_1(-hA/2) F(u),             D2 = N(U2) - N(u),   N(u) = F(u) + A u,
    U3 = u + h phi_1(-hA) (F(u) + D2),          D3 = N(U3) - N(u),
    u+ = u + h phi_1 F(u) + h (16 phi_3 - 48 phi_4) D2 + h (-2 phi_3 + 12 phi_4) D3,

of order 4; without phi_4 it has order 3, which estimates the error. The linear part is exact, so
the step is limited by how fast A changes and not by how large it is. Within a step N is taken as
the cubic through these values, which gives the state at every time of the step. The products
phi_k(-hA) b come from Lanczos spaces of b, which use A through its products with vectors only.
"""

from collections.abc import Callable
from math import factorial

import numpy as np
from scipy.linalg import eigh_tridiagonal

from eigenflow._arrays import Array

EPS = float(np.finfo(np.float64).eps)
_ORDERS = 5  # phi_1 to phi_5
_MAX_DIMENSION = 400
Apply = Callable[[Array], tuple[Array, float]]


def phi_functions(x: Array) -> Array:
    """phi_1(-x) ... phi_5(-x) in rows, x >= 0: phi_k(z) = sum_j z^j / (j + k)!."""
    out = np.empty((_ORDERS, x.size))
    near = np.minimum(x, 1.0)
    series = np.zeros_like(near)
    for j in range(14, -1, -1):
        series = 1 / factorial(j + _ORDERS) - near * series
    out[-1] = series
    for k in range(_ORDERS - 1, 0, -1):
        out[k - 1] = 1 / factorial(k) - near * out[k]
    far = x > 1
    value = -np.expm1(-x[far]) / x[far]
    for k in range(1, _ORDERS + 1):
        out[k - 1, far] = value
        value = (1 / factorial(k) - value) / x[far]
    return out


class KrylovSpace:
    """An orthonormal basis of b, A b, A^2 b, ... and the tridiagonal form of A in it.

    Parameters
    ----------
    apply : callable
        q -> (A q, the size of q in the error norm).
    start : ndarray
        b. Zero is allowed: its space is empty.
    order : int
        k of the phi_k for which the basis must suffice.
    h : float
        The step; smaller ones need less.
    tolerance : float
        Of h phi_k(-hA) b in the error norm.
    """

    def __init__(
        self,
        apply: Apply,
        start: Array,
        order: int,
        h: float,
        tolerance: float,
    ) -> None:
        self.norm = float(np.linalg.norm(start))
        self.h = h
        self._basis = np.empty((0, start.size))
        self._ritz: Array = np.empty(0)
        self._vectors: Array = np.empty((0, 0))
        if self.norm > 0:
            self._build(apply, start / self.norm, order, tolerance)

    def _build(self, apply: Apply, first: Array, order: int, tolerance: float) -> None:
        """Three-term recurrence with full reorthogonalisation, until the error is small.

        The error is about h norm(b) times the last entry of h phi_{k+1} (Saad, "Analysis of some
        Krylov subspace approximations to the matrix exponential operator", 1992).
        """
        q, limit = first, min(first.size, _MAX_DIMENSION)
        basis = np.empty((min(limit, 16), q.size))
        diagonal: list[float] = []
        off: list[float] = []
        check = 1
        while True:
            m = len(diagonal)
            product, size = apply(q)
            if m >= check or m == limit:
                self._diagonalise(diagonal, off)
                if self._settled(order, off[-1] * size, tolerance, m == limit):
                    break
                check = m + 1 + m // 3
            if m == basis.shape[0]:
                grown = np.empty((min(2 * m, limit), q.size))
                grown[:m] = basis
                basis = grown
            basis[m] = q
            done = basis[: m + 1]
            diagonal.append(float(q @ product))
            for _ in range(2):
                product = product - (done @ product) @ done
            length = float(np.linalg.norm(product))
            if length <= 8 * EPS * max(max(diagonal), max(off, default=0.0)) or m + 1 == q.size:
                self._diagonalise(diagonal, off)  # the space is invariant
                break
            off.append(length)
            q = product / length
        self._basis = basis[: self._ritz.size]

    def _diagonalise(self, diagonal: list[float], off: list[float]) -> None:
        m = len(diagonal)
        ritz, self._vectors = eigh_tridiagonal(np.array(diagonal), np.array(off[: m - 1]))
        self._ritz = np.maximum(ritz, 0)

    def _settled(self, order: int, coupling: float, tolerance: float, last: bool) -> bool:
        while True:
            entries = self._vectors[0] * self._vectors[-1]
            value = self.h * abs(float(entries @ phi_functions(self.h * self._ritz)[order]))
            if self.h * self.norm * coupling * value <= tolerance:
                return True
            if not last:
                return False
            self.h *= 0.5  # what this basis is good for

    def combine(self, h: float, *weights: float) -> Array:
        """(weights[0] phi_1(-hA) + weights[1] phi_2(-hA) + ...) b."""
        if self.norm == 0:
            return np.zeros(self._basis.shape[1])
        values = np.asarray(weights) @ phi_functions(h * self._ritz)[: len(weights)]
        in_basis = self._vectors @ (values * self._vectors[0]) * self.norm
        return np.asarray(in_basis @ self._basis)

    def decayed(self) -> Array:
        """exp(-hA) b for the h that the basis is good for."""
        if self.norm == 0:
            return np.zeros(self._basis.shape[1])
        in_basis = self._vectors @ (np.exp(-self.h * self._ritz) * self._vectors[0]) * self.norm
        return np.asarray(in_basis @ self._basis)

    @property
    def largest(self) -> float:
        """The largest eigenvalue of A seen."""
        return float(self._ritz.max(initial=0.0))


class Step:
    """One step from u, kept as the spaces from which the state at any of its times follows.

    Parameters
    ----------
    space_of : callable
        (b, k, h) -> the `KrylovSpace` for phi_k(-hA) b.
    remainder : callable
        du -> N(u + du) - N(u).
    slope : ndarray
        F(u).
    h : float
        The step that is wanted.

    Attributes
    ----------
    h : float
        The step that is taken.
    finite : bool
        Whether all values were finite; if not, nothing but `h` may be used.
    """

    def __init__(
        self,
        space_of: Callable[[Array, int, float], KrylovSpace],
        remainder: Callable[[Array], Array],
        slope: Array,
        h: float,
    ) -> None:
        self._of_slope = space_of(slope, 1, h)
        self.h = self._of_slope.h
        while True:
            h = self.h
            first = remainder(self._of_slope.combine(h / 2, h / 2))
            if not np.all(np.isfinite(first)):
                break
            self._of_first = space_of(first, 1, h)
            second = remainder(self._of_slope.combine(h, h) + self._of_first.combine(h, h))
            if not np.all(np.isfinite(second)):
                break
            self._of_second = space_of(second, 3, h)
            self.h = min(self._of_first.h, self._of_second.h)
            if self.h == h:
                self.finite = True
                return
        self.finite = False

    def displacement(self, part: float = 1.0) -> Array:
        """u(t + part h) - u(t), 0 <= part <= 1."""
        h, c3 = part * self.h, part**2 * self.h * part
        c4 = part * c3
        return (
            self._of_slope.combine(h, h)
            + self._of_first.combine(h, 0, 0, 16 * c3, -48 * c4)
            + self._of_second.combine(h, 0, 0, -2 * c3, 12 * c4)
        )

    def error(self) -> Array:
        """The difference between the orders 4 and 3 at the end of the step."""
        h = self.h
        return self._of_first.combine(h, 0, 0, 0, -48 * h) + self._of_second.combine(
            h, 0, 0, 0, 12 * h
        )

    @property
    def largest(self) -> float:
        """The largest eigenvalue of A seen."""
        return self._of_slope.largest
