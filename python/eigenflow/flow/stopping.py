"""When to stop: by SURE, by the discrepancy principle, or at the paper's universal time."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from eigenflow import _core
from eigenflow._arrays import Array, as_float_array, like
from eigenflow._flow_problem import (
    Problem,
    flow_problem,
    host_only,
    move_axes_last,
    require_known,
)
from eigenflow._lazy import over_coordinates
from eigenflow._threads import resolve_workers
from eigenflow.flow.path import Coupling

__all__ = ["UniversalChoice", "stopping_time", "universal_choice"]

CHUNK = 1 << 16  # coordinates whose hitting times are held at once
FIRST, LAST = 1e-2, 0.999  # of a coordinate's way: before and after these it is at rest


@dataclass(frozen=True, eq=False)
class UniversalChoice:
    """Stopping time and b0 from the noise alone.

    Attributes
    ----------
    time : float or ndarray
        noise_std^(-(2 depth + 2) / (depth + 2)).
    b0 : float, ndarray or None
        noise_std^(1 / (depth + 2)); None at depth 0.
    """

    time: Any
    b0: Any


def universal_choice(noise_variance: Any, *, depth: int = 0) -> UniversalChoice:
    """Stopping time and b0 that are rate-optimal whatever the signal.

    With eps = sqrt(noise_variance) the time is eps^(-(2 depth + 2) / (depth + 2)) and b0 is
    eps^(1 / (depth + 2)). Neither depends on the smoothness of the signal or on how well the basis
    fits it: Theorem 3.2 and Corollary 3.3 of Li and Lin, arXiv 2409.00894. The theorems leave
    constants open; these are 1, as in the authors' code.

    Parameters
    ----------
    noise_variance : array_like
        Variance of the noise in each observation, positive: 1 / n in the paper.
    depth : int
        0 to 8.

    Returns
    -------
    UniversalChoice
        Numbers, or arrays of the shape of `noise_variance`.

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value or type; the message starts with its name.

    Examples
    --------
    >>> choice = ef.flow.universal_choice(1e-4, depth=2)
    >>> round(choice.time, 6), round(choice.b0, 6)
    (1000.0, 0.316228)
    """
    require_known(depth, "shared", None, None if depth == 0 else 1.0)
    variance = as_float_array(noise_variance, "noise_variance", dtype=np.float64)
    bad = np.flatnonzero(~(variance > 0))
    if bad.size:
        msg = (
            f"noise_variance: got {variance.flat[bad[0]]} at position {bad[0]}, "
            "want positive values"
        )
        raise ValueError(msg)
    time = variance ** (-(depth + 1) / (depth + 2))
    b0 = variance ** (0.5 / (depth + 2)) if depth > 0 else None
    if variance.ndim:
        return UniversalChoice(time, b0)
    return UniversalChoice(float(time), None if b0 is None else float(b0))


@over_coordinates(engine="stopping.stopping_time")
def stopping_time(
    z: Any,
    eigenvalues: Any,
    noise_variance: Any,
    rule: Literal["sure", "discrepancy", "universal"] = "sure",
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    axis: int | tuple[int, ...] | None = None,
    points_per_decade: int = 16,
    tau: float = 1.0,
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Time at which to stop the flow, chosen from the data.

    "sure"
        Where Stein's unbiased risk estimate (`sure`) is least. Only coordinates whose size is above
        the noise can lower it, because d theta / d z >= theta / z; so times are tried from where
        the first of these has gone 1 % of its way to where the last has gone 99.9 %, and the ends
        0 and infinity. The least value on a grid of `points_per_decade` is refined by Brent's
        method between its neighbours, to about 1e-6 in ln t. It is the global minimum unless SURE
        dips and rises again between two times of the grid.
    "discrepancy"
        The first time when sum (z - theta)^2 <= tau^2 sum noise_variance (Morozov): to 1e-9 in
        ln t. 0 if this holds at once; infinity if it never does, because z stands above the target
        at saddles, or because there is no noise.
    "universal"
        The paper's time, `universal_choice`, of the mean noise variance; z decides nothing.

    Parameters
    ----------
    z, eigenvalues, depth, b0, coupling, workers, check_finite
        As in `solve`; NumPy, CPU tensors and Dask.
    noise_variance : array_like
        Variance of the noise in z, non-negative; broadcast with `z`.
    rule : {"sure", "discrepancy", "universal"}
    axis : int or tuple of int, optional
        Axes of the coordinates that stop together; None means all, and one time. Every place on
        the other axes has a time of its own.
    points_per_decade : int
        How closely "sure" looks.
    tau : float
        The factor of "discrepancy", positive.

    Returns
    -------
    float or ndarray
        Times of the coordinates' shape without `axis`. One time for all coordinates of a Dask array
        is computed, in one read for each time or set of times that the rule tries ("sure": some
        fifteen); times by `axis` are lazy.

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name.

    Notes
    -----
    "sure" costs as much as a path of some hundred times, "discrepancy" as some twenty times of
    their own march. Memory beyond the arguments: under 8 MiB.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.r_[3.0, -4.0, np.full(98, 0.1)]
    >>> for rule in ("sure", "discrepancy", "universal"):
    ...     print(round(ef.flow.stopping_time(z, 1e-3, 0.01, rule), 2))
    2.72
    2.05
    10.0
    """
    host_only(z=z, eigenvalues=eigenvalues, b0=b0, noise_variance=noise_variance)
    require_known(depth, coupling, None, b0)
    search = search_of(rule, points_per_decade, tau)
    problem = flow_problem(z, eigenvalues, b0, check_finite, variance=noise_variance)
    moved, rest = move_axes_last(problem, axis)
    rows = _rows(moved, depth, coupling == "separate", resolve_workers(workers))
    times = np.array([search(row) for row in rows])
    shaped = times.reshape(rest)
    return like(shaped, z) if shaped.ndim else float(shaped)


def search_of(rule: Any, points_per_decade: Any, tau: Any) -> Callable[["Together"], float]:
    """Return the search of a rule, with its checked settings."""
    known = RULES.get(rule) if isinstance(rule, str) else None
    if known is None:
        msg = f"rule: got {rule!r}, want one of {', '.join(map(repr, RULES))}"
        raise ValueError(msg)
    _require_positive(points_per_decade, "points_per_decade")
    _require_positive(tau, "tau")
    return lambda row: known(row, points_per_decade, tau)


def _require_positive(value: Any, name: str) -> None:
    if not (np.isscalar(value) and not isinstance(value, str) and 0 < value < np.inf):  # type: ignore[operator]
        msg = f"{name}: got {value!r}, want a positive number"
        raise ValueError(msg)


class Noise(NamedTuple):
    """The variances of coordinates that stop together."""

    total: float
    number: int


class Together(Protocol):
    """Coordinates that stop together, wherever they are."""

    depth: int

    def sure(self, times: Any) -> Array:
        """Stein's unbiased risk at each time."""
        ...

    def misfit(self, time: float) -> float:
        """Sum of (z - theta)^2."""
        ...

    def span(self) -> tuple[float, float]:
        """When the first coordinate above the noise sets out, and when the last one arrives."""
        ...

    def noise(self) -> Noise:
        """Sum and number of the variances."""
        ...


def _rows(problem: Problem, depth: int, separate: bool, workers: int) -> Iterator["_Row"]:
    return (_Row(problem, i, depth, separate, workers) for i in range(len(problem.z)))


def bounds(
    z: Any,
    eigenvalues: Any,
    noise_variance: Any,
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    workers: int | None = None,
    check_finite: bool = True,
) -> Array:
    """Return the span and the noise of coordinates, as four numbers: a summary of a block."""
    problem = flow_problem(z, eigenvalues, b0, check_finite, variance=noise_variance)
    moved, _ = move_axes_last(problem, None)
    (row,) = _rows(moved, depth, coupling == "separate", resolve_workers(workers))
    return np.array([*row.span(), *row.noise()])


class Spread:
    """Coordinates that stop together, in blocks that an engine sums over.

    ``risk(times)`` is Stein's unbiased risk of all, and ``risk(times, 0.0)`` without the noise.
    `found` is what `bounds` says of the blocks, by `joined`.
    """

    def __init__(self, depth: int, risk: Callable[..., Any], found: Sequence[float]) -> None:
        self.depth, self._risk = depth, risk
        first, last, total, number = found
        self._span, self._noise = (float(first), float(last)), Noise(float(total), int(number))

    def sure(self, times: Any) -> Array:
        """See `Together`."""
        return np.asarray(self._risk(np.atleast_1d(np.asarray(times, float))))

    def misfit(self, time: float) -> float:
        """See `Together`."""
        return float(self._risk(time, 0.0))

    def span(self) -> tuple[float, float]:
        """See `Together`."""
        return self._span

    def noise(self) -> Noise:
        """See `Together`."""
        return self._noise


def joined(a: Array, b: Array) -> Array:
    """Combine what `bounds` says of two blocks."""
    return np.array([min(a[0], b[0]), max(a[1], b[1]), a[2] + b[2], a[3] + b[3]])


class _Row:
    """One batch of coordinates that stop together, in memory."""

    def __init__(self, problem: Problem, i: int, depth: int, separate: bool, workers: int) -> None:
        at = slice(i, i + 1)
        self.z, self.eigenvalues = problem.z[at], problem.eigenvalues[at]
        self.b0 = None if problem.b0 is None else problem.b0[at]
        self.variance = problem.variance[at]
        self.depth, self.separate, self.workers = depth, separate, workers

    def risk(self, times: Any, variance: Array) -> Array:
        """Evaluate SURE; without noise this is the squared residual."""
        when = np.atleast_1d(np.asarray(times, float))
        out = np.empty((when.size, 1))
        flow = self.z, self.eigenvalues, self.b0, variance, when
        _core.flow.sure(*flow, self.depth, self.separate, out, self.workers)
        return out[:, 0]

    def sure(self, times: Any) -> Array:
        return self.risk(times, self.variance)

    def misfit(self, time: float) -> float:
        """Sum of (z - theta)^2."""
        silent = np.broadcast_to(np.zeros(1, self.z.dtype), self.z.shape)
        return float(self.risk(time, silent)[0])

    def noise(self) -> Noise:
        return Noise(float(np.sum(self.variance, dtype=np.float64)), self.variance.size)

    def span(self) -> tuple[float, float]:
        """When the first coordinate above the noise sets out, and when the last one arrives."""
        first, last = np.inf, 0.0
        for begin in range(0, self.z.shape[1], CHUNK):
            part = np.s_[:, begin : begin + CHUNK]
            loud = np.abs(self.z[part]) > np.sqrt(self.variance[part], dtype=np.float64)
            if not np.any(loud):
                continue
            z, eigenvalues = (a[part][loud][None, :] for a in (self.z, self.eigenvalues))
            b0 = None if self.b0 is None else self.b0[part][loud][None, :]
            hits = np.empty((2, *z.shape))
            fractions = np.array([FIRST, LAST])
            flow = z, eigenvalues, b0, fractions
            _core.flow.hitting_time(*flow, self.depth, self.separate, hits, self.workers)
            moving = hits[:, np.isfinite(hits[1])[None, 0]]
            if moving.size:
                first, last = min(first, moving[0].min()), max(last, moving[1].max())
        return first, last


def _sure(row: Together, points_per_decade: float, _: float) -> float:
    first, last = row.span()
    if last == 0:
        return 0.0  # nothing that moves can lower the risk
    decades = math.log10(last) - math.log10(first)
    n = math.ceil(decades * points_per_decade) + 1
    grid = np.concatenate([[0.0], np.geomspace(first, last, max(n, 3)), [np.inf]])
    values = np.concatenate([row.sure(part) for part in np.array_split(grid, -(-grid.size // 256))])
    best = int(np.argmin(values))
    if best in (0, grid.size - 1):
        return float(grid[best])
    low, high = grid[max(best - 1, 1)], grid[min(best + 1, grid.size - 2)]
    found = minimize_scalar(
        lambda log_t: float(row.sure(math.exp(log_t))[0]),
        bounds=(math.log(low), math.log(high)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(found.x) if found.fun < values[best] else float(grid[best])


def _discrepancy(row: Together, _: float, tau: float) -> float:
    target = tau**2 * row.noise().total
    if row.misfit(0.0) <= target:
        return 0.0
    if target == 0 or row.misfit(np.inf) > target:
        return np.inf
    first = row.span()[0]
    low = high = first if np.isfinite(first) else 1.0
    while row.misfit(low) <= target:
        high, low = low, low / 16
        if low == 0:
            return 0.0
    while row.misfit(high) > target:
        low, high = high, 16 * high
        if high == np.inf:
            return np.inf

    def excess(log_t: float) -> float:
        return math.log(max(row.misfit(math.exp(log_t)) / target, 1e-300))

    return math.exp(brentq(excess, math.log(low), math.log(high), xtol=1e-10, rtol=1e-12))


def _universal(row: Together, _: float, __: float) -> float:
    total, number = row.noise()
    variance = total / number if number else 0.0
    return float(universal_choice(variance, depth=row.depth).time) if variance else np.inf


RULES: dict[str, Callable[[Together, float, float], float]] = {
    "sure": _sure,
    "discrepancy": _discrepancy,
    "universal": _universal,
}
