"""Implicit integration of the dual form for few samples, by SciPy's BDF.

The exact Jacobian -E diag(K) E^T / n is cheap to form, and BDF needs it a few times in all.
"""

from collections.abc import Callable

import numpy as np
from scipy.integrate import BDF

from eigenflow._arrays import Array
from eigenflow.flow._coupled import EPS, CoupledFlow, CoupledPath, ErrorEstimate, Pull, Rows


def follow(
    flow: CoupledFlow,
    times: Array,
    rtol: float,
    max_steps: int,
    report: Callable[[int, float], None],
) -> CoupledPath:
    """Follow the flow to rising times; infinity is the limit."""
    run = _Run(flow, rtol)
    n, rows = flow.y.size, Rows(times)
    for time in rows.passed(0.0):
        rows.add(np.zeros(n), time, 0.0)
    pull = flow.pull(flow.y)
    settled = flow.stops(pull)
    t, alpha, n_steps = 0.0, np.zeros(n), 0
    error = ErrorEstimate(flow, rtol)
    if not (settled or rows.full):
        tolerance = run.tolerance(pull, float(times[times > 0][0]))
        step = min(pull.first_step, times[-1])
        solver = BDF(
            run.slope, 0.0, alpha, times[-1], first_step=step, rtol=100 * EPS, atol=tolerance,
            jac=run.jacobian,
        )  # fmt: skip
    while not (rows.full or settled) and n_steps < max_steps:
        order = solver.order
        with np.errstate(invalid="ignore"):  # BDF also subtracts memory that it has not filled yet
            failed = solver.step() is not None
        if failed:
            break
        n_steps += 1
        error.add(_damped(solver, error.of_alpha), _local_error(solver, order))
        for time in rows.passed(solver.t):
            inner = solver.dense_output()(time)
            rows.add(inner, time, error.of(inner))
        settled = np.isinf(times[-1]) and run.settled(alpha, solver.y, solver.t - t)
        t, alpha = solver.t, solver.y
        report(n_steps, t)
    return rows.path((alpha, t, error.of(alpha)), n_steps, settled)


def _local_error(solver: BDF, order: int) -> Array:
    """Error of the last step, of this order, as BDF itself estimates it."""
    error: Array = solver.error_const[order] * solver.D[order + 1]
    if solver.order > order:  # the difference is already that of the next step
        error = error * (solver.step_size / solver.h_abs) ** (order + 1)
    return error


def _damped(solver: BDF, error: Array) -> Array:
    """(I + c A)^-1 of an earlier error, c < h: less than exp(-h A) takes away in a step.

    The factors are those of the last step, and gone where the next one needs others; then nothing
    is taken away.
    """
    if solver.LU is None:
        return error
    damped: Array = solver.solve_lu(solver.LU, error)
    return damped


class _Run:
    def __init__(self, flow: CoupledFlow, rtol: float) -> None:
        self.flow, self.rtol = flow, rtol
        self._fastest = 0.0

    def slope(self, _: float, alpha: Array) -> Array:
        """F = y - E theta. A trial beyond the blow-up has a huge theta, so that it is refused."""
        return self.flow.y - self.flow.at(alpha).fitted

    def jacobian(self, _: float, alpha: Array) -> Array:
        """-A."""
        made = self.flow.jacobian(alpha)
        self._fastest = max(self._fastest, float(np.linalg.norm(made)))
        return made

    def tolerance(self, pull: Pull, first_time: float) -> float:
        """Of alpha, absolute, so that the coefficients are right to rtol.

        An error d of alpha in the root mean square moves v_j by at most d times the root mean
        square of column j. Its unit is the v at which a coordinate leaves its linear start, beyond
        which ln theta grows about evenly with v, or the largest v where none gets there.
        """
        column, least = self.flow.shape()
        return 0.1 * self.rtol * min(pull.active * first_time, least) / column

    def settled(self, before: Array, after: Array, h: float) -> bool:
        """Whether the flow is at its limit: stopped, or slower than rounding can resolve."""
        point = self.flow.at(after)
        if self.flow.stops(self.flow.pull(self.flow.y - point.fitted)):
            return True
        if h * self._fastest < 1 / (100 * EPS):
            return False
        return self.flow.size(point, after - before) <= 0.1 * self.rtol
