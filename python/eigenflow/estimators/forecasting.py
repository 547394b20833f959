"""Forecasts of a series by a structural model, in the manner of scikit-learn."""

from statistics import NormalDist
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from eigenflow import lds
from eigenflow._arrays import Array, as_float_array
from eigenflow._index import continued, has_index, like_input
from eigenflow.estimators._settings import require_count

__all__ = ["KalmanForecaster"]


class KalmanForecaster(BaseEstimator):
    """Fit a structural model to one series by maximum likelihood, smooth it and forecast it.

    A pandas series keeps its index: what belongs to its steps comes back as a series with the same
    index, forecasts with the index continued. Missing values (NaN) are simply not observed.

    Parameters
    ----------
    level : str
        Of `eigenflow.lds.structural`: "local level", "local linear trend", "smooth trend", "random
        walk", "fixed" or "none".
    seasonal : int, optional
        Period of a seasonal pattern.
    ar : int
        Order of an autoregression.
    model : StateSpaceModel, optional
        Another model of one series, in place of the three.
    method : {"lbfgs", "em"}
        Of `eigenflow.lds.fit`.

    Attributes
    ----------
    result_ : FitResult
        Estimates, standard errors, likelihood.
    params_ : dict of str to float
        The estimates by name.
    system_ : LinearSystem
        The fitted system.
    smoothed_, smoothed_std_ : ndarray or Series
        What the states say of each step without its noise, given the whole series, and the
        standard deviation.
    predicted_ : ndarray or Series
        One-step predictions. Those of the first steps, while the start is diffuse, are NaN.
    final_state_ : FilterState
        Where forecasts start.

    Notes
    -----
    It has `get_params`, `set_params` and `clone` like every scikit-learn estimator. A series is not
    a table of independent rows, so that it takes no X: `fit(y)`, `predict(steps)`.

    Examples
    --------
    >>> from eigenflow.demo.nile import FLOW
    >>> from eigenflow.estimators import KalmanForecaster
    >>> model = KalmanForecaster().fit(FLOW)
    >>> model.predict(2).round(1), model.result_.log_likelihood.__round__(4)
    (array([798.4, 798.4]), -633.4646)
    """

    def __init__(
        self,
        level: str = "local level",
        *,
        seasonal: int | None = None,
        ar: int = 0,
        model: lds.StateSpaceModel | None = None,
        method: str = "lbfgs",
    ) -> None:
        self.level = level
        self.seasonal = seasonal
        self.ar = ar
        self.model = model
        self.method = method

    def fit(self, y: Any) -> "KalmanForecaster":
        """Estimate the parameters.

        Parameters
        ----------
        y : array_like or pandas.Series, shape (T,)

        Returns
        -------
        KalmanForecaster
        """
        values = _as_values(y)
        model = self.model
        if model is None:
            level: Any = self.level
            model = lds.structural(level, seasonal=self.seasonal, ar=self.ar)
        method: Any = self.method
        self.result_ = lds.fit(model, values, method=method)
        self.params_ = dict(zip(self.result_.names, self.result_.params.tolist(), strict=True))
        self.system_ = self.result_.system
        forward = lds.filter(self.system_, values, store=("predicted_mean",))
        both = lds.smooth(self.system_, values, store=("smoothed_mean", "smoothed_cov"))
        C = self.system_.C[0]
        covs: Any = both.smoothed_cov
        variances = np.einsum("i,tij,j->t", C, covs.dense(), C)
        predicted = self._signal(forward.predicted_mean)
        predicted[: forward.n_diffuse] = np.nan
        self.smoothed_ = like_input(self._signal(both.smoothed_mean), y, "smoothed")
        self.smoothed_std_ = like_input(np.sqrt(np.maximum(variances, 0.0)), y, "smoothed_std")
        self.predicted_ = like_input(predicted, y, "predicted")
        self.final_state_ = forward.final_state
        self._last_index = y.index if has_index(y) else None
        self._n_seen = len(values)
        return self

    def update(self, y: Any) -> "KalmanForecaster":
        """Read further observations without a new fit: forecasts then start after them.

        Parameters
        ----------
        y : array_like or pandas.Series
            The values that follow.

        Returns
        -------
        KalmanForecaster
        """
        check_is_fitted(self)
        values = _as_values(y)
        found = lds.filter(self.system_, values, state=self.final_state_, store=())
        self.final_state_ = found.final_state
        self._last_index = y.index if has_index(y) else None
        self._n_seen += len(values)
        return self

    def predict(self, steps: int) -> Any:
        """Forecast the next values.

        Parameters
        ----------
        steps : int
            How many, at least 1.

        Returns
        -------
        ndarray or Series, shape (steps,)
        """
        mean, _ = self._ahead(steps)
        return continued(mean, self._last_index, self._n_seen, "forecast")

    def predict_interval(self, steps: int, *, coverage: float = 0.9) -> Any:
        """Intervals that hold a future value with this probability, the parameters taken as known.

        Parameters
        ----------
        steps : int
        coverage : float
            Between 0 and 1.

        Returns
        -------
        ndarray, shape (steps, 2), or DataFrame with the columns lower and upper
        """
        if not 0 < coverage < 1:
            msg = f"coverage: got {coverage}, want a probability between 0 and 1"
            raise ValueError(msg)
        mean, std = self._ahead(steps)
        half = NormalDist().inv_cdf((1 + coverage) / 2) * std
        table = np.stack([mean - half, mean + half], axis=1)
        return continued(table, self._last_index, self._n_seen, ("lower", "upper"))

    def score(self, y: Any) -> float:
        """Mean log-likelihood of the values that follow, given all seen before.

        Parameters
        ----------
        y : array_like
            The values that follow the series.

        Returns
        -------
        float
        """
        check_is_fitted(self)
        values = _as_values(y)
        total = lds.log_likelihood(self.system_, values, state=self.final_state_)
        return float(total) / max(1, int(np.isfinite(values).sum()))

    def plot(self, y: Any, steps: int = 0, *, coverage: float = 0.9, ax: Any = None) -> Any:
        """Draw the series, its smoothed level and its forecast, with their bands.

        Parameters
        ----------
        y : array_like or pandas.Series
            The series of `fit`.
        steps : int
            Length of the forecast.
        coverage : float
            Of both bands.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from eigenflow import plot

        check_is_fitted(self)
        ax = plot.level(y, self.smoothed_, self.smoothed_std_, band=coverage, ax=ax)
        if steps:
            mean, std = self._ahead(steps)
            after = continued(mean, self._last_index, self._n_seen, "forecast")
            times = getattr(after, "index", np.arange(self._n_seen, self._n_seen + steps))
            plot.level(
                None,
                mean,
                std,
                times=times,
                band=coverage,
                label="forecast",
                colour="orange",
                ax=ax,
            )
        return ax

    def _ahead(self, steps: int) -> tuple[Array, Array]:
        """Means and standard deviations of the next observations."""
        check_is_fitted(self)
        require_count(steps, "steps")
        if self.final_state_.diffuse.size:
            msg = "y: got too few observations to forecast, want enough to end the diffuse start"
            raise ValueError(msg)
        found = lds.forecast(self.system_, np.empty(0), int(steps), state=self.final_state_)
        return found.mean[:, 0], np.sqrt(found.cov[:, 0, 0])

    def _signal(self, states: Array) -> Array:
        return np.asarray(states @ self.system_.C[0] + self.system_.obs_offset[0])


def _as_values(y: Any) -> Array:
    values = as_float_array(y, "y", dtype=np.float64, check_finite=False)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        msg = f"y: got shape {values.shape}, want one series of shape (T,)"
        raise ValueError(msg)
    return values
