"""A rank dies; the others get an error, leave it out, and go on: Open MPI 5 with its ULFM."""

import os
import signal

import numpy as np
from mpi4py import MPI

import eigenflow as ef

world = MPI.COMM_WORLD
A = np.random.default_rng(0).normal(size=(900, 300))


def decompose(comm):
    """By rows that each rank reads again: nothing of a dead rank is lost."""
    return ef.mpi.svd(np.array_split(A, comm.size)[comm.rank], 5, comm=comm, rng=0)


world.Barrier()  # all have started
if world.rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    decompose(world)
except ef.mpi.CommunicationError:
    world.Revoke()  # whoever waits elsewhere learns of it
rest = world.Shrink()
found = decompose(rest)
np.testing.assert_allclose(found.s, ef.lowrank.svd(A, 5, rng=0).s, rtol=1e-12)
if rest.rank == 0:
    print(f"{rest.size} of {world.size} went on", flush=True)
rest.Barrier()
os._exit(0)  # MPI_Finalize may wait for the dead
