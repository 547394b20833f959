"""Truncated SVD of a tall Dask array of 1.2 GB on two workers, against Dask's own `svd_compressed`.

Blocks are made where they are read, about as fast as a disk gives them. Every contestant gets a
cluster of its own, so that the peak of its workers' memory is its own; reads are counted by the
blocks themselves. The last cell compares one worker with a loop over the same blocks.
"""

import resource
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path

import cloudpickle
import dask.array as da
import numpy as np
import pytest
from distributed import get_task_stream

import eigenflow as ef
from eigenflow._map_reduce.tree import combine_all
from eigenflow._threads import single_blas_thread
from eigenflow.lowrank.rows import Request, decompose
from support.cluster import local_client

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.filterwarnings("ignore")  # distributed looks for a port by trying

ROWS, COLS, RANK = 20_000, 256, 20
SPECTRA = {"1/j": lambda j: 1 / j, "j^-1/2": lambda j: j**-0.5}


def block(spectrum, log, i):
    """One block: Gaussian columns of decreasing size; says that it was read."""
    with Path(log).open("ab") as file:
        file.write(b".")
    scale = SPECTRA[spectrum](np.arange(1.0, COLS + 1)) / ROWS**0.5
    made = np.random.default_rng(i).standard_normal((ROWS, COLS))
    made *= scale  # in place, as a file is read: no second copy beside the contestants' own
    return made


def matrix(spectrum, log, n_blocks):
    def at(block_id):
        return block(spectrum, log, block_id[0])

    chunks = ((ROWS,) * n_blocks, (COLS,))
    return da.map_blocks(at, chunks=chunks, dtype=float, meta=np.empty((0, 0)))


def ours(A, **kwargs):
    result = ef.dask.svd(A, RANK, rng=0, **kwargs)
    return result.s


def theirs(A, n_power_iter):
    _, s, _ = da.linalg.svd_compressed(A, RANK, n_power_iter=n_power_iter, compute=True, seed=0)
    return s.compute()


CONTESTANTS = {
    "eigenflow, 3 reads": partial(ours, passes=3, method="krylov"),
    "eigenflow, as it chooses": ours,
    "svd_compressed, n_power_iter=2": partial(theirs, n_power_iter=2),
}


@contextmanager
def active_client(n_workers):
    with local_client(n_workers, memory_limit="2GB") as client, client.as_current():
        yield client


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("who", CONTESTANTS)
def test_tall(contest, who, spectrum):
    with tempfile.TemporaryDirectory() as folder, active_client(2) as client:
        log = Path(folder, "reads")
        run = CONTESTANTS[who]
        run(matrix(spectrum, log, 2))  # workers import what they need
        A = matrix(spectrum, log, 30)
        log.write_bytes(b"")
        found = {}

        def once():
            found["s"] = run(A)

        rounds = 3
        cell = f"svd 600,000 x 256 in 30 blocks (1.2 GB), rank {RANK}, {spectrum}, two workers"
        bench = contest(cell, who, once, rounds=rounds, warmup=False)
        reads = len(log.read_bytes()) / 30 / rounds
        memory = max(client.run(peak).values())
    squares = norm_squared(spectrum)
    error = (1 - np.sum(np.square(found["s"])) / squares) ** 0.5
    bench.extra_info.update(
        reads=reads, MB_a_worker=round(memory / 1e6), relative_error=f"{error:.6f}"
    )


def norm_squared(spectrum):
    """||A||^2; for orthogonal projections the squared error is what the squares of s leave."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "reads")
        return sum(float(np.sum(np.square(block(spectrum, log, i)))) for i in range(30))


class Loop:
    """The same pieces, one block after the other."""

    def __init__(self, spectrum, log, n_blocks):
        self._block = partial(block, spectrum, log)
        self._firsts = list(accumulate([ROWS] * n_blocks, initial=0))[:-1]

    def reduce(self, piece, combine, *shared):
        parts = [piece(first, self._block(i), *shared) for i, first in enumerate(self._firsts)]
        return combine_all(parts, combine)


@pytest.mark.parametrize("who", ["eigenflow, a loop", "eigenflow, Dask on one worker"])
def test_overhead(contest, who):
    n_blocks, rounds = 72, 3
    with tempfile.TemporaryDirectory() as folder, active_client(1) as client:
        log = Path(folder, "reads")
        A = matrix("1/j", log, n_blocks)
        ours(matrix("1/j", log, 2), passes=3, method="krylov")
        request = Request(rank=RANK, passes=3, method="krylov")
        ran = []

        def loop():
            with single_blas_thread(1):
                decompose(Loop("1/j", log, n_blocks), A.shape, A.dtype, request)

        def by_dask():
            with get_task_stream(client) as stream:
                ours(A, passes=3, method="krylov")
            ran.extend(stream.data)

        function = loop if "loop" in who else by_dask
        cell = (
            f"svd of 1,440,000 x {COLS} in 72 blocks (2.9 GB), rank {RANK}, three reads, one worker"
        )
        bench = contest(cell, who, function, rounds=rounds, warmup=False)
    bench.extra_info.update(tasks=len(ran) // rounds)
