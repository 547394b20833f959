"""Worker counts, the limit they put on BLAS, and what threadpoolctl knows of them."""

import contextlib
import functools
import operator
import os
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


@functools.cache
def _blas(*, per_thread: bool) -> tuple[Any, ...]:
    """Libraries whose number of threads is of the calling thread, or those where it is of all."""
    return tuple(
        library
        for library in _controller().select(user_api="blas").lib_controllers
        if (getattr(library, "threading_layer", None) == "openmp") == per_thread
    )


class _SharedLimit:
    """The least number of BLAS threads that anyone inside asked for.

    Most BLAS have one number for the whole process. The first one to come in notes it and the last
    one to leave puts it back, in whatever order they go: were each to put back what it found, two
    that overlap would leave BLAS with the number of the first for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may compute, or fork, too
        self._inside: dict[object, tuple[int, int]] = {}  # a thread and what it asked for
        self._found: list[tuple[Any, int]] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._forked,
            )

    @contextlib.contextmanager
    def at_most(self, count: int) -> Iterator[None]:
        """Limit BLAS while the block runs."""
        visit = object()
        # Before the lock: the first call imports BLAS.
        own = [(library, library.get_num_threads()) for library in _blas(per_thread=True)]
        try:  # around all: Ctrl-C in the midst of `_enter` must not keep anyone inside
            self._enter(visit, count)
            for library, _ in own:
                self.set(library, count)
            yield
        finally:
            self._leave(visit)
            for library, before in own:
                self.set(library, before)

    def set(self, library: Any, count: int) -> None:
        """Give a library this number of threads, whichever thread calls; one thread at a time.

        threadpoolctl 3.8 lets only one thread set the number of OpenBLAS: the first one that did,
        until it ends. Others are not told that nothing was set.
        """
        release = getattr(library, "clear_controlling_thread", None)
        with self._lock:
            if release is not None:
                release(force=True)
            library.set_num_threads(count)
            if release is not None:
                release()

    def _enter(self, visit: object, count: int) -> None:
        with self._lock:
            if not self._inside:
                shared = _blas(per_thread=False)
                self._found = [(library, library.get_num_threads()) for library in shared]
            self._inside[visit] = threading.get_ident(), count
            self._apply()

    def _leave(self, visit: object) -> None:
        with self._lock:
            if self._inside.pop(visit, None) is not None:
                self._apply()

    def _apply(self) -> None:
        least = min((count for _, count in self._inside.values()), default=None)
        for library, before in self._found:
            self.set(library, before if least is None else least)

    def _forked(self) -> None:
        """Leave for the threads that a child does not have: all but the one that forked."""
        try:
            me = threading.get_ident()
            others = [visit for visit, (thread, _) in self._inside.items() if thread != me]
            for visit in others:
                del self._inside[visit]
            if others:
                self._apply()
        finally:
            self._lock.release()


_shared = _SharedLimit()


def set_blas_threads(count: int) -> None:
    """Give BLAS threads inside a `single_blas_thread`; the core calls this around large LAPACK."""
    for library in _blas(per_thread=False) + _blas(per_thread=True):
        _shared.set(library, count)


@contextlib.contextmanager
def blas_limit(workers: int | None) -> Iterator[int]:
    """Limit BLAS to the same number of threads, for the whole process, while the block runs.

    With None, BLAS keeps the number that it has. Of calls from several threads the least counts.
    """
    count = resolve_workers(workers)
    with contextlib.nullcontext() if workers is None else _shared.at_most(count):
        yield count


@contextlib.contextmanager
def single_blas_thread(workers: int | None) -> Iterator[int]:
    """Limit BLAS to one thread, for the whole process, while the block runs.

    For drivers that run their products on threads of their own: those of BLAS would wait for their
    next task by spinning, on the cores that the driver's threads need. Only for full
    decompositions, most of which is LAPACK, the core asks for as many as the driver has.
    """
    count = resolve_workers(workers)
    with _shared.at_most(1):
        yield count
