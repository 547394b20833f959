"""Predictors that carry a state: few parameters, whatever the horizon."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from eigenflow._arrays import Array, as_float_array
from eigenflow.lds import extended
from eigenflow.lds.extended import Extended
from eigenflow.lds.innovations import innovations_form, plain
from eigenflow.lds.simulation import _root as psd_root
from eigenflow.lds.structure import as_count, as_square


@dataclass(frozen=True, eq=False)
class RecursivePredictor:
    """A predictor with a state: z' = F z + G y, and H z predicts y; z starts at 0.

    The paper's remark on recursive classes: the parametrisation matters, not only the count. The
    steady Kalman filter is of this kind and has zero risk; for one output n + n numbers describe
    it (`min_parameters`, `recursive_siso`).

    Parameters
    ----------
    transition : (m, m) array_like
        F.
    gain : (m, p) array_like
        G.
    observation : (p, m) array_like
        H.
    n_parameters : int, optional
        Free numbers; by default those of a system in a canonical form, 2 m p.
    """

    transition: Array
    gain: Array
    observation: Array
    n_parameters: int | None = None
    _exact: Callable[[], tuple[Extended, Extended, Extended]] | None = None

    def __post_init__(self) -> None:
        F = as_square(self.transition, "transition")
        G = as_float_array(self.gain, "gain", ndim=2, dtype=np.float64)
        H = as_float_array(self.observation, "observation", ndim=2, dtype=np.float64)
        if G.shape[0] != len(F) or H.shape != G.T.shape:
            msg = f"gain: got shapes {G.shape} and {H.shape}, want ({len(F)}, p) and (p, {len(F)})"
            raise ValueError(msg)
        for name, a in (("transition", F), ("gain", G), ("observation", H)):
            object.__setattr__(self, name, a.copy())
        if self.n_parameters is None:
            object.__setattr__(self, "n_parameters", 2 * G.size)

    def exact(self) -> tuple[Extended, Extended, Extended]:
        """F, G and H to the current number of digits."""
        if self._exact is not None:
            return self._exact()
        return tuple(map(extended.extend, (self.transition, self.gain, self.observation)))  # type: ignore[return-value]

    def predict(self, y: Any) -> Array:
        """One-step predictions of a series.

        Parameters
        ----------
        y : (T, p) or (T,) array_like

        Returns
        -------
        (T, p) ndarray
            Row t predicts y_t from the rows before it.
        """
        a = as_float_array(y, "y", ndim=(1, 2), dtype=np.float64)
        a = a[:, None] if a.ndim == 1 else a
        z, out = np.zeros(len(self.transition)), np.empty(a.shape)
        for row, into in zip(a, out, strict=True):
            into[:] = self.observation @ z
            z = self.transition @ z + self.gain @ row
        return out


def exponential_smoothing(gain: float) -> RecursivePredictor:
    """Return the predictor z' = z + gain (y - z): one parameter.

    For the noisy random walk with the steady gain it is the Kalman filter, with risk 0 at every
    horizon: where a filter of fixed length needs one weight for each step it looks back, this one
    needs a single number.

    Parameters
    ----------
    gain : float
        Between 0 and 1.

    Returns
    -------
    RecursivePredictor

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, exponential_smoothing, risk, steady_state
    >>> walk = LinearSystem(1.0, 1.0, 1.0, 4.0)
    >>> gain = float(steady_state(walk).gain[0, 0])
    >>> risk(walk, exponential_smoothing(gain), 10**9).mean < 1e-30
    True
    """
    value = float(as_float_array(gain, "gain", ndim=0, dtype=np.float64))
    if not 0 <= value <= 1:
        msg = f"gain: got {value}, want a number between 0 and 1"
        raise ValueError(msg)

    def exact() -> tuple[Extended, Extended, Extended]:
        one, g = extended.identity(1), extended.extend(np.array([[value]]))
        return one - g, g, one  # float64 would round 1 - gain, and drift away from a random walk

    one = np.eye(1)
    return RecursivePredictor(one - value, one * value, one, 1, exact)


def kalman_predictor(system: Any) -> RecursivePredictor:
    """Return the steady Kalman filter of a system as a learner for `risk`.

    Parameters
    ----------
    system : LinearSystem
        May be another one than the system it is scored on, for example one that was fitted to data
        or has fewer states.

    Returns
    -------
    RecursivePredictor
        With F = A - L C, G = L and H = C.
    """
    matrices = plain(system)

    def exact() -> tuple[Extended, Extended, Extended]:
        form = innovations_form(matrices)
        return form.closed, form.gain, form.C

    with extended.working_digits(40):
        F, G, H = map(extended.to_float, exact())
    return RecursivePredictor(F, G, H, None, exact)


def balanced_predictor(system: Any, order: int) -> RecursivePredictor:
    """Cut the steady Kalman filter of a system down to fewer states, by balanced truncation.

    Parameters
    ----------
    system : LinearSystem
        As for `fir_predictor`.
    order : int
        Number r of states that are kept, from 1 to n; 2 r p parameters.

    Returns
    -------
    RecursivePredictor

    Raises
    ------
    ValueError, TypeError
        If the order is out of range or the system has no steady filter.

    Notes
    -----
    The filter A - L C, L, C is stable, whatever A is, and is balanced with the innovations'
    covariance as its unit (Moore, IEEE TAC 26, 1981). Nothing makes the small filter repeat the
    unstable modes exactly: for r < n its mean risk grows with the horizon when the system is not
    stable. The parametrisation decides, not the count.

    Examples
    --------
    >>> import numpy as np
    >>> from eigenflow.lds import LinearSystem, balanced_predictor, risk
    >>> system = LinearSystem(np.diag([0.9, 0.5, -0.1]), np.ones((1, 3)), np.eye(3), 1.0)
    >>> [round(risk(system, balanced_predictor(system, r), 1000).mean, 4) for r in (1, 2, 3)]
    [0.0062, 0.0003, 0.0]
    """
    matrices = plain(system)
    n = len(matrices.A)
    r = as_count(order, "order", 1)
    if r > n:
        msg = f"order: got {r}, want at most {n} as the system has states"
        raise ValueError(msg)
    if r == n:
        return kalman_predictor(system)
    with extended.working_digits(40):
        form = innovations_form(matrices)
        parts = (form.closed, form.gain, form.C, form.driving_cov)
        F, L, C, driving = map(extended.to_float, parts)
        weight = extended.to_float(form.C.T @ form.innovation_precision @ form.C)
    reach = psd_root(scipy.linalg.solve_discrete_lyapunov(F, driving))
    seen = psd_root(scipy.linalg.solve_discrete_lyapunov(F.T, weight))
    u, s, vh = np.linalg.svd(seen.T @ reach)
    if not s[r - 1] > 0:
        msg = f"order: got {r}, want at most {int(np.sum(s > 0))}: the other states do nothing"
        raise ValueError(msg)
    scale = 1 / np.sqrt(s[:r])
    into, out_of = scale[:, None] * (u[:, :r].T @ seen.T), reach @ vh[:r].T * scale
    return RecursivePredictor(into @ F @ out_of, into @ L, C @ out_of)
