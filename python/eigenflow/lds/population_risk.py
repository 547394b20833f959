"""Exact population risk of restricted learners, without simulating anything."""

import math
import warnings
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from eigenflow._threads import resolve_workers
from eigenflow.lds import extended
from eigenflow.lds.extended import Extended, quadratic, trace
from eigenflow.lds.fixed_filters import filter_excess, truncated_weights, weights_of_best
from eigenflow.lds.innovations import PlainSystem, innovations_form, plain, summed
from eigenflow.lds.prediction import FirFilter, FirPredictor, TruncatedKalman
from eigenflow.lds.structure import as_count


@dataclass(frozen=True)
class TopLeftBlock:
    """Learner of x' = A x that estimates the top left k x k block of A and sets the rest to 0.

    The learner of the paper's Figure 1, in the limit of infinitely many trajectories: the block is
    the least-squares one at the horizon in question.

    Parameters
    ----------
    size : int
        k; it has k^2 parameters.
    """

    size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_count(self.size, "size", 0))


Learner = FirPredictor | TruncatedKalman | FirFilter | TopLeftBlock


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
        Number of scored steps: T for a state learner, T - h for a filter of length h.
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
    learner : FirPredictor, TruncatedKalman, FirFilter or TopLeftBlock
        The first three predict y_t from the last h observations and are scored against the Kalman
        filter on t = h+1, ..., T; they may have been designed for another system. `TopLeftBlock`
        predicts the state itself from the last state (want C = I, R = 0) and is scored against
        A x on t = 2, ..., T.
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

    For `TopLeftBlock` the first state has covariance `cov0` where the system was given one, and Q
    otherwise (x_1 = w_0, as in the paper). For lambda = 1 and k below the size 4 of the Jordan
    block the mean grows like T^(2(4 - k) - 1); for k >= 4 it stays below (7 - k) 0.16/0.84.

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
    _require_learner(learner)
    matrices = plain(system)
    horizon = as_count(horizon, "horizon", 2)
    if isinstance(learner, TopLeftBlock):
        return _block_risk(system, matrices, learner, horizon)
    return _filter_risk(matrices, learner, horizon)


def _require_learner(learner: object) -> None:
    if not isinstance(learner, FirPredictor | TruncatedKalman | FirFilter | TopLeftBlock):
        msg = (
            f"learner: got {type(learner).__name__}, want FirPredictor, TruncatedKalman, "
            "FirFilter or TopLeftBlock"
        )
        raise TypeError(msg)


def _filter_risk(
    matrices: PlainSystem, learner: FirPredictor | TruncatedKalman | FirFilter, horizon: int
) -> RiskResult:
    length, p = learner.weights.shape[:2]
    if p != len(matrices.C):
        msg = f"learner: got a filter of {p} outputs, want {len(matrices.C)} as the system has"
        raise ValueError(msg)
    n_steps = as_count(horizon, "horizon", length + 1, f" (more than the length {length})") - length

    def compute() -> tuple[Decimal, list[Decimal]]:
        form = innovations_form(matrices)
        excess = filter_excess(form, _exact_weights(learner), horizon)
        return trace(form.innovation_cov), [excess]

    mean = extended.settle(compute, "horizon")[0]
    return _result(mean, n_steps, "steady Riccati covariance")


def _exact_weights(learner: FirPredictor | TruncatedKalman | FirFilter) -> Extended:
    if isinstance(learner, FirFilter):
        return extended.extend(learner.weights)
    form = innovations_form(learner.system)
    if isinstance(learner, TruncatedKalman):
        return truncated_weights(form, learner.length)
    return weights_of_best(form, learner.system.A, learner.length, learner.horizon)


def _block_risk(
    system: Any, matrices: PlainSystem, learner: TopLeftBlock, horizon: int
) -> RiskResult:
    n = len(matrices.A)
    if matrices.C.shape != (n, n) or (np.eye(n) != matrices.C).any() or matrices.R.any():
        msg = "system: TopLeftBlock reads the state itself, want C = identity and R = 0"
        raise ValueError(msg)
    if np.any(getattr(system, "state_offset", 0.0)):
        msg = "system: got a state offset, want none with TopLeftBlock"
        raise ValueError(msg)
    if learner.size > n:
        msg = f"learner: got a block of size {learner.size}, want at most {n} as the state has"
        raise ValueError(msg)
    given = getattr(system, "start", "") == "given"
    first = system.cov0 + np.outer(system.mean0, system.mean0) if given else matrices.Q

    def compute() -> tuple[Decimal, list[Decimal]]:
        cov = _mean_state_cov(matrices, first, horizon - 1)
        unit = trace(extended.extend(matrices.Q)) + trace(extended.extend(first))
        return unit, [_block_excess(extended.extend(matrices.A), cov, learner.size)]

    mean = extended.settle(compute, "horizon")[0]
    return _result(mean, horizon - 1, "given" if given else "covariance Q (x_1 = w_0)")


def _mean_state_cov(matrices: PlainSystem, first: Any, n_steps: int) -> Extended:
    """Covariance of the state averaged over t = 1, ..., n."""
    A, Q = extended.extend(matrices.A), extended.extend(matrices.Q)
    _, from_noise, sums = summed(A, Q, n_steps)
    from_start = from_noise
    if first is not matrices.Q:
        _, from_start, _ = summed(A, extended.extend(first), n_steps)
    mean: Extended = (from_start + sums) / Decimal(n_steps)
    return mean


def _block_excess(A: Extended, cov: Extended, size: int) -> Decimal:
    """Rows above `size` miss what the first states do not tell about the rest; others miss all."""
    missed = trace(quadratic(A[size:], cov))
    if size == len(A) or size == 0:
        return missed
    rest = _given_first(cov, size)
    return missed + trace(quadratic(A[:size, size:], rest))


def _given_first(cov: Extended, size: int) -> Extended:
    """Covariance of the states from `size` on, given those before."""
    left = cov.copy()
    for i in range(size):
        # What is left of a variance after its neighbours, when it is nothing but rounding: the
        # state repeats earlier ones and tells nothing more.
        if left[i, i] > cov[i, i] * extended.ten_to(10 - extended.current_digits()):
            left = left - np.outer(left[:, i], left[i, :]) / left[i, i]
    return left[size:, size:]


def _result(mean: Decimal, n_steps: int, start: str) -> RiskResult:
    with extended.working_digits(30):
        total = mean * n_steps
        log_mean = float(mean.ln()) if mean > 0 else -math.inf
        log_total = float(total.ln()) if mean > 0 else -math.inf
        log1p_mean = float((1 + mean).ln()) if mean > Decimal("1e-6") else math.log1p(float(mean))
        values = float(mean), float(total)
    if math.inf in values:
        warnings.warn(
            "risk: the value is beyond float64 and reads inf, see log_mean and log_total",
            RuntimeWarning,
            stacklevel=4,
        )
    return RiskResult(*values, log_mean, log_total, log1p_mean, n_steps, start)
