"""The one order in which summaries are combined."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

# How many summaries a task combines: a power of two, so that groups are subtrees of the pairs.
FAN_IN = 8


def combine_all(parts: Sequence[T], combine: Callable[[T, T], T]) -> T:
    """Combine neighbours, then neighbours of those; a lone last one goes up as it is.

    Which pairs are made depends on the number of parts only. So whoever holds the parts (one
    thread, many workers, ranks), a sum has the same bytes. Grouping by any power of two, and
    combining the groups' results, makes the same pairs.
    """
    level = list(parts)
    if not level:
        msg = "parts: got none, want at least one"
        raise ValueError(msg)
    while len(level) > 1:
        pairs = [combine(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0]
