"""Matrices with some entries free and the others 0."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from eigenflow._arrays import Array
from eigenflow.lds import extended
from eigenflow.lds.extended import Extended, solve
from eigenflow.lds.learners.base import StateLearner, require_size
from eigenflow.lds.structure import as_count


class PatternLearner(StateLearner):
    """Each row is a regression on its own free entries."""

    @abstractmethod
    def pattern(self, n: int) -> Array:
        """Free entries as a mask."""

    def n_parameters(self, state_dim: int) -> int:
        """Return the number of free entries."""
        return int(self.pattern(state_dim).sum())

    def least_squares(self, before: Array, after: Array) -> Array:
        """Each row by itself, on its free entries."""
        mask = self.pattern(before.shape[1])
        out = np.zeros(mask.shape)
        for row, free, target in zip(out, mask, after.T, strict=True):
            row[free] = np.linalg.lstsq(before[:, free], target)[0]
        return out

    def error_matrix(self, A: Extended, cov: Extended) -> Extended:
        """Row i misses what its free states do not tell about the others."""
        n = len(A)
        out = extended.zeros(n, n)
        for i, free in enumerate(self.pattern(n)):
            missed = A[i] * ~free
            out[i] = _swept(cov, free)[1].T @ missed - missed
        return out

    def excess_cov(self, A: Extended, cov: Extended) -> Extended:
        """A sum of squares on the diagonal: no digits are lost when the covariance is huge."""
        mask = self.pattern(len(A))
        by_pattern = {free.tobytes(): _swept(cov, free) for free in mask}
        missed = A * ~mask
        unknown = np.array([missed[i] @ by_pattern[f.tobytes()][0] for i, f in enumerate(mask)])
        left = np.array(
            [missed[i] - by_pattern[f.tobytes()][1].T @ missed[i] for i, f in enumerate(mask)]
        )
        # E r_i r_j', with r_i uncorrelated with the free states of row i
        return extended.symmetrized(unknown @ left.T)


@dataclass(frozen=True, eq=False)
class SparsePattern(PatternLearner):
    """Entries outside a given pattern are 0.

    Parameters
    ----------
    mask : (n, n) array_like of bool
        True where an entry is free.
    """

    mask: Array

    def __post_init__(self) -> None:
        mask = np.array(self.mask)
        if mask.dtype != np.bool_ or mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
            msg = f"mask: got shape {mask.shape}, {mask.dtype}, want a square array of bool"
            raise ValueError(msg)
        object.__setattr__(self, "mask", mask)

    def pattern(self, n: int) -> Array:
        """Free entries as a mask."""
        return self.mask

    def require_state_dim(self, n: int) -> None:
        """Raise ValueError if the mask has another size."""
        require_size("learner", len(self.mask), n, exact=True)


@dataclass(frozen=True, eq=False)
class TopLeftBlock(PatternLearner):
    """Learner of x' = A x that estimates the top left k x k block of A and sets the rest to 0.

    The learner of the paper's Figure 1. In `risk` the block is the least-squares one at the
    horizon in question, the limit of infinitely many trajectories.

    Parameters
    ----------
    size : int
        k; it has k^2 parameters.
    """

    size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_count(self.size, "size", 0))

    def pattern(self, n: int) -> Array:
        """The first k rows and columns."""
        inside = np.arange(n) < self.size
        return np.outer(inside, inside)

    def n_parameters(self, state_dim: int) -> int:
        """k^2."""
        return self.size**2

    def require_state_dim(self, n: int) -> None:
        """Raise ValueError if the block is larger than A."""
        require_size("learner", self.size, n)


@dataclass(frozen=True, eq=False)
class FirstColumns(PatternLearner):
    """The first k columns are free and the others 0, in a basis that is fixed beforehand.

    With the unstable subspace spanned by the first k states this class is always enough; with
    every column free it is ordinary least squares.

    Parameters
    ----------
    count : int
        k; it has n k parameters.
    """

    count: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", as_count(self.count, "count", 0))

    def pattern(self, n: int) -> Array:
        """The first k columns."""
        return np.tile(np.arange(n) < self.count, (n, 1))

    def n_parameters(self, state_dim: int) -> int:
        """Return n k."""
        return state_dim * self.count

    def require_state_dim(self, n: int) -> None:
        """Raise ValueError if there are not so many columns."""
        require_size("learner", self.count, n)


def full_matrix(state_dim: int) -> FirstColumns:
    """Return the class of all matrices: ordinary least squares.

    Parameters
    ----------
    state_dim : int
        n; the class has n^2 parameters.

    Returns
    -------
    FirstColumns
    """
    return FirstColumns(as_count(state_dim, "state_dim", 0))


def _swept(cov: Extended, free: Array) -> tuple[Extended, Extended]:
    """Covariance of the states given the free ones, and the regression of all on them.

    A free state that repeats earlier ones (its remaining variance is only rounding) is skipped.
    """
    n = len(cov)
    left, weights = cov.copy(), extended.zeros(n, n)
    small = extended.ten_to(10 - extended.current_digits())
    used = []
    for i in np.flatnonzero(free):
        if left[i, i] > cov[i, i] * small:
            left = left - np.outer(left[:, i], left[i, :]) / left[i, i]
            used.append(i)
    left[used, :] = left[:, used] = left[0, 0] * 0
    if used:
        weights[:, used] = solve(cov[np.ix_(used, used)], cov[used, :]).T
    return left, weights
