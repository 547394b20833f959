"""Structural models as state space models, with the conventions of statsmodels."""

from typing import Any, Literal

import numpy as np
import scipy.linalg

from eigenflow._arrays import Array
from eigenflow.lds.estimation.model import StateSpaceModel
from eigenflow.lds.estimation.scoring import ScoreResult
from eigenflow.lds.start import stationary_cov
from eigenflow.lds.structure import MANY_LAGS, as_count
from eigenflow.lds.system import LinearSystem

Level = Literal["local level", "local linear trend", "smooth trend", "random walk", "fixed", "none"]

# Level, slope; the variance of each is free, zero, or the state is not there.
_LEVELS: dict[str, tuple[bool | None, bool | None]] = {
    "local level": (True, None),
    "random walk": (True, None),
    "local linear trend": (True, True),
    "smooth trend": (False, True),
    "fixed": (False, None),
    "none": (None, None),
}


def local_level() -> StateSpaceModel:
    """Random walk in noise: `structural` with the level "local level".

    Returns
    -------
    StateSpaceModel
        Parameters sigma2.irregular and sigma2.level.

    Examples
    --------
    >>> from eigenflow.demo.nile import FLOW
    >>> from eigenflow.lds import fit, local_level
    >>> fit(local_level(), FLOW).params.round(1)
    array([15098.5,  1469.2])
    """
    return structural("local level")


def local_linear_trend() -> StateSpaceModel:
    """Level with a slope that both take random steps, in noise.

    Returns
    -------
    StateSpaceModel
        Parameters sigma2.irregular, sigma2.level and sigma2.trend.

    Examples
    --------
    >>> from eigenflow.lds import local_linear_trend
    >>> local_linear_trend().names
    ('sigma2.irregular', 'sigma2.level', 'sigma2.trend')
    """
    return structural("local linear trend")


def structural(
    level: Level = "local level", *, seasonal: int | None = None, ar: int = 0
) -> StateSpaceModel:
    r"""Sum of a level, a seasonal pattern, an autoregression and noise.

    .. math::
        y_t = \mu_t + \gamma_t + c_t + \varepsilon_t, \quad
        \mu_{t+1} = \mu_t + \beta_t + \eta_t, \quad \beta_{t+1} = \beta_t + \zeta_t, \quad
        \gamma_{t+1} = -\sum_{j=0}^{s-2} \gamma_{t-j} + \omega_t

    Parameters
    ----------
    level : str
        "local level", "local linear trend", "smooth trend" (a slope that takes steps and a level
        that does not), "random walk" (a local level without noise), "fixed" (a constant) or
        "none".
    seasonal : int, optional
        Period s of a stochastic seasonal pattern in dummy form, at least 2.
    ar : int
        Order of the autoregression, from its stationary law.

    Returns
    -------
    StateSpaceModel
        Parameters sigma2.irregular, sigma2.level, sigma2.trend, sigma2.seasonal, sigma2.ar and
        ar.L1, ..., as far as they are there: the names, order and states of
        `statsmodels.tsa.statespace.structural.UnobservedComponents`. All states but the
        autoregression start exactly diffuse (``use_exact_diffuse=True`` there).

    Raises
    ------
    ValueError, TypeError
        If a name is unknown or a number out of range.

    Notes
    -----
    Source: Harvey, Forecasting, Structural Time Series Models and the Kalman Filter, 1989; Durbin
    and Koopman 2012, chapter 3.

    Examples
    --------
    >>> from eigenflow.lds import structural
    >>> structural("smooth trend", seasonal=4).names
    ('sigma2.irregular', 'sigma2.trend', 'sigma2.seasonal')
    """
    if level not in _LEVELS:
        msg = f"level: got {level!r}, want one of {', '.join(map(repr, _LEVELS))}"
        raise ValueError(msg)
    period = 0 if seasonal is None else as_count(seasonal, "seasonal", 2, most=MANY_LAGS)
    order = as_count(ar, "ar", 0, most=MANY_LAGS)
    parts = _Parts(level, period, order)
    if not parts.states:
        msg = "level: got 'none' without a seasonal pattern or an autoregression, want a state"
        raise ValueError(msg)
    return StateSpaceModel(
        tuple(parts.names),
        parts.build,
        tuple(parts.kinds),
        lambda y: _start(parts, y),
        None if order else parts.em_step,
        None if order else parts.derivatives,
    )


class _Parts:
    """Where each parameter goes: ("R", 0), ("Q", i) or ("A", i, j)."""

    def __init__(self, level: str, period: int, order: int) -> None:
        self.order = order
        self.names: list[str] = []
        self.kinds: list[str] = []
        self.places: list[tuple[Any, ...]] = []
        blocks: list[Array] = []
        self.loadings: list[float] = []
        if level != "random walk":
            self._variance("sigma2.irregular", ("R", 0, 0))
        self._add_level(_LEVELS[level], blocks)
        if period:
            self._variance("sigma2.seasonal", ("Q", self.states, self.states))
            turn = np.eye(period - 1, k=-1)
            turn[0] = -1.0
            blocks.append(turn)
            self.loadings += [1.0, *[0.0] * (period - 2)]
        self.n_diffuse = self.states
        if order:
            self._variance("sigma2.ar", ("Q", self.states, self.states))
            for i in range(order):
                self.names.append(f"ar.L{i + 1}")
                self.kinds.append("stationary")
                self.places.append(("A", self.states, self.states + i))
            blocks.append(np.eye(order, k=-1))
            self.loadings += [1.0, *[0.0] * (order - 1)]
        self.transition = scipy.linalg.block_diag(*blocks) if blocks else np.zeros((0, 0))

    @property
    def states(self) -> int:
        return len(self.loadings)

    def _variance(self, name: str, place: tuple[Any, ...]) -> None:
        self.names.append(name)
        self.kinds.append("variance")
        self.places.append(place)

    def _add_level(self, states: tuple[bool | None, bool | None], blocks: list[Array]) -> None:
        level, slope = states
        if level:
            self._variance("sigma2.level", ("Q", 0, 0))
        if slope:
            self._variance("sigma2.trend", ("Q", 1, 1))
        if level is not None:
            blocks.append(np.eye(1) if slope is None else np.array([[1.0, 1.0], [0.0, 1.0]]))
            self.loadings += [1.0] if slope is None else [1.0, 0.0]

    def build(self, params: Array) -> dict[str, Any]:
        n = self.states
        matrices = {"A": self.transition.copy(), "Q": np.zeros((n, n)), "R": np.zeros((1, 1))}
        for value, (name, i, j) in zip(params, self.places, strict=True):
            matrices[name][i, j] = value
        cov, k = np.zeros((n, n)), self.n_diffuse
        if self.order:
            cov[k:, k:] = stationary_cov(matrices["A"][k:, k:], matrices["Q"][k:, k:])
        diffuse = np.arange(n) < k
        C = np.array([self.loadings])
        return matrices | {"C": C, "cov0": cov, "mean0": np.zeros(n), "diffuse": diffuse}

    def derivatives(self, _: Array) -> list[dict[str, Array]]:
        """Each parameter is an entry; with an autoregression the start depends on them too."""
        out = []
        for name, i, j in self.places:
            unit = np.zeros((self.states, self.states) if name != "R" else (1, 1))
            unit[i, j] = 1.0
            out.append({name: unit})
        return out

    def em_step(self, params: Array, found: ScoreResult, system: LinearSystem) -> Array:
        """Replace each variance by the mean square of its smoothed disturbances."""
        out = params.copy()
        for i, (name, a, b) in enumerate(self.places):
            count = found.n_steps if name == "R" else found.n_steps - 1
            out[i] += 2 * params[i] ** 2 * getattr(found, name)[a, b] / count
        return np.maximum(out, 0.0)


def _start(parts: _Parts, y: Array) -> Array:
    """Share the variance of the first differences among the variances."""
    steps = np.diff(y[~np.isnan(y)])
    scale = float(np.var(steps)) if steps.size else 1.0
    scale = scale or float(np.nanvar(y)) or 1.0
    share = {"sigma2.irregular": 0.3, "sigma2.level": 0.3, "sigma2.trend": 0.03, "sigma2.ar": 0.3}
    first = {"ar.L1": 0.5}
    return np.array(
        [
            scale * share.get(name, 0.1) if kind == "variance" else first.get(name, 0.0)
            for name, kind in zip(parts.names, parts.kinds, strict=True)
        ]
    )


def arma(p: int, q: int, *, mean: bool = False) -> StateSpaceModel:
    r"""Autoregression and moving average in Harvey's form.

    .. math:: y_t = m + \sum \phi_i (y_{t-i} - m) + \varepsilon_t + \sum \theta_j
              \varepsilon_{t-j}

    Parameters
    ----------
    p, q : int
        Orders of the autoregression and the moving average.
    mean : bool
        Whether there is a mean m.

    Returns
    -------
    StateSpaceModel
        Parameters const (with a mean), ar.L1, ..., ma.L1, ..., sigma2, as in
        `statsmodels.tsa.arima.model.ARIMA`. The start is the stationary law; searches stay among
        stationary and invertible coefficients.

    Raises
    ------
    ValueError, TypeError
        If an order is negative.

    Examples
    --------
    >>> from eigenflow.lds import arma
    >>> arma(2, 1, mean=True).names
    ('const', 'ar.L1', 'ar.L2', 'ma.L1', 'sigma2')
    """
    p, q = (as_count(x, name, 0, most=MANY_LAGS) for x, name in ((p, "p"), (q, "q")))
    n = max(p, q + 1)
    names = [*["const"] * mean, *(f"ar.L{i + 1}" for i in range(p))]
    names += [*(f"ma.L{j + 1}" for j in range(q)), "sigma2"]
    kinds = ["free"] * mean + ["stationary"] * p + ["invertible"] * q + ["variance"]

    def build(params: Array) -> dict[str, Any]:
        rest = params[int(mean) :]
        A = np.eye(n, k=1)
        A[:p, 0] = rest[:p]
        noise = np.append(1.0, np.zeros(n - 1))
        noise[1 : q + 1] = rest[p : p + q]
        Q = rest[-1] * np.outer(noise, noise)
        made = {"A": A, "C": np.eye(1, n), "Q": Q, "R": np.zeros((1, 1)), "mean0": np.zeros(n)}
        offset = params[:1] if mean else np.zeros(1)
        return made | {"cov0": stationary_cov(A, Q), "obs_offset": offset}

    def start(y: Array) -> Array:
        level = [float(np.nanmean(y))] * mean
        return np.array([*level, *[0.1] * min(p, 1), *[0.0] * (p + q - min(p, 1)), np.nanvar(y)])

    return StateSpaceModel(tuple(names), build, tuple(kinds), start)
