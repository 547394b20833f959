"""Forecasts beyond the last observation."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import empty
from eigenflow._index import continued, continued_of, has_index
from eigenflow.lds.arguments import read_inputs, require_system
from eigenflow.lds.filtering import filter as kalman_filter
from eigenflow.lds.series import FilterState
from eigenflow.lds.structure import MANY, as_count
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]

_BLOCK = 1 << 19  # numbers: a few ms


@dataclass(frozen=True, eq=False)
class Forecast:
    """What `forecast` returns.

    Attributes
    ----------
    mean, lower, upper : ndarray, shape ``(*batch, steps, p)``
        Expected observations, and the ends of their central intervals, each on its own; infinite
        where a diffuse direction is still open. After a pandas series or table they are such, with
        its names and its index continued.
    cov : ndarray, shape ``(*batch, steps, p, p)``
        Covariance of each observation: that of the state, and the observation noise.
    state_mean : ndarray, shape ``(*batch, steps, n)``
    state_cov : ndarray, shape ``(*batch, steps, n, n)``
        The state ahead.
    level : float
        Probability of the intervals.
    """

    mean: Any
    lower: Any
    upper: Any
    cov: Any
    state_mean: Any
    state_cov: Any
    level: float


def forecast(
    system: LinearSystem,
    y: Any,
    steps: int,
    *,
    inputs: Any = None,
    future_inputs: Any = None,
    future: LinearSystem | None = None,
    state: FilterState | None = None,
    level: float = 0.95,
    method: str = "auto",
    workers: int | None = None,
    check_finite: bool = True,
) -> Forecast:
    """Law of the observations that follow.

    Parameters
    ----------
    system, y, inputs, state, method, workers, check_finite
        As in `filter`.
    steps : int
        How many steps ahead.
    future_inputs : array_like, shape ``(*batch, steps, m)`` or (steps, m), optional
        The inputs of these steps, for a system that has some.
    future : LinearSystem, optional
        The system of these steps, for one that changes in time.
    level : float
        Probability of the intervals, between 0 and 1.

    Returns
    -------
    Forecast

    Raises
    ------
    ValueError
        As in `filter`; if `steps` is negative or `level` is not between 0 and 1.

    Notes
    -----
    The intervals take the parameters of the system as known. Cost: the filter, and 8 (n^2 + p^2)
    bytes a step ahead. Ctrl-C stops it between blocks of steps.

    Examples
    --------
    >>> from eigenflow.demo.nile import FLOW
    >>> from eigenflow.lds import LinearSystem, forecast
    >>> level = LinearSystem(1.0, 1.0, 1469.1, 15099.0)
    >>> ahead = forecast(level, FLOW, 2, level=0.5)
    >>> ahead.mean[:, 0].round(1), ahead.lower[:, 0].round(1)
    (array([798.4, 798.4]), array([701.6, 698.2]))
    """
    require_system(system)
    ahead = as_count(steps, "steps", 0, most=MANY)
    if not 0 < level < 1:
        msg = f"level: got {level!r}, want a probability between 0 and 1"
        raise ValueError(msg)
    if future is None and system.time_varying:
        msg = "future: got None, want the system of the steps ahead, as this one changes in time"
        raise ValueError(msg)
    ahead_system = system if future is None else require_system(future)
    past = kalman_filter(
        system,
        y,
        inputs=inputs,
        state=state,
        store=(),
        method=method,
        workers=workers,
        check_finite=check_finite,
    )
    batch = past.final_state.mean.shape[:-1]
    known = read_inputs(ahead_system, future_inputs, batch, ahead)
    inputs_ahead = (
        None if known is None else known.reshape(*_lead(known, batch), ahead, known.shape[-1])
    )
    x, P, mean, cov = _ahead(ahead_system, past.final_state, ahead, inputs_ahead, workers)
    width = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1)) * _quantile(level)
    width = np.where(_open(ahead_system, past.final_state, ahead), np.inf, width)
    middle, lower, upper = (continued_of(a, y) for a in (mean, mean - width, mean + width))
    if has_index(y):
        x = continued(x, y.index, len(y), range(x.shape[-1]))
    return Forecast(middle, lower, upper, cov, x, P, float(level))


def _ahead(
    system: LinearSystem, state: FilterState, steps: int, inputs: Array | None, workers: int | None
) -> tuple[Array, Array, Array, Array]:
    """Means and covariances of the states and of the observations.

    In blocks of steps that are so short that Ctrl-C is noticed between them.
    """
    C, R, d, D = _observation(system)
    batch, n, p = state.mean.shape[:-1], system.state_dim, system.obs_dim
    x, P, mean, cov = (
        empty((*batch, steps, *entry), np.float64) for entry in ((n,), (n, n), (p,), (p, p))
    )
    height = max(1, _BLOCK // max(1, math.prod(batch) * (n + p) ** 2))
    if system.time_varying:
        height = max(1, steps)  # its matrices belong to all steps
    for begin in range(0, steps, height):
        rows = slice(begin, min(begin + height, steps))
        u = None if inputs is None else inputs[..., rows, :]
        try:
            law: Any = kalman_filter(
                system,
                np.full((*batch, rows.stop - begin, p), np.nan),
                inputs=u,
                state=state,
                store=("predicted_mean", "predicted_cov"),
                workers=workers,
            )
        except ValueError as error:
            if begin == 0:
                raise
            msg = f"{error} (counted from {begin} steps ahead)"
            raise ValueError(msg) from None
        state = law.final_state
        x[..., rows, :], P[..., rows, :, :] = law.predicted_mean, law.predicted_cov.dense()
        c = _rows(C, rows, 2)
        mean[..., rows, :] = np.einsum("...kn,...n->...k", c, x[..., rows, :]) + _rows(d, rows, 1)
        if D is not None and u is not None:
            mean[..., rows, :] += np.einsum("...km,...m->...k", _rows(D, rows, 2), u)
        seen = c @ P[..., rows, :, :] @ np.swapaxes(c, -2, -1)
        cov[..., rows, :, :] = seen + _rows(R, rows, 2)
    return x, P, mean, cov


def _rows(a: Array, rows: slice, core: int) -> Array:
    """Steps of what has a time axis before its `core` last ones, of length 1 if it is constant."""
    if a.shape[-core - 1] == 1:
        return a
    return a[..., rows, :] if core == 1 else a[..., rows, :, :]


def _lead(known: Array, batch: tuple[int, ...]) -> tuple[int, ...]:
    return batch if len(known) > 1 else (1,) * len(batch)


def _observation(system: LinearSystem) -> tuple[Array, Array, Array, Array | None]:
    """C, R, d and D with a time axis, so that they broadcast over (*batch, steps)."""

    def timed(a: Array, core: int) -> Array:
        return a if system.time_varying and a.ndim > core else np.expand_dims(a, -core - 1)

    D = None if system.D is None else timed(system.D, 2)
    return timed(system.C, 2), timed(system.R, 2), timed(system.obs_offset, 1), D


def _open(system: LinearSystem, state: FilterState, steps: int) -> Any:
    """Which observations ahead still see a direction of infinite variance."""
    directions = np.asarray(state.diffuse)
    C, *_ = _observation(system)
    shape = (*state.mean.shape[:-1], steps, system.obs_dim)
    if not directions.size:
        return np.zeros(shape, bool)
    out = np.empty(shape, bool)
    A = system.A if system.time_varying and system.A.ndim > 2 else system.A[..., np.newaxis, :, :]
    for t in range(steps):
        row = C[..., min(t, C.shape[-3] - 1), :, :]
        size = np.linalg.norm(row, axis=-1) * np.linalg.norm(directions, axis=(-2, -1))[..., None]
        out[..., t, :] = np.linalg.norm(row @ directions, axis=-1) > 1e-11 * size
        directions = A[..., min(t, A.shape[-3] - 1), :, :] @ directions
    return out


def _quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2))
