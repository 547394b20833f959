"""Denoising of signals, images and volumes on grids."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from eigenflow._arrays import Array, as_float_array
from eigenflow.estimators._denoise import Plan
from eigenflow.estimators._grids import grid_basis
from eigenflow.estimators._settings import (
    require_flow,
    require_positive,
    require_stopping,
    smoothness_of,
)
from eigenflow.flow.stopping import universal_choice

__all__ = ["Denoising", "FlowDenoiser"]

_RULES = ("sure", "discrepancy", "universal")


@dataclass(frozen=True, eq=False)
class Denoising:
    """How one signal was denoised.

    Coefficients and eigenvalues belong to the signal less its mean, divided by its standard
    deviation, in a basis of mean square 1.

    Attributes
    ----------
    estimate : ndarray
        The denoised signal.
    noise_std : float
        Standard deviation of the noise, given or estimated, in the signal's units.
    stopping_time : float
        Where the flow was stopped.
    observations, coefficients : ndarray
        Coefficients of the signal and of the estimate, of shape (P,).
    eigenvalues, learned_eigenvalues : ndarray
        Eigenvalues at time 0 and at the stop, of shape (P,).
    noise_level : float
        Standard deviation of the noise in an observation.
    times, risk : ndarray
        Stein's unbiased risk along the flow, the mean squared error of a sample in the signal's
        units, squared.
    """

    estimate: Array
    noise_std: float
    stopping_time: float
    observations: Array
    coefficients: Array
    eigenvalues: Array
    learned_eigenvalues: Array
    noise_level: float
    times: Array
    risk: Array

    def plot(self, ax: Any = None) -> Any:
        """Draw the estimated risk along the flow; see `eigenflow.plot.path`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from eigenflow import plot

        inside = 0 < self.stopping_time < np.inf
        return plot.path(self.times, self.risk, self.stopping_time if inside else None, ax=ax)


class FlowDenoiser(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Remove white noise by gradient flow on the coefficients in an orthogonal basis.

    Coefficients far above the noise grow their eigenvalues and are fitted first; the flow stops
    before the others, which are mostly noise, are fitted too. There is nothing to learn from other
    signals: as a transformer it denoises each row of `X` by itself, and `denoise` takes an
    image or a volume.

    Parameters
    ----------
    basis : str or pywt.Wavelet
        "cosine" (the DCT), "fourier", "haar" (products of Haar functions along the axes), or an
        orthogonal wavelet of PyWavelets: "db2", "sym4", ... (needs ``eigenflow[wavelets]``; "db1"
        is the Haar basis that halves all axes together). Wavelets are periodic, on a grid that is
        grown by mirroring until it can be halved.
    smoothness : float, optional
        Initial eigenvalues are (1 + abs(m)^2)^-smoothness at frequency m (for wavelets: their
        number along an axis). More favours low frequencies. By default the number of axes divided
        by depth + 2.
    depth : int
        Depth of the flow, 0 to 8.
    b0 : float, optional
        Initial value of the flow's factor b at depth >= 1; by default the paper's,
        eps^(1 / (depth + 2)) with eps the noise in a coefficient of the standardised signal.
    coupling : {"shared", "separate"}
        As in `eigenflow.flow.solve`.
    noise_std : float, optional
        Standard deviation of the noise, in the units of the signal. By default estimated for
        each signal as the median size of the coefficients of the finest scale, divided by 0.6745:
        right if fewer than half of these carry signal.
    stopping : {"sure", "discrepancy", "universal"} or float
        Stop where Stein's unbiased risk is least, where the residual is as large as the
        noise, at the paper's time, or at this time. See `eigenflow.flow.stopping_time`.
    workers : int, optional
        Threads.

    Attributes
    ----------
    n_features_in_ : int
        Length of the rows seen in `fit`.
    feature_names_in_ : ndarray
        Their names, if they have any.

    Notes
    -----
    The signal's mean is kept, and it is divided by its standard deviation, so that
    ``denoise(a * x + c)`` is ``a * denoise(x) + c``. The noise should be Gaussian, white, and of
    one variance. Cost: one transform and its inverse, and a path of the flow of some hundred times
    ("sure") or one time ("universal" and given times).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0, 1, 512)
    >>> clean = np.sin(20 * x) + np.sign(x - 0.4)
    >>> noisy = clean + 0.3 * np.random.default_rng(0).normal(size=512)
    >>> estimate = ef.estimators.FlowDenoiser("haar").denoise(noisy)
    >>> [round(float(np.mean((y - clean) ** 2)), 3) for y in (noisy, estimate)]
    [0.092, 0.024]
    """

    def __init__(
        self,
        basis: Any = "cosine",
        *,
        smoothness: float | None = None,
        depth: int = 0,
        b0: float | None = None,
        coupling: str = "shared",
        noise_std: float | None = None,
        stopping: Any = "sure",
        workers: int | None = None,
    ) -> None:
        self.basis = basis
        self.smoothness = smoothness
        self.depth = depth
        self.b0 = b0
        self.coupling = coupling
        self.noise_std = noise_std
        self.stopping = stopping
        self.workers = workers

    def fit(self, X: Any, y: Any = None) -> "FlowDenoiser":
        """Check the parameters and the length of the rows; nothing is learnt from the data.

        Parameters
        ----------
        X : array_like of shape (n_signals, n_samples)
            Signals.
        y : None
            Ignored.

        Returns
        -------
        FlowDenoiser
            Itself.
        """
        rows = validate_data(self, X, dtype=[np.float64, np.float32])
        self._plan(rows.shape[1:])
        return self

    def transform(self, X: Any) -> Array:
        """Denoise each row by itself.

        Parameters
        ----------
        X : array_like of shape (n_signals, n_samples)
            Signals.

        Returns
        -------
        ndarray
            Of the same shape; float32 is kept.
        """
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return self._denoise_rows(rows)

    def denoise(self, x: Any, *, channel_axis: int | None = None) -> Array:
        """Denoise one signal, image or volume; needs no `fit`.

        Parameters
        ----------
        x : array_like
            Samples on a grid of any number of dimensions.
        channel_axis : int, optional
            Axis of colours or other channels, each of which is denoised by itself.

        Returns
        -------
        ndarray
            Of the same shape; float32 is kept.
        """
        samples = _samples(x)
        if channel_axis is None:
            return self._denoise_rows(samples[None]).reshape(samples.shape)
        if not -samples.ndim <= channel_axis < samples.ndim or samples.ndim < 2:
            msg = f"channel_axis: got {channel_axis} for {samples.ndim} dimensions"
            raise ValueError(msg)
        rows = self._denoise_rows(np.moveaxis(samples, channel_axis, 0))
        return np.moveaxis(rows, 0, channel_axis)

    def explain(self, x: Any) -> Denoising:
        """Denoise one signal, image or volume and keep what led to the result.

        Parameters
        ----------
        x : array_like
            As in `denoise`.

        Returns
        -------
        Denoising
        """
        samples = _samples(x)
        plan = self._plan(samples.shape)
        found = plan.solution(samples)
        usual = universal_choice(found.noise_level**2 or 1.0, depth=self.depth).time
        times = usual * np.geomspace(1e-2, 1e2, 81)
        return Denoising(
            estimate=found.estimate,
            noise_std=found.noise_level * found.scale * found.observations.size**0.5,
            stopping_time=found.time,
            observations=found.observations,
            coefficients=found.coefficients,
            eigenvalues=plan.eigenvalues,
            learned_eigenvalues=plan.learned(found),
            noise_level=found.noise_level,
            times=times,
            risk=plan.risk(found, times),
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _denoise_rows(self, rows: Array) -> Array:
        plan = self._plan(rows.shape[1:])
        return np.array([plan.solution(row).estimate for row in rows]).reshape(rows.shape)

    def _plan(self, shape: tuple[int, ...]) -> Plan:
        """Check the parameters, which scikit-learn leaves to the first use of them."""
        require_flow(self.depth, self.b0, self.coupling)
        require_stopping(self.stopping, _RULES)
        noise = self.noise_std
        basis = grid_basis(self.basis, shape)
        smoothness = smoothness_of(self.smoothness, len(shape), self.depth)
        return Plan(
            basis,
            basis.design.sobolev_eigenvalues(smoothness),
            self.depth,
            self.b0,
            self.coupling,
            None if noise is None else require_positive(noise, "noise_std"),
            self.stopping,
            self.workers,
        )


def _samples(x: Any) -> Array:
    samples = as_float_array(x, "x")
    if samples.ndim == 0 or samples.size == 0:
        msg = f"x: got shape {samples.shape}, want samples on a grid"
        raise ValueError(msg)
    return samples
