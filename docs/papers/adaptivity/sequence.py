"""The sequence model of the paper's Section 4, and the search for its best stopping time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eigenflow import flow

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SequenceModel:
    """A signal at the wrong places, and eigenvalues that fall with the index.

    signal[floor(k^q)] = k^(-(p + 1) / 2) for k = 1, 2, ... and 0 elsewhere;
    eigenvalues[j] = scale j^-gamma; the observation is the signal plus noise of variance 1 / n.
    """

    p: float
    q: float
    gamma: float
    n_coordinates: int
    scale: float = 1.0

    @property
    def signal(self) -> Array:
        """True coefficients, most of them zero when q > 1."""
        k = np.arange(1.0, self.n_coordinates + 1)
        place = np.floor(k**self.q * (1 + 1e-14))  # k^q may round to just below an integer
        kept = place <= self.n_coordinates
        signal = np.zeros(self.n_coordinates)
        signal[place[kept].astype(int) - 1] = k[kept] ** (-(self.p + 1) / 2)
        return signal

    @property
    def eigenvalues(self) -> Array:
        """Initial eigenvalues."""
        return self.scale * np.arange(1.0, self.n_coordinates + 1) ** -self.gamma

    def observe(self, n: int, rng: np.random.Generator) -> Array:
        """Signal plus Gaussian noise of variance 1 / n."""
        return self.signal + rng.normal(size=self.n_coordinates) / np.sqrt(n)


def start_of_b(n: int, depth: int) -> float | None:
    """Initial b, eps^(1 / (depth + 2)) with eps = n^-1/2; the constant 1 is a choice."""
    return flow.universal_choice(1 / n, depth=depth).b0


def universal_time(n: int, depth: int) -> float:
    """Order of the stopping time in Corollary 3.3, n^((depth + 1) / (depth + 2))."""
    return flow.universal_choice(1 / n, depth=depth).time


@dataclass(frozen=True)
class Stop:
    """The smallest error along a path, and when."""

    time: float
    error: float


def lowest(times: Array, errors: Array) -> Stop:
    """Minimum of the parabola in log time through the smallest error and its two neighbours."""
    best = int(np.argmin(errors))
    if best in (0, len(times) - 1):
        return Stop(float(times[best]), float(errors[best]))
    x = np.log(times[best - 1 : best + 2])
    curvature, slope, _ = np.polyfit(x - x[1], errors[best - 1 : best + 2], 2)
    shift = -slope / (2 * curvature) if curvature > 0 else 0.0
    return Stop(float(np.exp(x[1] + shift)), float(errors[best] + shift * slope / 2))


def find_stop(error_at: Callable[[Array], Array], guess: float, *, near: bool = False) -> Stop:
    """Best stopping time of a smooth error; `near` says that the guess is good to a factor 1.5.

    Grids of five times, finer and finer. After the minimum the error explodes, so the parabola is
    only good on a fine grid: the last step is 0.03 in log time, good to about 1e-4 of the error.
    """
    for step in (0.15, 0.03) if near else (0.6, 0.15, 0.03):
        grid, errors = _around(error_at, guess, step)
        guess = float(grid[np.argmin(errors)])
    return lowest(grid, errors)


def _around(error_at: Callable[[Array], Array], centre: float, step: float) -> tuple[Array, Array]:
    # Follows the slope until the least of the five errors is not at an end.
    for _ in range(100):
        grid = centre * np.exp(step * np.arange(-2, 3))
        errors = error_at(grid)
        best = int(np.argmin(errors))
        if best not in (0, len(grid) - 1):
            return grid, errors
        centre = float(grid[best])
    msg = f"no least error up to time {centre:.3g}"
    raise RuntimeError(msg)


def fit_line(n: Array, values: Array) -> tuple[float, float]:
    """Slope and intercept of log10 value against log10 n."""
    slope, intercept = np.polyfit(np.log10(n), np.log10(values), 1)
    return float(slope), float(intercept)
