"""The flow of coupled coordinates in its dual form: one number for each sample.

With alpha' = y - f and v = E^T alpha / n each coordinate is a function of its own v, the link:
v = int_0^beta ds / g(s). So the flow is u' = F(u) for u = alpha with the Jacobian -A,
A = E diag(K) E^T / n, K = d theta / d v: symmetric, and A >= 0. What the integrators ask of the
coordinates are sums and maxima over them, so that the coordinates may be anywhere: see
`eigenflow._map_reduce.regression`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from scipy.linalg import qr

from eigenflow._arrays import Array
from eigenflow._map_reduce import regression as pieces
from eigenflow._map_reduce.regression import Columns, Linked, Summary

EPS = float(np.finfo(np.float64).eps)


class Everywhere(Protocol):
    """All columns of a regression, in memory or in blocks elsewhere."""

    has_matrix: bool

    def reduce(self, piece: Callable[..., Summary], alpha: Array | None, *shared: Any) -> Summary:
        """Combine what a piece makes of all blocks at a state."""
        ...

    def triangle(self) -> Array:
        """Return the factor R of E^T = Q R, of a matrix."""
        ...

    def thetas(self, alphas: Array, scale: int) -> Any:
        """Return theta times 2^scale at each of several states: rows of all coordinates."""
        ...

    def scaled(self, length: int, feature: int) -> Self:
        """Return the columns in units of 2^length (of factors) and 2^feature (of a matrix)."""
        ...

    def turned(self, basis: Array) -> Self:
        """Return the columns of ``basis^T E``."""
        ...


class LocalColumns:
    """All columns as one block."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.has_matrix = columns.matrix is not None
        self._known: list[tuple[Array, Linked]] = []

    def reduce(self, piece: Callable[..., Summary], alpha: Array | None, *shared: Any) -> Summary:
        """See `Everywhere`."""
        return piece(self.columns, None if alpha is None else self._linked(alpha), *shared)

    def _linked(self, alpha: Array) -> Linked:
        """The coordinates at a state; the last two states, of a step and after it, are kept."""
        for i, (known, found) in enumerate(self._known):
            if np.array_equal(known, alpha):
                self._known.insert(0, self._known.pop(i))
                return found
        found = pieces.linked(self.columns, alpha)
        self._known = [(alpha.copy(), found), *self._known[:1]]
        return found

    def triangle(self) -> Array:
        """See `Everywhere`."""
        assert self.columns.matrix is not None
        (factor,) = qr(self.columns.matrix.T, mode="r")
        return np.asarray(factor[: min(factor.shape)])

    def thetas(self, alphas: Array, scale: int) -> Array:
        """See `Everywhere`."""
        return np.ldexp(pieces.thetas(self.columns, alphas), scale)

    def scaled(self, length: int, feature: int) -> Self:
        """See `Everywhere`; a matrix of a usual size is not copied."""
        columns = self.columns
        if columns.matrix is not None and feature != 0:
            columns = pieces.of_matrix(np.ldexp(columns.matrix, -feature), columns)
        eigenvalues, b0 = pieces.in_units(columns.eigenvalues, columns.b0, length)
        return self._with(replace(columns, eigenvalues=eigenvalues, b0=b0))

    def turned(self, basis: Array) -> Self:
        """See `Everywhere`."""
        assert self.columns.matrix is not None
        turned = pieces.of_matrix(basis.T @ self.columns.matrix, self.columns)
        return self._with(turned)

    def _with(self, columns: Columns) -> Self:
        return type(self)(columns)


class Point(NamedTuple):
    """A state, with E theta, the largest v, and whether a step may start from it."""

    alpha: Array
    fitted: Array
    top: float
    finite: bool


class Pull(NamedTuple):
    """Sizes of the gradient: the largest, where it moves something, beside the linear sizes."""

    largest: float
    active: float
    steepest: float

    @property
    def first_step(self) -> float:
        """A step from the start within which the coordinates stay about linear."""
        return 0.05 / self.steepest


class CoupledFlow:
    """The flow of n numbers, by sums over columns that may be anywhere."""

    def __init__(self, columns: Everywhere, y: Array) -> None:
        self.columns, self.y = columns, y
        self._target = float(np.linalg.norm(y)) * y.size**0.5
        self._gain = 0.0

    def at(self, alpha: Array) -> Point:
        """Evaluate a state."""
        found = self.columns.reduce(pieces.fitted, alpha)
        top, wrong = found.largest
        self._see(alpha, top)
        return Point(alpha, found.total, float(top), not wrong)

    def pull(self, residual: Array) -> Pull:
        """Measure the gradient of a residual."""
        sizes = self.columns.reduce(pieces.pull, None, residual).largest
        self._see(residual, sizes[0])
        return Pull(*map(float, sizes))

    def stops(self, pull: Pull) -> bool:
        """Whether nothing but rounding moves the coordinates that can move."""
        return bool(pull.active <= 4 * EPS * self._gain * self._target)

    def _see(self, r: Array, largest: float) -> None:
        """Learn from E^T r / n how large rounding errors of the gradient are."""
        norm = float(np.linalg.norm(r))
        if norm > 0 and np.isfinite(largest):
            self._gain = max(self._gain, float(largest) / norm)

    def shape(self) -> tuple[float, float]:
        """The largest root mean square of a column, and the smallest linear size."""
        square, least = self.columns.reduce(pieces.shape, None).largest
        return float(np.sqrt(square)), float(-least)

    def jacobian(self, alpha: Array) -> Array:
        """-A at a state."""
        return self.columns.reduce(pieces.jacobian, alpha).total

    def product(self, at: Point, q: Array, top: float) -> tuple[Array, float]:
        """A q, and its size in the error norm."""
        found = self.columns.reduce(pieces.product, at.alpha, q, top)
        self._see(q, found.largest[1])
        return found.total, float(found.largest[0])

    def remainder(self, at: Point, move: Array) -> Array:
        """N(u + move) - N(u) for N = F + A u; NaN beyond the blow-up."""
        found = self.columns.reduce(pieces.remainder, at.alpha, move)
        size, wrong = found.largest
        self._see(move, size)
        return np.full(move.size, np.nan) if wrong else found.total

    def size(self, at: Point, move: Array, top: float | None = None) -> float:
        """Size of a move in the error norm: the largest relative error of a coordinate of theta."""
        found = self.columns.reduce(pieces.weighted, at.alpha, move, at.top if top is None else top)
        self._see(move, found.largest[1])
        return float(found.largest[0])

    def relative_error(self, alpha: Array, move: Array) -> float:
        """What an error of alpha makes of theta, as a part of its Euclidean norm."""
        size, change = self.columns.reduce(pieces.moved, alpha, move).total
        return float(np.sqrt(change / size)) if size > 0 else 0.0


@dataclass(frozen=True, eq=False)
class CoupledPath:
    """States at the wanted times, in their order; rows beyond `reached` repeat the last state."""

    alpha: Array
    reached: Array
    error: Array
    n_steps: int
    converged: bool


class Rows:
    """Collects the states at rising times while an integrator passes them."""

    def __init__(self, times: Array) -> None:
        self.times = times
        self._rows: list[tuple[Array, float, float]] = []

    @property
    def full(self) -> bool:
        """Whether all times have been passed."""
        return len(self._rows) == self.times.size

    def passed(self, t: float) -> list[float]:
        """The next times up to t."""
        after = int(np.searchsorted(self.times, t, side="right"))
        return [float(time) for time in self.times[len(self._rows) : after]]

    def add(self, alpha: Array, time: float, error: float) -> None:
        """Keep the state at the next time."""
        self._rows.append((alpha, time, error))

    def path(self, last: tuple[Array, float, float], n_steps: int, settled: bool) -> CoupledPath:
        """Fill what was not passed with the last state, which is the limit if it is settled."""
        converged = settled or self.full
        alpha, t, error = last
        for time in self.times[len(self._rows) :]:
            self.add(alpha, float(time) if settled else t, error)
        alphas, reached, errors = (np.array(c) for c in zip(*self._rows, strict=True))
        return CoupledPath(alphas, reached, errors, n_steps, converged)


class ErrorEstimate:
    """The error of alpha along the flow, and what it makes of the error of theta.

    A small difference d of two states obeys d' = -A d with A >= 0: in alpha it never grows. A step
    takes away what the flow damps meanwhile and adds its own error, with its sign. Such sums came
    out at half of the true error and, where they cancel, up to 0.2 rtol below it; hence the margin.
    """

    def __init__(self, flow: CoupledFlow, rtol: float) -> None:
        self._flow, self._rtol = flow, rtol
        self.of_alpha: Array = np.zeros(flow.y.size)

    def add(self, damped: Array, local: Array) -> None:
        """Pass a step: what is left of the error so far, and the error of the step itself."""
        self.of_alpha = damped + local

    def of(self, alpha: Array) -> float:
        """Of theta at a state, as a part of its Euclidean norm."""
        return 2 * self._flow.relative_error(alpha, self.of_alpha) + 0.5 * self._rtol
