"""Closed forms for the noisy random walk, x' = x + w, y = x + v (the local level model).

With the state started at its steady prior variance P. Derivations use only rho + 1/rho = 2 + q/r.
"""

import math
from dataclasses import dataclass

from eigenflow.lds.innovations import PlainSystem


@dataclass(frozen=True)
class LocalLevel:
    """Variances q of the level's steps and r of the noise, in the units of y squared."""

    q: float
    r: float

    @property
    def log_rho(self) -> float:
        """Logarithm of rho = 1 - K; exact for any q/r because cosh(log rho) = 1 + q/(2r)."""
        return -2 * math.asinh(math.sqrt(self.q / self.r) / 2)

    @property
    def rho(self) -> float:
        """Share of an error that survives a step of the steady filter."""
        return math.exp(self.log_rho)

    @property
    def gain(self) -> float:
        """Steady gain K = 1 - rho."""
        return -math.expm1(self.log_rho)

    @property
    def innovation_variance(self) -> float:
        """Steady innovation variance S = r / rho."""
        return self.r / self.rho

    @property
    def prior_variance(self) -> float:
        """Steady prior variance P = S - r."""
        return self.r * self.gain / self.rho

    def fir_excess(self, length: int, horizon: int | None) -> float:
        """Excess of the best fixed FIR filter over the Kalman filter, averaged over the windows.

        With g the share of the level's variance at the window's start that the filter can use,
        g = (s^2 - P)/(s^2 + r(1 - rho)) and s^2 - P = q (T - L - 1)/2, the excess is
        g rho^(2L) (r/rho) (1 - rho^2) / (1 - g rho^(2L)); g = 1 when T is infinite.
        """
        power = math.exp(2 * length * self.log_rho)
        numerator = self.r / self.rho * -math.expm1(2 * self.log_rho) * power
        if horizon is None:
            return numerator / -math.expm1(2 * length * self.log_rho)
        useful = self.q * (horizon - length - 1) / 2
        known = self.prior_variance + self.r * self.gain
        g = useful / (useful + known)
        # 1 - g rho^2L = (1 - g) + g (1 - rho^2L), both terms without cancellation
        rest = known / (useful + known) - g * math.expm1(2 * length * self.log_rho)
        return g * numerator / rest

    def fir_weights(self, length: int) -> list[float]:
        """Weights on y(t-1), ..., y(t-L) for an infinite horizon; they sum to 1."""
        scale = self.gain / -math.expm1(2 * length * self.log_rho)
        return [
            scale * (math.exp(j * self.log_rho) + math.exp((2 * length - 1 - j) * self.log_rho))
            for j in range(length)
        ]

    def truncated_error(self, length: int, horizon: int) -> float:
        """Mean error rho^(2L) q (T - L - 1)/2 of the Kalman filter cut off after L terms."""
        return math.exp(2 * length * self.log_rho) * self.q * (horizon - length - 1) / 2


def as_local_level(system: PlainSystem) -> LocalLevel | None:
    """Recognise a scalar random walk observed in noise, in any unit of the state."""
    if system.A.shape != (1, 1) or system.C.shape != (1, 1) or system.A[0, 0] != 1:
        return None
    c, q, r = (float(m[0, 0]) for m in (system.C, system.Q, system.R))
    in_units = c * c * q
    if system.cross_cov[0, 0] != 0 or not (0 < in_units < math.inf and 0 < r < math.inf):
        return None
    return LocalLevel(in_units, r)
