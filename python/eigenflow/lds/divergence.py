"""The paper's score itself: the Kullback-Leibler divergence from the truth to a learner's law."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from eigenflow._arrays import Array, as_float_array
from eigenflow.lds import extended
from eigenflow.lds.extended import Extended, log_det, solve, symmetrized, trace
from eigenflow.lds.population_risk import Excess, Learner, excess_of


@dataclass(frozen=True, eq=False)
class DivergenceResult:
    """KL(truth || learner) in nats, averaged over the scored steps.

    Attributes
    ----------
    mean_term : float
        1/2 tr(N^-1 D), with N the learner's noise covariance and D the averaged covariance of the
        distance of the two one-step predictions: what wrong means cost.
    variance_term : float
        1/2 (tr(N^-1 S) - ln det(N^-1 S) - p), with S the true one: what a wrong variance costs.
    per_step, total : float
        Their sum, and its sum over the steps.
    noise_cov : (p, p) ndarray
        N.
    n_steps : int
        Number of scored steps.
    """

    mean_term: float
    variance_term: float
    per_step: float
    total: float
    noise_cov: Array
    n_steps: int


def kl_divergence(
    system: Any, learner: Learner, horizon: int, *, noise_cov: Any = None
) -> DivergenceResult:
    r"""Kullback-Leibler divergence of a learner's law from the true one, exactly.

    The chain rule sums the divergences of the one-step predictive laws, N(prediction, S) under the
    truth and N(learner's prediction, N) under the learner:

    .. math::
        \tfrac12 \left[ \mathrm{tr}\, N^{-1} D + \mathrm{tr}\, N^{-1} S
        - \ln \det N^{-1} S - p \right] \quad \text{a step.}

    Parameters
    ----------
    system, learner, horizon
        As for `risk`.
    noise_cov : (p, p) array_like, optional
        The covariance N that the learner claims for its errors. By default the best constant one,
        S + D; the divergence is then 1/2 ln det(I + S^-1 D) a step, which grows like half the
        logarithm of an unbounded risk.

    Returns
    -------
    DivergenceResult

    Raises
    ------
    ValueError, TypeError
        As `risk`; also if a covariance is singular, where the divergence is infinite or undefined.

    Examples
    --------
    >>> from eigenflow.lds import FirFilter, LinearSystem, kl_divergence
    >>> walk = LinearSystem(1.0, 1.0, 1.0, 4.0)
    >>> found = kl_divergence(walk, FirFilter([1.0]), 10**6)
    >>> round(found.per_step, 6), round(found.mean_term, 6), round(found.variance_term, 6)
    (0.157999, 0.135469, 0.022529)
    """
    given = None if noise_cov is None else _as_noise_cov(noise_cov)
    compute = excess_of(system, learner, horizon)
    found: list[Excess] = []

    def terms() -> tuple[Decimal, list[Any]]:
        excess = compute()
        found.append(excess)
        noise = symmetrized(excess.cov + excess.noise_cov)
        return Decimal(1), [*_terms(excess, noise if given is None else extended.extend(given))]

    _refuse_singular(compute, given)
    mean_term, variance_term, both, claimed = extended.settle(terms, "horizon")
    with extended.working_digits(30):
        total = float(both * found[-1].n_steps)
    return DivergenceResult(
        float(mean_term),
        float(variance_term),
        float(both),
        total,
        extended.to_float(claimed),
        found[-1].n_steps,
    )


def _terms(excess: Excess, noise: Extended) -> tuple[Decimal, Decimal, Decimal, Extended]:
    p = len(noise)
    scaled = solve(noise, np.concatenate([excess.cov, excess.noise_cov], axis=1))
    mean_term = trace(scaled[:, :p]) / 2
    variance_term = (
        trace(scaled[:, p:]) + log_det(noise) - log_det(excess.noise_cov) - Decimal(p)
    ) / 2
    return mean_term, variance_term, mean_term + variance_term, noise


def _refuse_singular(compute: Any, given: Array | None) -> None:
    with extended.working_digits(80):
        try:
            excess = compute()
        except ArithmeticError:
            return  # more digits will tell
        for name, cov in (("system", excess.noise_cov), ("noise_cov", given)):
            if cov is None:
                continue
            try:
                log_det(extended.extend(cov) if isinstance(cov[0, 0], float) else cov)
            except ZeroDivisionError:
                msg = f"{name}: got a singular noise covariance, want a positive definite one"
                raise ValueError(msg) from None


def _as_noise_cov(noise_cov: Any) -> Array:
    from eigenflow.lds.covariances import as_covariance

    a = as_float_array(noise_cov, "noise_cov", ndim=(0, 2), dtype=np.float64)
    a = a.reshape(1, 1) if a.ndim == 0 else a
    return as_covariance(a, "noise_cov")
