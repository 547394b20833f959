"""Exact population risk of restricted learners, without simulating anything."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow._threads import resolve_workers
from eigenflow.lds import extended
from eigenflow.lds.extended import Extended, quadratic, symmetrized, trace, zeros
from eigenflow.lds.fixed_filters import filter_excess, truncated_weights, weights_of_best
from eigenflow.lds.innovations import PlainSystem, innovations_form, plain, summed
from eigenflow.lds.learners import StateLearner
from eigenflow.lds.prediction import FirFilter, FirPredictor, TruncatedKalman
from eigenflow.lds.recursive import RecursivePredictor
from eigenflow.lds.structure import as_count

_STEADY = "steady Riccati covariance"

Learner = FirPredictor | TruncatedKalman | FirFilter | RecursivePredictor | StateLearner


@dataclass(frozen=True, eq=False)
class RiskResult:
    """Excess risk over the best predictor that knows the system.

    Attributes
    ----------
    mean : float
        Averaged over the scored steps; infinity when beyond float64 (with a RuntimeWarning).
    total : float
        Its sum over the scored steps; infinity likewise.
    log_mean, log_total : float
        Natural logarithms of both, which never overflow; -inf for a risk of exactly 0.
    log1p_mean : float
        ln(1 + mean), the scale of the paper's Figure 1.
    n_steps : int
        Number of scored steps: T - h for a filter of length h, T - 1 for all others.
    start : str
        Law of the first state.
    """

    mean: float
    total: float
    log_mean: float
    log_total: float
    log1p_mean: float
    n_steps: int
    start: str


def risk(
    system: Any,
    learner: Learner,
    horizon: int,
    *,
    workers: int | None = None,
    check_finite: bool = True,
) -> RiskResult:
    r"""Exact population risk: the mean squared distance from the predictor that knows the system.

    Parameters
    ----------
    system : LinearSystem
        The true system.
    learner : FirPredictor, TruncatedKalman, FirFilter, RecursivePredictor or StateLearner
        The first three predict y_t from the last h observations and are scored against the Kalman
        filter on t = h+1, ..., T; they may have been designed for another system. A
        `RecursivePredictor` (exponential smoothing, a filter of smaller order) is scored on t =
        2, ..., T. A `StateLearner` (`TopLeftBlock`, `FirstColumns`, `ReducedRank`, ...)
        predicts the state itself from the last state (want C = I, R = 0) by the best member of
        its class, and is scored against A x on t = 2, ..., T.
    horizon : int
        T, more than h; up to 1e12 and beyond, the cost grows like log T.
    workers, check_finite
        Accepted for uniformity; the matrices are small and one thread is used.

    Returns
    -------
    RiskResult

    Raises
    ------
    ValueError, TypeError
        If the learner does not fit the system, the system has no steady filter, or an argument is
        out of range.
    ConvergenceError
        If 2560 digits cannot hold the covariances of so long a horizon.

    Notes
    -----
    For filters the first state has the steady Riccati covariance (the paper's Assumption 4.1). With
    H = C A^h - sum of F_k C A^(h-k), and D_k the difference of the two filters' weights on the
    innovation e(t-k), the risk is tr H M H' + sum of tr D_k S D_k', where M is the averaged
    covariance of the Kalman filter's state at the start of the windows: all terms are squares, so
    that no digits are lost. A learner made by `fir_predictor` or `truncated_kalman` is evaluated
    with its exact weights: weights rounded to float64 would miss the unstable subspace by 1e-16,
    and over a long horizon that is visible (pass ``FirFilter(learner.weights)`` to see it).

    For a `StateLearner` the first state has covariance `cov0` where the system was given one, and
    Q otherwise (x_1 = w_0, as in the paper). On the paper's Figure 1 with lambda = 1,
    `TopLeftBlock` of a size k below the size 4 of the Jordan block has a mean that grows like
    T^(2(4 - k) - 1); for k >= 4 it stays below (7 - k) 0.16/0.84.

    The averaged covariances are summed by doubling in decimal arithmetic, which cannot overflow,
    and with as many digits as two agreeing runs ask for: cost O(n^3 log T) products of 0.1 to
    several microseconds. Source: Ziemann, Matni, Pappas, arXiv 2409.13421, sections 2 to 4.

    Examples
    --------
    >>> import numpy as np
    >>> from eigenflow.lds import LinearSystem, TopLeftBlock, risk
    >>> walk = LinearSystem(np.eye(2) + np.eye(2, k=1), np.eye(2), np.eye(2), np.zeros((2, 2)))
    >>> [round(risk(walk, TopLeftBlock(k), 10).mean, 6) for k in (1, 2)]
    [7.264957, 0.0]
    """
    resolve_workers(workers)
    found = measured(system, learner, horizon)
    if math.inf in (found.mean, found.total):
        warnings.warn(
            "risk: the value is beyond float64 and reads inf, see log_mean and log_total",
            RuntimeWarning,
            stacklevel=2,
        )
    return found


def measured(system: Any, learner: Learner, horizon: int) -> RiskResult:
    """Return the risk, without a warning if it is beyond float64."""
    compute = excess_of(system, learner, horizon)
    found: list[Excess] = []

    def traced() -> tuple[Decimal, list[Decimal]]:
        found.append(compute())
        return trace(found[-1].noise_cov), [trace(found[-1].cov)]

    mean = extended.settle(traced, "horizon")[0]
    return _result(mean, found[-1].n_steps, found[-1].start)


@dataclass(frozen=True, eq=False)
class Excess:
    """Averaged covariance of the learner's distance from the best predictor, and its setting."""

    cov: Extended
    noise_cov: Extended
    n_steps: int
    start: str


def excess_of(system: Any, learner: Any, horizon: int) -> Callable[[], Excess]:
    """Check the arguments; the result computes the excess at the current number of digits."""
    matrices = plain(system)
    horizon = as_count(horizon, "horizon", 2)
    if isinstance(learner, StateLearner):
        return _state_excess(system, matrices, learner, horizon)
    if isinstance(learner, RecursivePredictor):
        require_outputs(learner.observation.shape[0], matrices)
        return lambda: _recursive_excess(matrices, learner, horizon)
    if isinstance(learner, FirPredictor | TruncatedKalman | FirFilter):
        length, p = learner.weights.shape[:2]
        require_outputs(p, matrices)
        why = f" (more than the length {length})"
        n_steps = as_count(horizon, "horizon", length + 1, why) - length
        return lambda: _filter_excess(matrices, learner, horizon, n_steps)
    msg = (
        f"learner: got {type(learner).__name__}, want FirPredictor, TruncatedKalman, "
        "FirFilter, RecursivePredictor or a StateLearner such as TopLeftBlock"
    )
    raise TypeError(msg)


def require_outputs(p: int, matrices: PlainSystem) -> None:
    """Refuse a filter for another number of outputs."""
    if p != len(matrices.C):
        msg = f"learner: got a filter of {p} outputs, want {len(matrices.C)} as the system has"
        raise ValueError(msg)


def _filter_excess(
    matrices: PlainSystem,
    learner: FirPredictor | TruncatedKalman | FirFilter,
    horizon: int,
    n_steps: int,
) -> Excess:
    form = innovations_form(matrices)
    cov = filter_excess(form, _exact_weights(learner), horizon)
    return Excess(cov, form.innovation_cov, n_steps, _STEADY)


def _exact_weights(learner: FirPredictor | TruncatedKalman | FirFilter) -> Extended:
    if isinstance(learner, FirFilter):
        return extended.extend(learner.weights)
    form = innovations_form(learner.system)
    if isinstance(learner, TruncatedKalman):
        return truncated_weights(form, learner.length)
    return weights_of_best(form, learner.system.A, learner.length, learner.horizon)


def _recursive_excess(matrices: PlainSystem, learner: RecursivePredictor, horizon: int) -> Excess:
    """Both predictors as one system that the innovations drive, from 0."""
    form = innovations_form(matrices)
    F, G, H = learner.exact()
    n, m = len(form.A), len(F)
    both = zeros(n + m, n + m)
    both[:n, :n], both[n:, :n], both[n:, n:] = form.A, G @ form.C, F
    drive = np.concatenate([form.gain, G])
    *_, sums = summed(both, symmetrized(quadratic(drive, form.innovation_cov)), horizon)
    distance = np.concatenate([-form.C, H], axis=1)
    cov = symmetrized(quadratic(distance, sums)) / Decimal(horizon - 1)
    return Excess(cov, form.innovation_cov, horizon - 1, _STEADY)


def _state_excess(
    system: Any, matrices: PlainSystem, learner: StateLearner, horizon: int
) -> Callable[[], Excess]:
    first, start = first_state_cov(system, matrices, learner)

    def compute() -> Excess:
        cov = mean_state_cov(matrices, first, horizon - 1)
        excess = learner.excess_cov(extended.extend(matrices.A), cov)
        return Excess(excess, extended.extend(matrices.Q), horizon - 1, start)

    return compute


def first_state_cov(system: Any, matrices: PlainSystem, learner: StateLearner) -> tuple[Array, str]:
    """Second moment of the first state and its name; refuses what a state learner cannot read."""
    n = len(matrices.A)
    if matrices.C.shape != (n, n) or (np.eye(n) != matrices.C).any() or matrices.R.any():
        msg = (
            f"system: {type(learner).__name__} reads the state itself, want C = identity and R = 0"
        )
        raise ValueError(msg)
    if np.any(getattr(system, "state_offset", 0.0)):
        msg = f"system: got a state offset, want none with {type(learner).__name__}"
        raise ValueError(msg)
    learner.require_state_dim(n)
    if getattr(system, "start", "") == "given":
        return system.cov0 + np.outer(system.mean0, system.mean0), "given"
    return matrices.Q, "covariance Q (x_1 = w_0)"


def mean_state_cov(matrices: PlainSystem, first: Array, n_steps: int) -> Extended:
    """Covariance of the state averaged over t = 1, ..., n."""
    A, Q = extended.extend(matrices.A), extended.extend(matrices.Q)
    _, from_noise, sums = summed(A, Q, n_steps)
    from_start = from_noise
    if first is not matrices.Q:
        _, from_start, _ = summed(A, extended.extend(first), n_steps)
    mean: Extended = (from_start + sums) / Decimal(n_steps)
    return mean


def _result(mean: Decimal, n_steps: int, start: str) -> RiskResult:
    with extended.working_digits(30):
        total = mean * n_steps
        log_mean = float(mean.ln()) if mean > 0 else -math.inf
        log_total = float(total.ln()) if mean > 0 else -math.inf
        log1p_mean = float((1 + mean).ln()) if mean > Decimal("1e-6") else math.log1p(float(mean))
        values = float(mean), float(total)
    return RiskResult(*values, log_mean, log_total, log1p_mean, n_steps, start)
