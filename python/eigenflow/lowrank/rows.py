"""The svd driver for a tall matrix whose rows are somewhere else: cluster, ranks, memory.

The short side is kept here. Each read of A is one call of an engine (`eigenflow._map_reduce`):
the fused sweeps ``A^H (A W)`` of a block Krylov iteration that keeps all blocks of the short side,
and at the end the triangular factor of ``A V``, from which the values, the right vectors and the
error come without squares. U is ``A V / s``, which the engine makes where the rows are.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eigenflow import _core
from eigenflow._arrays import Array
from eigenflow._map_reduce import lowrank as pieces
from eigenflow._map_reduce.engine import Rows
from eigenflow.lowrank.decomposition import SVDResult
from eigenflow.lowrank.namespace.blocks import Host
from eigenflow.lowrank.namespace.bounds import outside_bound_by_squares
from eigenflow.lowrank.namespace.krylov import Target
from eigenflow.lowrank.requests import failure_probability
from eigenflow.lowrank.sweeps import Reads, Request, Sweeps, krylov_width, with_norm

# Columns of the Gaussian matrix from here on test the result, and are in no basis.
_HOLD_OUT_COLUMN = 2**40


@dataclass(frozen=True, eq=False)
class Found:
    """Values and right vectors in double precision; A turns the weights ``V / s`` into U."""

    s: Array
    Vh: Array
    weights: Array
    norm: float
    error: float
    error_kind: str
    residuals: Array
    method: str
    passes: int
    looks: int = 1


def as_result(found: Found, rows: Rows, dtype: np.dtype[Any], mean: Array | None) -> SVDResult:
    """Return what the user gets; U is where the rows are."""
    rank = found.s.size
    real = np.zeros(0, dtype).real.dtype
    return SVDResult(
        U=rows.map(pieces.image, (rank,), dtype, found.weights, dtype),
        s=found.s.astype(real),
        Vh=found.Vh.astype(dtype),
        rank=rank,
        error=found.error,
        relative_error=found.error / found.norm if found.norm > 0 else 0.0,
        error_kind=found.error_kind,  # type: ignore[arg-type]
        failure_probability=failure_probability(found.error_kind, found.looks),
        residuals=found.residuals.astype(real) if rank else np.full(0, math.nan, real),
        method=found.method,  # type: ignore[arg-type]
        passes=found.passes,
        mean=mean,
    )


def ignore(_: Any) -> None:
    """Do nothing with what a sweep reports."""


def decompose(
    rows: Rows,
    shape: tuple[int, int],
    dtype: Any,
    request: Request,
    after_pass: Callable[[Any], None] = ignore,
    state: dict[str, Array] | None = None,
) -> Found:
    """Return the leading triplets; every rank of an engine with ranks returns the same.

    Parameters
    ----------
    rows : Rows
        The blocks of A, one array.
    shape, dtype
        Those of A.
    request : Request
        What is wanted.
    after_pass : callable
        Called after each sweep with the `Sweeps`, whose `state()` a later call can start from.
    state : dict, optional
        Such a state.

    Raises
    ------
    ValueError
        If A holds NaN or infinity; the message names the first position.
    """
    return _Decomposition(rows, shape, dtype, request, after_pass, state).run()


@dataclass
class _Decomposition:
    rows: Rows
    shape: tuple[int, int]
    dtype: Any
    request: Request
    after_pass: Callable[[Any], None]
    state: dict[str, Array] | None
    reads: Reads = field(init=False)
    target: Target = field(init=False)
    chosen: int | None = field(init=False, default=None)  # by a bound on the spectral error
    certified: float | None = field(init=False, default=None)  # that bound, squared
    looks: int = field(init=False, default=1)
    first: float = field(init=False, default=math.nan)  # value

    def __post_init__(self) -> None:
        wide = pieces.wide_dtype(self.dtype)
        self.reads = Reads(self.rows, self.shape, wide)
        smaller, asked = min(self.shape), self.request.rank
        self.target = Target(
            rank=smaller if asked is None else asked,
            tolerance=-1.0,
            oversampling=self.request.oversampling,
            norm_squared=math.nan,
            eps=float(np.finfo(wide).eps),
        )

    def run(self) -> Found:
        if min(self.shape) == 0 or self.target.rank == 0:
            return self._nothing()
        if self.request.steps is not None:
            return self._by_iteration(self.request.steps)
        basis = None if self._exact_is_cheaper() else self._basis()
        if basis is None:
            return self._exact()
        if self.reads.norm == 0:
            return self._finish(np.zeros((1, basis.V.shape[1])), basis.V, "krylov")
        return self._from_basis(basis.V, left=basis.left)

    def _by_iteration(self, steps: int) -> Found:
        """Subspace iteration whose image is made orthonormal before A^H: no squares of A.

        Directions down to eps of the first value are seen, where the fused sweeps see them down to
        its square root. A step more than asked stands for the projection at the end.
        """
        n, dtype = self.shape[1], self.reads.dtype
        width = max(1, min(self.target.rank + self.request.oversampling, *self.shape))
        V = np.linalg.qr(Host().normals(self.request.key, n, 0, width, dtype))[0]
        for _ in range(steps + 1):
            V = self._turned(V)
        self.target = with_norm(self.target, self.request, self.reads)
        return self._from_basis(V, left=0.0, method="subspace")

    def _turned(self, V: Array) -> Array:
        """Return orthonormal columns that span A^H A V, by way of an orthonormal basis of A V.

        A V = Q R is orthogonal in directions that R tells, up to eps s_1 / s_j: a second factor, of
        the image with columns of length 1, mends that. What is below 1e3 eps s_1 is left out, and
        random directions take its place.
        """
        R = self.reads.triangle(V)
        values, vh = _svd_of(R)
        eps = self.target.eps
        seen = int(np.sum(values > 1e3 * eps * values[0])) if values[0] > 0 else 0
        W = V @ (vh[:seen].conj().T / values[:seen])
        turn = np.eye(seen, dtype=W.dtype)
        if seen and values[0] > 1e3 * values[seen - 1]:
            turn = np.linalg.inv(self.reads.triangle(W))
        Z = self.reads.adjoint(W, turn) if seen else V[:, :0]
        fresh = Host().normals(self.request.key, len(V), 2**20, V.shape[1] - seen, Z.dtype)
        Q = np.linalg.qr(np.concatenate((Z, fresh), axis=1))[0]
        return np.asarray(np.linalg.qr(Q)[0])

    def _nothing(self) -> Found:
        m, n = self.shape
        if m * n:
            self.reads.fused(np.zeros((n, 1), self.reads.dtype))
        norm = self.reads.norm if m * n else 0.0
        self.reads.norm = norm
        none = np.zeros((0, n), self.reads.dtype)
        if self.request.spectral and norm > 0:
            return self._finish_spectral(np.zeros(0), none, complete=False, method="exact")
        return self._found(np.zeros(0), none, norm, "tail-energy", "exact")

    def _exact_is_cheaper(self) -> bool:
        """Whether the factor of A itself, in one read, costs less than sweeps with a basis."""
        request, smaller = self.request, min(self.shape)
        if request.method != "auto":
            return request.method == "exact"
        if request.passes == 1:
            return True
        relative = 0.0 if request.rtol is None else request.rtol
        if not request.by_rank and not request.atol and relative**2 < 64 * self.target.eps:
            return True  # below what energies resolve
        return self.target.basis_columns > 0.45 * smaller

    def _basis(self) -> Sweeps | None:
        """Return the basis; None where it would be so large that the exact way is cheaper."""
        width = krylov_width(self.shape, self.request)
        if 2 * width > self.shape[1]:
            return None
        sweeps = Sweeps(self.reads, self.target, self.request, width)
        if self.state is not None:
            sweeps.restore(self.state)
        enough = sweeps.run(self.after_pass)
        self.target = sweeps.target
        if enough:
            self.chosen, self.certified = sweeps.chosen, sweeps.certified
            self.looks = max(1, sweeps.looks)
        return sweeps if enough else None

    def _exact(self) -> Found:
        R = self.reads.triangle(None)
        self.target = with_norm(self.target, self.request, self.reads)
        return self._finish(R, None, "exact")

    def _from_basis(self, V: Array, *, left: float, method: str = "krylov") -> Found:
        test = None
        # The energy may turn out below rounding: then vectors that no basis is made of tell.
        if not self.request.spectral and left <= 1e6 * self.target.rounding:
            count, n = _core.svd.hold_out_vectors, self.shape[1]
            test = Host().normals(self.request.key, n, _HOLD_OUT_COLUMN, count, self.reads.dtype)
        R = self.reads.triangle(V if test is None else np.concatenate((V, test), axis=1))
        return self._finish(R, V, method, test)

    def _finish(self, R: Array, V: Array | None, method: str, test: Array | None = None) -> Found:
        """Triplets from the factor of ``A [V, test]``; no V stands for the identity."""
        size = R.shape[1] if V is None else V.shape[1]
        values, vh = _svd_of(R[:, :size])
        squares = values**2
        self.first = float(values[0])
        rank = self._rank(squares, complete=V is None)
        s, right = values[:rank], vh[:rank] if V is None else vh[:rank] @ V.conj().T
        right = _with_signs(right)
        if self.request.spectral:
            return self._finish_spectral(values, right, complete=V is None, method=method)
        if V is None:
            return self._found(
                s, right, math.sqrt(math.fsum(squares[rank:])), "tail-energy", method
            )
        left = self.target.norm_squared - math.fsum(squares[:rank])
        if left >= self.target.rounding or self.reads.norm == 0:
            return self._found(s, right, math.sqrt(max(left, 0.0)), "tail-energy", method)
        if test is None:
            test, R = self._tested(V, R)
        error = _hold_out(R, size, vh[:rank], V, test)
        return self._found(s, right, error, "hold-out", method)

    def _finish_spectral(
        self, values: Array, right: Array, *, complete: bool, method: str
    ) -> Found:
        """Triplets with the next value as their error, or a bound of it."""
        rank = len(right)
        s = values[:rank]
        if complete:
            following = float(values[rank]) if rank < values.size else 0.0
            return self._found(s, right, following, "next-value", method)
        if self.certified is not None:
            return self._found(s, right, math.sqrt(self.certified), "power-bound", method)
        fused, V = self.reads.fused, right.conj().T
        error = outside_bound_by_squares(Host(), self.request.key, fused, V, self.reads.dtype)
        return self._found(s, right, error, "power-bound", method)

    def _spectral_norm(self, error: float) -> float:
        """Return the first value; where none was asked for, the error is that of nothing."""
        return error if math.isnan(self.first) else self.first

    def _tested(self, V: Array, R: Array) -> tuple[Array, Array]:
        """One more read, for an error that no one expected to be so small."""
        count, n = _core.svd.hold_out_vectors, self.shape[1]
        test = Host().normals(self.request.key, n, _HOLD_OUT_COLUMN, count, self.reads.dtype)
        return test, self.reads.triangle(np.concatenate((V, test), axis=1))

    def _rank(self, squares: Array, *, complete: bool) -> int:
        most = min(self.target.rank, squares.size)
        if self.request.by_rank:
            return most
        if self.request.spectral:
            if self.chosen is not None:
                return min(most, self.chosen)
            return min(most, int(np.sum(squares > self.target.spectral_allowance(squares[0]))))
        if complete:
            tails = np.append(np.cumsum(squares[::-1])[::-1], 0.0)
            return min(most, int(np.argmax(tails <= self.target.tolerance**2)))
        found = self.target.rank_of(squares)
        return most if found is None else found

    def _found(self, s: Array, Vh: Array, error: float, kind: str, method: str) -> Found:
        reads = self.reads
        residuals = np.full(s.size, math.nan)
        # Below this a value is rounding, and A v / s would be noise and no unit vector.
        floor = 8 * self.target.eps * (s[0] if s.size else 0.0)
        inverse = np.divide(1.0, s, out=np.zeros_like(s), where=s > floor)
        if self.request.residuals and s.size:
            rest = reads.fused(Vh.conj().T) * inverse - Vh.conj().T * s
            sums = np.sum(np.abs(rest) ** 2, axis=0)
            residuals = np.sqrt((sums + self.target.eps**2 * reads.norm**2) / 2) / reads.scale
        return Found(
            s=s / reads.scale,
            Vh=Vh,
            weights=Vh.conj().T * (inverse * reads.scale),
            norm=(self._spectral_norm(error) if self.request.spectral else reads.norm)
            / reads.scale,
            error=error / reads.scale,
            error_kind=kind,
            residuals=residuals,
            method=method,
            passes=reads.passes,
            looks=self.looks,
        )


def _svd_of(R: Array) -> tuple[Array, Array]:
    if not np.isfinite(R).all():
        msg = "A: holds, or leads to, values that are not finite"
        raise ValueError(msg)
    _, values, vh = np.linalg.svd(R, full_matrices=R.shape[0] < R.shape[1])
    n = R.shape[1]
    return np.concatenate((values, np.zeros(n - values.size))), vh


def _hold_out(R: Array, size: int, turn: Array, V: Array, test: Array) -> float:
    """||A - A X X^H|| for X^H = turn V^H, from products with Gaussian columns in the factor too."""
    inside = R[:, :size] @ (turn.conj().T @ (turn @ (V.conj().T @ test)))
    rest = R[:, size:] - inside
    return math.sqrt(float(np.sum(np.abs(rest) ** 2)) / test.shape[1])


def _with_signs(Vh: Array) -> Array:
    """Make the largest entry of each row real and positive, the first one on ties."""
    if not Vh.size:
        return Vh
    largest = Vh[np.arange(len(Vh)), np.abs(Vh).argmax(axis=1)]
    return np.asarray(Vh * (largest.conj() / np.abs(largest))[:, None])
