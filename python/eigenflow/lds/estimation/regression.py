"""Least squares over restricted classes of predictors of the next observation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize

from eigenflow._arrays import Array, as_float_array
from eigenflow.lds.estimation.windows import (
    HankelData,
    autoregressive_factor,
    triangular_factor,
)
from eigenflow.lds.prediction import FirFilter
from eigenflow.lds.recursive import RecursivePredictor, exponential_smoothing
from eigenflow.lds.structure import MANY_LAGS, as_count


@dataclass(frozen=True, eq=False)
class FittedFilter(FirFilter):
    """A fixed filter whose weights were estimated; `risk` takes it as a learner.

    Attributes
    ----------
    weights : (length, p, p) ndarray
    parameter_count, manifold_dim : int
        Both p^2 length.
    residual_cov : (p, p) ndarray
        Mean of the outer products of the one-step errors.
    """

    parameter_count: int
    manifold_dim: int
    residual_cov: Array


def fit_filter(y: Any, length: int | None = None, *, max_length: int | None = None) -> FittedFilter:
    """Autoregression of a series on its last `length` values by least squares.

    Parameters
    ----------
    y : (T, p) or (T,) array_like
        A series without missing numbers.
    length : int, optional
        Number h of past values; by default the one with the least AIC.
    max_length : int, optional
        Largest length to consider; 10 log10(T) by default, as far as the data allow.

    Returns
    -------
    FittedFilter

    Raises
    ------
    ValueError, TypeError
        If y has a missing number or is too short, or its lags are linearly dependent.

    Notes
    -----
    One QR decomposition over blocks of windows, O(T h^2 p^2), serves all lengths; the matrix of
    windows is never formed.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, fit_filter, simulate
    >>> y = simulate(LinearSystem(0.8, 1.0, 1.0, 0.0), 1000, rng=0).observations
    >>> found = fit_filter(y, 1)
    >>> bool(abs(found.weights[0, 0, 0] - 0.8) < 0.05), found.parameter_count
    (True, 1)
    """
    a = as_series(y)
    n, p = a.shape
    if length is None:
        length = aic_length(a, max_length)
    h = as_count(length, "length", 1, most=MANY_LAGS)
    if n - h < (h + 1) * p:
        msg = f"y: got {n} steps, want at least {(h + 1) * p + h} for a length of {h}"
        raise ValueError(msg)
    R = autoregressive_factor(a, h)
    size = h * p
    require_independent(R[:size, :size])
    flat = scipy.linalg.solve_triangular(R[:size, :size], R[:size, size:])
    left = R[size:, size:]
    weights = flat.reshape(h, p, p).transpose(0, 2, 1)
    return FittedFilter(weights, p * p * h, p * p * h, left.T @ left / (n - h))


@dataclass(frozen=True, eq=False)
class FittedArx:
    """An autoregression with inputs, as `fit_arx` returns it.

    Attributes
    ----------
    weights : (length, p, p) ndarray
        Of the past observations, the newest first.
    input_weights : (input_length, p, m) ndarray
        Of the inputs, the newest first.
    delay : int
        Steps between the newest input used and the observation predicted.
    parameter_count, manifold_dim : int
        Both p^2 length + p m input_length.
    residual_cov : (p, p) ndarray
        Mean of the outer products of the one-step errors.
    """

    weights: Array
    input_weights: Array
    delay: int
    parameter_count: int
    manifold_dim: int
    residual_cov: Array

    def predict(self, y: Any, inputs: Any) -> Array:
        """One-step predictions of each step from what came before it.

        Parameters
        ----------
        y : (T, p) or (T,) array_like
        inputs : (T, m) or (T,) array_like

        Returns
        -------
        (T, p) ndarray
            NaN in the first steps, which look back beyond the start.
        """
        a, u = _pair(y, inputs)
        if a.shape[1] != self.weights.shape[1] or u.shape[1] != self.input_weights.shape[2]:
            wanted = self.weights.shape[1], self.input_weights.shape[2]
            msg = f"inputs: got {a.shape[1]} and {u.shape[1]} columns, want {wanted}, as fitted"
            raise ValueError(msg)
        out = np.full(a.shape, np.nan)
        first, past, known = _arx_windows(
            a, u, len(self.weights), len(self.input_weights), self.delay
        )
        if first < len(a):
            p = a.shape[1]
            flat = [w.transpose(0, 2, 1).reshape(-1, p) for w in (self.weights, self.input_weights)]
            out[first:] = past.dot(flat[0]) + known.dot(flat[1])
        return out


def fit_arx(
    y: Any, inputs: Any, length: int, *, input_length: int | None = None, delay: int = 0
) -> FittedArx:
    r"""Autoregression with inputs, by least squares.

    .. math::
        \hat y_t = \sum_{k=1}^{h} F_k y_{t-k} + \sum_{j=0}^{b-1} G_j u_{t-d-j}

    Parameters
    ----------
    y : (T, p) or (T,) array_like
        A series without missing numbers.
    inputs : (T, m) or (T,) array_like
        The known inputs.
    length : int
        Number h >= 1 of past values.
    input_length : int, optional
        Number b >= 1 of inputs; `length` by default.
    delay : int
        Steps d after which an input is seen first: 0 for inputs that act on the observation at once
        (D of a LinearSystem), 1 for those that go through the state (B).

    Returns
    -------
    FittedArx

    Raises
    ------
    ValueError, TypeError
        If a number is missing, the series is too short, or the columns are linearly dependent (as
        for an input that does not move).

    Notes
    -----
    One QR decomposition over blocks of windows, O(T (h p + b m)^2); the matrix of windows is never
    formed.

    Examples
    --------
    >>> import numpy as np
    >>> from eigenflow.lds import fit_arx
    >>> u = np.random.default_rng(0).standard_normal(500)
    >>> y = np.zeros(500)
    >>> for t in range(1, 500):
    ...     y[t] = 0.5 * y[t - 1] + 2 * u[t]
    >>> found = fit_arx(y, u, 1)
    >>> found.weights.ravel().round(6), found.input_weights.ravel().round(6)
    (array([0.5]), array([2.]))
    """
    a, u = _pair(y, inputs)
    h = as_count(length, "length", 1)
    b = h if input_length is None else as_count(input_length, "input_length", 1)
    d = as_count(delay, "delay", 0)
    p, m = a.shape[1], u.shape[1]
    first = max(h, d + b - 1)  # the first step that can be predicted
    size, n_rows = h * p + b * m, len(a) - first
    if n_rows < size + p:
        msg = f"y: got {len(a)} steps, want at least {first + size + p} for {size} weights a row"
        raise ValueError(msg)
    _, past, known = _arx_windows(a, u, h, b, d)
    R = triangular_factor(past, known, HankelData(a, first, 1, n_rows))
    require_independent(R[:size, :size])
    flat = scipy.linalg.solve_triangular(R[:size, :size], R[:size, size:])
    left = R[size:, size:]
    count = p * p * h + p * m * b
    return FittedArx(
        flat[: h * p].reshape(h, p, p).transpose(0, 2, 1),
        flat[h * p :].reshape(b, m, p).transpose(0, 2, 1),
        d,
        count,
        count,
        left.T @ left / n_rows,
    )


def _pair(y: Any, inputs: Any) -> tuple[Array, Array]:
    a = as_series(y)
    u = as_float_array(inputs, "inputs", ndim=(1, 2), dtype=np.float64)
    u = u[:, None] if u.ndim == 1 else u
    if len(u) != len(a) or not u.shape[1]:
        msg = (
            f"inputs: got shape {u.shape}, want ({len(a)}, m) with m >= 1, as y has {len(a)} steps"
        )
        raise ValueError(msg)
    return a, u


def _arx_windows(
    y: Array, u: Array, length: int, input_length: int, delay: int
) -> tuple[int, HankelData, HankelData]:
    """First step that can be predicted, and the windows that predict it and those after it."""
    first = max(length, delay + input_length - 1)
    n_rows = max(0, len(y) - first)
    return (
        first,
        HankelData(y, first - length, length, n_rows, newest_first=True),
        HankelData(u, first - delay - input_length + 1, input_length, n_rows, newest_first=True),
    )


def fit_smoothing(y: Any) -> RecursivePredictor:
    """Exponential smoothing with the gain of least squared one-step errors.

    Parameters
    ----------
    y : (T,) or (T, 1) array_like
        A series without missing numbers.

    Returns
    -------
    RecursivePredictor
        Its one parameter is ``gain[0, 0]``.

    Raises
    ------
    ValueError, TypeError
        If y has a missing number or several columns.

    Notes
    -----
    The first forecast is the first value. Found by a bounded search over (0, 1), about 40 passes.

    Examples
    --------
    >>> from eigenflow.demo.nile import FLOW
    >>> from eigenflow.lds import fit_smoothing
    >>> fit_smoothing(FLOW).gain.round(3)
    array([[0.247]])
    """
    from scipy.signal import lfilter

    a = as_series(y)
    if a.shape[1] != 1:
        msg = f"y: got {a.shape[1]} columns, want one series"
        raise ValueError(msg)
    x = a[:, 0] - a[0, 0]

    def loss(gain: float) -> float:
        level = lfilter([gain], [1.0, gain - 1.0], x)
        return float(np.mean((x[1:] - level[:-1]) ** 2))

    found = scipy.optimize.minimize_scalar(
        loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-10}
    )
    return exponential_smoothing(min((0.0, 1.0, float(found.x)), key=loss))


def as_series(y: Any) -> Array:
    """One complete series as a (T, p) array."""
    a = as_float_array(y, "y", ndim=(1, 2), dtype=np.float64)
    a = a[:, None] if a.ndim == 1 else a
    if len(a) < 2:
        msg = f"y: got {len(a)} steps, want at least 2"
        raise ValueError(msg)
    return a


def aic_length(y: Array, most: int | None) -> int:
    """Length of the autoregression with the least AIC; all are fitted to the same steps."""
    n, p = y.shape
    limit = max(1, min(round(10 * np.log10(n)), (n - p) // (3 * p + 1)))
    limit = limit if most is None else min(limit, as_count(most, "max_length", 1))
    R = autoregressive_factor(y, limit)
    steps = n - limit
    scores = []
    for h in range(1, limit + 1):
        left = R[h * p :, limit * p :]
        sign, log_det = np.linalg.slogdet(left.T @ left / steps)
        scores.append(steps * log_det + 2 * h * p * p if sign > 0 else -np.inf)
    return 1 + int(np.argmin(scores))


def require_independent(R: Array) -> None:
    """Refuse windows whose columns are linearly dependent to rounding."""
    size = np.abs(np.diag(R))
    if not (size > 1e-13 * np.linalg.norm(R, axis=0)).all():
        msg = "y: got linearly dependent columns or lags, want noise in every direction"
        raise ValueError(msg)
