"""Worker counts, the limit they put on BLAS, and what threadpoolctl knows of them."""

import contextlib
import functools
import operator
import threading
from collections.abc import Iterator
from typing import Any

from threadpoolctl import LibController, ThreadpoolController, register

from eigenflow._blas import ensure_bound
from eigenflow._core import __version__, runtime


class EigenflowController(LibController):
    """Lets `threadpoolctl.threadpool_limits` set the default of `workers`, process-wide."""

    user_api = "eigenflow"
    internal_api = "eigenflow"
    filename_prefixes = ("_core",)  # a common name: the symbols tell ours from others
    check_symbols = ("eigenflow_get_num_threads", "eigenflow_set_num_threads")

    def get_num_threads(self) -> int:
        """Return the default number of workers."""
        return int(self.dynlib.eigenflow_get_num_threads())

    def set_num_threads(self, num_threads: int) -> None:
        """Set the default number of workers."""
        self.dynlib.eigenflow_set_num_threads(num_threads)

    def get_version(self) -> str:
        """Return the version of eigenflow."""
        return __version__


register(EigenflowController)


def resolve_workers(workers: int | None) -> int:
    """Return the number of threads: None is the default, negatives count back from the CPUs.

    The default is the limit that threadpoolctl has set, else EIGENFLOW_NUM_THREADS, else
    OMP_NUM_THREADS, else the CPUs this process may use.
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
    ensure_bound()  # a controller knows only the libraries that are loaded when it is made
    runtime.set_blas_thread_hook(set_blas_threads)
    return ThreadpoolController()


def set_blas_threads(count: int) -> None:
    """Give BLAS threads inside a `single_blas_thread`; the core calls this around large LAPACK."""
    for library in _controller().select(user_api="blas").lib_controllers:
        library.set_num_threads(count)


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
    next task by spinning, on the cores that the driver's threads need. Only for full
    decompositions, most of which is LAPACK, the core asks for as many as the driver has. Calls from
    several threads share one limit: the first one sets it and the last one takes it away.
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
