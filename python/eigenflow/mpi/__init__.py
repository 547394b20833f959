"""The engines on data that is spread over the ranks of a communicator.

Every rank calls the same function with its own block: rows of a matrix, coordinates of a flow, rows
of U of a sine-activated matrix, consecutive steps of a series. Blocks may be of any size, none
included. Small results are the same on every rank, large ones are those of the block. An error on
one rank is raised on all of them, with the same message.

`comm` is a communicator of mpi4py (``MPI.COMM_WORLD`` by default) or any object with the members of
`Communicator`. Nothing here is linked to MPI.
"""

from eigenflow._core.ranks import CommunicationError
from eigenflow.mpi.communicators import Communicator
from eigenflow.mpi.coordinates import FlowBlock, flow
from eigenflow.mpi.decomposition import svd
from eigenflow.mpi.operator import SineLowRank
from eigenflow.mpi.regression import fit
from eigenflow.mpi.risk import expected_risk, stopping_time, sure
from eigenflow.mpi.series import filter, log_likelihood  # noqa: A004

__all__ = [
    "CommunicationError",
    "Communicator",
    "FlowBlock",
    "SineLowRank",
    "expected_risk",
    "filter",
    "fit",
    "flow",
    "log_likelihood",
    "stopping_time",
    "sure",
    "svd",
]
