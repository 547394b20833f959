"""Steady state of the filter."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._core import ConvergenceError
from eigenflow._core import lds as _kernels
from eigenflow.lds.arguments import require_one
from eigenflow.lds.series import packed
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
        state noise does not reach a mode on it. The message names the modes.

    Notes
    -----
    Each doubling joins a block of filter steps with itself (Chiang, Fan, Lin, SIAM J. Matrix Anal.
    Appl. 31, 2010; Sarkka and Garcia-Fernandez, IEEE TAC 66, 2021), so slow systems need a few
    steps more, not many: rho = 1 - 1e-8 needs about 32. Beyond rho = 0.98 the doubling runs in
    twice the digits, so that P keeps a relative error of a few 1e-16 there too. Cost: about 20 n^3
    flops a doubling, and 20 times as many in twice the digits.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, steady_state
    >>> steady = steady_state(LinearSystem(1.0, 1.0, 1469.1, 15099.0))
    >>> round(float(steady.predicted_cov[0, 0]), 3), round(float(steady.gain[0, 0]), 6)
    (5501.258, 0.267048)
    """
    arrays = packed(require_one(system))
    try:
        return SteadyState(*_kernels.steady_state(arrays))
    except ConvergenceError as error:
        modes = unfit_modes(system)
        raise (ConvergenceError(f"{error}; {modes}") if modes else error) from None


def unfit_modes(system: Any, *, excite_all: bool = False) -> str:
    """Which modes keep the filter from forgetting, by the test of Popov, Belevitch and Hautus.

    `excite_all` asks for noise on the modes outside the unit circle too.
    """
    A, C, Q = system.A, system.C, system.Q
    if system.cross_cov is not None:
        J = system.cross_cov @ np.linalg.pinv(system.R, hermitian=True)
        A, Q = A - J @ C, Q - J @ system.cross_cov.T
    n, found = len(A), []
    C = C / (np.linalg.norm(C) or 1.0)
    Q = Q / (np.linalg.norm(Q) or 1.0)
    for value in np.linalg.eigvals(A):
        # An eigenvalue of a Jordan block moves by a root of the rounding error.
        if abs(value) < 1 - 1e-6 or value.imag < 0:
            continue
        shifted = (A - value * np.eye(n)) / max(1.0, float(np.linalg.norm(A)))
        if np.linalg.svd(np.vstack([shifted, C]), compute_uv=False)[-1] < 1e-7:
            found.append(f"{_text(value)} is not observed")
            continue
        on_circle = abs(value) < 1 + 1e-6
        if (on_circle or excite_all) and (
            np.linalg.svd(np.hstack([shifted, Q]), compute_uv=False)[n - 1] < 1e-7
        ):
            where = "on" if on_circle else "outside"
            found.append(
                f"{_text(value)} lies {where} the unit circle and no state noise reaches it"
            )
    return "; ".join(dict.fromkeys(found))


def _text(value: complex) -> str:
    if value.imag == 0:
        return f"the mode with eigenvalue {value.real:.6g}"
    return f"the mode with eigenvalues {value.real:.6g} +- {value.imag:.6g}i"
