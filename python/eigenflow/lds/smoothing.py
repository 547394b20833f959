"""Fixed-interval smoother."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import kind_of, places_in
from eigenflow._core import lds as _kernels
from eigenflow._threads import resolve_workers
from eigenflow.lds.arguments import (
    one_axis,
    read_inputs,
    read_observations,
    refuse_unknown,
    require_system,
    settings,
    wanted_fields,
)
from eigenflow.lds.series import (
    EXACT_DIFFUSE,
    PROPER,
    CovarianceSequence,
    as_given,
    joined_covs,
    joined_rows,
    kept,
    outputs,
    per_series,
    reporting,
    steady_steps,
)
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]

_MEANS = ("smoothed_mean", "state_disturbance", "obs_disturbance")
_COVS = ("smoothed_cov", "lag_one_cov", "state_disturbance_cov", "obs_disturbance_cov")


@dataclass(frozen=True, eq=False)
class SmoothResult:
    """What `smooth` returns; a field that `store` does not name is None.

    Attributes
    ----------
    smoothed_mean : ndarray, shape ``(*batch, T, n)``
        Mean of the state given all observations.
    smoothed_cov : CovarianceSequence
        Its covariance.
    lag_one_cov : CovarianceSequence
        Covariance of state t + 1 with state t given all observations: T - 1 matrices, which are
        not symmetric.
    state_disturbance : ndarray, shape ``(*batch, T, n)``
        Mean of the state noise w_t given all observations. That of row t leads to the state of row
        t + 1, so the last one is zero unless the noises are correlated.
    state_disturbance_cov : CovarianceSequence
        Its covariance.
    obs_disturbance : ndarray, shape ``(*batch, T, p)``
        Mean of the observation noise v_t given all observations: what is observed minus what the
        smoothed state says of it, and for a missing number what the others tell of its noise.
    obs_disturbance_cov : CovarianceSequence
        Its covariance.
    log_likelihood, n_diffuse, diffuse_convention, steady_from
        As in `FilterResult`.
    error_bound : float or ndarray
        As in `FilterResult`, for the smoothed mean: the bound of the filter, what the backward
        recursion makes of it at most, and by how much neighbouring chunks of time disagreed.
    """

    smoothed_mean: Any
    smoothed_cov: CovarianceSequence | None
    lag_one_cov: CovarianceSequence | None
    state_disturbance: Any
    state_disturbance_cov: CovarianceSequence | None
    obs_disturbance: Any
    obs_disturbance_cov: CovarianceSequence | None
    log_likelihood: Any
    n_diffuse: Any
    diffuse_convention: str
    steady_from: Any
    error_bound: Any


def smooth(
    system: LinearSystem,
    y: Any,
    *,
    inputs: Any = None,
    store: Iterable[str] = ("smoothed_mean",),
    method: str = "auto",
    out: Mapping[str, Any] | None = None,
    progress: bool = False,
    workers: int | None = None,
    check_finite: bool = True,
) -> SmoothResult:
    r"""Law of the state given all observations.

    .. math::
        \hat x_t = m_t + P_t r_t, \quad \mathrm{Var} = P_t - P_t N_t P_t, \quad
        r_t = C^\top S_t^{-1} v_t + (A - A K_t C)^\top r_{t+1}

    Parameters
    ----------
    system, y, inputs, method, progress, workers, check_finite
        As in `filter`, also for pandas series and tables.
    store : iterable of str
        "smoothed_mean", "smoothed_cov", "lag_one_cov", "state_disturbance",
        "state_disturbance_cov", "obs_disturbance", "obs_disturbance_cov".
    out : mapping of str to ndarray, optional
        Arrays for "smoothed_mean", "state_disturbance" or "obs_disturbance", of float64 and the
        right shape, for example memory-mapped; they become fields of the result.

    Returns
    -------
    SmoothResult

    Raises
    ------
    ValueError
        As in `filter`; also where a smoothed mean leaves the range of float64.

    Notes
    -----
    The backward recursion of Durbin and Koopman (2012, 4.4, 4.7 and 5.3) over single observed
    numbers (6.4), exact for a diffuse start. Away from the ends and from gaps the covariance is
    constant and stored once. Steady stretches are smoothed in chunks of time that run side by side,
    and nothing is kept for their steps. Cost there: twice the filter's 2 n^2 + 4 n p flops and
    2 n^2 more. Memory beyond the result: 32 MB for the laws of other steps, which are computed
    again where there are more, and 8 n bytes for each 1000 steps.

    Disturbances are those of the recursion, :math:`\hat w_t = Q r_{t+1}` and
    :math:`\hat v_t = R (S_t^{-1} v_t - K_t^\top A^\top r_{t+1})` for noises that are not
    correlated (Koopman, Biometrika 80, 1993), not differences of states: small ones keep their
    digits. The covariance of `obs_disturbance` is C Var(x) C' for what is observed.

    Examples
    --------
    >>> from eigenflow.demo.nile import FLOW
    >>> from eigenflow.lds import LinearSystem, smooth
    >>> level = LinearSystem(1.0, 1.0, 1469.1, 15099.0)
    >>> result = smooth(level, FLOW, store=("smoothed_mean", "smoothed_cov"))
    >>> round(float(result.smoothed_mean[49, 0]), 3), round(float(result.smoothed_cov[49][0, 0]), 3)
    (834.763, 2326.757)
    """
    require_system(system)
    fields = wanted_fields(store, _MEANS + _COVS)
    settings(method, check_finite, 1)
    if kind_of(y) == "cupy":
        return _on_device(system, y, fields, inputs=inputs, out=out)
    observations, dtype = read_observations(system, y)
    batch, n_steps = observations.shape[:-2], observations.shape[-2]
    known = read_inputs(system, inputs, batch, n_steps, y)
    threads = resolve_workers(workers)
    n, p, last = system.state_dim, system.obs_dim, max(n_steps - 1, 0)
    shapes = {name: (*batch, n_steps, width) for name, width in zip(_MEANS, (n, n, p), strict=True)}
    means = outputs(fields, shapes, out)
    with places_in("y", y), reporting(progress, n_steps) as report:
        parts = _kernels.smooth(
            *kept(system, batch),
            one_axis(observations, batch),
            known,
            tuple(joined_rows(means.get(name), batch) for name in _MEANS),
            tuple(name in fields for name in _COVS),
            settings(method, check_finite, threads, report),
            batch,
        )
    given = frozenset(out or ())
    sizes = dict(zip(_COVS, ((n_steps, n), (last, n), (n_steps, n), (n_steps, p)), strict=True))
    return SmoothResult(
        **{
            name: as_given(means.get(name), dtype, y, name in given, name == "obs_disturbance")
            for name in _MEANS
        },
        **{name: joined_covs(parts[name], batch, *sizes[name]) for name in _COVS},
        log_likelihood=per_series(parts["log_likelihood"], batch),
        n_diffuse=per_series(parts["n_diffuse"], batch),
        diffuse_convention=EXACT_DIFFUSE if system.diffuse_directions.size else PROPER,
        steady_from=steady_steps(parts["steady_from"], batch),
        error_bound=per_series(parts["error_bound"], batch),
    )


def _on_device(
    system: LinearSystem, y: Any, fields: frozenset[str], **unknown: Any
) -> SmoothResult:
    """Smooth a CuPy array on its device."""
    from eigenflow._gpu import lds as device

    refuse_unknown("CuPy", **unknown)
    if fields - {"smoothed_mean"}:
        msg = f"store: got {sorted(fields)}, want 'smoothed_mean' for CuPy arrays"
        raise ValueError(msg)
    with places_in("y", y):
        mean, total = device.smooth_series(system, y)
    if y.dtype == np.float32:
        mean = mean.astype(np.float32)
    return SmoothResult(
        **{**dict.fromkeys(_MEANS + _COVS), "smoothed_mean": mean if fields else None},
        log_likelihood=total,
        n_diffuse=0,
        diffuse_convention=PROPER,
        steady_from=None,
        error_bound=None,
    )
