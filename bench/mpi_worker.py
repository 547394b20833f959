"""One rank of a benchmark: `mpiexec -n N python bench/mpi_worker.py TASK`, driven by bench_mpi.py.

Rank 0 reads a line for each run and answers when all ranks are done. `plain:TASK` is the same work
by the functions that know no communicator.
"""

import sys

import numpy as np
from mpi4py import MPI

import eigenflow as ef

world = MPI.COMM_WORLD


def mine(total):
    """Rows of this rank."""
    return slice(total * world.rank // world.size, total * (world.rank + 1) // world.size)


def flow(plain):
    rows = mine(1_000_000)
    rng = np.random.default_rng(0)
    z = (np.arange(1, 1_000_001) ** -1.0 + rng.standard_normal(1_000_000) / 300)[rows]
    lam, time = (np.arange(1, 1_000_001) ** -2.0)[rows], [50.0]
    if plain:
        return lambda: ef.flow.solve(z, lam, time, depth=1, b0=0.1, workers=1)
    return lambda: ef.mpi.flow(z, lam, time, depth=1, b0=0.1, workers=1)


def sine(plain):
    rng = np.random.default_rng(0)
    rows = mine(40_000)
    U, V = rng.uniform(-1, 1, (40_000, 8))[rows], rng.uniform(-1, 1, (4_000, 8))
    X, Y = rng.standard_normal((4_000, 4)), rng.standard_normal((40_000, 4))[rows]
    if plain:
        op = ef.sine.SineLowRank(U, V, 30.0, workers=1)
        return lambda: (op @ X, op.T @ Y)
    spread = ef.mpi.SineLowRank(U, V, 30.0, workers=1)
    return lambda: (spread @ X, spread.rmatmat(Y))


def lowrank(plain):
    rows = mine(40_000)
    rng = np.random.default_rng(0)
    A = (rng.standard_normal((40_000, 1_000)) * 0.98 ** np.arange(1_000))[rows].copy()
    if plain:
        return lambda: ef.lowrank.svd(A, 20, rng=0, workers=1)
    return lambda: ef.mpi.svd(A, 20, rng=0, workers=1)


def lds(plain):
    system = ef.lds.LinearSystem(
        [[0.95, 0.1], [0.0, 0.9]], [[1.0, 0.0]], [[0.1, 0.0], [0.0, 0.1]], [[1.0]]
    )
    y = np.random.default_rng(0).standard_normal((10_000_000, 1))[mine(10_000_000)].copy()
    if plain:
        return lambda: ef.lds.filter(system, y, workers=1)
    return lambda: ef.mpi.filter(system, y, workers=1)


def main():
    """Serve runs until the input ends."""
    name, _, task = sys.argv[1].rpartition(":")
    run = {"flow": flow, "sine": sine, "lowrank": lowrank, "lds": lds}[task](bool(name))
    while True:
        line = sys.stdin.readline() if world.rank == 0 else ""
        if not world.bcast(line, root=0):
            return
        run()
        world.Barrier()
        if world.rank == 0:
            print("done", flush=True)


if __name__ == "__main__":
    main()
