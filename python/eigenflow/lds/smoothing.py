"""Fixed-interval smoother."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import kind_of, like
from eigenflow._core import lds as _kernels
from eigenflow._threads import resolve_workers
from eigenflow.lds.series import (
    EXACT_DIFFUSE,
    PROPER,
    CovarianceSequence,
    joined_covs,
    one_axis,
    outputs,
    packed,
    per_series,
    read_inputs,
    read_observations,
    refuse_unknown,
    reporting,
    require_system,
    settings,
    starts,
    steady_steps,
    wanted_fields,
)
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]

_FIELDS = ("smoothed_mean", "smoothed_cov", "lag_one_cov")


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
    log_likelihood, n_diffuse, diffuse_convention, steady_from
        As in `FilterResult`.
    """

    smoothed_mean: Any
    smoothed_cov: CovarianceSequence | None
    lag_one_cov: CovarianceSequence | None
    log_likelihood: Any
    n_diffuse: Any
    diffuse_convention: str
    steady_from: Any


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
        As in `filter`.
    store : iterable of str
        "smoothed_mean", "smoothed_cov", "lag_one_cov".
    out : mapping of str to ndarray, optional
        An array for "smoothed_mean", of float64 and the right shape, for example memory-mapped; it
        becomes the field of the result.

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
    fields = wanted_fields(store, _FIELDS)
    settings(method, check_finite, 1)
    if kind_of(y) == "cupy":
        return _on_device(system, y, fields, inputs=inputs, out=out)
    observations, dtype = read_observations(system, y)
    batch, n_steps = observations.shape[:-2], observations.shape[-2]
    known = read_inputs(system, inputs, batch, n_steps)
    threads = resolve_workers(workers)
    n, shape = system.state_dim, (*batch, n_steps, system.state_dim)
    mean = outputs(fields, {"smoothed_mean": shape}, out).get("smoothed_mean")
    rows = None
    if mean is not None:
        rows = mean.view()
        rows.shape = (math.prod(batch), n_steps, n)
    with reporting(progress, n_steps) as report:
        parts = _kernels.smooth(
            packed(system, batch),
            starts(system, None, batch),
            one_axis(observations, batch),
            known,
            rows,
            "smoothed_cov" in fields,
            "lag_one_cov" in fields,
            settings(method, check_finite, threads, report),
            batch,
        )
    if mean is not None and not out:
        mean = like(mean.astype(dtype, copy=False), y)
    return SmoothResult(
        smoothed_mean=mean,
        smoothed_cov=joined_covs(parts["smoothed_cov"], batch, n_steps, n),
        lag_one_cov=joined_covs(parts["lag_one_cov"], batch, max(n_steps - 1, 0), n),
        log_likelihood=per_series(parts["log_likelihood"], batch),
        n_diffuse=per_series(parts["n_diffuse"], batch),
        diffuse_convention=EXACT_DIFFUSE if system.diffuse_directions.size else PROPER,
        steady_from=steady_steps(parts["steady_from"], batch),
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
    mean, total = device.smooth_series(system, y)
    if y.dtype == np.float32:
        mean = mean.astype(np.float32)
    return SmoothResult(mean if fields else None, None, None, total, 0, PROPER, None)
