"""Steady state of the filter."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eigenflow._core import lds as _kernels
from eigenflow.lds.series import packed, require_one
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SteadyState:
    """Where the covariance recursion of the filter ends.

    Attributes
    ----------
    predicted_cov : ndarray, shape (n, n)
        P, the covariance of the state before its observation.
    gain : ndarray, shape (n, p)
        K: filtered mean = predicted mean + K innovation.
    innovation_cov : ndarray, shape (p, p)
        S = C P C' + R.
    rho : float
        Spectral radius of A - A K C: the filter forgets its start like rho^t.
    residual : float
        Largest change of P in one more Riccati step, relative to the standard deviations of the
        states.
    """

    predicted_cov: Array
    gain: Array
    innovation_cov: Array
    rho: float
    residual: float


def steady_state(system: LinearSystem) -> SteadyState:
    r"""Stabilising solution of the filter's Riccati equation, by structured doubling.

    .. math::
        P = A (P - P C^\top (C P C^\top + R)^{-1} C P) A^\top + Q

    Parameters
    ----------
    system : LinearSystem

    Returns
    -------
    SteadyState

    Raises
    ------
    ConvergenceError
        If there is no such solution: a mode on or outside the unit circle is not observed, or the
        state noise does not reach a mode on it.

    Notes
    -----
    Each doubling joins a block of filter steps with itself (Chiang, Fan, Lin, SIAM J. Matrix Anal.
    Appl. 31, 2010; Sarkka and Garcia-Fernandez, IEEE TAC 66, 2021), so slow systems need a few
    steps more, not many: rho = 1 - 1e-8 needs about 32. The relative error of P grows like
    2e-16 / (1 - rho). Cost: about 20 n^3 flops a doubling.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, steady_state
    >>> steady = steady_state(LinearSystem(1.0, 1.0, 1469.1, 15099.0))
    >>> round(float(steady.predicted_cov[0, 0]), 3), round(float(steady.gain[0, 0]), 6)
    (5501.258, 0.267048)
    """
    return SteadyState(*_kernels.steady_state(packed(require_one(system))))
