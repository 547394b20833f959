"""The communicator of torch.distributed that the documentation shows."""

import os
import re
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")
PAGE = Path(__file__).parents[2] / "docs" / "guide" / "mpi.rst"
PROGRAM = """
import numpy as np, torch.distributed as dist
import eigenflow as ef
dist.init_process_group("gloo")
comm = TorchComm()
A = np.random.default_rng(0).standard_normal((90, 8))
found = ef.mpi.svd(A[30 * comm.rank :][:30], 3, comm=comm)
np.testing.assert_allclose(found.s, np.linalg.svd(A, compute_uv=False)[:3], rtol=1e-12)
system = ef.lds.LinearSystem([[0.9, 0.2], [0.0, 0.8]], [[1.0, 0.0]], np.eye(2), [[1.0]])
y = A[:, :1]
part = ef.mpi.filter(system, y[30 * comm.rank :][:30], comm=comm)
want = ef.lds.filter(system, y).filtered_mean[30 * comm.rank :][:30]
np.testing.assert_allclose(part.filtered_mean, want, atol=1e-12)
dist.destroy_process_group()
"""


def test_the_documented_communicator():
    block = re.search(r"   import torch, .*?(?=   ef\.mpi)", PAGE.read_text(), re.DOTALL)[0]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "3"}
    env |= {"OPENBLAS_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(block) + PROGRAM], env={**env, "RANK": str(rank)}
        )
        for rank in range(3)
    ]
    try:
        assert [rank.wait(timeout=120) for rank in ranks] == [0, 0, 0]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
