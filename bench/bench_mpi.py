"""What the MPI path costs on one rank, and what a second rank gives. One thread a rank.

The rival is the library's own function in one process: 1 rank may take 10 % longer, 2 ranks should
take at most 1 / 1.7 of the time.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from support.mpiexec import FLAGS, environment, mpiexec

WORKER = Path(__file__).with_name("mpi_worker.py")
CELLS = {
    "flow": "1e6 coordinates at depth 1",
    "sine": "40000 x 4000 of rank 8, S X and S^T Y with 4 columns",
    "lowrank": "svd 40000 x 1000, rank 20, float64",
    "lds": "filter, 2 states, 1e7 steps",
}
CONTESTANTS = {
    "eigenflow, one process": (1, "plain:"),
    "eigenflow.mpi, 1 rank": (1, ""),
    "eigenflow.mpi, 2 ranks": (2, ""),
}

pytest.importorskip("mpi4py", reason="mpi4py is not installed")


class Job:
    """Ranks that wait for work."""

    def __init__(self, n_ranks, task):
        launcher = mpiexec()
        if launcher is None:
            pytest.skip("there is no mpiexec")
        self._process = subprocess.Popen(
            [launcher, *FLAGS, "-n", str(n_ranks), sys.executable, str(WORKER), task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(launcher),
        )

    def run(self):
        """One run on all ranks; about 0.1 ms of the time is the pipe's."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def close(self):
        """End the ranks."""
        with self._process:  # closes the pipes: the ranks end with their input
            pass
        assert self._process.returncode == 0


@pytest.mark.parametrize("who", CONTESTANTS)
@pytest.mark.parametrize("task", CELLS)
def test_ranks(contest, task, who):
    n_ranks, prefix = CONTESTANTS[who]
    job = Job(n_ranks, prefix + task)
    try:
        contest(f"{task} on ranks of one thread: {CELLS[task]}", who, job.run, rounds=7)
    finally:
        job.close()
