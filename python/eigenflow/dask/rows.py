"""The engine of `eigenflow._map_reduce` on Dask: a task for each block, a tree of tasks."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any, TypeVar

import dask.array as da
import numpy as np
from dask import delayed
from dask.base import tokenize

from eigenflow._arrays import Movable, aligned
from eigenflow._map_reduce.tree import FAN_IN, combine_all
from eigenflow.dask.running import Runner, watched

T = TypeVar("T")


class DaskRows:
    """Dask arrays with the same blocks of whole rows; see `eigenflow._map_reduce.engine.Rows`.

    What all blocks share is one small task of the graph, never scattered: when the worker that
    holds it dies, the scheduler makes it again like anything else.
    """

    def __init__(self, run: Runner, *arrays: Any) -> None:
        self._run, self._arrays = run, arrays
        sizes = arrays[0].chunks[0]
        self._firsts = (0, *accumulate(sizes))[:-1]

    def reduce(self, piece: Callable[..., T], combine: Callable[[T, T], T], *shared: Any) -> T:
        """See `Rows`; computes."""
        result: T = self._run(self.tree(piece, combine, *shared))
        return result

    def tree(self, piece: Callable[..., Any], combine: Callable[..., Any], *shared: Any) -> Any:
        """Return the task of the combined summary."""
        level = self.summaries(piece, *shared)
        return combined_in_tree(level, combine, f"{piece.__name__}-{tokenize(level[0].key)}")

    def summaries(self, piece: Callable[..., Any], *shared: Any) -> list[Any]:
        """Return the task of each block's summary."""
        parts = self._mapped(piece, shared, (1,), object)
        return list(parts.to_delayed().ravel())

    def map(
        self, piece: Callable[..., Any], cols: tuple[int, ...], dtype: Any, *shared: Any
    ) -> Any:
        """See `Rows`; lazy."""
        return self._mapped(piece, shared, cols, dtype)

    def _mapped(
        self, piece: Callable[..., Any], shared: tuple[Any, ...], cols: tuple[int, ...], dtype: Any
    ) -> Any:
        rows = self._arrays[0].chunks[0]
        names = [array.name for array in self._arrays]
        token = tokenize(names, piece, shared, cols, str(dtype))
        held = delayed(_Shared(piece, shared, self._firsts), name=f"shared-{token}", pure=True)
        return da.map_blocks(
            _on_block,
            *self._arrays,
            held=held,
            dtype=dtype,
            drop_axis=[] if cols else 1,
            new_axis=list(range(2, 1 + len(cols))) or None,
            chunks=(rows, *((size,) for size in cols)),
            meta=np.empty((0,) * (1 + len(cols)), dtype),
            name=f"{piece.__name__}-{token}",
        )


class _Shared(Movable):
    """What the tasks of one pass have in common."""

    def __init__(self, piece: Any, shared: tuple[Any, ...], firsts: tuple[int, ...]) -> None:
        self.piece, self.shared, self.firsts = piece, shared, firsts

    def __dask_tokenize__(self) -> Any:
        return self.piece, self.shared, self.firsts


@watched
def _on_block(*blocks: Any, held: _Shared, block_id: tuple[int, ...] | None = None) -> Any:
    first = held.firsts[block_id[0] if block_id else 0]
    return held.piece(first, *aligned(blocks), *held.shared)


def combined_in_tree(summaries: list[Any], combine: Callable[..., Any], name: str) -> Any:
    """Return the task that combines tasks in the order of `combine_all`; `name` is theirs alone."""
    level, depth, token = summaries, 0, tokenize(combine)
    while len(level) > 1 or depth == 0:
        groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
        level = [
            delayed(_combined, pure=True)(
                group, combine, dask_key_name=f"combine-{name}-{token}-{depth}-{i}"
            )
            for i, group in enumerate(groups)
        ]
        depth += 1
    return level[0]


@watched
def _combined(parts: list[Any], combine: Callable[..., Any]) -> Any:
    return combine_all(parts, combine)


def same_rows(*arrays: Any) -> tuple[Any, ...]:
    """Return the arrays with the row blocks of the first one."""
    sizes = arrays[0].chunks[0]
    return tuple(a if a.chunks[0] == sizes else a.rechunk({0: sizes}) for a in arrays)
