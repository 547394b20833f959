"""Figure 5: regression samples, where the design couples the coordinates."""

from collections.abc import Callable
from typing import Any

import numpy as np

from adaptivity import settings
from adaptivity.fourier import features, square_indices
from adaptivity.sequence import Array, fit_line, lowest, start_of_b
from eigenflow import flow

FREQUENCY = 7.5  # of the true function sin(7.5 pi x_1): between two basis functions
TIMES = np.geomspace(1, settings.REGRESSION_END, 121)  # of the single trial
SEARCH = {"fixed": np.geomspace(0.01, 1e6, 121), "adaptive": np.geomspace(2, 300, 61)}
DEPTHS = (0, 1, 2)


def measure(quick: bool, tick: Callable[[], None]) -> dict[str, Any]:
    """Error curves of one trial, and the least errors over repetitions against n."""
    curves = {"fixed": error_curve(*draw(samples(quick)[-1], 0), TIMES, None).tolist()}
    for depth in DEPTHS:
        trial = draw(samples(quick)[-1], 0)
        curves[f"depth {depth}"] = error_curve(*trial, TIMES, depth).tolist()
        tick()
    errors: dict[str, list[list[float]]] = {"fixed": [], "adaptive": []}
    for n in samples(quick):
        for name, depth in (("fixed", None), ("adaptive", 0)):
            found = [
                lowest(SEARCH[name], error_curve(*draw(n, repetition), SEARCH[name], depth)).error
                for repetition in range(repetitions(quick))
            ]
            errors[name].append(found)
        tick()
    n = np.array(samples(quick))
    return {
        "n": n.tolist(),
        "times": TIMES.tolist(),
        "curves": curves,
        "errors": {name: _summary(n, np.array(values)) for name, values in errors.items()},
    }


def n_ticks(quick: bool) -> int:
    """How often `measure` calls `tick`."""
    return len(DEPTHS) + len(samples(quick))


def samples(quick: bool) -> tuple[int, ...]:
    """Values of n."""
    return settings.REGRESSION_SAMPLES[::3] if quick else settings.REGRESSION_SAMPLES


def repetitions(quick: bool) -> int:
    """Draws of points and noise for each n."""
    return 2 if quick else settings.REGRESSION_REPETITIONS


def draw(n: int, repetition: int) -> tuple[Array, Array]:
    """Points uniform on [-1, 1)^2, and the true function there plus noise."""
    rng = np.random.default_rng([n, repetition])
    points = rng.uniform(-1, 1, (n, 2))
    noise = settings.REGRESSION_NOISE_STD * rng.normal(size=n)
    return points, np.sin(FREQUENCY * np.pi * points[:, 0]) + noise


def design(points: Array) -> Array:
    """The constant, then cosine and sine for each pair of frequencies up to the cut-off."""
    columns = features(points, square_indices(settings.REGRESSION_CUTOFF))
    return np.column_stack([np.ones(len(points)), columns])


def kernel_eigenvalues() -> Array:
    """(1 + |m|^2)^-r for each column of the design."""
    levels = np.sum(square_indices(settings.REGRESSION_CUTOFF) ** 2, axis=1)
    return np.r_[1.0, np.repeat((1.0 + levels) ** -settings.REGRESSION_SMOOTHNESS, 2)]


def true_coefficients() -> Array:
    """Coefficients of sin(7.5 pi x_1): sines of m_1 alone, since it does not depend on x_2."""
    indices = square_indices(settings.REGRESSION_CUTOFF)
    on_axis = indices[:, 1] == 0
    m = indices[:, 0]
    sines = (np.sinc(FREQUENCY - m) - np.sinc(FREQUENCY + m)) / np.sqrt(2)
    coefficients = np.zeros((len(indices), 2))
    coefficients[on_axis, 1] = sines[on_axis]
    return np.r_[0.0, coefficients.ravel()]


def error_curve(points: Array, y: Array, times: Array, depth: int | None) -> Array:
    """Mean square of the fit minus the true function over the whole torus, at each time."""
    columns, eigenvalues = design(points), kernel_eigenvalues()
    if depth is None:
        fitted = fixed_kernel(columns, y, eigenvalues, times)
    else:
        b0 = start_of_b(len(y), depth)
        path = flow.fit(columns, y, eigenvalues, times, depth=depth, b0=b0, rtol=1e-4)
        fitted = path.coefficients
    true = true_coefficients()
    outside = (1 - np.sinc(2 * FREQUENCY)) / 2 - np.sum(true**2)  # beyond the cut-off
    return np.sum((fitted - true) ** 2, axis=1) + outside


def fixed_kernel(columns: Array, y: Array, eigenvalues: Array, times: Array) -> Array:
    """Coefficients of gradient flow with fixed eigenvalues, exact by one eigendecomposition."""
    n = len(y)
    rates, vectors = np.linalg.eigh((columns * eigenvalues) @ columns.T / n)
    rates = np.maximum(rates, 1e-300)
    dual = (-np.expm1(-np.multiply.outer(times, rates)) / rates * (vectors.T @ y)) @ vectors.T
    return dual @ columns * eigenvalues / n


def _summary(n: Array, errors: Array) -> dict[str, Any]:
    return {
        "mean": errors.mean(1).tolist(),
        "sd": errors.std(1, ddof=1).tolist(),
        "line": fit_line(n, errors.mean(1)),
    }
