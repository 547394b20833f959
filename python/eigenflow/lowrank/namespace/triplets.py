"""Singular triplets from a basis, their error and their residuals."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eigenflow import _core
from eigenflow._arrays import Array
from eigenflow.lowrank.namespace.blocks import Library, Sides, gram, orthonormalise, wide_dtype
from eigenflow.lowrank.namespace.krylov import ImageKrylov, Target

# Gram matrices see squares above this share of the first. Columns from here on test the result.
_VISIBLE, _RESIDUAL_COLUMN = 1e-11, 2**40


@dataclass(frozen=True, eq=False)
class Triplets:
    """left diag(s) right^H, and the squares that were left out where all of them are known."""

    left: Any
    s: Array
    right: Any
    tail_squared: float | None = None

    def swapped(self) -> "Triplets":
        """Return those of the adjoint."""
        return replace(self, left=self.right, right=self.left)


def decompose(
    a: Any, target: Target, library: Library, power_iterations: int | None, key: int
) -> dict[str, Any]:
    """Return the fields of the C++ driver, for a matrix of ordinary scale."""
    return _Decomposition(a, target, library, power_iterations, key).run()


class _Decomposition:
    def __init__(
        self, a: Any, target: Target, library: Library, power_iterations: int | None, key: int
    ) -> None:
        self._a, self._target, self._library, self._key = a, target, library, key
        self._steps = power_iterations
        self._xp = library.xp
        self._passes = 0

    def run(self) -> dict[str, Any]:
        target, smaller = self._target, min(self._a.shape)
        norm = math.sqrt(target.norm_squared)
        nothing = target.tolerance >= 0 and target.tolerance >= norm
        if target.rank == 0 or norm == 0 or smaller == 0 or nothing:
            method, found = "exact", self._unit_vectors(0 if nothing else target.rank)
        else:
            method, found = self._find()
        found = self._with_signs(found)
        error, kind = self._error(found)
        residuals = self._residuals(found, method) if norm > 0 else 0 * found.s
        return {
            "U": found.left,
            "s": self._device_vector(found.s),
            "Vh": found.right.conj().T,
            "rank": found.s.size,
            "norm": norm,
            "looks": int(kind == "hold-out"),
            "error": error,
            "error_kind": kind,
            "residuals": self._device_vector(residuals),
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
        basis = 100 + (1.4 * target.rank if target.tolerance < 0 else 0)
        return target.below_floor or basis > 0.45 * min(self._a.shape)

    def _by_krylov(self, along: Sides) -> Triplets | None:
        basis = ImageKrylov(along, self._target, self._library, self._key)
        enough = basis.run()
        self._passes += basis.passes
        if not enough:
            return None
        image = self._xp.concatenate(basis.images, axis=1)
        return self._extract(image, basis.V[:, : image.shape[1]])

    def _by_iteration(self, steps: int) -> Triplets:
        """Subspace iteration; with a tolerance the sample doubles until it is met."""
        a, target, smaller = Sides(self._a, turned=False), self._target, min(self._a.shape)
        size = min(smaller, target.oversampling + (32 if target.tolerance >= 0 else target.rank))
        while True:
            G = self._library.normals(self._key, a.shape[1], 0, size, self._a.dtype)
            Q = orthonormalise(self._library, a.forward(G))[0]
            for _ in range(steps):
                X = orthonormalise(self._library, a.backward(Q))[0]
                Q = orthonormalise(self._library, a.forward(X))[0]
            self._passes += 2 * steps + 2
            found = self._extract(a.backward(Q), Q).swapped()
            few = found.s.size < size - target.oversampling
            if target.tolerance < 0 or size == smaller or few:
                return found
            size = min(smaller, 2 * size)

    def _by_gram_or_qr(self, along: Sides) -> Triplets:
        self._passes += 1
        return self._extract(along.a.conj().T if along.turned else along.a, None)

    def _extract(self, Y: Any, V: Any | None) -> Triplets:
        """Triplets from the image Y = A V; V = None stands for the identity, and Y is A."""
        tolerance = self._target.tolerance
        least = 1e-10 * self._target.norm_squared
        if V is not None or tolerance < 0 or tolerance**2 > least:
            found = self._by_gram(Y, V)
            if found is not None:
                return found
        Q, R = self._xp.linalg.qr(Y)
        return self._turned(Q, self._library.to_host(R), V, None)

    def _by_gram(self, Y: Any, V: Any | None) -> Triplets | None:
        """Leading vectors from Y^H Y, whose error of eps (s_1 / s_k)^2 a second step takes out."""
        ascending, vectors = self._xp.linalg.eigh(gram(self._library, Y))
        squares = np.maximum(self._library.to_host(ascending)[::-1], 0.0)
        rank, tail = self._choose(squares, complete=V is None)
        if rank and not squares[rank - 1] > _VISIBLE * squares[0]:
            return None
        X = vectors[:, ::-1][:, :rank].astype(self._a.dtype)
        left = Y @ X
        lengths = self._xp.sqrt((abs(left) ** 2).sum(axis=0, dtype=np.float64))
        Q, R = orthonormalise(self._library, left / lengths.astype(abs(left[:1]).dtype))
        small = R * self._library.to_host(lengths)
        right = X if V is None else V @ X
        found = self._turned(Q.astype(self._a.dtype), small, right, rank)
        return replace(found, tail_squared=tail)

    def _turned(self, Q: Any, small: Array, V: Any | None, rank: int | None) -> Triplets:
        """Q small V^H by the decomposition of `small`."""
        u, s, vh = np.linalg.svd(small.astype(wide_dtype(small.dtype)))
        tail = None
        if rank is None:
            rank, tail = self._choose(s**2, complete=V is None)
        turn, back = (
            self._library.to_device(x.astype(self._a.dtype))
            for x in (u[:, :rank], vh[:rank].conj().T)
        )
        return Triplets(Q @ turn, s[:rank], back if V is None else V @ back, tail)

    def _choose(self, squares: Array, *, complete: bool) -> tuple[int, float | None]:
        target = self._target
        if not complete:
            rank = target.rank_of(squares)
            return min(squares.size, target.rank) if rank is None else rank, None
        tails = np.append(np.cumsum(squares[::-1])[::-1], 0.0)  # tails[k]: what rank k leaves
        rank = min(target.rank, squares.size)
        if target.tolerance >= 0:
            rank = min(rank, int(np.argmax(tails <= target.tolerance**2)))
        return rank, float(tails[rank])

    def _with_signs(self, found: Triplets) -> Triplets:
        """The largest entry of each right vector real and positive, the first one on ties."""
        if not found.s.size or not found.right.shape[0]:
            return found
        xp = self._xp
        largest = found.right[abs(found.right).argmax(axis=0), xp.arange(found.s.size)]
        turn = largest.conj() / abs(largest)
        return replace(found, left=found.left * turn, right=found.right * turn)

    def _error(self, found: Triplets) -> tuple[float, str]:
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
        s = self._device_vector(found.s)
        rest = self._a @ W - found.left @ (s[:, None] * (found.right.conj().T @ W))
        self._passes += 1
        return math.sqrt(float((abs(rest) ** 2).sum(dtype=np.float64)) / count), "hold-out"

    def _residuals(self, found: Triplets, method: str) -> Array:
        """One side holds by construction; the other one takes a product."""
        if not found.s.size:
            return np.zeros(0)
        a, s = Sides(self._a, turned=False), self._device_vector(found.s)
        if method == "subspace" or a.shape[0] < a.shape[1]:
            rest = a.forward(found.right) - found.left * s
        else:
            rest = a.backward(found.left) - found.right * s
        self._passes += 1
        sums = self._library.to_host((abs(rest) ** 2).sum(axis=0, dtype=np.float64))
        return np.sqrt((sums + self._target.eps**2 * self._target.norm_squared) / 2)
