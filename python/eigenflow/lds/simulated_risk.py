"""The Monte Carlo twin of `risk`."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow._rng import RNGLike, key_from
from eigenflow.lds import extended
from eigenflow.lds.innovations import PlainSystem, innovations_form, plain
from eigenflow.lds.learners import StateLearner
from eigenflow.lds.margins import warn_if_beyond_float64
from eigenflow.lds.population_risk import (
    Learner,
    excess_of,
    first_state_cov,
    mean_state_cov,
)
from eigenflow.lds.recursive import RecursivePredictor
from eigenflow.lds.simulation import _root as psd_root
from eigenflow.lds.structure import MANY, as_count


@dataclass(frozen=True, eq=False)
class SimulatedRisk:
    """A risk found by simulation.

    Attributes
    ----------
    mean : float
        Squared distance from the best predictor, averaged over steps and series.
    standard_error : float
        Of `mean`, from the spread between the series.
    by_step : (n_steps,) ndarray
        The average over the series at each scored step.
    n_series : int
    """

    mean: float
    standard_error: float
    by_step: Array
    n_series: int


def simulated_risk(
    system: Any,
    learner: Learner,
    horizon: int,
    *,
    n_series: int = 1000,
    rng: RNGLike = None,
) -> SimulatedRisk:
    """Estimate `risk` from random paths in float64: a check of the exact value, not a rival.

    Parameters
    ----------
    system, learner, horizon
        As for `risk`; the same start and the same scored steps.
    n_series : int
        Number of independent paths, at least 2.
    rng : int, numpy.random.Generator or None
        Seed or generator.

    Returns
    -------
    SimulatedRisk

    Warns
    -----
    RuntimeWarning
        If the horizon is beyond what float64 can follow: unit noise is then lost in the rounding
        of a large state (`stability_margins`, `representable_horizon`), and so is the risk.

    Notes
    -----
    For filters the innovations form is simulated, which has the law of the observations: the
    Kalman filter's prediction is then part of the path. Cost: horizon n_series (n^2 + h p^2).

    Examples
    --------
    >>> from eigenflow.lds import FirFilter, LinearSystem, risk, simulated_risk
    >>> walk, learner = LinearSystem(1.0, 1.0, 1.0, 4.0), FirFilter([1.0])
    >>> found = simulated_risk(walk, learner, 50, rng=0)
    >>> abs(found.mean - risk(walk, learner, 50).mean) < 4 * found.standard_error
    True
    """
    excess_of(system, learner, horizon)  # checks the arguments
    matrices = plain(system)
    as_count(horizon, "horizon", 2, most=MANY)
    count = as_count(n_series, "n_series", 2, most=MANY)
    warn_if_beyond_float64(matrices.A, horizon, "simulated_risk")
    generator = np.random.Generator(np.random.Philox(key=key_from(rng)))
    with np.errstate(over="ignore", invalid="ignore"):  # the warning above says more
        return _mean_of(system, matrices, learner, horizon, count, generator)


def _mean_of(
    system: Any,
    matrices: PlainSystem,
    learner: Any,
    horizon: int,
    count: int,
    generator: np.random.Generator,
) -> SimulatedRisk:
    if isinstance(learner, StateLearner):
        squares = _state_paths(system, matrices, learner, horizon, count, generator)
    else:
        squares = _filter_paths(matrices, learner, horizon, count, generator)
    by_series = squares.mean(axis=0)
    error = float(by_series.std(ddof=1)) / math.sqrt(count)
    return SimulatedRisk(float(by_series.mean()), error, squares.mean(axis=1), count)


def _state_paths(
    system: Any,
    matrices: PlainSystem,
    learner: StateLearner,
    horizon: int,
    count: int,
    generator: np.random.Generator,
) -> Array:
    first, _ = first_state_cov(system, matrices, learner)
    with extended.working_digits(100):
        cov = mean_state_cov(matrices, first, horizon - 1)
        error = extended.to_float(learner.error_matrix(extended.extend(matrices.A), cov))
    root = psd_root(matrices.Q)
    x = psd_root(first) @ generator.standard_normal((len(first), count))
    squares = np.empty((horizon - 1, count))
    for into in squares:
        into[:] = np.sum((error @ x) ** 2, axis=0)
        x = matrices.A @ x + root @ generator.standard_normal(x.shape)
    return squares


def _filter_paths(
    matrices: PlainSystem,
    learner: Any,
    horizon: int,
    count: int,
    generator: np.random.Generator,
) -> Array:
    with extended.working_digits(60):
        form = innovations_form(matrices)
        parts = (form.A, form.C, form.gain, form.innovation_cov)
        A, C, gain, cov = map(extended.to_float, parts)
    root, x = psd_root(cov), np.zeros((len(A), count))
    predict = _recursive(learner) if isinstance(learner, RecursivePredictor) else _window(learner)
    squares = []
    for _ in range(horizon):
        best = C @ x
        e = root @ generator.standard_normal(best.shape)
        guess = predict(best + e)
        if guess is not None:
            squares.append(np.sum((guess - best) ** 2, axis=0))
        x = A @ x + gain @ e
    return np.array(squares[1:] if isinstance(learner, RecursivePredictor) else squares)


def _recursive(learner: RecursivePredictor) -> Any:
    state: list[Any] = [np.zeros((len(learner.transition), 1))]

    def predict(y: Array) -> Array:
        guess = learner.observation @ state[0] + 0 * y
        state[0] = learner.transition @ state[0] + learner.gain @ y
        return np.asarray(guess)

    return predict


def _window(learner: Any) -> Any:
    """Predict from the last observations, and None until there are enough."""
    weights = learner.weights
    past: list[Array] = []

    def predict(y: Array) -> Array | None:
        full = len(past) == len(weights)
        guess = sum(F @ old for F, old in zip(weights, past, strict=True)) if full else None
        past.insert(0, y)
        del past[len(weights) :]
        return guess

    return predict
