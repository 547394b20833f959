"""What runs the pieces: the protocol, and the engine that is a list of arrays."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from eigenflow._map_reduce.tree import combine_all

T = TypeVar("T")


class Rows(Protocol):
    """Arrays of the same length, cut into the same blocks of rows, wherever these are.

    A piece is a function ``piece(first, *blocks, *shared)`` of one block of each array, with the
    global number of their first row. It must be pure: an engine may run it again, anywhere.
    """

    def reduce(self, piece: Callable[..., T], combine: Callable[[T, T], T], *shared: Any) -> T:
        """Combine what the piece makes of all blocks, in the order of `tree`.

        The result is the same on every rank of an engine that has ranks.
        """
        ...

    def map(
        self, piece: Callable[..., Any], cols: tuple[int, ...], dtype: Any, *shared: Any
    ) -> Any:
        """Rows that the piece makes of each block: as many as the block has, of shape `cols`.

        They stay where the blocks are; a lazy engine computes them when they are wanted.
        """
        ...


class LocalRows:
    """Blocks in memory, one after the other: the reference for all other engines."""

    def __init__(self, *arrays: Sequence[Any]) -> None:
        self._blocks = list(zip(*arrays, strict=True))
        lengths = [len(blocks[0]) for blocks in self._blocks]
        self._firsts = [sum(lengths[:i]) for i in range(len(lengths))]

    def reduce(self, piece: Callable[..., T], combine: Callable[[T, T], T], *shared: Any) -> T:
        """See `Rows`."""
        return combine_all(self._all(piece, shared), combine)

    def map(
        self, piece: Callable[..., Any], cols: tuple[int, ...], dtype: Any, *shared: Any
    ) -> Any:
        """See `Rows`."""
        empty = np.empty((0, *cols), dtype)
        return np.concatenate([empty, *self._all(piece, shared)])

    def _all(self, piece: Callable[..., T], shared: tuple[Any, ...]) -> list[T]:
        pairs = zip(self._firsts, self._blocks, strict=True)
        return [piece(first, *blocks, *shared) for first, blocks in pairs]
