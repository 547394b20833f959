"""Maps from unconstrained numbers to parameters, with their derivatives and inverses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array

KINDS = ("free", "variance", "stationary", "invertible")

_LARGEST = 1 - 1e-9


@dataclass(frozen=True, eq=False)
class Transform:
    """Variances are scale times squares; lag polynomials go through partial autocorrelations.

    Parameters
    ----------
    kinds : tuple of str
        Of each parameter, see `StateSpaceModel`.
    scale : float
        Unit of the variances.
    """

    kinds: tuple[str, ...]
    scale: float

    def params(self, u: Array) -> Array:
        """Parameters of unconstrained numbers."""
        out = u.copy()
        for kind, part in self._parts():
            out[part] = self._forward(kind)(u[part])
        return out

    def jacobian(self, u: Array) -> Array:
        """Return d params / d u, by complex steps: exact to rounding."""
        out = np.eye(len(u))
        for kind, part in self._parts():
            forward = self._forward(kind)
            size = part.stop - part.start
            for j in range(size):
                moved = u[part].astype(complex)
                moved[j] += 1e-30j
                out[part, part.start + j] = forward(moved).imag / 1e-30
        return out

    def inverse(self, params: Array) -> Array:
        """Unconstrained numbers of parameters; from outside of the range, of the nearest inside."""
        out = params.copy()
        for kind, part in self._parts():
            x = params[part]
            if kind == "variance":
                out[part] = np.sqrt(np.maximum(x, 0.0) / self.scale)
            elif kind != "free":
                out[part] = _from_lags(x if kind == "stationary" else -x)
        return out

    def _forward(self, kind: str) -> Callable[[Any], Any]:
        return {
            "free": lambda u: u,
            "variance": lambda u: self.scale * u * u,
            "stationary": _to_lags,
            "invertible": lambda u: -_to_lags(u),
        }[kind]

    def _parts(self) -> list[tuple[str, slice]]:
        """Runs of equal kinds: a lag polynomial is one part."""
        edges = [i for i, kind in enumerate(self.kinds) if i == 0 or kind != self.kinds[i - 1]]
        ends = [*edges[1:], len(self.kinds)]
        return [(self.kinds[a], slice(a, b)) for a, b in zip(edges, ends, strict=True)]


def _to_lags(u: Any) -> Any:
    """Stationary coefficients from any numbers: partial autocorrelations u / sqrt(1 + u^2).

    The Durbin-Levinson recursion (Monahan, Biometrika 71, 1984), the convention of statsmodels up
    to a sign of u.
    """
    lags = u[:0]
    for r in u / np.sqrt(1 + u * u):
        lags = np.append(lags - r * lags[::-1], r)
    return lags


def _from_lags(lags: Array) -> Array:
    """Invert `_to_lags`."""
    partial = np.zeros(len(lags))
    for i in range(len(lags) - 1, -1, -1):
        r = float(np.clip(lags[i], -_LARGEST, _LARGEST))
        partial[i] = r
        lags = (lags[:i] + r * lags[:i][::-1]) / (1 - r * r)
    return np.asarray(partial / np.sqrt(1 - partial**2))
