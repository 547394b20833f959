"""R15: a rank of an MPI job is killed; errors and disagreements of ranks are in the test suite."""

import importlib.util
import subprocess
import sys
import time

import numpy as np

from battery.children import Awake
from battery.rows.suite import pytest_run
from battery.table import Figure, Row

WITHIN = 10.0  # seconds from the kill to the end of the job
PROGRAM = """
import os, signal, sys, threading, time
import numpy as np
from mpi4py import MPI
import eigenflow as ef
world = MPI.COMM_WORLD
A = np.random.default_rng(world.rank).standard_normal((2000, 200))
ef.mpi.svd(A, 10, rng=0)
world.Barrier()
if world.rank == world.size - 1:
    threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), signal.SIGKILL)).start()
if world.rank == 0:
    print("start", flush=True)
while True:
    ef.mpi.svd(A, 10, rng=0)
"""


def end_of(n_ranks: int, delay: float) -> float | None:
    """Seconds from the kill of the last rank to the end of the job, or None if it hangs."""
    from support.mpiexec import FLAGS, environment, mpiexec

    start = mpiexec()
    assert start is not None
    command = [start, *FLAGS, "-n", str(n_ranks), sys.executable, "-c", PROGRAM, str(delay)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(start)
    ) as job:
        assert job.stdout is not None
        job.stdout.readline()
        clock = Awake()
        try:
            while job.poll() is None:
                if clock.seconds > delay + 60:
                    job.kill()
                    return None
                time.sleep(0.02)
            return clock.seconds - delay if job.returncode else None
        finally:
            clock.stop()


def measure(full: bool) -> Figure:
    from support.mpiexec import mpiexec

    if importlib.util.find_spec("mpi4py") is None or mpiexec() is None:
        return Figure("needs mpi4py and mpiexec", None)
    delays = np.random.default_rng(0).uniform(0, 1, 20 if full else 2)
    ends = [end_of(n_ranks, float(delay)) for n_ranks in (2, 3, 4) for delay in delays]
    late = [end for end in ends if end is None or end > WITHIN]
    status, line = pytest_run("tests/python/test_mpi_processes.py", "tests/python/test_mpi.py")
    slowest = max((end for end in ends if end is not None), default=0.0)
    text = f"{len(ends)} kills: the job ended after {slowest:.1f} s at most, {len(late)} hang; "
    return Figure(f"{text}tests of ranks that fail or disagree: {line}", not late and not status)


ROW = Row(
    "A lost rank ends an MPI job; an error of one rank is raised on all.",
    "SIGKILL of a rank at random times on 2, 3 and 4 ranks; errors, shapes and types that differ",
    "the end within 10 s, no hang",
    measure,
)
