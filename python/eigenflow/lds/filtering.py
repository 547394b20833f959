"""Kalman filter and likelihood."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from eigenflow._arrays import is_dask, kind_of, places_in, renamed
from eigenflow._threads import resolve_workers
from eigenflow.lds.arguments import (
    refuse_unknown,
    require_system,
    settings,
    wanted_fields,
)
from eigenflow.lds.filter_call import (
    FIELDS,
    MEANS,
    FilterCall,
    FilterResult,
    finish_filter,
    prepare_filter,
    run_filter,
)
from eigenflow.lds.series import (
    FilterState,
    per_series,
    reporting,
)
from eigenflow.lds.system import LinearSystem


def filter(  # noqa: A001
    system: LinearSystem,
    y: Any,
    *,
    inputs: Any = None,
    state: FilterState | None = None,
    store: Iterable[str] = ("filtered_mean",),
    method: str = "auto",
    out: Mapping[str, Any] | None = None,
    progress: bool = False,
    workers: int | None = None,
    check_finite: bool = True,
) -> FilterResult:
    """Kalman filter, for any start, with missing observations and known inputs.

    Parameters
    ----------
    system : LinearSystem
        One system, or a batch of them that broadcasts with that of `y`.
    y : array_like, shape ``(*batch, T, p)``, or (T,) when p = 1
        Observations; NaN marks a missing number, and a row may be missing in part. A memory-mapped
        array is read as it goes. Of a pandas series or table every field with a row for each step
        (not covariances) keeps the index, innovations the names too; so do inputs, whose index
        must be the same. A CuPy array is filtered on its device: one system with a proper
        start, without inputs, correlated noises or time axes, at most 16 states; means only. A Dask
        array goes to `eigenflow.dask.filter`: many series, or one in blocks of time.
    inputs : array_like, shape ``(*batch, T, m)`` or (T, m), or (T,) when m = 1
        The known inputs, for a system that has some.
    state : FilterState, optional
        `final_state` of an earlier call, to go on from there. Default: the start of the system.
    store : iterable of str
        Fields to keep: "filtered_mean", "filtered_cov", "predicted_mean", "predicted_cov",
        "innovations", "innovation_cov", "log_likelihood_terms".
    method : {"auto", "full", "standard", "joseph", "array"}
        How covariances are updated. "auto" takes the steady covariance once the covariance has
        reached it to rounding, and before that "joseph", or "array" for a start so wide that
        joseph would lose digits (a variance of an observation more than 1e6 times its noise).
        "full" is the same without the steady covariance. "standard" (P - K S K'), "joseph" and
        "array" (square roots, triangularised) name the form, also without the steady covariance.
    out : mapping of str to ndarray, optional
        Arrays for "filtered_mean", "predicted_mean", "innovations" or "log_likelihood_terms", of
        float64 and the right shape, for example memory-mapped; they become fields of the result.
    progress : bool
        Show a bar.
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
    Observed numbers of a row come in one at a time, after R is factored as L D L'. Diffuse
    directions are kept as a factor, so that their number drops by exactly one when an observation
    sees one of them (Koopman and Durbin, J. Time Series Anal. 21, 2000). Correlated noises are
    parted by what the observed numbers tell about the state noise. A covariance counts as steady
    when it is within a few rounding errors of the solution of the Riccati equation, relative to the
    standard deviations of the states: the test does not depend on units. A missing number starts
    the covariance recursion again, and the steady one returns when the gap is forgotten.

    Cost: about 10 n^3 flops a step until the covariance is steady, then 2 n^2 + 4 n p; a long
    series is then cut into chunks of time that run side by side. Series of a batch run side by
    side. Everything is computed in float64, and covariances are always float64.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, filter
    >>> level = LinearSystem(1.0, 1.0, 1469.1, 15099.0)
    >>> result = filter(level, [1120.0, 1160.0, float("nan"), 1210.0])
    >>> result.filtered_mean[:, 0].round(2)
    array([1120.  , 1140.93, 1140.93, 1169.79])
    """
    require_system(system)
    if is_dask(y):
        from eigenflow import dask

        refuse_unknown("Dask", out=out)
        return dask.filter(system, y, inputs=inputs, state=state, store=store, method=method)
    settings(method, check_finite, 1)
    if kind_of(y) == "cupy":
        fields = wanted_fields(store, FIELDS)
        return _on_device(system, y, state, fields, method, inputs=inputs, out=out)
    call = prepare_filter(system, y, inputs, state, store, method, out)
    return finish_filter(call, _run(call, method, progress, workers, check_finite))


def _run(
    call: FilterCall, method: str, progress: bool, workers: int | None, check_finite: bool
) -> dict[str, Any]:
    threads = resolve_workers(workers)
    with reporting(progress, call.n_steps) as report:
        return run_filter(call, method, check_finite, threads, report)


def _on_device(
    system: LinearSystem,
    y: Any,
    state: FilterState | None,
    fields: frozenset[str],
    method: str,
    **unknown: Any,
) -> FilterResult:
    """Filter a CuPy array on its device."""
    from eigenflow._gpu import lds as device

    refuse_unknown("CuPy", **unknown)
    with places_in("y", y):
        found = device.filter_series(system, y, state, fields, method)
    for name in MEANS:
        if found.get(name) is not None and y.dtype == np.float32:
            found[name] = found[name].astype(np.float32)
    return FilterResult(**{**dict.fromkeys(FIELDS), **found})


def filter_blocks(
    system: LinearSystem,
    blocks: Iterable[Any],
    *,
    inputs: Iterable[Any] | None = None,
    state: FilterState | None = None,
    store: Iterable[str] = ("filtered_mean",),
    method: str = "auto",
    workers: int | None = None,
    check_finite: bool = True,
) -> Iterator[FilterResult]:
    """Filter a series that arrives in blocks: one result for each, the state carried over.

    Parameters
    ----------
    system : LinearSystem
        One that does not change in time.
    blocks : iterable of array_like, shape ``(*batch, T_i, p)``
        Successive pieces of `y`, for example slices of a memory-mapped file.
    inputs : iterable of array_like, optional
        The inputs of each block.
    state, store, method, workers, check_finite
        As in `filter`.

    Returns
    -------
    iterator of FilterResult
        One result a block, computed as it is asked for; its `final_state` starts the
        next. Log-likelihoods add up.

    Raises
    ------
    ValueError
        As in `filter`; if there are fewer blocks of inputs than of observations.

    Notes
    -----
    Memory: one block. Means agree with those of one long call to rounding: where a block ends only
    decides how time is cut into chunks.

    Examples
    --------
    >>> from eigenflow.demo.nile import FLOW
    >>> from eigenflow.lds import LinearSystem, filter_blocks
    >>> level = LinearSystem(1.0, 1.0, 1469.176, 15098.518)
    >>> parts = filter_blocks(level, (FLOW[:30], FLOW[30:31], FLOW[31:]))
    >>> round(sum(part.log_likelihood for part in parts), 6)
    -633.464564
    """
    require_system(system)
    if system.time_varying:
        msg = f"system: got {system!r}, want one that does not change: a block does not say when"
        raise ValueError(msg)
    pieces = None if inputs is None else iter(inputs)
    for number, block in enumerate(blocks):
        known = None if pieces is None else next(pieces, None)
        with renamed("y", f"blocks[{number}]"), renamed("inputs", f"inputs[{number}]"):
            result = filter(
                system,
                block,
                inputs=known,
                state=state,
                store=store,
                method=method,
                workers=workers,
                check_finite=check_finite,
            )
        state = result.final_state
        yield result


def log_likelihood(
    system: LinearSystem,
    y: Any,
    *,
    inputs: Any = None,
    state: FilterState | None = None,
    method: str = "auto",
    progress: bool = False,
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Gaussian log-likelihood of the observations, by the prediction errors of the filter.

    The convention for a diffuse start is the exact diffuse one with all constants: each observed
    number counts ``-log(2 pi)/2``, also those that a diffuse direction absorbs, and these add
    ``-log(F_inf)/2`` (Durbin and Koopman 2012, 7.2.5). `filter` names it in its result.

    Parameters
    ----------
    system, y, inputs, state, method, progress, workers, check_finite
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
    require_system(system)
    if is_dask(y) or kind_of(y) == "cupy":
        return filter(system, y, inputs=inputs, state=state, store=(), method=method).log_likelihood
    call = prepare_filter(system, y, inputs, state, (), method, None)
    parts = _run(call, method, progress, workers, check_finite)
    return per_series(parts["log_likelihood"], call.batch)
