"""The basis of the short space, by block Krylov iteration."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from eigenflow._arrays import Array
from eigenflow.lowrank.namespace.blocks import (
    Library,
    Sides,
    count_above,
    small_eigh,
    triangle,
    wide_dtype,
)
from eigenflow.lowrank.namespace.bounds import PASSES, deflated_bound, outside_bound

# The missing energy of the leading values, relative to the error's square, at which to stop.
_MISSING_ENERGY = 2e-5
_TURNS = 6  # of the orthogonalisation of a block, at most
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class SpectralLimits:
    """Limits of the error in the spectral norm; negative: none."""

    absolute: float
    relative: float  # to the first singular value
    short_side: int  # of A

    def __bool__(self) -> bool:
        return self.absolute >= 0 or self.relative >= 0


@dataclass(frozen=True)
class Target:
    """What is wanted: a rank at most, and the Frobenius error allowed (negative: none)."""

    rank: int
    tolerance: float
    oversampling: int
    norm_squared: float
    eps: float
    spectral: SpectralLimits | None = None  # instead of the Frobenius error

    @property
    def by_rank(self) -> bool:
        """Whether there is no limit of the error."""
        return self.tolerance < 0 and not self.spectral

    @property
    def basis_columns(self) -> float:
        """How many columns a Krylov basis has in the end, about."""
        if not self.by_rank:
            return 100.0
        return max(1.4 * self.rank + 100, self.rank + self.oversampling)

    @property
    def by_spectral_tolerance(self) -> bool:
        """Whether the error is limited in the spectral norm."""
        return bool(self.spectral)

    def spectral_allowance(self, first_squared: float) -> float:
        """Return the square of the spectral error allowed, from the first squared value."""
        if self.spectral is None:
            return math.inf
        relative = max(self.spectral.relative, 0.0) * math.sqrt(first_squared)
        return max(self.spectral.absolute, relative) ** 2

    @property
    def rounding(self) -> float:
        """Energies below this are rounding."""
        return 64 * self.eps * self.norm_squared

    @property
    def below_floor(self) -> bool:
        """Whether the tolerance is below what energies resolve."""
        if self.spectral:
            # The sum of the squares is at most short_side times the first.
            least = self.norm_squared / max(1, self.spectral.short_side)
            return self.spectral_allowance(least) < 64 * self.eps * least
        return self.tolerance >= 0 and self.tolerance**2 < self.rounding

    def rank_of(self, squares: Array) -> int | None:
        """Return the rank for leading squared values; None if they are too few."""
        if self.tolerance < 0:
            return min(self.rank, squares.size)
        left = self.norm_squared - np.concatenate(([0.0], np.cumsum(squares)))
        within = np.flatnonzero(left[: self.rank + 1] <= self.tolerance**2)
        if within.size:
            return int(within[0])
        return self.rank if squares.size >= self.rank else None


class Products(Protocol):
    """A matrix by what a sweep does with it."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    @property
    def dtype(self) -> Any:
        """The type of the entries."""
        ...


class Krylov:
    """The basis of the short space; see cpp/src/svd_krylov.cpp, which this repeats."""

    def __init__(
        self, a: Products, target: Target, library: Library, key: int, width: int | None = None
    ) -> None:
        self._a, self._target, self._library, self._key = a, target, library, key
        by_rank = 16 if target.rank <= 16 else 32
        self._width = width or max(1, min(by_rank, a.shape[1] // 8))
        self._gram = np.zeros((0, 0), wide_dtype(a.dtype))
        self._past: list[Array] = []
        self._sweeps_below = 0
        self._coupling = np.zeros((0, 0))  # of the newest block with the next one
        self._restored = False  # from a state after a sweep
        self._unresolved = False  # the limit is below what squares of this precision resolve
        self._next_look = self.looks = 0
        self.chosen: int | None = None  # the rank, where a bound on the spectral error decided
        self.certified: float | None = None  # that bound, squared
        self.passes = 0
        # V by rows, in double precision, with room for more.
        self._rows = library.xp.empty((0, a.shape[1]), self._gram.dtype)
        self._columns = 0
        self._skew = 0.0  # about how far V is from orthonormal
        self._append(self._fresh(0))

    @property
    def gram(self) -> Array:
        """V^H A^H A V without the newest block."""
        return self._gram

    @property
    def V(self) -> Any:
        """The basis, with a block whose image is not known yet; in double precision."""
        return self._rows[: self._columns].T

    @V.setter
    def V(self, columns: Any) -> None:
        self._reserve(columns.shape[1])
        self._columns = columns.shape[1]
        self._rows[: self._columns] = columns.T

    def run(self, after_sweep: Callable[[Any], None] | None = None) -> bool:
        """Return True when the basis holds what is wanted; False when it grows too large."""
        limit = self._a.shape[1] // 2
        while True:
            if not self._restored:
                self._sweep()
                if after_sweep is not None:
                    after_sweep(self)
            self._restored = False
            if self._done():
                return True
            if self._unresolved or len(self._gram) + self._width > limit:
                return False

    def _advance(self, newest: Any) -> Any:
        """Return A^H A times the newest columns."""
        raise NotImplementedError

    def _fresh(self, first_col: int) -> Any:
        rows, dtype = self._a.shape[1], self._a.dtype
        return self._library.normals(self._key, rows, first_col, self._width, dtype)

    def _reserve(self, size: int) -> None:
        if size > len(self._rows):
            room = max(size, self._columns + 4 * self._width, 2 * self._columns)
            larger = self._library.xp.empty((room, self._a.shape[1]), self._gram.dtype)
            larger[: self._columns] = self._rows[: self._columns]
            self._rows = larger

    def _append(self, block: Any) -> tuple[Array, Array]:
        """Append orthonormal columns for what V lacks of a block; what V took, and the rest's R.

        One product, [V, W]^H W, gives what V takes and the Gram matrix of the rest, as a difference
        (Pythagoras; Carson, Lund and Rozloznik 2021). Its rounding grows with the columns' norms
        over those of the rest, and is taken out by another turn.
        """
        begin, end = self._columns, self._columns + self._width
        self._reserve(end)
        both, new = self._rows[:end], self._rows[begin:end]
        new[:] = block.T
        taken, factor = np.zeros((begin, self._width)), np.eye(self._width)
        for turn in range(_TURNS):
            products = self._library.to_host(both @ new.conj().T).conj()
            inside, G = products[:begin], products[begin:]
            taken = inside if turn == 0 else taken
            step = triangle(G - inside.conj().T @ inside)
            if step is None:
                alone = turn > 0 or not begin
                factor = self._apart(both[:begin], new, by_householder=alone) @ factor
                continue
            out = inside @ step.inverse
            turned = np.concatenate((-out, step.inverse))
            new[:] = self._library.to_device(np.ascontiguousarray(turned.T)) @ both
            factor = step.R @ factor
            # What rounding leaves, and what V itself lacks: without it that would grow by blocks.
            growth = float(np.diag(G).real @ (abs(step.inverse) ** 2).sum(axis=1))
            skew = _EPS * growth + self._skew * float(np.linalg.norm(out))
            if growth <= 4 * self._width or skew <= 1e-3 * self._target.eps:
                self._skew = max(self._skew, skew)
                break
        self._columns = end
        return taken, factor

    def _apart(self, old: Any, new: Any, *, by_householder: bool) -> Array:
        """Take a block out of the span of V where squares do not show what is left; return R."""
        if len(old):
            new[:] = new - (new @ old.conj().T) @ old
        if not by_householder:
            return np.eye(self._width)
        Q, R = self._library.xp.linalg.qr(new.T)
        new[:] = Q.T
        return self._library.to_host(R)

    def _sweep(self) -> None:
        old = len(self._gram)
        taken, factor = self._append(self._advance(self.V[:, old:]))
        size = old + self._width
        larger = np.zeros((size, size), self._gram.dtype)
        larger[:old, :old] = self._gram
        larger[:, old:] = taken
        larger[old:, :] = taken.conj().T
        self._gram = larger
        rounding = (64 * self._target.eps) ** 2 * self._target.norm_squared * self._newest()
        self._coupling = factor
        if np.sum(abs(factor) ** 2) <= rounding:  # it led nowhere
            self._columns = size
            self._append(self._fresh(size))
            self._coupling = 0 * factor

    def _newest(self) -> float:
        return float(np.trace(self._gram[-self._width :, -self._width :]).real)

    def _done(self) -> bool:
        target = self._target
        if target.by_spectral_tolerance:
            return self._is_certified()
        left = target.norm_squared - float(np.trace(self._gram).real)
        if target.tolerance >= 0:
            if left > max(target.tolerance**2, target.rounding):
                return False
        elif len(self._gram) < target.rank + target.oversampling:
            return False
        everything = left <= target.rounding
        if everything and target.tolerance < 0:
            self._sweeps_below += 1
            tiny = (64 * target.eps) ** 2 * target.norm_squared
            return self._newest() <= tiny or self._sweeps_below > 2
        return self._converged() or everything

    def _converged(self) -> bool:
        target = self._target
        squares = np.linalg.eigvalsh(self._gram)[::-1]
        captured = self._remember(squares)
        rank = target.rank_of(squares)
        if rank is None or target.tolerance < 0 or rank == 0:
            return rank == 0 or (rank is not None and self._settled(rank))
        below = target.norm_squared - captured[rank - 1] - self._remaining(rank - 1)
        least = below > target.tolerance**2
        return self._settled(rank) and (least or self._settled(rank - 1))

    def _remember(self, squares: Array) -> Array:
        captured = np.concatenate(([0.0], np.cumsum(squares)))
        self._past = [*self._past[-2:], captured]
        return captured

    def _remaining(self, rank: int) -> float:
        """What later blocks can add to the leading values: the gains as a geometric series."""
        if len(self._past) < 3 or rank >= self._past[0].size:
            return math.inf
        older, old, now = (float(captured[rank]) for captured in self._past)
        if now <= old:
            return 0.0
        ratio = (now - old) / (old - older) if old > older else math.inf
        return (now - old) * ratio / (1 - ratio) if ratio < 0.9 else math.inf

    def _settled(self, rank: int) -> bool:
        error = max(self._target.norm_squared - float(self._past[-1][rank]), 0.0)
        return self._remaining(rank) <= self._negligible(error)

    def _negligible(self, error: float) -> float:
        """Energy that may be missing in the leading values; from the squared error."""
        return max(_MISSING_ENERGY * error, 0.01 * self._target.rounding)

    def _is_certified(self) -> bool:
        """Whether the least rank within a spectral tolerance is known, with a bound to prove it."""
        target, size = self._target, len(self._gram)
        ascending, vectors = np.linalg.eigh(self._gram)
        squares = ascending[::-1]
        self._remember(squares)
        allowed = target.spectral_allowance(squares[0])
        self._unresolved = bool(allowed < 64 * target.eps * squares[0])
        rank = int(np.sum(squares > allowed))
        if rank >= target.rank:
            self.chosen = target.rank
            return size > target.rank + self._width and self._settled(target.rank)
        if self._unresolved or rank >= size or size < self._next_look:
            return False
        if not self._remaining(rank + 1) <= 0.05 * allowed:
            return False
        self._next_look = size + size // 5
        outside = self._outside_norm(self.V[:, :size])
        # A second look may settle for one rank more: a value that is at the tolerance to rounding.
        last = min(rank + min(self.looks, 1), size - 1)
        self.looks += 1
        for some in range(rank, last + 1):
            bound = deflated_bound(squares, vectors, self._coupling, some, outside)
            if bound <= allowed:
                self.chosen, self.certified = some, bound
                return True
        return False

    def _outside_norm(self, V: Any) -> float:
        """Bound the norm of A (I - V V^H), but for a probability of 1e-10."""
        raise NotImplementedError


class ImageKrylov(Krylov):
    """That of a matrix in memory, with the images of the basis."""

    def __init__(
        self, a: Sides, target: Target, library: Library, key: int, width: int | None = None
    ) -> None:
        self._sides = a
        self.images: list[Any] = []
        self._begun: tuple[Any, Any] | None = None
        self._outside = math.inf  # about the largest squared value outside of the basis
        self.ritz: tuple[Array, Any] | None = None  # of the last basis, ascending, where known
        super().__init__(a, target, library, key, width)

    def _advance(self, newest: Any) -> Any:
        image, product = self._begun or self._products(newest)
        self._begun = None
        self.images.append(image)
        self.ritz = None
        return product

    def _products(self, newest: Any) -> tuple[Any, Any]:
        image = self._sides.forward(newest.astype(self._sides.dtype, copy=False))
        self.passes += 2
        return image, self._sides.backward(image)

    def _begin_next(self) -> None:
        """A device multiplies while the host looks at the values so far."""
        size = len(self._gram)
        if size + self._width <= self._a.shape[1] // 2:
            self._begun = self._products(self.V[:, size:])

    def _converged(self) -> bool:
        """By rank: as the base says where the leading values do not stand out, else by residuals.

        A Ritz value theta with a residual r is less than norm(r)^2 / (theta - mu) below its
        eigenvalue, for mu the largest value outside of the basis, to second order (Parlett 1998,
        section 11.7), and the newest block shows mu. It takes one eigenproblem, and an inertia
        tells when it is worth it; the history of the base takes the values of three bases at least.
        """
        target, size = self._target, len(self._gram)
        if target.tolerance >= 0 or target.rank == 0:
            return super()._converged()
        newest = self._gram[-self._width :, -self._width :]
        before, self._outside = self._outside, float(np.linalg.eigvalsh(newest)[-1])
        if size < 1.5 * target.rank + self._width:
            return False
        if count_above(self._gram, 2 * self._outside) < target.rank:
            self._begin_next()
            if self._outside > 0.6 * before:  # it may never stand out
                return super()._converged()
            self._past = []
            return False
        self.ritz = small_eigh(self._library, self._gram)
        squares, vectors = self.ritz
        self._remember(squares[::-1])
        leading = squares[-target.rank :]
        last = self._library.to_host(vectors[-self._width :])[:, -target.rank :]
        residuals = (abs(self._coupling @ last) ** 2).sum(axis=0)
        missing = float((residuals / (leading - self._outside)).sum())
        error = max(target.norm_squared - float(leading.sum()), 0.0)
        return missing <= self._negligible(error) or self._settled(target.rank)

    def _outside_norm(self, V: Any) -> float:
        self.passes += PASSES
        inside = V.astype(self._sides.dtype, copy=False)
        return outside_bound(self._library, self._key, self._sides, inside)
