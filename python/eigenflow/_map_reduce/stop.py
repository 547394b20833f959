"""A flag that long work looks at, so that a call that was cancelled ends soon.

The kernels ask it every 50 ms, on the thread that called them; pieces that are loops of Python call
`check` themselves.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from eigenflow._core import runtime

_asked: ContextVar[tuple[Callable[[], bool], ...]] = ContextVar("asked", default=())


class Stopped(RuntimeError):  # noqa: N818 - no error: somebody asked for it
    """The call was cancelled while it ran."""


@contextmanager
def watching(asked: Callable[[], bool]) -> Iterator[None]:
    """Let `check` ask this function too, on this thread and in this context, in the block.

    Raises
    ------
    Stopped
        At once, if the call was cancelled before it began.
    """
    token = _asked.set((*_asked.get(), asked))
    try:
        check()
        yield
    finally:
        _asked.reset(token)


def check() -> None:
    """Raise `Stopped` if the call was cancelled."""
    if any(asked() for asked in _asked.get()):
        msg = "the call was cancelled"
        raise Stopped(msg)


runtime.set_stop_check(check)
