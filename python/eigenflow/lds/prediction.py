"""Predictors that look back a fixed number of steps, and how far back they must look.

A learner predicts the next observation from the last h by fixed weights F_1, ..., F_h. The score is
the excess over the Kalman filter: the mean squared distance of the two one-step predictions. As in
the paper (Ziemann, Matni, Pappas, arXiv 2409.13421, section 4) the first state has the steady
Riccati covariance P, so that the Kalman filter is steady from the first step.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from eigenflow._arrays import Array, as_float_array
from eigenflow._threads import resolve_workers
from eigenflow.lds import extended
from eigenflow.lds.extended import Extended
from eigenflow.lds.fixed_filters import excess_of_best, truncated_weights, weights_of_best
from eigenflow.lds.innovations import PlainSystem, innovations_form, plain
from eigenflow.lds.local_level import as_local_level
from eigenflow.lds.margins import state_growth
from eigenflow.lds.structure import MANY_LAGS, as_count
from eigenflow.lds.window_length import min_filter_length


@dataclass(frozen=True, eq=False)
class FirPredictor:
    """The best fixed filter of one length: y_t is predicted by the sum of F_k y_(t-k).

    Attributes
    ----------
    weights : (length, p, p) ndarray
        F_1, ..., F_h, the newest observation first.
    length : int
        h.
    horizon : int or None
        Horizon T that the weights are best for; None is the limit of long horizons.
    mse : float
        Mean squared prediction error, the trace over outputs, averaged over t = h+1, ..., T.
    excess : float
        Its part above the Kalman filter's, at least 0, to full relative accuracy.
    innovation_cov : (p, p) ndarray
        The Kalman filter's error covariance S; mse = trace(S) + excess.
    system : PlainSystem
        What it was designed for.
    """

    weights: Array
    length: int
    horizon: int | None
    mse: float
    excess: float
    innovation_cov: Array
    system: PlainSystem


@dataclass(frozen=True, eq=False)
class TruncatedKalman:
    """The steady Kalman filter cut off after some terms, its weights not fitted again.

    Attributes
    ----------
    weights : (length, p, p) ndarray
        F_k = C (A - L C)^(k-1) L, the newest observation first.
    length : int
        h.
    innovation_cov : (p, p) ndarray
        S.
    decay : float
        Spectral radius of A - L C: the weights fall like decay^k, the error like decay^(2h).
    growth_base, growth_power : float, int
        The expected squared error at time t grows like growth_base^t t^growth_power. A Jordan block
        of size s on the unit circle has base 1 and power 2s - 1; a stable system 1 and 0.
    system : PlainSystem
        What it was designed for.
    """

    weights: Array
    length: int
    innovation_cov: Array
    decay: float
    growth_base: float
    growth_power: int
    system: PlainSystem


@dataclass(frozen=True, eq=False)
class FirFilter:
    """A fixed filter with given weights, as a learner for `risk`.

    Parameters
    ----------
    weights : (length,) or (length, p, p) array_like
        F_1, ..., F_h, the newest observation first.
    """

    weights: Array

    def __post_init__(self) -> None:
        weights = as_float_array(self.weights, "weights", ndim=(1, 3), dtype=np.float64)
        if weights.ndim == 1:
            weights = weights.reshape(-1, 1, 1)
        if not weights.size or weights.shape[1] != weights.shape[2]:
            msg = f"weights: got shape {weights.shape}, want (length, p, p) with length >= 1"
            raise ValueError(msg)
        weights = weights.copy()
        weights.flags.writeable = False
        object.__setattr__(self, "weights", weights)


def fir_predictor(
    system: Any,
    length: int,
    *,
    horizon: int | None = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> FirPredictor:
    r"""Design the best fixed filter of one length.

    Parameters
    ----------
    system : LinearSystem
        One time-invariant system with positive definite R, its unstable modes observed and excited.
        Offsets are known and its own start is not used: the first state has the steady covariance.
    length : int
        Number h >= 1 of past observations.
    horizon : int, optional
        Number T > h of observations; the risk is averaged over t = h+1, ..., T. None is the limit
        of long horizons, which needs h >= `min_filter_length`.
    workers : int, optional
        Accepted for uniformity; the matrices are small and one thread is used.
    check_finite : bool
        Accepted for uniformity; a LinearSystem is finite.

    Returns
    -------
    FirPredictor

    Raises
    ------
    ValueError
        If no fixed filter of this length has a bounded mean risk at an infinite horizon, or the
        system has no steady filter.
    ConvergenceError
        If the horizon is so long that 2560 digits cannot hold the covariances.

    Notes
    -----
    With F = A - L C, observability Gramian O = sum over j < h of F'^j C' S^-1 C F^j and D the
    averaged covariance of the filter's own state at the start of the windows, the excess is

    .. math:: \mathrm{tr}\, C F^h (D^{-1} + O)^{-1} F'^h C',

    a sum of squares; D is infinite on the unstable subspace when T is. For the noisy random walk

    .. math::
        w_j = (1-\rho) \frac{\rho^j + \rho^{2h-1-j}}{1-\rho^{2h}}, \qquad
        \text{excess} = \frac{r}{\rho} \frac{\rho^{2h} (1-\rho^2)}{1-\rho^{2h}}.

    Computed with as many digits as two agreeing runs ask for (float64 gives negative excesses for
    four integrators). Cost O(h n^3) products of 0.1 microseconds; the random walk at an infinite
    horizon is closed form.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, fir_predictor
    >>> walk = LinearSystem([[1.0]], [[1.0]], [[1.0]], [[4.0]])
    >>> round(fir_predictor(walk, 2, horizon=200).excess, 8)
    0.63006931
    """
    resolve_workers(workers)
    matrices = plain(system)
    length = as_count(length, "length", 1, most=MANY_LAGS)
    horizon = _horizon(horizon, length)
    level = as_local_level(matrices)
    if level is not None and horizon is None:
        excess = level.fir_excess(length, None)
        weights = np.array(level.fir_weights(length)).reshape(-1, 1, 1)
        cov = np.array([[level.innovation_variance]])
    else:
        _require_long_enough(matrices, length, horizon)
        settled = extended.settle(lambda: _design(matrices, length, horizon), "horizon")
        weights, cov = extended.to_float(settled[0]), extended.to_float(settled[1])
        excess = float(settled[2])
    mse = float(np.trace(cov)) + excess
    return FirPredictor(_frozen(weights), length, horizon, mse, excess, _frozen(cov), matrices)


def truncated_kalman(
    system: Any, length: int, *, workers: int | None = None, check_finite: bool = True
) -> TruncatedKalman:
    """Cut the steady Kalman filter off after `length` terms, without fitting it again.

    Parameters
    ----------
    system : LinearSystem
        As for `fir_predictor`.
    length : int
        Number h >= 1 of terms that are kept.
    workers, check_finite
        As for `fir_predictor`.

    Returns
    -------
    TruncatedKalman

    Notes
    -----
    The error at time t is C F^h x(t-h), with F = A - L C and x the filter's state, which grows
    with t: for the noisy random walk its expected square is exactly rho^(2h) q (t - h - 1). Here a
    length of order log T is needed even for a bounded mean. Cost O(h n^3).

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, truncated_kalman
    >>> walk = LinearSystem([[1.0]], [[1.0]], [[1.0]], [[4.0]])
    >>> truncated_kalman(walk, 3).weights.ravel().round(6)
    array([0.390388, 0.237985, 0.145079])
    """
    resolve_workers(workers)
    matrices = plain(system)
    length = as_count(length, "length", 1, most=MANY_LAGS)

    def compute() -> tuple[Decimal, list[Extended]]:
        form = innovations_form(matrices)
        cov = form.innovation_cov
        return extended.trace(cov), [truncated_weights(form, length), cov, form.closed]

    weights, cov, closed = (extended.to_float(m) for m in extended.settle(compute, "length"))
    decay = float(np.max(np.abs(np.linalg.eigvals(closed)), initial=0.0))
    base, power = state_growth(matrices.A)
    return TruncatedKalman(_frozen(weights), length, _frozen(cov), decay, base, power, matrices)


def _design(
    matrices: PlainSystem, length: int, horizon: int | None
) -> tuple[Decimal, list[Extended | Decimal]]:
    form = innovations_form(matrices)
    weights = weights_of_best(form, matrices.A, length, horizon)
    excess = excess_of_best(form, matrices.A, length, horizon)
    return extended.trace(form.innovation_cov), [weights, form.innovation_cov, excess]


def _horizon(horizon: object, length: int) -> int | None:
    if horizon is None:
        return None
    return as_count(horizon, "horizon", length + 1, f" (more than the length {length})")


def _require_long_enough(matrices: PlainSystem, length: int, horizon: int | None) -> None:
    if horizon is None:
        least = min_filter_length(matrices.A, matrices.C)
        if length < least:
            msg = (
                f"length: got {length}, want at least {least}: the mean risk of every shorter "
                "fixed filter grows without bound with the horizon (give a finite horizon)"
            )
            raise ValueError(msg)


def _frozen(a: Array) -> Array:
    a.flags.writeable = False
    return a
