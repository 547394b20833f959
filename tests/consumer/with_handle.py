"""Run with mpiexec -n 2 python with_handle.py DIRECTORY: communicators cross as integers."""

import sys

import numpy as np

try:
    from mpi4py import MPI
except ImportError:
    sys.exit(77)

sys.path.insert(0, sys.argv[1])
import handle

world = MPI.COMM_WORLD
own = world.Split(color=world.rank % 2)  # one rank each, so its loss is not the world's
z = np.arange(1.0, 4.0) + world.rank
as_integer = getattr(MPI.Comm, handle.wants)
alone = handle.losses(as_integer(own), z, 0.5)[0]
both = handle.losses(as_integer(world), z, 0.5)[0]
assert abs(world.allreduce(alone) - both) < 1e-12 * both, (alone, both)
assert 0 < alone < (z**2).sum() / 2
