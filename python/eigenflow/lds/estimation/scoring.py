"""The score: derivatives of the log-likelihood with respect to all matrices of a system."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array, places_in
from eigenflow._core import lds_score as _kernels
from eigenflow._threads import resolve_workers
from eigenflow.lds.arguments import (
    one_axis,
    read_inputs,
    read_observations,
    refuse_infinite,
    require_system,
)
from eigenflow.lds.series import EXACT_DIFFUSE, PROPER, packed, per_series, reporting, starts
from eigenflow.lds.system import LinearSystem

FIELDS = (
    "A",
    "C",
    "Q",
    "R",
    "cross_cov",
    "B",
    "D",
    "state_offset",
    "obs_offset",
    "mean0",
    "cov0",
    "diffuse_directions",
)


@dataclass(frozen=True, eq=False)
class ScoreResult:
    """What `score` returns: derivatives, each of the shape of what it belongs to.

    Attributes
    ----------
    log_likelihood : float or ndarray, shape batch
        Of each series.
    A, C, Q, R, state_offset, obs_offset, mean0, cov0, diffuse_directions : ndarray
    cross_cov, B, D : ndarray, or None where the system has none
        A small change dA moves the log-likelihood, in a batch the sum of all, by the sum of A * dA,
        and so on. For the symmetric ones the change must be symmetric.
    second_moment, last_moment : (n, n) ndarray
        Sum over all steps of the mean of x_t x_t' given the data, and the last term of it; what
        the EM algorithm needs besides the derivatives. In a batch sums as well.
    n_series, n_steps, n_observed : int
        Series, the steps of each, and all numbers that were not missing.
    diffuse_convention : str
        Names the constant in the log-likelihood.
    """

    log_likelihood: Any
    A: Array
    C: Array
    Q: Array
    R: Array
    cross_cov: Array | None
    B: Array | None
    D: Array | None
    state_offset: Array
    obs_offset: Array
    mean0: Array
    cov0: Array
    diffuse_directions: Array
    second_moment: Any
    last_moment: Any
    n_series: int
    n_steps: int
    n_observed: int
    diffuse_convention: str

    def along(self, change: dict[str, Array]) -> float:
        """Directional derivative for changes of the matrices by name, as a Jacobian column."""
        return float(sum(np.sum(getattr(self, name) * dx) for name, dx in change.items()))


def score(
    system: LinearSystem,
    y: Any,
    *,
    inputs: Any = None,
    progress: bool = False,
    workers: int | None = None,
    check_finite: bool = True,
) -> ScoreResult:
    r"""Gradient of the log-likelihood, exactly, at the cost of a filter and a smoother.

    For a parameter map theta -> system, the chain rule with the derivative of the matrices gives
    the score in theta, whatever the map.

    Parameters
    ----------
    system : LinearSystem
        Any: one or a batch, also one that changes in time.
    y : array_like, shape ``(*batch, T, p)``, or (T,) when p = 1
        Observations; NaN marks a missing number. The series of a batch that share a system are a
        panel: derivatives are those of the sum of their log-likelihoods.
    inputs : array_like, optional
        As in `filter`, for a system that has some.
    progress : bool
        Show a bar.
    workers : int, optional
        Threads over the series of a batch; any number gives the same bytes.
    check_finite : bool
        Refuse infinite observations.

    Returns
    -------
    ScoreResult

    Raises
    ------
    ValueError
        If an innovation covariance is singular, the observations do not determine the diffuse
        directions, or `y` has the wrong shape or an infinite number.

    Notes
    -----
    With the cumulants of the smoother, :math:`r_{t-1} = C^\top F^{-1} v_t + L_t^\top r_t` and
    :math:`N_{t-1} = C^\top F^{-1} C + L_t^\top N_t L_t`, the derivatives are

    .. math::
        \partial_Q = \tfrac12 \sum (r_t r_t^\top - N_t), \qquad
        \partial_A = \sum (r_t \hat x_t^\top - N_t L_t P_t), \qquad
        \partial_R = \tfrac12 \sum (u_t u_t^\top - D_t),

    with :math:`u_t = F^{-1} v_t - K_t^\top r_t` and :math:`D_t = F^{-1} + K_t^\top N_t K_t`
    (Koopman and Shephard, Biometrika 79, 1992), and for correlated noises
    :math:`\partial_S = \sum (r_t u_t^\top + N_t K_t)`. Those of inputs and offsets are sums of
    :math:`r_t` and :math:`u_t` times what they multiply. A diffuse start is a regression on the
    first state with a flat law, whose coefficients join the covariance once the data determine them
    well (de Jong and Chu-Chun-Lin, J. Time Series Anal. 15, 1994): the likelihood is that of
    `log_likelihood`, exact diffuse with all constants. Cost: about 14 n^3 flops a step until the
    covariance is steady, then 8 n (n + p); memory 8 (n + p) bytes a step, and 8 n (n + p), rows
    rounded up to 64 bytes, for each step with its own covariance.

    Examples
    --------
    >>> import numpy as np
    >>> from eigenflow.demo.nile import FLOW
    >>> from eigenflow.lds import LinearSystem, score
    >>> found = score(LinearSystem(1.0, 1.0, 1469.176, 15098.518), FLOW)
    >>> round(found.log_likelihood, 6)
    -633.464564
    >>> bool(abs(found.Q[0, 0]) < 1e-8), bool(abs(found.R[0, 0]) < 1e-8)  # its maximum
    (True, True)
    """
    return scored(system, y, inputs, workers, check_finite, moments=True, progress=progress)


def scored(
    system: LinearSystem,
    y: Any,
    inputs: Any,
    workers: int | None,
    check_finite: bool = True,
    *,
    moments: bool,
    progress: bool = False,
) -> ScoreResult:
    """As `score`; without `moments` these are None, and the cost is a third less."""
    require_system(system)
    observations, _ = read_observations(system, y)
    batch, n_steps = observations.shape[:-2], observations.shape[-2]
    if check_finite:
        with places_in("y", y):
            refuse_infinite(observations)
    known = read_inputs(system, inputs, batch, n_steps, y)
    with reporting(progress, n_steps) as report:
        found = _kernels.score(
            packed(system, batch),
            starts(system, None, batch),
            one_axis(observations, batch),
            known,
            resolve_workers(workers),
            moments,
            report,
            batch,
        )
    sums: dict[str, Any] = {name: _sum_of(system, name, found.get(name), batch) for name in FIELDS}
    for name in ("second_moment", "last_moment"):
        shape = (*system.batch_shape, system.state_dim, system.state_dim)
        sums[name] = _summed(found[name], batch, shape, 2) if moments else None
    return ScoreResult(
        **sums,
        log_likelihood=per_series(found["log_likelihood"], batch),
        n_series=math.prod(batch),
        n_steps=n_steps,
        n_observed=int(found["n_observed"].sum()),
        diffuse_convention=EXACT_DIFFUSE if system.diffuse_directions.size else PROPER,
    )


_VECTORS = ("state_offset", "obs_offset", "mean0")
_OF_START = ("mean0", "cov0", "diffuse_directions")


def _sum_of(system: LinearSystem, name: str, found: Any, batch: tuple[int, ...]) -> Any:
    """Derivatives of all series, (N, ...), as the derivative in what the system holds."""
    entry = getattr(system, name)
    if entry is None:
        return None
    core = 1 if name in _VECTORS else 2
    if name not in _OF_START and not (system.time_varying and entry.ndim > core):
        return _summed(
            found, batch, (*entry.shape[:-core], 1, *entry.shape[-core:]), core + 1
        ).reshape(entry.shape)
    return _summed(found, batch, entry.shape, core if name in _OF_START else core + 1)


def _summed(found: Array, batch: tuple[int, ...], shape: tuple[int, ...], core: int) -> Array:
    """Sum over the axes of a batch that `shape`, which ends with `core` others, does not have."""
    if not batch:
        return found.reshape(shape)
    own = shape[-core:]
    full = found.reshape(*batch, *own)
    lead = shape[:-core]
    full = full.sum(axis=tuple(range(len(batch) - len(lead))))
    shared = tuple(i for i, length in enumerate(lead) if length == 1)
    return np.asarray(full.sum(axis=shared, keepdims=True))


def one_system(system: Any) -> LinearSystem:
    """Refuse a batch, and matrices that change in time."""
    given = require_system(system)
    if given.batch_shape or given.time_varying:
        msg = "system: got a batch or time-varying matrices, want one time-invariant system"
        raise ValueError(msg)
    return given
