"""Running tasks: a small result is computed, and what nobody wants any more stops."""

import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import dask

from eigenflow._map_reduce import stop
from eigenflow._progress import progress_bar
from eigenflow.dask.memory import Need, as_bytes

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE = 20.0  # seconds without any worker
_LOOK = 0.25  # seconds between two looks


class WorkersLost(RuntimeError):  # noqa: N818 - the name says what happened
    """The cluster had no worker left, or its scheduler went away, while a result was computed."""


class Runner:
    """Computes `Delayed` objects, and does not wait for a cluster that is gone.

    Parameters
    ----------
    client : distributed.Client, optional
        Default: the active one, else Dask's local scheduler.
    max_memory : float or str, optional
        Bytes that a task may use. Default: what the workers say.
    """

    def __init__(self, client: Any = None, max_memory: Any = None) -> None:
        self.client = _active_client() if client is None else client
        self._max_memory = as_bytes(max_memory, "max_memory")
        if client is not None and not hasattr(client, "scheduler_info"):
            msg = f"client: got {type(client).__name__}, want a distributed.Client or None"
            raise TypeError(msg)

    def __call__(self, delayed: Any) -> Any:
        """Return the result.

        Raises
        ------
        WorkersLost
            After 20 seconds without workers. A worker that is restarted by its nanny counts again
            when it is back. Tasks that kill worker after worker end in `distributed.KilledWorker`.
        """
        if self.client is None:
            return _compute_here(delayed)
        future = self.client.compute(delayed, optimize_graph=False)
        try:
            self._wait(future)
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _wait(self, future: Any) -> None:
        last_seen, done = time.monotonic(), threading.Event()
        future.add_done_callback(lambda _: done.set())
        while not (done.wait(_LOOK) or future.done()):
            if self.client.status != "running":
                msg = f"client: is {self.client.status}, and its scheduler gone"
                raise WorkersLost(msg)
            if self.worker_count():
                last_seen = time.monotonic()
            elif time.monotonic() - last_seen > _PATIENCE:
                msg = f"client: no worker for {_PATIENCE:g} seconds, and a result to compute"
                raise WorkersLost(msg)

    def worker_count(self) -> int:
        """Return the number of workers that the scheduler knows."""
        try:
            return len(self.client.scheduler_info()["workers"])
        except (OSError, TimeoutError):  # the scheduler: status will tell
            return 0

    def require_memory(self, need: Need) -> None:
        """Refuse blocks that do not fit; see `Need.require`."""
        need.require(self._max_memory or self.task_memory())

    def task_memory(self) -> float | None:
        """Return the bytes that a task may use where memory is scarcest; None if no one says."""
        if self.client is None:
            return None
        shares = [
            worker["memory_limit"] / max(1, worker["nthreads"])
            for worker in self.client.scheduler_info()["workers"].values()
            if worker.get("memory_limit")
        ]
        return min(shares, default=None)


def _active_client() -> Any:
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None


def _compute_here(delayed: Any) -> Any:
    """Compute on threads of this process; when that is broken off, so are the tasks that run."""
    unwanted = threading.Event()
    with stop.watching(unwanted.is_set):  # Dask gives its threads the context of this one
        try:
            (result,) = dask.compute(delayed, optimize_graph=False)
        except BaseException:
            unwanted.set()
            raise
    return result


@contextmanager
def bar(progress: bool, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """Give what shows how many of the units are done."""
    if not progress:
        yield lambda done: None
        return
    with progress_bar(total=total, unit=unit) as shown:
        yield lambda done: shown.update(done - shown.n)


def watched(task: Callable[P, T]) -> Callable[P, T]:
    """Decorate a task: its kernels see when it is cancelled, and stop within 0.1 s.

    On a worker it then asks to be run again: a scheduler does so only if somebody wants the same
    task anew, by a call that came before this one had stopped.
    """

    @functools.wraps(task)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with stop.watching(_cancelled):
                return task(*args, **kwargs)
        except stop.Stopped:
            if _on_worker() is None:
                raise
            raise sys.modules["distributed"].Reschedule from None

    return call


def _on_worker() -> Any:
    """Return what a worker of a cluster knows of this thread's task; None elsewhere."""
    module = sys.modules.get("distributed.worker")
    state: Any = getattr(module, "thread_state", None)
    return state if getattr(state, "key", None) is not None else None


def _cancelled() -> bool:
    """Whether the task on this thread of a worker was cancelled."""
    state = _on_worker()
    if state is None:
        return False
    task = state.execution_state["worker"].state.tasks.get(state.key)
    return task is not None and task.state == "cancelled"
