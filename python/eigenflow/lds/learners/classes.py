"""Linear spans, matrices of limited rank, and the smallest class that keeps the risk bounded."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array, as_float_array
from eigenflow.lds import extended
from eigenflow.lds.extended import Extended, identity, quadratic, solve
from eigenflow.lds.innovations import invariant_split
from eigenflow.lds.learners.base import StateLearner, require_size
from eigenflow.lds.structure import as_count, as_square, unstable_structure


@dataclass(frozen=True, eq=False)
class LinearSpan(StateLearner):
    """All sums of given matrices with free coefficients, plus a fixed one.

    Parameters
    ----------
    matrices : (q, n, n) array_like
        B_1, ..., B_q: the class is offset + theta_1 B_1 + ... + theta_q B_q. They should be
        linearly independent; `dimension` says how many are.
    offset : (n, n) array_like, optional
        Zero by default.
    """

    matrices: Array
    offset: Array | None = None

    def __post_init__(self) -> None:
        matrices = as_float_array(self.matrices, "matrices", ndim=3, dtype=np.float64)
        n = matrices.shape[1]
        offset = np.zeros((n, n)) if self.offset is None else as_square(self.offset, "offset")
        if matrices.shape[2] != n or offset.shape != (n, n):
            msg = f"matrices: got shape {matrices.shape}, want (q, n, n) as the offset has"
            raise ValueError(msg)
        object.__setattr__(self, "matrices", matrices.copy())
        object.__setattr__(self, "offset", offset.copy())

    def n_parameters(self, state_dim: int) -> int:
        """Return q."""
        return len(self.matrices)

    def dimension(self, state_dim: int) -> int:
        """Return the number of linearly independent matrices."""
        return int(np.linalg.matrix_rank(self.matrices.reshape(len(self.matrices), -1)))

    def require_state_dim(self, n: int) -> None:
        """Raise ValueError if the matrices have another size."""
        require_size("learner", self.matrices.shape[1], n, exact=True)

    def least_squares(self, before: Array, after: Array) -> Array:
        """Solve for the coefficients."""
        design = np.stack([(before @ b.T).ravel() for b in self.matrices], axis=1)
        target = (after - before @ self.offset.T).ravel()  # type: ignore[union-attr]
        theta = np.linalg.lstsq(design, target)[0]
        return np.asarray(self.offset + np.tensordot(theta, self.matrices, 1))

    def error_matrix(self, A: Extended, cov: Extended) -> Extended:
        """Solve the normal equations of the coefficients."""
        parts = [extended.extend(b) for b in self.matrices]
        error = extended.extend(np.asarray(self.offset)) - A
        if parts:
            images = np.array([(b @ cov).ravel() for b in parts], dtype=object)
            flat = np.array([b.ravel() for b in parts], dtype=object)
            theta = solve(images @ flat.T, -(images @ error.ravel())[:, None])[:, 0]
            error = error + sum(t * b for t, b in zip(theta, parts, strict=True))
        return np.asarray(error)


@dataclass(frozen=True, eq=False)
class ReducedRank(StateLearner):
    """Matrices of limited rank: reduced-rank regression with equal weights on the states.

    Parameters
    ----------
    rank : int
        r; 2 n r numbers are stored, the class has dimension r (2 n - r).
    """

    rank: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "rank", as_count(self.rank, "rank", 0))

    def n_parameters(self, state_dim: int) -> int:
        """Return 2 n r, or n^2 when the rank is not limited."""
        return min(2 * self.rank, state_dim) * state_dim

    def dimension(self, state_dim: int) -> int:
        """Return r (2 n - r)."""
        return self.rank * (2 * state_dim - self.rank)

    def require_state_dim(self, n: int) -> None:
        """Raise ValueError if the rank is larger than A."""
        require_size("learner", self.rank, n)

    def least_squares(self, before: Array, after: Array) -> Array:
        """Project the ordinary solution on the leading directions of what it predicts."""
        full = np.linalg.lstsq(before, after)[0].T
        _, _, vh = np.linalg.svd(before @ full.T)
        return np.asarray(vh[: self.rank].T @ (vh[: self.rank] @ full))

    def error_matrix(self, A: Extended, cov: Extended) -> Extended:
        """Lose the trailing directions of what A predicts."""
        if self.rank >= len(A):
            return extended.zeros(*A.shape)
        _, vectors = extended.eigh(extended.symmetrized(quadratic(A, cov)))
        lost = vectors[:, self.rank :]
        return np.asarray(-lost @ (lost.T @ A))

    def excess_cov(self, A: Extended, cov: Extended) -> Extended:
        """The trailing part of the spectrum of A cov A'."""
        if self.rank >= len(A):
            return extended.zeros(*A.shape)
        values, vectors = extended.eigh(extended.symmetrized(quadratic(A, cov)))
        lost = vectors[:, self.rank :]
        return extended.symmetrized(lost * values[self.rank :] @ lost.T)


@dataclass(frozen=True, eq=False)
class RepeatedEigenvalue(StateLearner):
    """The smallest class that serves every system near one with k unstable eigenvalues.

    A member repeats A on the unstable subspace, and multiplies by one of its real simple
    eigenvalues, lambda, on a subspace W of the other n - k dimensions that is fixed beforehand.
    So it has the eigenvalue lambda on n - k + 1 dimensions, which leaves n k - (n - k) free
    numbers: the least that any class with bounded mean risk can have (`min_parameters`,
    `any_perturbation`). For k = 1 it is {lambda I}, with one number.

    Parameters
    ----------
    unstable_dim : int
        k.
    fixed : (n, n - k) array_like, optional
        Basis of W. By default the orthogonal complement of the unstable subspace of the system at
        hand; one that is the same for a family of systems makes the class the same, too.
    """

    unstable_dim: int
    fixed: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "unstable_dim", as_count(self.unstable_dim, "unstable_dim", 1))
        if self.fixed is not None:
            fixed = as_float_array(self.fixed, "fixed", ndim=2, dtype=np.float64)
            object.__setattr__(self, "fixed", fixed.copy())

    def n_parameters(self, state_dim: int) -> int:
        """Return n k - (n - k)."""
        return state_dim * self.unstable_dim - (state_dim - self.unstable_dim)

    def require_state_dim(self, n: int) -> None:
        """Raise ValueError if the shapes do not match."""
        require_size("learner", self.unstable_dim, n)
        wanted = (n, n - self.unstable_dim)
        if self.fixed is not None and self.fixed.shape != wanted:
            msg = f"fixed: got shape {self.fixed.shape}, want {wanted}"
            raise ValueError(msg)

    def least_squares(self, before: Array, after: Array) -> Array:
        """Return the member for the ordinary least-squares matrix (not a minimum of its own)."""
        return self.member(np.linalg.lstsq(before, after)[0].T)

    def member(self, A: object) -> Array:
        """Return the member that repeats A on its unstable subspace."""
        a = as_square(A, "A")
        self.require_state_dim(len(a))
        with extended.working_digits(40):
            exact = extended.extend(a)
            return extended.to_float(exact + self.error_matrix(exact, exact))

    def error_matrix(self, A: Extended, cov: Extended) -> Extended:
        """B - A: zero on the unstable subspace, lambda - A on W."""
        k, n = self.unstable_dim, len(A)
        found = unstable_structure(extended.to_float(A))
        if found.count != k:
            msg = f"learner: got unstable_dim {k}, want {found.count} as the system has"
            raise ValueError(msg)
        coordinates, parted = invariant_split(A, found)
        away = extended.extend(_complement(found.basis) if self.fixed is None else self.fixed)
        both = np.concatenate([coordinates[:, :k], away], axis=1)
        moved = extended.zeros(n, n)
        moved[:, k:] = _refined_eigenvalue(parted[:k, :k], found) * away - A @ away
        return moved @ solve(both, identity(n))


def _refined_eigenvalue(block: Extended, found: Any) -> Any:
    """Newton's method for the largest real simple eigenvalue, to the current digits."""
    simple = [
        w.real
        for w, m in zip(found.eigenvalues, found.multiplicities, strict=True)
        if m == 1 and abs(w.imag) <= 1e-12 * abs(w)
    ]
    if not simple:
        msg = "system: got no real simple eigenvalue of modulus at least 1, want one to repeat"
        raise ValueError(msg)
    k = len(block)
    start = max(simple, key=abs)
    vector = np.linalg.svd(extended.to_float(block) - start * np.eye(k))[2][-1]
    value, v = extended.extend(np.array([start]))[0], extended.extend(vector)
    fixed = v.copy()
    for _ in range(extended.current_digits().bit_length()):
        jacobian = extended.zeros(k + 1, k + 1)
        jacobian[:k, :k] = block - value * identity(k)
        jacobian[:k, k], jacobian[k, :k] = -v, fixed
        residual = np.append(block @ v - value * v, fixed @ v - 1)
        step = solve(jacobian, residual[:, None])[:, 0]
        v, value = v - step[:k], value - step[k]
    return value


def _complement(basis: Array) -> Array:
    return np.linalg.svd(basis)[0][:, basis.shape[1] :]
