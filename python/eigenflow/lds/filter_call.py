"""A call of the filter: its checked arguments, memory for its results, and the results."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import places_in
from eigenflow._core import lds as _kernels
from eigenflow.lds.arguments import (
    one_axis,
    read_inputs,
    read_observations,
    require_system,
    settings,
    wanted_fields,
)
from eigenflow.lds.series import (
    EXACT_DIFFUSE,
    PROPER,
    CovarianceSequence,
    FilterState,
    as_given,
    joined_covs,
    joined_rows,
    joined_state,
    kept,
    outputs,
    per_series,
    starts,
    steady_steps,
)
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]

MEANS = ("filtered_mean", "predicted_mean", "innovations", "log_likelihood_terms")
COVS = ("filtered_cov", "predicted_cov", "innovation_cov")
FIELDS = MEANS + COVS


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


@dataclass(frozen=True, eq=False)
class FilterCall:
    """Checked arguments of `filter`, and memory for its results."""

    system: LinearSystem
    original: Any
    dtype: np.dtype[Any]
    batch: tuple[int, ...]
    n_steps: int
    fields: frozenset[str]
    means: dict[str, Array]
    given: frozenset[str]  # results in the user's memory
    arguments: tuple[Any, Any, Array, Array | None, tuple[Array | None, ...], tuple[bool, ...]]
    convention: str


def prepare_filter(
    system: LinearSystem,
    y: Any,
    inputs: Any,
    state: FilterState | None,
    store: Iterable[str],
    method: str,
    out: Mapping[str, Any] | None,
) -> FilterCall:
    """Check the arguments of `filter`."""
    require_system(system)
    settings(method, True, 1)
    fields = wanted_fields(store, FIELDS)
    observations, dtype = read_observations(system, y)
    batch, n_steps = observations.shape[:-2], observations.shape[-2]
    known = read_inputs(system, inputs, batch, n_steps, y)
    means = outputs(fields, _shapes(system, (*batch, n_steps)), out)
    prepared, start = kept(system, batch)
    arguments = (
        prepared,
        start if state is None else starts(system, state, batch),
        one_axis(observations, batch),
        known,
        tuple(joined_rows(means.get(name), batch) for name in MEANS),
        tuple(name in fields for name in COVS),
    )
    named = convention(system, state)
    given = frozenset(out or ())
    return FilterCall(system, y, dtype, batch, n_steps, fields, means, given, arguments, named)


def run_filter(
    call: FilterCall,
    method: str,
    check_finite: bool,
    threads: int,
    report: Any,
    ranks: Any = None,
) -> dict[str, Any]:
    """Fill the memory; `ranks` share one series that is cut in time."""
    how = settings(method, check_finite, threads, report)
    if ranks is not None:  # which have the same message, whatever the axes of their own blocks
        return _kernels.filter(*call.arguments, how, call.batch, ranks)
    with places_in("y", call.original):
        return _kernels.filter(*call.arguments, how, call.batch, ranks)


def finish_filter(call: FilterCall, parts: dict[str, Any]) -> FilterResult:
    """Results in the user's shapes."""
    batch = call.batch
    covs = dict.fromkeys(COVS)
    for name in COVS:
        size = call.system.obs_dim if name == "innovation_cov" else call.system.state_dim
        covs[name] = joined_covs(parts[name], batch, call.n_steps, size)
    return FilterResult(
        **{
            name: as_given(
                call.means.get(name),
                call.dtype,
                call.original,
                name in call.given,
                name == "innovations",
            )
            for name in MEANS
        },
        **covs,
        log_likelihood=per_series(parts["log_likelihood"], batch),
        n_diffuse=per_series(parts["n_diffuse"], batch),
        diffuse_convention=call.convention,
        steady_from=steady_steps(parts["steady_from"], batch),
        error_bound=per_series(parts["error_bound"], batch),
        final_state=joined_state(parts["final_state"], batch),
    )


def _shapes(system: LinearSystem, steps: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    n, p = system.state_dim, system.obs_dim
    widths: tuple[tuple[int, ...], ...] = ((n,), (n,), (p,), ())
    return {name: (*steps, *width) for name, width in zip(MEANS, widths, strict=True)}


def convention(system: LinearSystem, state: FilterState | None) -> str:
    """Name the constant in the log-likelihood."""
    directions = system.diffuse_directions if state is None else state.diffuse
    return EXACT_DIFFUSE if np.size(directions) else PROPER
