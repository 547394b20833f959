"""What the faults of R14 happen to: jobs on a cluster of two, each with its bytes as the result."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import dask.array as da
import distributed
import numpy as np

import eigenflow as ef
from support.cluster import local_client

ROWS, COLS, BLOCKS = 2000, 120, 12
# Workers of an outside cluster need nothing of this folder.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def block(block_id: Any = None, pause: float = 0.0) -> np.ndarray:
    """Make a block of the matrix, after a pause; every time the same one."""
    time.sleep(pause)
    drawn = np.random.default_rng(block_id[0]).standard_normal((ROWS, COLS))
    return drawn / np.arange(1, COLS + 1)


def dying(block_id: Any = None, pause: float = 0.0) -> np.ndarray:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def hungry(block_id: Any = None, pause: float = 0.0) -> np.ndarray:
    """Take twice the memory of a worker."""
    held = np.ones(150_000_000)
    time.sleep(5)
    return held[: ROWS * COLS].reshape(ROWS, COLS)


def failing(reads: int = 2) -> Callable[..., np.ndarray]:
    """Make blocks for so many reads of the matrix."""
    left = iter(range(reads * BLOCKS))

    def some(block_id: Any = None, pause: float = 0.0) -> np.ndarray:
        if next(left, None) is None:
            raise RuntimeError("no more reads")
        return block(block_id, pause)

    return some


def matrix(pause: float = 0.0, make: Callable[..., np.ndarray] = block) -> Any:
    chunks = ((ROWS,) * BLOCKS, (COLS,))
    return da.map_blocks(make, pause=pause, chunks=chunks, dtype=float, meta=np.empty((0, 0)))


def svd_job(
    client: Any, pause: float = 0.0, make: Callable[..., np.ndarray] = block, **options: Any
) -> bytes:
    """A decomposition in four reads."""
    given = {"passes": 4, "method": "krylov", "rng": 1, "client": client, **options}
    result = ef.dask.svd(matrix(pause, make), 5, **given)
    return result.s.tobytes() + result.Vh.tobytes()


def series_job(client: Any, pause: float = 0.0) -> bytes:
    """A filter over blocks of time, and its likelihood."""
    system = ef.lds.LinearSystem([[0.9, 0.2], [0.0, 0.5]], [[1.0, 0.5]], np.eye(2) / 4, 0.5)
    with client.as_current():
        result = ef.lds.filter(system, matrix(pause)[:, 0])
        means, total = dask.compute(result.filtered_mean, result.log_likelihood)
    return means.tobytes() + np.float64(total).tobytes()


def flow_job(client: Any, pause: float = 0.0) -> bytes:
    """A flow of every entry."""
    with client.as_current():
        theta = ef.flow.solve(matrix(pause), 0.1, [1.0, 9.0], depth=1, b0=0.5)
        return theta.sum(axis=1).compute().tobytes()


JOBS = {"svd": svd_job, "lds.filter": series_job, "flow.solve": flow_job}


def local_cluster() -> AbstractContextManager[Any]:
    """Yield a client of two workers."""
    return local_client(2, memory_limit="600MB")


class Outside:
    """A scheduler and two workers without nannies, as processes that can be killed for good."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "scheduler.json"
        address = ["--host", "127.0.0.1", "--scheduler-file", str(self.file)]
        self.scheduler = self._start([*_module("scheduler"), *address, "--port", "0"])
        self.workers = [
            self._start([*_module("worker"), "--no-nanny", "--nthreads", "1", *address])
            for _ in range(2)
        ]
        self.client = self.connect()
        self.client.wait_for_workers(2, timeout=60)

    @staticmethod
    def _start(command: list[str]) -> Any:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*command, "--no-dashboard"], **quiet)  # type: ignore[call-overload]

    def connect(self) -> Any:
        until = time.monotonic() + 60
        while not self.file.exists() and time.monotonic() < until:
            time.sleep(0.1)
        return distributed.Client(scheduler_file=str(self.file), set_as_default=False, timeout=60)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.client.close(timeout=2)
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def _module(name: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", f"distributed.cli.dask_{name}"]


@contextlib.contextmanager
def outside_cluster() -> Iterator[Outside]:
    with tempfile.TemporaryDirectory() as folder:
        cluster = Outside(Path(folder))
        try:
            yield cluster
        finally:
            cluster.close()


def worker_pids(client: Any) -> list[int]:
    return list(client.run(os.getpid).values())


def kill(pid: int) -> None:
    """Kill, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
