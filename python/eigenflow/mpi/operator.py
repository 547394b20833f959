"""The sine-activated matrix with the rows of U spread over ranks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from eigenflow import sine
from eigenflow._arrays import as_float_array
from eigenflow.mpi.communicators import (
    as_communicator,
    on_all_ranks,
    require_one_dtype,
    require_same,
)
from eigenflow.sine.gradients import SineGradients


class SineLowRank:
    """``sin(omega U V^T) / gain`` with the rows of U spread over ranks; V is whole on each.

    ``op @ X`` gives the rows of this rank and needs no message; ``op.rmatmat(Y_local)`` is the
    product with the transpose, one sum of as many numbers as X has.

    Parameters
    ----------
    U_local : array_like, shape (m_r, k)
        The rows of this rank; m_r may differ from rank to rank, and may be 0.
    V : array_like, shape (n, k)
        The same on every rank.
    omega, gain, **options
        As in `eigenflow.sine.SineLowRank`; NumPy arrays only.
    comm : communicator, optional
        Of mpi4py, or a `Communicator`. Default: ``MPI.COMM_WORLD``.

    Attributes
    ----------
    local : eigenflow.sine.SineLowRank
        The rows of this rank.
    shape : (int, int)
        Of the whole matrix.
    rows : slice
        Those of this rank.

    Raises
    ------
    ValueError, TypeError
        What `eigenflow.sine.SineLowRank` refuses on any rank; factors of different widths, heights
        of V or dtypes.
    """

    def __init__(
        self,
        U_local: ArrayLike,
        V: ArrayLike,
        omega: float,
        *,
        gain: float | None = None,
        comm: Any = None,
        **options: Any,
    ) -> None:
        self._comm = as_communicator(comm)
        _, widths = on_all_ranks(self._comm, lambda: _widths(2, U_local=U_local, V=V))
        require_same(self._comm, **widths)
        _, self.local = on_all_ranks(
            self._comm,
            lambda: sine.SineLowRank(U_local, V, omega, gain=gain, **options),
            U="U_local",
        )
        height = len(self.local.V)
        require_one_dtype(self._comm, "U_local", self.local.dtype)
        require_same(self._comm, V=(height, "as many rows on every rank, the whole of V"))
        counts = np.zeros(self._comm.size, np.int64)
        counts[self._comm.rank] = self.local.shape[0]
        self._comm.allreduce(counts, "sum")
        first = int(counts[: self._comm.rank].sum())
        self.rows = slice(first, first + self.local.shape[0])
        self.shape = int(counts.sum()), height

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self.local.dtype

    def matmat(self, X: ArrayLike) -> Any:
        """Return this rank's rows of ``S X``; not collective."""
        return self.local @ X

    __matmul__ = matvec = matmat

    def rmatmat(self, Y_local: ArrayLike) -> Any:
        """Return ``S^T Y`` on every rank, from this rank's rows of Y."""
        _, widths = on_all_ranks(self._comm, lambda: _widths(Y_local=Y_local))
        require_same(self._comm, **widths)
        _, part = on_all_ranks(self._comm, lambda: self.local.T @ Y_local, X="Y_local")
        return self._summed("Y_local", part)

    rmatvec = rmatmat

    def vjp(
        self,
        X: ArrayLike,
        grad_local: ArrayLike,
        *,
        wrt: Sequence[str] = ("U", "V", "omega", "gain", "X"),
    ) -> SineGradients:
        """Return the gradients of ``<grad_output, S X>``.

        That of U is this rank's rows; the others are summed over the ranks. `grad_local` holds the
        rows of this rank.
        """
        _, widths = on_all_ranks(self._comm, lambda: _widths(X=X, grad_local=grad_local))
        require_same(self._comm, **widths)
        _, found = on_all_ranks(
            self._comm,
            lambda: self.local.vjp(X, grad_local, wrt=wrt),
            grad_output="grad_local",
        )
        summed: dict[str, Any] = {
            name: self._summed(name, getattr(found, name))
            for name in ("V", "X")
            if getattr(found, name) is not None
        }
        names = [name for name in ("omega", "gain") if getattr(found, name) is not None]
        numbers = np.array([getattr(found, name) for name in names], np.float64)
        self._comm.allreduce(numbers, "sum")
        return replace(found, **summed, **dict(zip(names, numbers.tolist(), strict=True)))

    def _summed(self, name: str, part: Any) -> Any:
        require_one_dtype(self._comm, name, part.dtype)
        total = np.ascontiguousarray(part)
        self._comm.allreduce(total, "sum")
        return total

    def __repr__(self) -> str:
        return (
            f"<{self.shape[0]}x{self.shape[1]} SineLowRank of {self.dtype}, rows "
            f"{self.rows.start}:{self.rows.stop} on rank {self._comm.rank} of {self._comm.size}>"
        )


def _widths(ndim: int | tuple[int, int] = (1, 2), **given: Any) -> dict[str, tuple[int, str]]:
    """Numbers of columns, to be compared between ranks.

    That comes before the arguments of a rank meet, so that the one that differs is named.
    """
    arrays = {
        name: as_float_array(a, name, ndim=ndim, check_finite=False) for name, a in given.items()
    }
    return {
        name: (a.shape[1] if a.ndim == 2 else 1, "as many columns on every rank")
        for name, a in arrays.items()
    }
