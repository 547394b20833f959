"""Gradient flows of coordinates that are spread over ranks."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eigenflow.flow import solve
from eigenflow.mpi.communicators import as_communicator, on_all_ranks, require_same

_BLOCK = 1 << 16


@dataclass(frozen=True, eq=False)
class FlowBlock:
    """What `flow` returns.

    Attributes
    ----------
    theta : array, shape ``times.shape + coordinates``
        The coordinates of this rank.
    loss : array, shape ``times.shape``
        ``sum((theta - z)^2) / 2`` over the coordinates of all ranks; the same on every rank.
    """

    theta: Any
    loss: Any


def flow(
    z_local: ArrayLike,
    eigenvalues_local: ArrayLike,
    times: ArrayLike,
    *,
    comm: Any = None,
    depth: int = 0,
    b0: ArrayLike | None = None,
    coupling: Literal["shared", "separate"] = "shared",
    workers: int | None = None,
    check_finite: bool = True,
) -> FlowBlock:
    """Gradient flow of coordinates that are spread over ranks, and the loss of all of them.

    Parameters
    ----------
    z_local, eigenvalues_local, b0 : array_like
        The coordinates of this rank, as in `eigenflow.flow.solve`; their number may differ from
        rank to rank, and may be 0.
    times : array_like
        The same on every rank.
    comm : communicator, optional
        Of mpi4py, or a `Communicator`. Default: ``MPI.COMM_WORLD``.
    depth, coupling, workers, check_finite
        As in `eigenflow.flow.solve`.

    Returns
    -------
    FlowBlock
        theta of the block, loss of all coordinates.

    Raises
    ------
    ValueError, TypeError
        What `eigenflow.flow.solve` refuses on any rank; different numbers of times.

    Notes
    -----
    Coordinates need nothing of each other: the only message is the sum of the losses, a number for
    each time. theta is the same bytes however the coordinates are spread; the loss agrees to
    rounding.
    """

    def local() -> tuple[Any, NDArray[np.float64]]:
        theta = solve(
            z_local,
            eigenvalues_local,
            times,
            depth=depth,
            b0=b0,
            coupling=coupling,
            workers=workers,
            check_finite=check_finite,
        )
        return theta, _losses(np.asarray(theta), np.asarray(z_local), np.shape(times))

    _, (theta, loss) = on_all_ranks(comm, local, z="z_local", eigenvalues="eigenvalues_local")
    require_same(comm, times=(loss.size, "as many times on every rank"))
    group = as_communicator(comm)
    group.allreduce(loss, "sum")
    return FlowBlock(theta, loss)


def _losses(theta: Any, z: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """One number a time, from blocks that stay in cache."""
    coordinates = theta.shape[len(shape) :]
    rows = theta.reshape(-1, int(np.prod(coordinates))) if theta.size else theta.reshape(0, 0)
    target = np.broadcast_to(z, coordinates).reshape(-1)
    loss = np.zeros(shape)
    flat = loss.reshape(-1)
    for i, row in enumerate(rows):
        for first in range(0, row.size, _BLOCK):
            part = slice(first, first + _BLOCK)
            rest = row[part].astype(np.float64) - target[part]
            flat[i] += (rest * rest).sum() / 2
    return loss
