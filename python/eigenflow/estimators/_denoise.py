"""The steps of `FlowDenoiser` for one signal."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow.estimators._grids import GridBasis
from eigenflow.estimators._settings import is_number, start_of_b
from eigenflow.flow.path import learned_eigenvalues, solve
from eigenflow.flow.risk import sure
from eigenflow.flow.stopping import stopping_time

_NORMAL_MAD = 0.6744897501960817  # median of |x| for standard Gaussian x


@dataclass(frozen=True, eq=False)
class Solution:
    """One signal less `mean`, over `scale`, and its flow; time inf leaves it as it is."""

    estimate: Array
    mean: float
    scale: float
    observations: Array
    noise_level: float  # of an observation
    b0: float | None
    time: float
    coefficients: Array


@dataclass(frozen=True, eq=False)
class Plan:
    """What is the same for all signals of one shape."""

    basis: GridBasis
    eigenvalues: Array
    depth: int
    b0: float | None
    coupling: Any
    noise_std: float | None
    stopping: Any
    workers: int | None

    def solution(self, x: Array) -> Solution:
        """Denoise one signal."""
        # The largest entry first: the squares of what is left are in range.
        peak = float(np.max(np.abs(x)))
        y = np.ascontiguousarray(x) / peak if peak > 0 else np.zeros(x.shape)
        mean, scale = float(np.mean(y)), float(np.std(y))
        z = self.basis.analysis((y - mean)[None] / (scale or 1.0), self.workers)[0]
        level = self._noise_level(z, peak * scale)
        if not level > 0:
            return Solution(x.copy(), mean * peak, scale * peak, z, 0.0, self.b0, np.inf, z)
        flow = {
            "depth": self.depth,
            "b0": start_of_b(self.b0, self.depth, level**2),
            "coupling": self.coupling,
            "workers": self.workers,
        }
        time = self._time(z, level**2, flow)
        theta = solve(z, self.eigenvalues, time, **flow)
        smooth = self.basis.synthesis(theta[None], self.workers)[0]
        estimate = ((smooth * scale + mean) * peak).astype(x.dtype)
        return Solution(estimate, mean * peak, scale * peak, z, level, flow["b0"], time, theta)

    def risk(self, found: Solution, times: Array) -> Array:
        """Stein's unbiased risk at other times, a sample, in squared units of the signal."""
        per_sample = sure(
            found.observations,
            self.eigenvalues,
            times,
            found.noise_level**2,
            depth=self.depth,
            b0=found.b0,
            coupling=self.coupling,
            workers=self.workers,
        )
        return np.asarray(per_sample) * found.scale**2

    def learned(self, found: Solution) -> Array:
        """Eigenvalues at the stop."""
        return np.asarray(
            learned_eigenvalues(
                found.coefficients,
                self.eigenvalues,
                depth=self.depth,
                b0=found.b0,
                coupling=self.coupling,
            )
        )

    def _noise_level(self, z: Array, scale: float) -> float:
        if scale == 0:
            return 0.0
        if self.noise_std is not None:
            return float(self.noise_std / (scale * z.size**0.5))
        fine = np.abs(z[self.basis.finest])
        return float(np.median(fine)) / _NORMAL_MAD if fine.size else 0.0

    def _time(self, z: Array, variance: float, flow: dict[str, Any]) -> float:
        if is_number(self.stopping):
            return float(self.stopping)
        return float(stopping_time(z, self.eigenvalues, variance, self.stopping, **flow))
