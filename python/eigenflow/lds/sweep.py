"""Risk against the number of parameters and the horizon: where predictions become stable."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow.lds.learners import StateLearner
from eigenflow.lds.population_risk import Learner, measured
from eigenflow.lds.prediction import fir_predictor, truncated_kalman
from eigenflow.lds.structure import as_count

_BOUNDED_BELOW = 0.5


@dataclass(frozen=True, eq=False)
class PhaseSweep:
    """Risks of a family of learners, one row for each count and one column for each horizon.

    Attributes
    ----------
    counts, horizons : tuple of int
    n_parameters : tuple of int
        Parameters of each learner; for a filter p^2 for each step that it reads.
    mean, log_mean, log1p_mean : (n_counts, n_horizons) ndarray
        As in `RiskResult`.
    growth : (n_counts, n_horizons - 1) ndarray
        d ln(mean) / d ln(T) between neighbouring horizons: 0 for a bounded risk, 1, 3, 5, ... on
        the unit circle, proportional to T for exponential growth; 0 where the risk is 0.
    transition_index : int or None
        Position in `counts` from which on every mean risk is bounded: its last growth exponent is
        below 1/2. None if not even the last one is.
    """

    counts: tuple[int, ...]
    horizons: tuple[int, ...]
    n_parameters: tuple[int, ...]
    mean: Array
    log_mean: Array
    log1p_mean: Array
    growth: Array
    transition_index: int | None

    @property
    def transition_count(self) -> int | None:
        """The count at `transition_index`."""
        return None if self.transition_index is None else self.counts[self.transition_index]


def phase_sweep(
    system: Any,
    learner: Callable[..., Learner],
    counts: Sequence[int],
    horizons: Sequence[int],
) -> PhaseSweep:
    """Find the number of parameters from which on the mean risk stays bounded.

    Parameters
    ----------
    system : LinearSystem
        As for `risk`.
    learner : callable
        ``learner(count)`` makes a learner: `TopLeftBlock`, `FirstColumns`, `ReducedRank`, or a
        function of yours. `fir_predictor` and `truncated_kalman` themselves may be given: they
        get the system, and the first also the horizon.
    counts : sequence of int
        In increasing order.
    horizons : sequence of int
        In increasing order, two or more. The exponents are those of an infinite horizon only
        where the horizons are long.

    Returns
    -------
    PhaseSweep

    Raises
    ------
    ValueError, TypeError
        If a sequence is empty or does not increase, or as `risk`.

    Notes
    -----
    Exact, by `risk`; risks beyond float64 read inf here without a warning, `log_mean` keeps them.
    Cost: one `risk` for each entry.

    Examples
    --------
    >>> import numpy as np
    >>> from eigenflow.lds import LinearSystem, TopLeftBlock, phase_sweep
    >>> A = np.eye(3, k=1) + np.diag([1.0, 1.0, 0.4])
    >>> chain = LinearSystem(A, np.eye(3), np.eye(3), np.zeros((3, 3)))
    >>> sweep = phase_sweep(chain, TopLeftBlock, [1, 2, 3], [10**6, 10**9])
    >>> sweep.transition_count, sweep.growth[:, -1].round(2)
    (2, array([1., 0., 0.]))
    """
    sizes = _increasing(counts, "counts", 1)
    times = _increasing(horizons, "horizons", 2)
    shape = (len(sizes), len(times))
    mean, log_mean, log1p_mean = np.empty(shape), np.empty(shape), np.empty(shape)
    n_parameters = []
    for i, count in enumerate(sizes):
        for j, horizon in enumerate(times):
            made = _made(learner, system, count, horizon)
            found = measured(system, made, horizon)
            mean[i, j], log_mean[i, j] = found.mean, found.log_mean
            log1p_mean[i, j] = found.log1p_mean
        n_parameters.append(parameter_count(made, system))
    growth = _growth(log_mean, times)
    unbounded = np.flatnonzero(growth[:, -1] >= _BOUNDED_BELOW)
    first = int(unbounded[-1]) + 1 if unbounded.size else 0
    return PhaseSweep(
        sizes,
        times,
        tuple(n_parameters),
        mean,
        log_mean,
        log1p_mean,
        growth,
        first if first < len(sizes) else None,
    )


def parameter_count(learner: Learner, system: Any) -> int:
    """Return the number of parameters of a learner of this system."""
    if isinstance(learner, StateLearner):
        return learner.n_parameters(len(np.asarray(system.A)))
    own = getattr(learner, "n_parameters", None)
    return int(learner.weights.size) if own is None else int(own)  # type: ignore[union-attr]


def _made(learner: Any, system: Any, count: int, horizon: int) -> Any:
    if learner is fir_predictor:
        return fir_predictor(system, count, horizon=horizon)
    if learner is truncated_kalman:
        return truncated_kalman(system, count)
    if not callable(learner):
        msg = f"learner: got {type(learner).__name__}, want a function of the count"
        raise TypeError(msg)
    return learner(count)


def _growth(log_mean: Array, times: tuple[int, ...]) -> Array:
    steps = np.diff([math.log(t) for t in times])
    before, after = log_mean[:, :-1], log_mean[:, 1:]
    nothing = np.isneginf(after)
    # A risk that is 0 at first and then is not: an infinite exponent, and rightly so.
    with np.errstate(invalid="ignore"):
        return np.where(nothing, 0.0, (after - before) / steps)


def _increasing(values: Sequence[int], name: str, least_size: int) -> tuple[int, ...]:
    found = tuple(as_count(v, name, 0) for v in values)
    if len(found) < least_size or any(a >= b for a, b in itertools.pairwise(found)):
        msg = f"{name}: got {found}, want at least {least_size} integers in increasing order"
        raise ValueError(msg)
    return found
