"""Singular triplets from a basis, their error and their residuals."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eigenflow import _core
from eigenflow._arrays import Array
from eigenflow.lowrank.namespace.blocks import (
    Library,
    Sides,
    gram,
    orthonormalise,
    small_eigh,
    squares_of_columns,
    wide_dtype,
)
from eigenflow.lowrank.namespace.bounds import PASSES, outside_bound, residual_bound
from eigenflow.lowrank.namespace.krylov import ImageKrylov, Target
from eigenflow.lowrank.namespace.one_pass import one_pass

# Gram matrices see squares above this share of the first. Columns from here on test the result.
_VISIBLE, _RESIDUAL_COLUMN = 1e-11, 2**40


@dataclass(frozen=True, eq=False)
class Triplets:
    """left diag(s) right^H, and what was left out where all of it is known."""

    left: Any
    s: Array
    right: Any
    tail_squared: float | None = None
    next_value: float | None = None  # the first that was left out

    def swapped(self) -> "Triplets":
        """Return those of the adjoint."""
        return replace(self, left=self.right, right=self.left)


def decompose(
    a: Any,
    target: Target,
    library: Library,
    power_iterations: int | None,
    key: int,
    *,
    once: bool = False,
) -> dict[str, Any]:
    """Return the fields of the C++ driver, for a matrix of ordinary scale; `once`: in one pass."""
    return _Decomposition(a, target, library, power_iterations, key).run(once=once)


class _Decomposition:
    def __init__(
        self, a: Any, target: Target, library: Library, power_iterations: int | None, key: int
    ) -> None:
        self._a, self._target, self._library, self._key = a, target, library, key
        self._steps = power_iterations
        self._xp = library.xp
        self._passes = self._looks = 0
        self._chosen: int | None = None  # the rank, where a bound on the spectral error decided
        self._certified: float | None = None  # that bound, squared

    def run(self, *, once: bool) -> dict[str, Any]:
        target, smaller = self._target, min(self._a.shape)
        norm = math.sqrt(target.norm_squared)
        nothing = target.tolerance >= 0 and target.tolerance >= norm
        sketched = None
        if target.rank == 0 or norm == 0 or smaller == 0 or nothing:
            method, found = "exact", self._unit_vectors(0 if nothing else target.rank)
        elif once:
            *triplets, sketched = one_pass(
                Sides(self._a, turned=False), target, self._library, self._key
            )
            self._passes, method, found = 2, "one-pass", Triplets(*triplets)
        else:
            method, found = self._find()
        found = self._with_signs(found)
        values = self._device_vector(found.s)
        error, kind = self._error(found, values) if sketched is None else (sketched, "hold-out")
        if target.spectral is not None:
            norm = float(found.s[0]) if found.s.size else error
        if sketched is None and target.norm_squared > 0 and found.s.size:
            residuals = self._residuals(found, values, method)
        else:
            unknown = 0.0 if sketched is None else math.nan
            residuals = self._device_vector(np.full(found.s.size, unknown))
        return {
            "U": found.left,
            "s": values,
            "largest": float(found.s[0]) if found.s.size else 0.0,
            "Vh": found.right.conj().T,
            "rank": found.s.size,
            "norm": norm,
            "looks": max(self._looks, int(kind in ("hold-out", "power-bound"))),
            "error": error,
            "error_kind": kind,
            "residuals": residuals,
            "method": method,
            "passes": self._passes,
        }

    def _device_vector(self, x: Array) -> Any:
        return self._library.to_device(x.astype(np.zeros(0, self._a.dtype).real.dtype))

    def _unit_vectors(self, rank: int) -> Triplets:
        def unit(n: int) -> Any:
            return self._library.to_device(np.eye(n, rank, dtype=self._a.dtype))

        return Triplets(unit(self._a.shape[0]), np.zeros(rank), unit(self._a.shape[1]))

    def _find(self) -> tuple[str, Triplets]:
        m, n = self._a.shape
        along = Sides(self._a, turned=m < n)
        found = None
        if self._steps is not None and not self._target.below_floor:
            return "subspace", self._by_iteration(self._steps)
        if self._steps is None and not self._exact_is_cheaper():
            found = self._by_krylov(along)
        method = "krylov"
        if found is None:
            method, found = "exact", self._by_gram_or_qr(along)
        return method, found.swapped() if along.turned else found

    def _exact_is_cheaper(self) -> bool:
        target = self._target
        return target.below_floor or target.basis_columns > 0.45 * min(self._a.shape)

    def _by_krylov(self, along: Sides) -> Triplets | None:
        basis = ImageKrylov(along, self._target, self._library, self._key)
        enough = basis.run()
        self._passes += basis.passes
        if not enough:
            return None
        self._chosen, self._certified, self._looks = basis.chosen, basis.certified, basis.looks
        image = self._xp.concatenate(basis.images, axis=1)
        V = basis.V[:, : image.shape[1]].astype(self._a.dtype, copy=False)
        ritz = basis.ritz or small_eigh(self._library, basis.gram)
        found = self._by_ritz(image, V, ritz, self._visible)
        return self._extract(image, V) if found is None else found

    def _by_iteration(self, steps: int) -> Triplets:
        """Subspace iteration; with a tolerance the sample doubles until it is met."""
        a, target, smaller = Sides(self._a, turned=False), self._target, min(self._a.shape)
        size = min(smaller, target.oversampling + (target.rank if target.by_rank else 32))
        while True:
            G = self._library.normals(self._key, a.shape[1], 0, size, self._a.dtype)
            Q = orthonormalise(self._library, a.forward(G))[0]
            for _ in range(steps):
                X = orthonormalise(self._library, a.backward(Q))[0]
                Q = orthonormalise(self._library, a.forward(X))[0]
            self._passes += 2 * steps + 2
            if target.by_spectral_tolerance:
                self._chosen = min(size, target.rank)
            found = self._extract(a.backward(Q), Q).swapped()
            if target.by_spectral_tolerance:
                found, enough = self._cut(found, a.adjoint(), Q)
                if enough or size == smaller:
                    return found
                size = min(smaller, 2 * size)
                continue
            few = found.s.size < size - target.oversampling
            if target.by_rank or size == smaller or few:
                return found
            size = min(smaller, 2 * size)

    def _cut(self, found: Triplets, adjoint: Sides, Q: Any) -> tuple[Triplets, bool]:
        """Leave the least rank whose error is proven; False with all of them where none is.

        With B = Q^H A, ||A - Q B_k||^2 <= s_{k+1}(B)^2 + ||A - Q B||^2.
        """
        outside = outside_bound(self._library, self._key, adjoint, Q)
        self._passes += PASSES
        self._looks += 1
        first = float(found.s[0]) if found.s.size else 0.0
        allowed = self._target.spectral_allowance(first**2) - outside**2
        rank = int(np.sum(found.s**2 > allowed))
        if rank == found.s.size:
            return found, rank == self._target.rank and allowed > 0
        self._certified = float(found.s[rank]) ** 2 + outside**2
        return Triplets(found.left[:, :rank], found.s[:rank], found.right[:, :rank]), True

    def _by_gram_or_qr(self, along: Sides) -> Triplets:
        self._passes += 1
        return self._extract(along.a.conj().T if along.turned else along.a, None)

    def _extract(self, Y: Any, V: Any | None) -> Triplets:
        """Triplets from the image Y = A V; V = None stands for the identity, and Y is A."""
        target = self._target
        least = 1e-10 * target.norm_squared
        if target.by_spectral_tolerance:
            coarse = target.spectral_allowance(target.norm_squared) >= least
        else:
            coarse = target.tolerance < 0 or target.tolerance**2 > least
        if V is not None or coarse:
            found = self._by_gram(Y, V)
            if found is not None:
                return found
        Q, R = self._xp.linalg.qr(Y)
        return self._turned(Q, self._library.to_host(R), V, None)

    def _by_gram(self, Y: Any, V: Any | None) -> Triplets | None:
        ritz = small_eigh(self._library, gram(self._library, Y))
        return self._by_ritz(Y, V, ritz, _VISIBLE)

    @property
    def _visible(self) -> float:
        """What the squares of a sweep see, whose products have the precision of A."""
        return max(_VISIBLE, 64 * self._target.eps)

    def _by_ritz(
        self, Y: Any, V: Any | None, ritz: tuple[Array, Any], visible: float
    ) -> Triplets | None:
        """Leading vectors from those of Y^H Y; None where its squares do not see all of them.

        Their error of eps (s_1 / s_k)^2 is taken out by a second step.
        """
        squares = np.maximum(ritz[0][::-1], 0.0)
        rank, tail, following = self._choose(squares, complete=V is None)
        if rank and not squares[rank - 1] > visible * squares[0]:
            return None
        X = ritz[1][:, ::-1][:, :rank].astype(self._a.dtype)
        Q, small = orthonormalise(self._library, Y @ X)
        found = self._turned(Q, small, X if V is None else V @ X, rank)
        return replace(found, tail_squared=tail, next_value=following)

    def _turned(self, Q: Any, small: Array, V: Any | None, rank: int | None) -> Triplets:
        """Q small V^H by the decomposition of `small`."""
        u, s, vh = np.linalg.svd(small.astype(wide_dtype(small.dtype)))
        tail = following = None
        if rank is None:
            rank, tail, following = self._choose(s**2, complete=V is None)
        turn, back = (
            self._library.to_device(x.astype(self._a.dtype))
            for x in (u[:, :rank], vh[:rank].conj().T)
        )
        return Triplets(Q @ turn, s[:rank], back if V is None else V @ back, tail, following)

    def _choose(self, squares: Array, *, complete: bool) -> tuple[int, float | None, float | None]:
        """Rank, energy of the rest and its first value, the two where all values are known."""
        target = self._target
        if not complete and self._chosen is not None:
            return min(squares.size, self._chosen), None, None
        if not complete:
            rank = target.rank_of(squares)
            return min(squares.size, target.rank) if rank is None else rank, None, None
        tails = np.append(np.cumsum(squares[::-1])[::-1], 0.0)  # tails[k]: what rank k leaves
        rank = min(target.rank, squares.size)
        if target.tolerance >= 0:
            rank = min(rank, int(np.argmax(tails <= target.tolerance**2)))
        if target.by_spectral_tolerance:
            rank = int(np.sum(squares[:rank] > target.spectral_allowance(float(squares[0]))))
        following = None
        if rank == squares.size or squares[rank] > _VISIBLE * squares[0]:
            following = 0.0 if rank == squares.size else math.sqrt(float(squares[rank]))
        return rank, float(tails[rank]), following

    def _with_signs(self, found: Triplets) -> Triplets:
        """The largest entry of each right vector real and positive, the first one on ties."""
        if not found.s.size or not found.right.shape[0]:
            return found
        xp = self._xp
        largest = found.right[abs(found.right).argmax(axis=0), xp.arange(found.s.size)]
        turn = largest.conj() / abs(largest)
        return replace(found, left=found.left * turn, right=found.right * turn)

    def _spectral_error(self, found: Triplets, values: Any) -> tuple[float, str]:
        if self._target.norm_squared == 0:
            return 0.0, "tail-energy"
        if found.next_value is not None:
            return found.next_value, "next-value"
        if self._certified is not None:
            return math.sqrt(self._certified), "power-bound"
        a = Sides(self._a, turned=False)
        self._passes += PASSES
        return residual_bound(
            self._library, self._key, a, found.left, values, found.right
        ), "power-bound"

    def _error(self, found: Triplets, values: Any) -> tuple[float, str]:
        if self._target.spectral is not None:
            return self._spectral_error(found, values)
        total = self._target.norm_squared
        left = found.tail_squared
        if left is None:
            left = total - float(np.sum(found.s**2))
        if total == 0 or not found.s.size:
            return math.sqrt(total), "tail-energy"
        if left >= self._target.rounding:
            return math.sqrt(left), "tail-energy"
        count = _core.svd.hold_out_vectors
        n, dtype = self._a.shape[1], self._a.dtype
        W = self._library.normals(self._key, n, _RESIDUAL_COLUMN, count, dtype)
        rest = self._a @ W - found.left @ (values[:, None] * (found.right.conj().T @ W))
        self._passes += 1
        energy = float(squares_of_columns(self._library, rest).sum())
        return math.sqrt(energy / count), "hold-out"

    def _residuals(self, found: Triplets, values: Any, method: str) -> Any:
        """One side holds by construction; the other one takes a product."""
        a = Sides(self._a, turned=False)
        if method == "subspace" or a.shape[0] < a.shape[1]:
            rest = a.forward(found.right) - found.left * values
        else:
            rest = a.backward(found.left) - found.right * values
        self._passes += 1
        rounding = self._target.eps**2 * self._target.norm_squared
        sums = squares_of_columns(self._library, rest)
        return self._xp.sqrt((sums + rounding) / 2).astype(values.dtype)
