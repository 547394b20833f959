"""Threads as ranks: a communicator of eigenflow.mpi without MPI, to test on any machine."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

TIMEOUT = 60.0


class ThreadComm:
    """One of `size` threads; collective calls meet at a barrier."""

    def __init__(self, rank: int, size: int, shared: dict[str, Any]) -> None:
        self.rank, self.size, self._shared = rank, size, shared
        self.calls: list[tuple[str, int]] = []

    def _gather(self, array: np.ndarray) -> list[np.ndarray]:
        boards, barrier = self._shared["boards"], self._shared["barrier"]
        boards[self.rank] = np.array(array, copy=True)
        barrier.wait(TIMEOUT)
        found = list(boards)
        barrier.wait(TIMEOUT)
        return found

    def allreduce(self, array: np.ndarray, how: str) -> None:
        self.calls.append(("allreduce", array.size))
        step = {"sum": np.add, "min": np.minimum, "max": np.maximum}[how]
        total = None
        for part in self._gather(array):
            total = part if total is None else step(total, part)
        array[...] = total

    def exscan(self, array: np.ndarray, combine: Callable[..., None]) -> None:
        self.calls.append(("exscan", array.size))
        below = self._gather(array)[: self.rank]
        if not below:
            return
        total = below[-1].copy()
        for part in reversed(below[:-1]):
            combine(part, total)
        array[...] = total

    def bcast(self, array: np.ndarray, root: int) -> None:
        self.calls.append(("bcast", array.size))
        array[...] = self._gather(array)[root]


def on_ranks(size: int, body: Callable[[ThreadComm], Any]) -> list[Any]:
    """What `body(comm)` returns, or raises, on each rank."""
    shared = {"boards": [None] * size, "barrier": threading.Barrier(size)}
    results: list[Any] = [None] * size

    def run(rank: int) -> None:
        try:
            results[rank] = body(ThreadComm(rank, size, shared))
        except BaseException as error:
            results[rank] = error
            if isinstance(error, threading.BrokenBarrierError):
                shared["barrier"].abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def succeed(size: int, body: Callable[[ThreadComm], Any]) -> list[Any]:
    """The same where no rank may fail."""
    results = on_ranks(size, body)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def cut(a: np.ndarray, sizes: Sequence[int], axis: int = 0) -> list[np.ndarray]:
    """Blocks of the given sizes along an axis; they must add up."""
    assert sum(sizes) == a.shape[axis]
    return np.split(a, np.cumsum(sizes)[:-1], axis=axis)


def same_error(results: list[Any], kind: type, start: str) -> str:
    """Every rank has raised the same error."""
    assert all(type(result) is kind for result in results), results
    assert len({str(result) for result in results}) == 1, results
    assert str(results[0]).startswith(start)
    return str(results[0])
