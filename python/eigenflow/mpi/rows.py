"""The engine of `eigenflow._map_reduce` for matrices whose rows are spread over ranks."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import qr

from eigenflow._arrays import Array
from eigenflow._map_reduce.lowrank import Refused, Sum, Triangle
from eigenflow.mpi.communicators import Communicator, on_all_ranks

_NOWHERE = np.iinfo(np.int64).max
_TEXT = 32  # bytes of an entry that is refused


class RankRows:
    """Rows of this rank, one block; see `Rows`. Summaries are sums and triangular factors."""

    def __init__(self, group: Communicator, *arrays: Array) -> None:
        self._group, self._arrays = group, arrays
        sizes = np.zeros(group.size, np.int64)
        sizes[group.rank] = len(arrays[0])
        group.allreduce(sizes, "sum")
        self.count = int(sizes.sum())
        self._first = int(sizes[: group.rank].sum())
        self._width = arrays[0].shape[1]

    def reduce(self, piece: Callable[..., Any], combine: Callable[..., Any], *shared: Any) -> Any:
        """See `Rows`; collective. MPI sums in an order of its own, the same on every rank."""
        _, part = on_all_ranks(self._group, lambda: piece(self._first, *self._arrays, *shared))
        refused, norm = self._earliest(part.refused), self._norm(part.norm)
        if isinstance(part, Triangle):
            return Triangle(stacked(self._group, part.factor), norm, refused)
        total = np.array(part.product, order="C")
        if total.size:
            self._group.allreduce(total.view(np.float64), "sum")
        return Sum(total, norm, refused)

    def map(
        self, piece: Callable[..., Any], cols: tuple[int, ...], dtype: Any, *shared: Any
    ) -> Any:
        """See `Rows`: the rows of this rank."""
        return piece(self._first, *self._arrays, *shared)

    def _norm(self, own: float) -> float:
        """Return the root of the sum of squares."""
        largest = np.array([own])
        self._group.allreduce(largest, "max")
        top = float(largest[0])
        if not 0 < top < math.inf:
            return top
        squares = np.array([(own / top) ** 2])
        self._group.allreduce(squares, "sum")
        return top * math.sqrt(float(squares[0]))

    def _earliest(self, own: Refused) -> Refused:
        """Return the first entry that a rank refuses, on every rank."""
        width = max(1, self._width)
        place = _NOWHERE if own is None else own[0][0] * width + own[0][1]
        first = np.array([place], np.int64)
        self._group.allreduce(first, "min")
        found = int(first[0])
        if found == _NOWHERE:
            return None
        owner = np.array([self._group.rank if place == found else -1], np.int64)
        self._group.allreduce(owner, "max")
        text = np.zeros(_TEXT, np.uint8)
        if own is not None and place == found:
            said = own[1].encode()[:_TEXT]
            text[: len(said)] = np.frombuffer(said, np.uint8)
        self._group.bcast(text, int(owner[0]))
        return (found // width, found % width), bytes(text).rstrip(b"\0").decode()


def stacked(group: Communicator, own: Array) -> Array:
    """Return the triangular factor of the factors of all ranks, one above the other; collective."""
    n, dtype = own.shape[1], own.dtype
    whole = np.zeros((n, n), dtype)
    whole[: len(own)] = own
    before = whole.copy()

    def stack(first: Array, second: Array) -> None:
        a, b = (x.reshape(-1).view(dtype).reshape(n, n) for x in (first, second))
        both = np.concatenate((a, b))
        if not np.isfinite(both).all():  # an overflow, which the norm shows too
            b[...] = math.inf
            return
        (factor,) = qr(both, mode="r")
        b[...] = factor[:n]

    if n:
        group.exscan(before.view(np.float64), stack)
        if group.rank:
            stack(before.view(np.float64), whole.view(np.float64))
        group.bcast(whole.reshape(-1).view(np.uint8), group.size - 1)
    return whole
