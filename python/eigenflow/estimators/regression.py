"""Regression by over-parameterised gradient flow, as a scikit-learn estimator."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from eigenflow._arrays import Array, as_float_array
from eigenflow._flow_problem import as_times, require_non_negative
from eigenflow.estimators._features import (
    Standardised,
    TensorBasis,
    in_chunks,
    standardised,
    tensor_basis,
)
from eigenflow.estimators._model_selection import (
    Regression,
    cross_validated_risk,
    neighbour_noise_variance,
    sure_risk,
)
from eigenflow.estimators._settings import (
    is_number,
    require_count,
    require_flow,
    require_positive,
    require_stopping,
    start_of_b,
)
from eigenflow.flow.stopping import universal_choice

__all__ = ["FlowRegressor"]

_NAMED = ("cosine", "fourier", "haar")
_RULES = ("cv", "sure")
_N_PROBES = 2


class FlowRegressor(RegressorMixin, BaseEstimator):
    """Regression on basis functions whose eigenvalues grow where the data need them.

    f(x) = sum_j theta_j e_j(x) is fitted by gradient flow on the squared error in the factors
    theta_j = a_j b_j^depth beta_j. A kernel method fixes in advance which e_j come first; here the
    eigenvalues (a b^depth)^2 start from that order and then grow for the functions that carry
    signal, so that a sparse or misordered signal is learnt before the noise. The flow must stop in
    time: by cross-validation, by Stein's unbiased risk, or at a given time.

    Parameters
    ----------
    basis : {"cosine", "fourier", "haar", "features"} or callable
        Products over the columns of X of cosines cos(pi m x), of sines and cosines of the period
        1, or of Haar functions, where the training range of each column is [0, 1]. "features"
        takes the columns of X themselves, and a callable maps X to a matrix of features; these are
        standardised inside, and `coef_` refers to them as they were given.
    n_features : int
        At most so many basis functions, those of lowest frequency, in whole shells of equal
        frequency (one beyond the constant at least).
    max_frequency : int, optional
        Highest frequency along a column of X.
    smoothness : float, optional
        Initial eigenvalues are (1 + abs(m)^2)^-smoothness. More favours low frequencies. By default
        half of the number of columns plus 1: a kernel needs more than half the number of columns.
    eigenvalues : float or array_like, optional
        Initial eigenvalues instead: one, or one a feature. For given features they are 1 over
        their number by default.
    depth, b0, coupling
        The flow, as in `eigenflow.flow.solve`; b0 is n^(-1 / (2 depth + 4)) by default.
    stopping : {"cv", "sure"} or float
        Where the cross-validated error is least, where Stein's unbiased risk is least, or
        at this time.
    times : array_like, optional
        Times to choose from, and the times of `path_`. By default 33 from 0.01 to 100
        times n^((depth + 1) / (depth + 2)), the paper's time for noise as large as y.
    cv : int or cross-validation splitter
        Folds. A number means shuffled folds.
    noise_std : float, optional
        Standard deviation of the noise in y, for "sure". By default estimated from the differences
        between nearest neighbours in X: too large where y changes much from one sample to the next.
    rtol : float
        Relative accuracy of the integration.
    random_state : int, Generator or None
        Of the shuffled folds, and of the probes behind "sure".
    workers : int, optional
        Threads.

    Attributes
    ----------
    coef_ : ndarray of shape (P,)
        theta, in units of y.
    intercept_ : float
        What is added.
    frequencies_ : ndarray of shape (P, n_columns)
        m of each basis function; for "fourier" m > 0 is a cosine and m < 0 a sine. None for given
        features.
    eigenvalues_, learned_eigenvalues_ : ndarray of shape (P,)
        At time 0 and at the stop, for y divided by its standard deviation.
    stopping_time_ : float
        Where the flow was stopped.
    times_, risk_ : ndarray
        Times, and the estimated mean squared error at each, in squared units of y: of predictions
        for "cv" (noise included), of the fitted values for "sure" (without it). `risk_` is None
        with a fixed time.
    path_ : FlowFit
        The flow on all samples at `times_`, for y less its mean and divided by its standard
        deviation.
    noise_std_ : float or None
        What "sure" took for the noise.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray
        Their names, if they have any.

    Notes
    -----
    The error estimate of "sure" is exact for a linear fit; for this one the divergence is taken
    from 2 random probes of the fit itself. Cost: one flow with `n_features` coefficients for
    "cv" and each fold, for "sure" 3 flows; see `eigenflow.flow.fit`. A prediction
    evaluates all basis functions.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, (200, 2))
    >>> y = np.sin(7.5 * np.pi * X[:, 0]) + 0.3 * rng.normal(size=200)
    >>> model = ef.estimators.FlowRegressor().fit(X[:150], y[:150])
    >>> bool(model.score(X[150:], y[150:]) > 0.6)
    True
    """

    def __init__(
        self,
        basis: Any = "cosine",
        *,
        n_features: int = 1000,
        max_frequency: int | None = None,
        smoothness: float | None = None,
        eigenvalues: Any = None,
        depth: int = 0,
        b0: float | None = None,
        coupling: str = "shared",
        stopping: Any = "cv",
        times: Any = None,
        cv: Any = 5,
        noise_std: float | None = None,
        rtol: float = 1e-4,
        random_state: Any = 0,
        workers: int | None = None,
    ) -> None:
        self.basis = basis
        self.n_features = n_features
        self.max_frequency = max_frequency
        self.smoothness = smoothness
        self.eigenvalues = eigenvalues
        self.depth = depth
        self.b0 = b0
        self.coupling = coupling
        self.stopping = stopping
        self.times = times
        self.cv = cv
        self.noise_std = noise_std
        self.rtol = rtol
        self.random_state = random_state
        self.workers = workers

    def fit(self, X: Any, y: Any) -> "FlowRegressor":
        """Follow the flow and choose where to stop.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_columns)
            Inputs; at least 2 samples.
        y : array_like of shape (n_samples,)
            Targets.

        Returns
        -------
        FlowRegressor
            Itself.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        self._require_settings()
        y = np.asarray(y, np.float64)
        mean, scale = y.mean(), y.std() or 1.0
        self._features = self._make_features(X)
        self.frequencies_ = getattr(self._features, "frequencies", None)
        self.eigenvalues_ = self._initial_eigenvalues(X.shape[1])
        problem = Regression(
            self._features(X),
            (y - mean) / scale,
            self.eigenvalues_,
            {
                "depth": self.depth,
                "b0": start_of_b(self.b0, self.depth, 1 / y.size),
                "coupling": self.coupling,
                "rtol": self.rtol,
                "workers": self.workers,
            },
        )
        best = self._follow(problem, X, scale)
        self.stopping_time_ = float(self.times_[best])
        self.learned_eigenvalues_ = self.path_.learned_eigenvalues[best]
        self._set_coefficients(self.path_.coefficients[best] * scale, mean)
        return self

    def predict(self, X: Any) -> Array:
        """Values of the fitted function.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_columns)
            Inputs. Outside the training range the function keeps its value at the boundary
            ("fourier": repeats).

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        return in_chunks(self._features, rows, self._weights) + self._mean

    def plot(self, ax: Any = None) -> Any:
        """Draw the estimated error along the flow; see `eigenflow.plot.path`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from eigenflow import plot

        check_is_fitted(self)
        if self.risk_ is None:
            msg = f"stopping: was the fixed time {self.stopping!r}, want 'cv' or 'sure' to plot"
            raise ValueError(msg)
        shown = (self.times_ > 0) & np.isfinite(self.times_)
        return plot.path(self.times_[shown], self.risk_[shown], self.stopping_time_, ax=ax)

    def _require_settings(self) -> None:
        require_flow(self.depth, self.b0, self.coupling)
        require_stopping(self.stopping, _RULES)
        require_count(self.n_features, "n_features")
        if self.max_frequency is not None:
            require_count(self.max_frequency, "max_frequency")
        for name in ("noise_std", "smoothness"):
            if getattr(self, name) is not None:
                require_positive(getattr(self, name), name)
        if is_number(self.cv):
            require_count(self.cv, "cv", least=2)
        if not callable(self.basis) and self.basis not in (*_NAMED, "features"):
            names = ", ".join(repr(name) for name in (*_NAMED, "features"))
            msg = f"basis: got {self.basis!r}, want {names} or a callable"
            raise ValueError(msg)

    def _make_features(self, X: Array) -> TensorBasis | Standardised:
        if callable(self.basis):
            return standardised(self.basis, X)
        if self.basis == "features":
            return standardised(_themselves, X)
        return tensor_basis(self.basis, X, self.n_features, self.max_frequency)

    def _initial_eigenvalues(self, n_columns: int) -> Array:
        p = self._features.n_features
        if self.eigenvalues is not None:
            given = as_float_array(self.eigenvalues, "eigenvalues", ndim=(0, 1), dtype=np.float64)
            require_non_negative(given, "eigenvalues")
            if given.ndim and given.size != p:
                msg = f"eigenvalues: got {given.size}, want 1 or {p}, one a feature"
                raise ValueError(msg)
            return np.broadcast_to(given, (p,)).copy()
        if self.frequencies_ is None:
            return np.full(p, 1 / p)
        smoothness = (n_columns + 1) / 2 if self.smoothness is None else self.smoothness
        squares = np.sum(self.frequencies_.astype(np.float64) ** 2, axis=1)
        return np.asarray((1 + squares) ** -smoothness)

    def _follow(self, problem: Regression, X: Array, scale: float) -> int:
        """Follow the flow on all samples, set what it gave, and return the best time's place."""
        self.noise_std_ = self.risk_ = None
        if is_number(self.stopping):
            self.times_ = np.array([float(self.stopping)])
            self.path_ = problem.path(self.times_)
            return 0
        self.times_ = self._times(problem.target.size)
        self.path_ = problem.path(self.times_)
        if self.stopping == "cv":
            risk = cross_validated_risk(problem, self.times_, self.cv, self.random_state)
        else:
            y = problem.target
            noise = self.noise_std or neighbour_noise_variance(X, y * scale) ** 0.5
            variance = (noise / scale) ** 2
            self.noise_std_ = noise
            risk = sure_risk(problem, self.path_, variance, self.random_state, _N_PROBES)
        self.risk_ = risk * scale**2
        return int(np.argmin(risk))

    def _times(self, n_samples: int) -> Array:
        if self.times is not None:
            given = np.sort(np.atleast_1d(as_times(self.times)).ravel())
            if given.size == 0:
                msg = "times: got none, want at least one"
                raise ValueError(msg)
            return given
        usual = universal_choice(1 / n_samples, depth=self.depth).time
        return np.asarray(usual * np.geomspace(1e-2, 1e2, 33))

    def _set_coefficients(self, theta: Array, mean: float) -> None:
        self._weights, self._mean = theta, mean
        self.coef_, self.intercept_ = theta, float(mean)
        if isinstance(self._features, Standardised):
            self.coef_ = theta / self._features.std
            self.intercept_ = float(mean - self.coef_ @ self._features.mean)


def _themselves(X: Array) -> Array:
    return X
