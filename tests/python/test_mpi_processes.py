"""eigenflow.mpi under a real MPI, as processes that mpiexec starts."""

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.mpiexec import FLAGS, environment, mpiexec

PROGRAM = Path(__file__).parents[1] / "support" / "mpi_program.py"
CHECKS = re.findall(r"^def (check_\w+)", PROGRAM.read_text(), re.MULTILINE)


def launcher():
    """Skip where there is no MPI."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    found = mpiexec()
    if found is None:
        pytest.skip("there is no mpiexec")
    return found


@functools.cache
def run(n_ranks):
    start = launcher()
    command = [start, *FLAGS, "-n", str(n_ranks), sys.executable, str(PROGRAM)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment(start), check=False
    )


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("n_ranks", [1, 2, 3, 4])
def test_on_ranks(n_ranks, check):
    done = run(n_ranks)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)[check]
    assert not said, said


@pytest.mark.skipif("ulfm" in FLAGS, reason="the job is told to go on")
def test_a_rank_that_is_killed_ends_the_job():
    code = (
        "import os, signal, numpy as np, eigenflow as ef; from mpi4py import MPI\n"
        "if MPI.COMM_WORLD.rank == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "ef.mpi.svd(np.ones((20, 3)), 2)"
    )
    start = launcher()
    command = [start, *FLAGS, "-n", "2", sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, timeout=60, env=environment(start), check=False
    )
    assert done.returncode != 0


@pytest.mark.skipif("ulfm" not in FLAGS, reason="wants mpiexec --with-ft ulfm, of Open MPI 5")
def test_survivors_of_a_killed_rank_go_on():
    start = launcher()
    program = PROGRAM.with_name("mpi_survivors.py")
    command = [start, *FLAGS, "-n", "3", sys.executable, str(program)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment(start), check=False
    )
    assert "2 of 3 went on" in done.stdout, done.stderr


def test_importing_needs_no_mpi():
    code = "import sys, eigenflow.mpi; sys.exit('mpi4py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
