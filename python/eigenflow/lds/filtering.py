"""Kalman filter and likelihood."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import like
from eigenflow._core import lds as _kernels
from eigenflow._threads import resolve_workers
from eigenflow.lds.series import (
    EXACT_DIFFUSE,
    PROPER,
    CovarianceSequence,
    FilterState,
    joined_covs,
    joined_states,
    of_series,
    packed,
    per_series,
    read_observations,
    refuse_inputs,
    starts,
    steady_steps,
    use_steady,
    wanted_fields,
)
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]

_MEANS = ("filtered_mean", "predicted_mean", "innovations", "log_likelihood_terms")
_COVS = ("filtered_cov", "predicted_cov", "innovation_cov")


@dataclass(frozen=True, eq=False)
class FilterResult:
    """What `filter` returns; a field that `store` does not name is None.

    Attributes
    ----------
    filtered_mean, predicted_mean : ndarray, shape ``(*batch, T, n)``
        Mean of the state given observations up to and including, or before, each step.
    filtered_cov, predicted_cov : CovarianceSequence
        Their covariances; during diffuse steps the finite part.
    innovations : ndarray, shape ``(*batch, T, p)``
        Observation minus its one-step prediction; NaN where missing.
    innovation_cov : CovarianceSequence
        Its covariance, as if nothing were missing.
    log_likelihood : float or ndarray, shape batch
        Sum of the terms, by `diffuse_convention`.
    log_likelihood_terms : ndarray, shape ``(*batch, T)``
        What each step adds.
    n_diffuse : int or ndarray
        Leading steps that began with an infinite variance.
    diffuse_convention : str
        Names the constant in the log-likelihood.
    steady_from : int, None or ndarray
        First step with the steady covariance; None (in a batch -1) if there is none.
    error_bound : float or ndarray
        First-order bound on the error that the steady covariance and the time chunks add to a
        mean, in steady predicted standard deviations, for standardised innovations of size one.
    final_state : FilterState
        State before the next observation: pass it as `state=` to go on.
    """

    filtered_mean: Any
    filtered_cov: CovarianceSequence | None
    predicted_mean: Any
    predicted_cov: CovarianceSequence | None
    innovations: Any
    innovation_cov: CovarianceSequence | None
    log_likelihood: Any
    log_likelihood_terms: Any
    n_diffuse: Any
    diffuse_convention: str
    steady_from: Any
    error_bound: Any
    final_state: FilterState


def filter(  # noqa: A001
    system: LinearSystem,
    y: Any,
    *,
    inputs: Any = None,
    state: FilterState | None = None,
    store: Iterable[str] = ("filtered_mean",),
    method: str = "auto",
    workers: int | None = None,
    check_finite: bool = True,
) -> FilterResult:
    r"""Kalman filter: the law of the state given the observations so far.

    .. math::
        K_t = P_t C^\top (C P_t C^\top + R)^{-1}, \quad
        m_{t+1} = A (m_t + K_t (y_t - d - C m_t)) + c, \quad
        P_{t+1} = A (P_t - K_t C P_t) A^\top + Q

    Parameters
    ----------
    system : LinearSystem
    y : array_like, shape ``(*batch, T, p)``, or (T,) when p = 1
        Observations; NaN marks a missing number, and a row may be missing in part.
    inputs : None
        Not available yet.
    state : FilterState, optional
        `final_state` of an earlier call, to go on from there. Default: the start of the system.
    store : iterable of str
        Fields to keep: "filtered_mean", "filtered_cov", "predicted_mean", "predicted_cov",
        "innovations", "innovation_cov", "log_likelihood_terms".
    method : {"auto", "full"}
        "auto" takes the steady covariance once the covariance has reached it to rounding; "full"
        computes every covariance.
    workers : int, optional
        Threads; any number gives the same bytes.
    check_finite : bool
        Refuse infinite observations.

    Returns
    -------
    FilterResult

    Raises
    ------
    ValueError
        If `y` has the wrong shape or an infinite number, or `store` or `method` an unknown name;
        and where a mean or a variance leaves the range of float64 (about 1e308), as it does after
        hundreds of steps of an unstable mode that is never observed.

    Notes
    -----
    Observed numbers of a row come in one at a time, after R is factored as L D L'; the covariance
    is updated in Joseph form. Diffuse directions are kept as a factor, so that their number drops
    by exactly one when an observation sees one of them (Koopman and Durbin, J. Time Series Anal.
    21, 2000). A covariance counts as steady when it is within a few rounding errors of the
    solution of the Riccati equation, relative to the standard deviations of the states: the test
    does not depend on units. A missing number starts the covariance recursion again.

    Cost: about 20 n^3 flops a step until the covariance is steady, then 2 n^2 + 4 n p; a long
    series is then cut into chunks of time that run side by side. Everything is computed in
    float64, and covariances are always float64.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, filter
    >>> level = LinearSystem(1.0, 1.0, 1469.1, 15099.0)
    >>> result = filter(level, [1120.0, 1160.0, float("nan"), 1210.0])
    >>> result.filtered_mean[:, 0].round(2)
    array([1120.  , 1140.93, 1140.93, 1169.79])
    """
    refuse_inputs(inputs)
    arrays = packed(system)
    observations, dtype = read_observations(system, y)
    fields = wanted_fields(store, _MEANS + _COVS)
    steady = use_steady(method)
    threads = resolve_workers(workers)
    batch, n_steps = observations.shape[:-2], observations.shape[-2]
    out = _outputs(system, (*batch, n_steps), fields)
    keep = (_COVS[0] in fields, _COVS[1] in fields, _COVS[2] in fields)
    parts = []
    for i, start in zip(np.ndindex(batch), starts(system, state, batch), strict=True):
        means = tuple(out[name][i] if name in out else None for name in _MEANS)
        try:
            parts.append(
                _kernels.filter(
                    arrays, start, observations[i], means, keep, steady, check_finite, threads
                )
            )
        except ValueError as error:
            raise of_series(error, i) from None
    given = {name: like(a.astype(dtype, copy=False), y) for name, a in out.items()}
    return _result(given, parts, batch, n_steps, _convention(system, state))


def _outputs(
    system: LinearSystem, steps: tuple[int, ...], fields: frozenset[str]
) -> dict[str, Array]:
    n, p = system.state_dim, system.obs_dim
    widths = dict(zip(_MEANS, ((n,), (n,), (p,), ()), strict=True))
    return {name: np.empty((*steps, *widths[name])) for name in _MEANS if name in fields}


def _convention(system: LinearSystem, state: FilterState | None) -> str:
    directions = system.diffuse_directions if state is None else state.diffuse
    return EXACT_DIFFUSE if directions.size else PROPER


def _result(
    given: dict[str, Any],
    parts: list[dict[str, Any]],
    batch: tuple[int, ...],
    n_steps: int,
    convention: str,
) -> FilterResult:
    covs = {name: joined_covs([part[name] for part in parts], batch, n_steps) for name in _COVS}
    return FilterResult(
        **{name: given.get(name) for name in _MEANS},
        **covs,
        log_likelihood=per_series([part["log_likelihood"] for part in parts], batch),
        n_diffuse=per_series([part["n_diffuse"] for part in parts], batch),
        diffuse_convention=convention,
        steady_from=steady_steps([part["steady_from"] for part in parts], batch),
        error_bound=per_series([part["error_bound"] for part in parts], batch),
        final_state=joined_states([part["final_state"] for part in parts], batch),
    )


def log_likelihood(
    system: LinearSystem,
    y: Any,
    *,
    inputs: Any = None,
    state: FilterState | None = None,
    method: str = "auto",
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Gaussian log-likelihood of the observations, by the prediction errors of the filter.

    The convention for a diffuse start is the exact diffuse one with all constants: each observed
    number counts ``-log(2 pi)/2``, also those that a diffuse direction absorbs, and these add
    ``-log(F_inf)/2`` (Durbin and Koopman 2012, 7.2.5). `filter` names it in its result.

    Parameters
    ----------
    system, y, inputs, state, method, workers, check_finite
        As in `filter`; NaN marks a missing number.

    Returns
    -------
    float or ndarray, shape batch

    Raises
    ------
    ValueError
        As in `filter`.

    Notes
    -----
    Cost: that of `filter` without anything stored, about one read or two of `y`.

    Examples
    --------
    >>> from eigenflow.demo.nile import FLOW
    >>> from eigenflow.lds import LinearSystem, log_likelihood
    >>> level = LinearSystem(1.0, 1.0, 1469.176, 15098.518)
    >>> round(log_likelihood(level, FLOW), 6)
    -633.464564
    """
    return filter(
        system,
        y,
        inputs=inputs,
        state=state,
        store=(),
        method=method,
        workers=workers,
        check_finite=check_finite,
    ).log_likelihood
