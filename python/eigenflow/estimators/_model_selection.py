"""Risk of a regression along its flow: by cross-validation, or Stein's estimate."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, check_cv
from sklearn.neighbors import NearestNeighbors

from eigenflow._arrays import Array
from eigenflow.flow.regression import FlowFit, fit

_PROBE = 0.1  # size of the probe in units of the noise: larger than the integrator's errors


@dataclass(frozen=True, eq=False)
class Regression:
    """Features, targets of mean 0, and the flow that fits them."""

    features: Array
    target: Array
    eigenvalues: Array
    flow: dict[str, Any]  # depth, b0, coupling, rtol, workers

    def path(self, times: Any) -> FlowFit:
        """Follow the flow on all samples."""
        return self.fitted(self.target, times)

    def fitted(self, target: Array, times: Any, rows: Any = slice(None)) -> FlowFit:
        """Follow the flow for other targets, or on some of the samples."""
        return fit(self.features[rows], target, self.eigenvalues, times, **self.flow)


def cross_validated_risk(problem: Regression, times: Array, cv: Any, seed: Any) -> Array:
    """Mean squared error of each held-out sample, along one path for each fold."""
    y = problem.target
    if isinstance(cv, int | np.integer):
        splits = KFold(min(int(cv), y.size), shuffle=True, random_state=seed)
    else:
        splits = check_cv(cv)
    errors, count = np.zeros(times.size), 0
    for train, test in splits.split(problem.features):
        mean = y[train].mean()
        path = problem.fitted(y[train] - mean, times, train)
        missed = y[test] - mean - path.predict(problem.features[test])
        errors += np.sum(missed**2, axis=-1)
        count += len(test)
    return errors / count


def sure_risk(
    problem: Regression, path: FlowFit, noise_variance: float, seed: Any, n_probes: int
) -> Array:
    """Stein's unbiased estimate of the mean squared error of the fitted values.

    |y - f|^2 / n - v + 2 v div / n with div = sum of d f_i / d y_i. The design couples the samples,
    so that the divergence has no closed form: it is the mean of w^T (f(y + h w) - f(y)) / h over
    random signs w (Ramani, Blu, Unser, IEEE Trans. Image Process. 17, 2008), one more path each.
    """
    y, n = problem.target, problem.target.size
    rng = np.random.default_rng(seed)
    step = _PROBE * noise_variance**0.5
    divergence = np.zeros(path.times.size)
    for _ in range(n_probes):
        signs = rng.choice([-1.0, 1.0], n)
        moved = problem.fitted(y + step * signs, path.times)
        divergence += (moved.fitted_values - path.fitted_values) @ signs / (step * n_probes)
    residual = np.sum((y - path.fitted_values) ** 2, axis=-1)
    return np.asarray(residual / n + noise_variance * (2 * divergence / n - 1))


def neighbour_noise_variance(X: Array, y: Array) -> float:
    """Half the mean squared difference of targets of nearest neighbours.

    Right where the function changes little from one sample to the next; else too large.
    """
    spread = X.std(axis=0)
    scaled = X / np.where(spread > 0, spread, 1.0)
    nearest = NearestNeighbors(n_neighbors=1).fit(scaled).kneighbors(return_distance=False)[:, 0]
    return float(np.mean((y - y[nearest]) ** 2) / 2)
