"""Worker counts, and the limit they put on BLAS."""

import contextlib
import functools
import operator
import threading
from collections.abc import Iterator
from typing import Any

from eigenflow._blas import ensure_bound
from eigenflow._core import runtime


def resolve_workers(workers: int | None) -> int:
    """Return the number of threads: None is the default, negatives count back from the CPUs.

    The default is EIGENFLOW_NUM_THREADS, else OMP_NUM_THREADS, else the CPUs this process may use.
    """
    if workers is None:
        return runtime.default_workers()
    try:
        count = operator.index(workers)
    except TypeError:
        msg = f"workers: got {workers!r}, want an integer or None"
        raise TypeError(msg) from None
    if count == 0 or not -(2**31) <= count < 2**31:
        msg = f"workers: got {count}, want a positive number, or -1 for all CPUs"
        raise ValueError(msg)
    return runtime.resolve_workers(count)


@functools.cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    ensure_bound()  # a controller knows only the libraries that are loaded when it is made
    return ThreadpoolController()


@contextlib.contextmanager
def blas_limit(workers: int | None) -> Iterator[int]:
    """Limit BLAS to the same number of threads, for the whole process, while the block runs.

    With None, BLAS keeps the number that it has.
    """
    count = resolve_workers(workers)
    if workers is None:
        yield count
    else:
        with _controller().limit(limits=count, user_api="blas"):
            yield count


@contextlib.contextmanager
def single_blas_thread(workers: int | None) -> Iterator[int]:
    """Limit BLAS to one thread, for the whole process, while the block runs.

    For drivers that run their products on threads of their own: those of BLAS would wait for their
    next task by spinning, on the cores that the driver's threads need. Calls from several threads
    share one limit: the first one sets it and the last one takes it away.
    """
    count = resolve_workers(workers)
    _single.enter()
    try:
        yield count
    finally:
        _single.leave()


class _SharedLimit:
    """One BLAS thread while anyone is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit = contextlib.ExitStack()

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limit.enter_context(_controller().limit(limits=1, user_api="blas"))
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.close()


_single = _SharedLimit()
