"""The score: derivatives of the log-likelihood with respect to all matrices of a system."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow._core import lds_score as _kernels
from eigenflow.lds.series import EXACT_DIFFUSE, PROPER, read_observations, refuse_infinite
from eigenflow.lds.system import LinearSystem

FIELDS = (
    "A",
    "C",
    "Q",
    "R",
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
    log_likelihood : float
    A, C, Q, R, state_offset, obs_offset, mean0, cov0, diffuse_directions : ndarray
        A small change dA moves the log-likelihood by the sum of A * dA, and so on. For the
        symmetric ones the change must be symmetric.
    second_moment, last_moment : (n, n) ndarray
        Sum over all steps of the mean of x_t x_t' given the data, and the last term of it; what
        the EM algorithm needs besides the derivatives.
    n_steps, n_observed : int
        Steps, and numbers that were not missing.
    diffuse_convention : str
        Names the constant in the log-likelihood.
    """

    log_likelihood: float
    A: Array
    C: Array
    Q: Array
    R: Array
    state_offset: Array
    obs_offset: Array
    mean0: Array
    cov0: Array
    diffuse_directions: Array
    second_moment: Array
    last_moment: Array
    n_steps: int
    n_observed: int
    diffuse_convention: str

    def along(self, change: dict[str, Array]) -> float:
        """Directional derivative for changes of the matrices by name, as a Jacobian column."""
        return float(sum(np.sum(getattr(self, name) * dx) for name, dx in change.items()))


def score(system: LinearSystem, y: Any, *, check_finite: bool = True) -> ScoreResult:
    r"""Gradient of the log-likelihood, exactly, at the cost of a filter and a smoother.

    For a parameter map theta -> system, the chain rule with the derivative of the matrices gives
    the score in theta, whatever the map.

    Parameters
    ----------
    system : LinearSystem
        One time-invariant system without inputs and with uncorrelated noises.
    y : array_like, shape (T, p), or (T,) when p = 1
        Observations; NaN marks a missing number.
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
    (Koopman and Shephard, Biometrika 79, 1992). A diffuse start is a regression on the first state
    with a flat law, which is integrated out: the likelihood is that of `log_likelihood`, exact
    diffuse with all constants. Cost: about 12 n^3 flops a step until the covariance is steady,
    then 6 n (n + p) for the mean and for each diffuse direction; memory 8 (n + p) bytes a step
    for each.

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
    matrices = plain_matrices(system)
    observations, _ = read_observations(system, y)
    if observations.ndim != 2:
        msg = f"y: got shape {observations.shape}, want one series"
        raise ValueError(msg)
    if check_finite:
        refuse_infinite(observations)
    start = (system.mean0, system.cov0, system.diffuse_directions)
    found = _kernels.score(matrices, start, observations)
    convention = EXACT_DIFFUSE if system.diffuse_directions.size else PROPER
    return ScoreResult(**found, n_steps=len(observations), diffuse_convention=convention)


def plain_matrices(system: Any) -> tuple[Array, ...]:
    """Read one time-invariant system without inputs or correlated noises, or say what it has."""
    if not isinstance(system, LinearSystem):
        msg = f"system: got {type(system).__name__}, want a LinearSystem"
        raise TypeError(msg)
    for name in ("B", "D", "cross_cov"):
        if getattr(system, name, None) is not None:
            msg = f"system: got a {name}, want none: the score does not know it"
            raise ValueError(msg)
    if np.ndim(system.A) != 2 or getattr(system, "n_steps", None) is not None:
        msg = "system: got a batch or time-varying matrices, want one time-invariant system"
        raise ValueError(msg)
    return (system.A, system.C, system.Q, system.R, system.state_offset, system.obs_offset)
