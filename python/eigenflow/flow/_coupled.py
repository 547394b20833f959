"""The flow of coupled coordinates in its dual form: one number for each sample.

With alpha' = y - f and v = E^T alpha / n each coordinate is a function of its own v, the link:
v = int_0^beta ds / g(s). So the flow is u' = F(u) for u = alpha with the Jacobian -A,
A = E diag(K) E^T / n, K = d theta / d v: symmetric, and A >= 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eigenflow import _core
from eigenflow._arrays import Array

EPS = float(np.finfo(np.float64).eps)
HUGE = 1e50


@dataclass(frozen=True, eq=False)
class CoupledProblem:
    """What the flow depends on; all arrays are float64."""

    forward: Callable[[Array], Array]  # theta -> E theta
    adjoint: Callable[[Array], Array]  # r -> E^T r
    y: Array
    n: int  # the number of samples that the loss is a mean over
    eigenvalues: Array
    b0: Array | None
    depth: int
    separate: bool
    workers: int
    matrix: Array | None = None  # E, where it is at hand

    @property
    def rate_of_b(self) -> float:
        """The factor c in b^2 = b0^2 + c beta^2."""
        return 1.0 if self.separate else float(self.depth)

    def link(self, v: Array) -> tuple[Array, Array]:
        """Theta and K = d theta / d v."""
        out = {"theta": np.empty((1, v.size)), "rate": np.empty((1, v.size))}
        b0 = None if self.b0 is None else self.b0[None]
        _core.flow.link(
            v[None], self.eigenvalues[None], b0, self.depth, self.separate, out, self.workers
        )
        return out["theta"][0], out["rate"][0]

    def linear_part(self) -> tuple[Array, Array]:
        """K at v = 0, and the size of v up to which theta is about K v; 0 and 1 at saddles."""
        start = np.sqrt(self.eigenvalues)
        if self.b0 is None:
            return self.eigenvalues, np.ones_like(start)
        g = start * self.b0**self.depth
        active = g > 0
        length = np.minimum(start, self.b0 / np.sqrt(self.rate_of_b))
        return g * g, np.where(active, length / np.where(active, g, 1), 1.0)

    def jacobian(self, v: Array) -> Array:
        """-A at the state with this v, from the matrix."""
        assert self.matrix is not None
        rate = np.clip(self.link(v)[1], 0, HUGE) / self.n
        return -(self.matrix * rate) @ self.matrix.T


@dataclass(frozen=True, eq=False)
class CoupledPath:
    """States at the wanted times, in their order; rows beyond `reached` repeat the last state."""

    theta: Array
    alpha: Array
    reached: Array
    error: Array
    n_steps: int
    converged: bool


class Rows:
    """Collects the states at rising times while an integrator passes them."""

    def __init__(self, times: Array) -> None:
        self.times = times
        self._rows: list[tuple[Array, Array, float, float]] = []

    @property
    def full(self) -> bool:
        """Whether all times have been passed."""
        return len(self._rows) == self.times.size

    def passed(self, t: float) -> list[float]:
        """The next times up to t."""
        after = int(np.searchsorted(self.times, t, side="right"))
        return [float(time) for time in self.times[len(self._rows) : after]]

    def add(self, theta: Array, alpha: Array, time: float, error: float) -> None:
        """Keep the state at the next time."""
        self._rows.append((theta, alpha, time, error))

    def path(
        self, last: tuple[Array, Array, float, float], n_steps: int, settled: bool
    ) -> CoupledPath:
        """Fill what was not passed with the last state, which is the limit if it is settled."""
        converged = settled or self.full
        theta, alpha, t, error = last
        for time in self.times[len(self._rows) :]:
            self.add(theta, alpha, float(time) if settled else t, error)
        thetas, alphas, reached, errors = (np.array(c) for c in zip(*self._rows, strict=True))
        return CoupledPath(thetas, alphas, reached, errors, n_steps, converged)


class ErrorEstimate:
    """The error of alpha along the flow, and what it makes of the error of theta.

    A small difference d of two states obeys d' = -A d with A >= 0: in alpha it never grows. A step
    takes away what the flow damps meanwhile and adds its own error, with its sign. Such sums came
    out at half of the true error and, where they cancel, up to 0.2 rtol below it; hence the margin.
    """

    def __init__(self, problem: CoupledProblem, rtol: float) -> None:
        self._problem, self._rtol = problem, rtol
        self.of_alpha: Array = np.zeros(problem.y.size)

    def add(self, damped: Array, local: Array) -> None:
        """Pass a step: what is left of the error so far, and the error of the step itself."""
        self.of_alpha = damped + local

    def of(self, theta: Array, rate: Array) -> float:
        """Of theta at a state with this K, as a part of its Euclidean norm."""
        size = float(np.linalg.norm(theta))
        moved = rate * self._problem.adjoint(self.of_alpha) / self._problem.n
        sum_of_steps = float(np.linalg.norm(moved)) / size if size > 0 else 0.0
        return 2 * sum_of_steps + 0.5 * self._rtol


class RoundOff:
    """Whether the gradient of the coordinates that can move is above its rounding errors."""

    def __init__(self, problem: CoupledProblem) -> None:
        self._active = problem.linear_part()[0] > 0
        self._target = float(np.linalg.norm(problem.y)) * problem.y.size**0.5
        self._gain = 0.0

    def see(self, r: Array, image: Array) -> None:
        """Learn from E^T r / n how large rounding errors of the gradient are."""
        norm = float(np.linalg.norm(r))
        if norm > 0:
            self._gain = max(self._gain, float(np.max(np.abs(image))) / norm)

    def stops(self, gradient: Array) -> bool:
        """Whether nothing but rounding moves the coordinates."""
        force = float(np.max(np.abs(gradient), initial=0.0, where=self._active))
        return bool(force <= 4 * EPS * self._gain * self._target)


def first_step(problem: CoupledProblem, gradient: Array) -> float:
    """A step from the start within which the coordinates stay about linear."""
    rate, size = problem.linear_part()
    active = rate > 0
    return float(0.05 / np.max(np.abs(gradient[active]) / size[active]))


def error_weights(problem: CoupledProblem, theta: Array, rate: Array, top: float) -> Array:
    """Relative error of theta for an error of v, K / |theta|, of each coordinate.

    Coordinates that are about linear count in proportion to the largest v, `top`.
    """
    first_rate, size = problem.linear_part()
    scale = np.abs(theta) + first_rate * np.minimum(size, top)
    weights: Array = np.where(first_rate > 0, rate / np.where(scale > 0, scale, 1), 0)
    return weights
