"""What all classes of matrices share: counts, least squares on data, risk in the population."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array, as_float_array
from eigenflow.lds import extended
from eigenflow.lds.extended import Extended, quadratic
from eigenflow.lds.structure import as_square


class StateLearner(ABC):
    """A class of matrices B for the prediction B x of the next state."""

    @abstractmethod
    def n_parameters(self, state_dim: int) -> int:
        """Numbers that a member stores, for a state of this dimension."""

    def dimension(self, state_dim: int) -> int:
        """Return the dimension of the class as a manifold, at a generic member."""
        return self.n_parameters(state_dim)

    def fit(self, states: Any) -> "FittedTransition":
        """Find the member that predicts each state from the one before with least squares.

        Parameters
        ----------
        states : (T, n) or (n_series, T, n) array_like
            One trajectory, or several independent ones, without missing numbers.

        Returns
        -------
        FittedTransition

        Raises
        ------
        ValueError, TypeError
            If the shape is wrong, or the class does not fit this number of states.

        Notes
        -----
        One QR decomposition of the data, O(T n^2), and then a problem of 2 n rows.
        """
        x = as_float_array(states, "states", ndim=(2, 3), dtype=np.float64)
        n = x.shape[-1]
        if x.shape[-2] < 2:
            msg = f"states: got {x.shape[-2]} steps, want at least 2"
            raise ValueError(msg)
        self.require_state_dim(n)
        paired = np.concatenate([x[..., :-1, :], x[..., 1:, :]], axis=-1).reshape(-1, 2 * n)
        root: Array = paired if len(paired) <= 2 * n else np.linalg.qr(paired, mode="r")  # type: ignore[assignment]
        matrix = self.least_squares(root[:, :n], root[:, n:])
        left = root[:, n:] - root[:, :n] @ matrix.T
        return FittedTransition(
            matrix, self.n_parameters(n), self.dimension(n), left.T @ left / len(paired)
        )

    @abstractmethod
    def require_state_dim(self, n: int) -> None:
        """Raise ValueError if a state of this dimension does not fit the class."""

    @abstractmethod
    def least_squares(self, before: Array, after: Array) -> Array:
        """Return the member B that minimises the Frobenius norm of after - before B'."""

    @abstractmethod
    def error_matrix(self, A: Extended, cov: Extended) -> Extended:
        """B - A for the best member B, when `cov` is the averaged covariance of the state."""

    def excess_cov(self, A: Extended, cov: Extended) -> Extended:
        """Averaged covariance of (B - A) x for the best member B."""
        return quadratic(self.error_matrix(A, cov), cov)


@dataclass(frozen=True, eq=False)
class FixedTransition(StateLearner):
    """One matrix, with nothing left to learn.

    Parameters
    ----------
    matrix : (n, n) array_like
        The next state is predicted as matrix @ state.
    """

    matrix: Array

    def __post_init__(self) -> None:
        matrix = as_square(self.matrix, "matrix").copy()
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)

    def n_parameters(self, state_dim: int) -> int:
        """Return 0."""
        return 0

    def require_state_dim(self, n: int) -> None:
        """Raise ValueError if the matrix has another size."""
        require_size("learner", len(self.matrix), n, exact=True)

    def least_squares(self, before: Array, after: Array) -> Array:
        """Return the matrix."""
        return self.matrix

    def error_matrix(self, A: Extended, cov: Extended) -> Extended:
        """B - A."""
        return extended.extend(self.matrix) - A


@dataclass(frozen=True, eq=False)
class FittedTransition(FixedTransition):
    """The least-squares member of a class; `risk` takes it as a learner.

    Attributes
    ----------
    matrix : (n, n) ndarray
    parameter_count, manifold_dim : int
        Of the class that it was chosen from.
    residual_cov : (n, n) ndarray
        Mean of the outer products of the one-step errors on the data.
    """

    parameter_count: int
    manifold_dim: int
    residual_cov: Array


def require_size(name: str, size: int, n: int, *, exact: bool = False) -> None:
    """Raise ValueError if a size does not fit n states."""
    if size > n or (exact and size != n):
        want = f"{n}" if exact else f"at most {n}"
        msg = f"{name}: got size {size}, want {want} as the state has"
        raise ValueError(msg)
