"""Exponential integration of the dual form for many samples: products with E only."""

from collections.abc import Callable

import numpy as np

from eigenflow._arrays import Array
from eigenflow.flow._coupled import EPS, CoupledFlow, CoupledPath, ErrorEstimate, Point, Pull, Rows
from eigenflow.flow._exponential import KrylovSpace, Step

SpaceOf = Callable[[Array, int, float], KrylovSpace]


class Integrator:
    """Adaptive exponential steps along the flow, with outputs at any times.

    The error norm is the largest relative error of a coordinate of theta, as `Columns` weighs it.
    """

    def __init__(self, flow: CoupledFlow, rtol: float) -> None:
        self.flow, self.rtol = flow, rtol
        self._fastest = 0.0

    def follow(
        self, times: Array, max_steps: int, report: Callable[[int, float], None]
    ) -> CoupledPath:
        """Follow the flow to rising times; infinity is the limit."""
        flow, rows = self.flow, Rows(times)
        point = flow.at(np.zeros(flow.y.size))
        t, h, n_steps, settled = 0.0, 0.0, 0, False
        error = ErrorEstimate(flow, self.rtol)
        for time in rows.passed(0.0):
            rows.add(point.alpha, time, 0.0)
        while not rows.full and n_steps < max_steps:
            slope = flow.y - point.fitted
            pull = flow.pull(slope)
            if settled := settled or flow.stops(pull):
                break
            h = h or pull.first_step
            step, after, h = self._accepted(point, slope, pull, h, times[-1] - t)
            n_steps += 1
            error.add(self._damped(point, error.of_alpha, step.h), step.error())
            end = float(times[-1]) if step.h >= times[-1] - t else t + step.h
            for time in rows.passed(end):
                part = (time - t) / step.h
                inner = point.alpha + step.displacement(part) if part < 1 else after.alpha
                rows.add(inner, time, error.of(inner))
            change = flow.size(after, after.alpha - point.alpha)
            settled = step.h * self._fastest >= 1 / (100 * EPS) and change <= 0.1 * self.rtol
            point, t = after, end
            report(n_steps, t)
        return rows.path((point.alpha, t, error.of(point.alpha)), n_steps, settled)

    def _damped(self, point: Point, error: Array, h: float) -> Array:
        """exp(-hA) of an earlier error, to a tenth of what a step is allowed."""
        return self._spaces(point, point.top, 0.1)(error, 0, h).decayed()

    def _accepted(
        self, point: Point, slope: Array, pull: Pull, h: float, left: float
    ) -> tuple[Step, Point, float]:
        """Shorten the step until its error is small; also returns the next step's length."""
        flow = self.flow

        def remainder(move: Array) -> Array:
            return flow.remainder(point, move)

        while True:
            if not h > 0:
                msg = "y: got values that are not finite, or features whose products are not"
                raise ValueError(msg)
            h = min(h, left)
            top = max(point.top, h * pull.largest)
            step = Step(self._spaces(point, top), remainder, slope, h)
            self._fastest = max(self._fastest, step.largest)
            if not step.finite:
                h = 0.25 * step.h
                continue
            after = flow.at(point.alpha + step.displacement())
            error = flow.size(point, step.error(), top)
            if after.finite and error <= self.rtol:
                growth = min(5.0, 0.9 * (self.rtol / max(error, 1e-300)) ** 0.25)
                return step, after, step.h * growth
            shrink = 0.9 * (self.rtol / error) ** 0.25 if error > 0 else 0.25
            h = step.h * min(max(shrink, 0.1), 0.7)

    def _spaces(self, point: Point, top: float, part: float = 1e-3) -> SpaceOf:
        def apply(q: Array) -> tuple[Array, float]:
            return self.flow.product(point, q, top)

        def space_of(start: Array, order: int, h: float) -> KrylovSpace:
            return KrylovSpace(apply, start, order, h, part * self.rtol)

        return space_of
