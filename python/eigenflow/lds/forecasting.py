"""Forecasts beyond the last observation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._index import continued, continued_of, has_index
from eigenflow.lds.filtering import filter as kalman_filter
from eigenflow.lds.series import FilterState, read_inputs, require_system
from eigenflow.lds.structure import MANY, as_count
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]


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
    bytes a step ahead.

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
    nothing = np.full((*batch, ahead, ahead_system.obs_dim), np.nan)
    law = kalman_filter(
        ahead_system,
        nothing,
        inputs=future_inputs,
        state=past.final_state,
        store=("predicted_mean", "predicted_cov"),
        workers=workers,
    )
    x, P = law.predicted_mean, _dense(law.predicted_cov)
    C, R, d, D = _observation(ahead_system)
    mean = np.einsum("...kn,...n->...k", C, x) + d
    if D is not None and known is not None:
        mean = mean + np.einsum(
            "...km,...m->...k", D, known.reshape(*_lead(known, batch), ahead, -1)
        )
    cov = C @ P @ np.swapaxes(C, -2, -1) + R
    width = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1)) * _quantile(level)
    width = np.where(_open(ahead_system, past.final_state, ahead), np.inf, width)
    middle, lower, upper = (continued_of(a, y) for a in (mean, mean - width, mean + width))
    if has_index(y):
        x = continued(x, y.index, len(y), range(x.shape[-1]))
    return Forecast(middle, lower, upper, cov, x, P, float(level))


def _dense(sequence: Any) -> Array:
    return np.asarray(sequence.dense())


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
