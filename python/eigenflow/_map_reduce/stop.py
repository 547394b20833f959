"""A flag that long work looks at between panels, so that a cancelled call ends soon."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_asked: ContextVar[Callable[[], bool] | None] = ContextVar("asked", default=None)


class Stopped(RuntimeError):  # noqa: N818 - no error: somebody asked for it
    """The call was cancelled while it ran."""


@contextmanager
def watching(asked: Callable[[], bool]) -> Iterator[None]:
    """Let `check` ask this function, on this thread and in this context, while the block runs."""
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)


def check() -> None:
    """Raise `Stopped` if the call was cancelled."""
    asked = _asked.get()
    if asked is not None and asked():
        msg = "the call was cancelled"
        raise Stopped(msg)
