"""Which way to multiply: by cost, among those whose error is small enough."""

import functools
import importlib.util
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eigenflow._arrays import Array
from eigenflow.sine import expansions

if TYPE_CHECKING:
    from eigenflow.sine.operator import SineLowRank

METHODS = ("auto", "fused", "anchors", "nufft", "taylor")
_DEFAULT_TARGETS = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-13}
_LOWEST_NUFFT_EPS = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-14}

# Nanoseconds in float32 on one core of an AVX-512 server (AMD Zen 4), fitted to the times of
# `bench/bench_sine_methods.py`; float64 is twice that. Only their ratios matter, and only near the
# break-even sizes.
_FUSED_ENTRY, _MULTIPLY_ADD = 0.12, 0.0225  # of one entry: its sine, and one multiply-add
_CALL, _COPY, _TILE = 15e3, 0.5, 1.5  # a pass over V; an entry of X in or out; of a sum of tiles
_NODE, _ANCHOR, _MONOMIAL = 0.7, 0.57, 0.25  # features of one row, one each
_VECTOR = 64  # bytes of the right-hand sides that the features of a row meet at once
_NUFFT_CALL, _NUFFT_POINT, _NUFFT_GRID = 250e3, 25.0, 12.0
_NUFFT_SPREAD = {1: 2.9, 2: 3.3, 3: 0.9}  # of one point and right-hand side, times spread^k


@dataclass(frozen=True, eq=False)
class SineInfo:
    """How a `SineLowRank` computes, and how well.

    Attributes
    ----------
    method : str
        "fused": tiles of the matrix are made and used in cache. "anchors": interpolation at
        Chebyshev nodes. "nufft": a nonuniform FFT. "taylor": a polynomial of the phase.
    reason : str
        Why this method.
    max_half_turns : float
        No phase ``|omega u_i . v_j| / pi`` is larger.
    error_bound : float
        Largest error of one entry of the operator, from rounding in its dtype and from the method.
        Rounding is bounded, not estimated: errors grow like the square root of the number of
        columns, the bound like the number. Of "nufft" the part of the method is its requested
        precision, which its authors estimate and do not bound.
    n_terms : int
        Terms of the sum that stands for the matrix; 0 for "fused" and "nufft".
    """

    method: str
    reason: str
    max_half_turns: float
    error_bound: float
    n_terms: int = 0


@dataclass(frozen=True, eq=False)
class Candidate:
    """One method that reaches the target."""

    method: str
    error: float  # of a sine, beside rounding
    cost: float  # nanoseconds
    expansion: expansions.Expansion | None = None


class Planner:
    """Methods of one operator, each looked at when it is first needed."""

    def __init__(self, op: "SineLowRank", target: float | None) -> None:
        self.target = _DEFAULT_TARGETS[op.dtype] if target is None else target
        self._U, self._V, self._omega, self._dtype = op.U, op.V, op.omega, op.dtype
        self._radius = math.pi * op._half_turns

    @functools.cached_property
    def _anchors(self) -> expansions.Anchors | None:
        return expansions.anchors(self._U, self._V, self._omega, self.target)

    @functools.cached_property
    def _taylor(self) -> expansions.Taylor | None:
        return expansions.taylor(self._U.shape[1], self._omega, self._radius, self.target)

    def candidate(self, method: str, n_rhs: int) -> Candidate | None:
        """Return the method if it can reach the target here."""
        m, n, k, t = len(self._U), len(self._V), self._U.shape[1], max(n_rhs, 1)
        width = 1 if self._dtype == np.float32 else 2
        entry = _FUSED_ENTRY + _MULTIPLY_ADD * (k + t)
        if method == "fused":
            return Candidate("fused", 0.0, width * m * n * entry + _TILE * m * t)
        if method == "nufft":
            return self._nufft(m, n, k, t)
        lanes = _VECTOR // (4 * width)
        products = _MULTIPLY_ADD * lanes * math.ceil(t / lanes)
        expansion: expansions.Expansion | None
        if method == "anchors":
            if (expansion := self._anchors) is None:
                return None
            q = expansion.n_terms
            right = _NODE * sum(expansion.counts) + q * (_ANCHOR + width * products)
            cost = n * (right + _COPY * t) + m * (width * q * entry + _TILE * t)
        else:
            if (expansion := self._taylor) is None:
                return None
            cost = (m + n) * (expansion.n_terms * (_MONOMIAL + width * products) + _COPY * t)
        return Candidate(method, expansion.error, _CALL + cost, expansion)

    def _nufft(self, m: int, n: int, k: int, t: int) -> Candidate | None:
        if not 1 <= k <= 3 or min(m, n) == 0:
            return None
        eps = max(self.target, _LOWEST_NUFFT_EPS[self._dtype])
        spread = max(-math.log10(eps) + 2, 3)
        phases = abs(self._omega) * expansions.largest(self._U) * expansions.largest(self._V)
        grid = math.prod(2 * (1.3 * float(p) + spread) for p in phases)
        if eps > self.target * 1.01 or grid > 2e8:
            return None
        one = _NUFFT_SPREAD[k] * (m + n) * spread**k + _NUFFT_GRID * grid
        return Candidate("nufft", 10 * eps, _NUFFT_CALL + _NUFFT_POINT * (m + n) + t * one)

    def choose(self, method: str, n_rhs: int) -> tuple[Candidate, str]:
        """Return the method to use and the reason."""
        if method == "nufft":
            require_finufft()
        if method != "auto":
            found = self.candidate(method, n_rhs)
            if found is None:
                raise ValueError(self._why_not(method))
            return found, "asked for"
        names = ["fused", "anchors", "taylor"] + ["nufft"] * _has_finufft()
        found_all = {name: self.candidate(name, n_rhs) for name in names if self._worth(name)}
        best = min((c for c in found_all.values() if c is not None), key=lambda c: c.cost)
        costs = ", ".join(
            f"{c.method} {1e-6 * c.cost:.3g} ms" for c in found_all.values() if c is not None
        )
        return best, f"the cheapest within {self.target:.1g}: {costs} estimated on one core"

    def _worth(self, method: str) -> bool:
        """Whether looking at the method can pay: making a plan costs about a millisecond."""
        return method == "fused" or len(self._U) * len(self._V) >= 250_000

    def _why_not(self, method: str) -> str:
        k, phase = self._U.shape[1], self._radius
        wanted = {
            "anchors": f"k <= 3 and at most {expansions.MAX_TERMS} anchors",
            "taylor": f"phases up to 2 radians and at most {expansions.MAX_TERMS} monomials",
            "nufft": "k <= 3, a target within its precision and a grid that fits in memory",
        }[method]
        return (
            f"method: got {method!r} with k={k}, phases up to {phase:.3g} radians and a target of "
            f"{self.target:.1g}; want {wanted}"
        )


def product(
    op: "SineLowRank",
    chosen: Candidate,
    factors: tuple[Array, Array],
    X: Array,
    out: Array,
    workers: int,
) -> None:
    """Write ``op @ X`` by a method other than "fused"."""
    if chosen.expansion is not None:
        chosen.expansion.product(*factors, X, out, op.gain, workers)
    else:
        eps = chosen.error / 10
        out[...] = expansions.nufft_product(*factors, op.omega, X, op.gain, eps, workers)


@functools.cache
def _has_finufft() -> bool:
    return importlib.util.find_spec("finufft") is not None


def require_finufft() -> None:
    """Raise ImportError that says how to install the extra."""
    if not _has_finufft():
        msg = (
            "method: got 'nufft', which needs the package finufft; want it installed, with "
            "pip install 'eigenflow[nufft]'"
        )
        raise ImportError(msg)
