"""Exponential integration of the dual form for many samples: products with E only."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eigenflow._arrays import Array
from eigenflow.flow._coupled import (
    EPS,
    CoupledPath,
    CoupledProblem,
    ErrorEstimate,
    RoundOff,
    Rows,
    error_weights,
    first_step,
)
from eigenflow.flow._exponential import KrylovSpace, Step

SpaceOf = Callable[[Array, int, float], KrylovSpace]


@dataclass(frozen=True, eq=False)
class _Point:
    """A state with all that a step from it needs."""

    alpha: Array
    v: Array
    theta: Array
    rate: Array
    fitted: Array

    @property
    def finite(self) -> bool:
        return bool(np.all(np.isfinite(self.theta)) and np.all(np.isfinite(self.rate)))


class Integrator:
    """Adaptive exponential steps along the flow, with outputs at any times.

    The error norm is the largest relative error of a coordinate of theta, as `error_weights` has
    it.
    """

    def __init__(self, problem: CoupledProblem, rtol: float) -> None:
        self.problem, self.rtol = problem, rtol
        self._round_off = RoundOff(problem)
        self._fastest = 0.0

    def follow(
        self, times: Array, max_steps: int, report: Callable[[int, float], None]
    ) -> CoupledPath:
        """Follow the flow to rising times; infinity is the limit."""
        problem, rows = self.problem, Rows(times)
        point = self._complete(np.zeros(problem.y.size), np.zeros(problem.eigenvalues.size))
        t, h, n_steps, settled = 0.0, 0.0, 0, False
        error = ErrorEstimate(problem, self.rtol)
        for time in rows.passed(0.0):
            rows.add(point.theta, point.alpha, time, 0.0)
        while not rows.full and n_steps < max_steps:
            slope = problem.y - point.fitted
            gradient = self._image(slope)
            if settled := settled or self._round_off.stops(gradient):
                break
            h = h or first_step(problem, gradient)
            step, after, h = self._accepted(point, slope, gradient, h, times[-1] - t)
            n_steps += 1
            error.add(self._damped(point, error.of_alpha, step.h), step.error())
            end = float(times[-1]) if step.h >= times[-1] - t else t + step.h
            for time in rows.passed(end):
                part = (time - t) / step.h
                inner = self._moved(point, step.displacement(part)) if part < 1 else after
                rows.add(inner.theta, inner.alpha, time, error.of(inner.theta, inner.rate))
            change = self._size(self._weights(after), after.v - point.v)
            settled = step.h * self._fastest >= 1 / (100 * EPS) and change <= 0.1 * self.rtol
            point, t = after, end
            report(n_steps, t)
        last = (point.theta, point.alpha, t, error.of(point.theta, point.rate))
        return rows.path(last, n_steps, settled)

    def _damped(self, point: _Point, error: Array, h: float) -> Array:
        """exp(-hA) of an earlier error, to a tenth of what a step is allowed."""
        return self._spaces(point, self._weights(point), 0.1)(error, 0, h).decayed()

    def _accepted(
        self, point: _Point, slope: Array, gradient: Array, h: float, left: float
    ) -> tuple[Step, _Point, float]:
        """Shorten the step until its error is small; also returns the next step's length."""

        def remainder(move: Array) -> Array:
            shift = self._image(move)
            theta, _ = self.problem.link(point.v + shift)
            with np.errstate(invalid="ignore", over="ignore"):
                curved = theta - point.theta - point.rate * shift
            bounded = np.all(np.isfinite(curved))
            return -self.problem.forward(curved) if bounded else np.full(slope.size, np.nan)

        while True:
            if not h > 0:
                msg = "y: got values that are not finite, or features whose products are not"
                raise ValueError(msg)
            h = min(h, left)
            largest = max(np.max(np.abs(point.v)), h * np.max(np.abs(gradient)))
            weights = self._weights(point, largest)
            step = Step(self._spaces(point, weights), remainder, slope, h)
            self._fastest = max(self._fastest, step.largest)
            if not step.finite:
                h = 0.25 * step.h
                continue
            after = self._moved(point, step.displacement())
            error = self._size(weights, self._image(step.error()))
            if after.finite and error <= self.rtol:
                growth = min(5.0, 0.9 * (self.rtol / max(error, 1e-300)) ** 0.25)
                return step, after, step.h * growth
            shrink = 0.9 * (self.rtol / error) ** 0.25 if error > 0 else 0.25
            h = step.h * min(max(shrink, 0.1), 0.7)

    def _spaces(self, point: _Point, weights: Array, part: float = 1e-3) -> SpaceOf:
        def apply(q: Array) -> tuple[Array, float]:
            image = self._image(q)
            return self.problem.forward(point.rate * image), self._size(weights, image)

        def space_of(start: Array, order: int, h: float) -> KrylovSpace:
            return KrylovSpace(apply, start, order, h, part * self.rtol)

        return space_of

    def _weights(self, point: _Point, largest: float | None = None) -> Array:
        top = float(np.max(np.abs(point.v))) if largest is None else largest
        return error_weights(self.problem, point.theta, point.rate, top)

    @staticmethod
    def _size(weights: Array, move: Array) -> float:
        return float(np.max(weights * np.abs(move)))

    def _moved(self, point: _Point, move: Array) -> _Point:
        return self._complete(point.alpha + move, point.v + self._image(move))

    def _complete(self, alpha: Array, v: Array) -> _Point:
        theta, rate = self.problem.link(v)
        bounded = np.all(np.isfinite(theta))
        fitted = self.problem.forward(theta) if bounded else np.full(alpha.size, np.nan)
        return _Point(alpha, v, theta, rate, fitted)

    def _image(self, r: Array) -> Array:
        """E^T r / n."""
        image = self.problem.adjoint(r) / self.problem.n
        self._round_off.see(r, image)
        return image
