"""Reads of a tall matrix, and the sweeps of its block Krylov iteration."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow._map_reduce import lowrank as pieces
from eigenflow._map_reduce.engine import Rows
from eigenflow.lowrank.namespace.blocks import Host
from eigenflow.lowrank.namespace.bounds import outside_bound_by_squares
from eigenflow.lowrank.namespace.krylov import Krylov, SpectralLimits, Target

# Norms whose squares are ordinary numbers.
_ORDINARY = (1e-70, 1e70)
_TOLERANCE_WIDTH = 64  # columns of a block where the rank is not known


@dataclass(frozen=True)
class Request:
    """What is wanted of a decomposition."""

    rank: int | None = None
    rtol: float | None = None
    atol: float | None = None
    oversampling: int = 10
    passes: int | None = None  # reads of A, exactly where it takes more than one; None: enough
    method: str = "auto"  # or "krylov", "exact"
    steps: int | None = None  # of subspace iteration with an orthonormal image in between
    spectral: bool = False  # the norm of tolerances and of the error
    residuals: bool = False
    key: int = 0

    @property
    def by_rank(self) -> bool:
        """No tolerance is asked for."""
        return self.rtol is None and self.atol is None


@dataclass
class Reads:
    """A, by what a pass over it gives; counts the passes and guards the range."""

    rows: Rows
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    scale: float = 1.0
    norm: float = math.nan  # of the scaled matrix; NaN before the first pass
    passes: int = 0

    def fused(self, W: Array) -> Array:
        """A^H A W."""
        return self._scaled(pieces.fused, pieces.add, np.asfortranarray(W))

    def triangle(self, V: Array | None) -> Array:
        """Return the factor R of A V; of A itself for None."""
        return self._scaled(pieces.triangle, pieces.stack, V)

    def adjoint(self, W: Array, turn: Array) -> Array:
        """Return A^H (A W turn), for a turn that makes the image orthonormal."""
        return self._scaled(pieces.adjoint, pieces.add, np.asfortranarray(W), turn)

    def _scaled(self, piece: Any, combine: Any, block: Array | None, *shared: Any) -> Array:
        while True:
            # A norm that overflows is finite when all entries are divided by 2^600.
            product, norm, refused = self.rows.reduce(piece, combine, block, self.scale, *shared)
            self.passes += 1
            if refused is not None:
                position, value = refused
                msg = f"A: got {value} at position {position}, want finite values"
                raise ValueError(msg)
            low, high = _ORDINARY
            if norm == 0 or low < norm < high or not math.isnan(self.norm):
                self.norm = norm
                return np.asarray(product)
            exponent = -600 if norm == math.inf else max(-1020, min(1020, -math.frexp(norm)[1]))
            self.scale = math.ldexp(self.scale, exponent)


class Sweeps(Krylov):
    """The basis of the short side, one read of A for each block of it."""

    def __init__(self, reads: Reads, target: Target, request: Request, width: int) -> None:
        self._reads, self._request = reads, request
        super().__init__(reads, target, Host(), request.key, width)

    @property
    def target(self) -> Target:
        """What is wanted, with the norm once it is known."""
        return self._target

    @property
    def left(self) -> float:
        """Energy of A outside the basis."""
        return self._target.norm_squared - float(np.trace(self._gram).real)

    def _advance(self, newest: Array) -> Array:
        product = self._reads.fused(newest)
        self.passes = self._reads.passes
        self._target = with_norm(self._target, self._request, self._reads)
        return product

    def _done(self) -> bool:
        if self._reads.norm == 0:
            return True
        if self._request.passes is not None and self._request.by_rank:
            return len(self._gram) >= (self._request.passes - 1) * self._width
        return super()._done()

    def _outside_norm(self, V: Array) -> float:
        fused, dtype = self._reads.fused, self._reads.dtype
        found = outside_bound_by_squares(Host(), self._request.key, fused, V, dtype)
        self.passes = self._reads.passes
        return found

    def state(self) -> dict[str, Array]:
        """All that the next sweep needs, as arrays."""
        past = {f"past{i}": values for i, values in enumerate(self._past)}
        reads = self._reads
        numbers = [reads.scale, reads.norm, reads.passes, self._sweeps_below]
        numbers += [self._next_look, self.looks]
        arrays = {"V": self.V, "gram": self._gram, "coupling": self._coupling}
        return {**arrays, "numbers": np.array(numbers), **past}

    def restore(self, state: dict[str, Array]) -> None:
        """Go on from a state."""
        self.V, self._gram, self._coupling = (state[name] for name in ("V", "gram", "coupling"))
        self._past = [state[f"past{i}"] for i in range(3) if f"past{i}" in state]
        scale, norm, *counts = state["numbers"].tolist()
        self._reads.scale, self._reads.norm = scale, norm
        self._reads.passes, self._sweeps_below, self._next_look, self.looks = map(int, counts)
        self._restored = True
        self._target = with_norm(self._target, self._request, self._reads)


def with_norm(target: Target, request: Request, reads: Reads) -> Target:
    """Return the target for a matrix whose norm is known."""
    tolerance, spectral = -1.0, None
    if request.spectral and not request.by_rank:
        absolute = -1.0 if request.atol is None else request.atol * reads.scale
        relative = -1.0 if request.rtol is None else request.rtol
        spectral = SpectralLimits(absolute, relative, min(reads.shape))
    elif not request.by_rank:
        absolute = (request.atol or 0.0) * reads.scale
        tolerance = max(absolute, (request.rtol or 0.0) * reads.norm)
    return replace(target, norm_squared=reads.norm**2, tolerance=tolerance, spectral=spectral)


def krylov_width(shape: tuple[int, int], request: Request) -> int:
    """Return the columns of a block: all that are wanted, since reads are what costs."""
    wanted = _TOLERANCE_WIDTH if request.rank is None else request.rank + request.oversampling
    if request.rank is not None and not request.by_rank:
        wanted = min(wanted, _TOLERANCE_WIDTH)
    return max(1, min(wanted, *shape))
