"""Functions of coordinates on Dask arrays: each block by itself, sums over them in one tree."""

import dataclasses
import math
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask import delayed
from dask.base import tokenize

from eigenflow._arrays import Array, as_float_array, float_dtype, on_host, refuse_first
from eigenflow._flow_problem import normal_axes
from eigenflow.dask.arrays import as_dask
from eigenflow.dask.memory import Need
from eigenflow.dask.rows import combined_in_tree
from eigenflow.dask.running import Runner, watched
from eigenflow.flow import FlowDerivatives, FlowState

# What describes the coordinates; all else is the same for each of them.
_COORDINATES = ("z", "signal", "theta", "eigenvalues", "b0", "noise_variance")
_SIGNED = ("z", "signal", "theta")
_DOUBLE = ("hitting_time", "sure", "expected_risk")  # in double precision whatever the inputs


class _Task(NamedTuple):
    """A call without its coordinates."""

    function: Callable[..., Any]
    names: tuple[str, ...]  # of the coordinates, in the order of the blocks
    lead: dict[str, Any]  # the argument whose axes come before those of the coordinates
    rest: dict[str, Any]
    firsts: tuple[tuple[int, ...], ...]  # where blocks begin, on each axis of the coordinates

    @watched
    def __call__(self, blocks: tuple[Array, ...], block_id: tuple[int, ...] | None = None) -> Any:
        arguments = dict(zip(self.names, blocks, strict=True))
        try:
            return self.function(**arguments, **self.lead, **{**self.rest, "workers": 1})
        except ValueError:
            if block_id is not None:
                self._locate(arguments, block_id)
            raise

    def _locate(self, arguments: dict[str, Array], block_id: tuple[int, ...]) -> None:
        """Raise the error of a bad entry with its position in the whole array."""
        at = block_id[len(block_id) - len(self.firsts) :]
        first = tuple(begins[i] for begins, i in zip(self.firsts, at, strict=True))
        for name, a in arguments.items():
            if self.rest.get("check_finite", True):
                refuse_first(~np.isfinite(a), a, name, "finite values", first=first)
            if name not in _SIGNED:
                refuse_first(a < 0, a, name, "non-negative values", first=first)


class _Blocks:
    """The coordinates of a call, broadcast, and the call on a block of them."""

    def __init__(self, function: Any, given: dict[str, Any], lead: str | None) -> None:
        if given.get("out") is not None:
            msg = "out: got a value, want None with Dask arrays: the result is lazy"
            raise ValueError(msg)
        names = tuple(name for name in _COORDINATES if np.ndim(given.get(name, 0)) > 0)
        rest = {name: value for name, value in given.items() if name not in (*names, lead)}
        self.axes: tuple[int, ...] = ()
        before = {}
        if lead is not None:
            before = {lead: as_float_array(on_host(given[lead]), lead, check_finite=False)}
            self.axes = before[lead].shape
        self.arrays = _broadcast({name: given[name] for name in names})
        kinds = (float_dtype(a, name) for name, a in zip(names, self.arrays, strict=True))
        wide = function.__name__ in _DOUBLE
        self.dtype = np.dtype(np.float64) if wide else np.result_type(*kinds)
        self.task = _Task(function, names, before, rest, _firsts(self.chunks))
        # Python's numbers and lists of the first call decide errors now, not on a worker.
        whole = {**rest, "axis": None} if "axis" in rest else rest
        self.task._replace(rest=whole)(tuple(np.ones(0) for _ in names))

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Sizes of the blocks, along each axis of the coordinates."""
        sizes: tuple[tuple[int, ...], ...] = self.arrays[0].chunks
        return sizes

    def axes_of(self, axis: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the axes that `axis` names, and the others."""
        every = tuple(range(len(self.chunks)))
        named = every if axis is None else normal_axes(axis, len(every))
        return named, tuple(i for i in every if i not in named)

    def rechunk(self, sizes: dict[int, int]) -> None:
        """Cut the arrays anew."""
        self.arrays = [a.rechunk(sizes) for a in self.arrays]
        self.task = self.task._replace(firsts=_firsts(self.chunks))

    @property
    def each(self) -> int:
        """Bytes of a coordinate, as it comes and in the dtype that all are computed in."""
        kinds = [float_dtype(a, name) for name, a in zip(self.task.names, self.arrays, strict=True)]
        common = np.result_type(*kinds)
        return sum(
            a.dtype.itemsize + (common.itemsize if a.dtype != common else 0) for a in self.arrays
        )

    def require_memory(self, arrays: int, panel: tuple[float, float] = (0.0, 0.0)) -> None:
        """Refuse blocks that do not fit on a worker with so many results for each time."""
        each = self.each + arrays * math.prod(self.axes) * self.dtype.itemsize
        largest = math.prod(max(sizes) for sizes in self.chunks)
        need = Need(self.task.names[0], largest, "coordinates", each, panel=panel)
        Runner().require_memory(need)

    def lazy(self) -> Any:
        """Return the array of the results."""
        return self._mapped(_on_block, *self.arrays, held=_held(self.task))

    def fields(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the arrays of results that have several; a block is worked on once for all."""
        whole = da.map_blocks(
            _whole,
            *self.arrays,
            held=_held(self.task),
            dtype=object,
            chunks=self.chunks,
            meta=np.empty((0,) * len(self.chunks), object),
        )
        return {name: self._mapped(_field, whole, name_=name) for name in names}

    def _mapped(self, piece: Callable[..., Any], *arrays: Any, **same: Any) -> Any:
        return da.map_blocks(
            piece,
            *arrays,
            **same,
            dtype=self.dtype,
            new_axis=list(range(len(self.axes))) or None,
            chunks=(*((n,) for n in self.axes), *self.chunks),
            meta=np.empty((0,) * (len(self.axes) + len(self.chunks)), self.dtype),
        )


def _firsts(chunks: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    return tuple((0, *accumulate(sizes))[:-1] for sizes in chunks)


def run(function: Any, given: dict[str, Any], lead: str | None) -> Any:
    """Return the lazy result of `function`, with the blocks of the broadcast coordinates."""
    blocks = _Blocks(function, given, lead)
    fields = _fields(function.__name__, given)
    blocks.require_memory(1 if fields is None else len(fields[1]))
    if fields is None:
        return blocks.lazy()
    kind, wanted = fields
    every = {field.name: None for field in dataclasses.fields(kind)}
    return kind(**{**every, **blocks.fields(wanted)})


def _fields(name: str, given: dict[str, Any]) -> tuple[Any, tuple[str, ...]] | None:
    """The class of a result with several arrays, and which of them there are."""
    if name == "state":
        return FlowState, tuple(field.name for field in dataclasses.fields(FlowState))
    if name == "derivatives":
        wrt = given["wrt"]
        names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
        return FlowDerivatives, ("theta", *(n for n in names if n != "b0" or given["depth"]))
    return None


def run_sum(function: Any, given: dict[str, Any], lead: str) -> Any:
    """Return sums over coordinates, block by block and in the tree of all summaries.

    Over all axes the sum is computed, in one read; with axes left it is lazy, with their chunks.
    """
    blocks = _Blocks(function, given, lead)
    blocks.require_memory(0)
    summed, kept = blocks.axes_of(given["axis"])
    task = blocks.task._replace(rest={**blocks.task.rest, "axis": summed})
    grid, token = _summaries(blocks, task)
    chunks = [blocks.chunks[i] for i in kept]
    return _combined(grid.transpose(kept + summed), blocks.axes, chunks, token)


def reduced(
    function: Any, given: dict[str, Any], combine: Callable[[Array, Array], Array], panel: Any
) -> Any:
    """Return the combined summary that `function` makes of each block; computed, in one read.

    `panel` is what each task needs besides its block; see `Need`.
    """
    blocks = _Blocks(function, given, None)
    blocks.require_memory(0, panel)
    grid, token = _summaries(blocks, blocks.task)
    return Runner()(combined_in_tree(list(grid.ravel()), combine, f"reduced-{token}"))


def run_whole(function: Any, given: dict[str, Any]) -> Any:
    """Return lazy results, one for all coordinates along `axis`: these are put in one block."""
    blocks = _Blocks(function, given, None)
    summed, kept = blocks.axes_of(given["axis"])
    blocks.rechunk(dict.fromkeys(summed, -1))
    together = math.prod(sum(blocks.chunks[i]) for i in summed)
    places = math.prod(max(blocks.chunks[i]) for i in kept)
    each = 2 * blocks.each * together  # Dask puts what is together into one array once more
    unit = f"places on the other axes, of {together} coordinates each"
    Runner().require_memory(Need(blocks.task.names[0], places, unit, each))
    return da.map_blocks(
        _Kept(kept, len(blocks.chunks)),
        *blocks.arrays,
        held=_held(blocks.task._replace(rest={**blocks.task.rest, "axis": summed})),
        dtype=np.float64,
        drop_axis=summed,
        chunks=tuple(blocks.chunks[i] for i in kept),
        meta=np.empty((0,) * len(kept)),
    )


def _summaries(blocks: _Blocks, task: _Task) -> tuple[Any, str]:
    """Return the tasks of all blocks' summaries, in a grid as the blocks, and a name for them."""
    ones = tuple((1,) * len(sizes) for sizes in blocks.chunks)
    parts = da.map_blocks(
        _on_block,
        *blocks.arrays,
        held=_held(task),
        dtype=object,
        chunks=ones,
        meta=np.empty((0,) * len(ones), object),
    )
    return parts.to_delayed(), tokenize(parts.name)


def _combined(grid: Any, axes: tuple[int, ...], chunks: list[Any], token: str) -> Any:
    """Sum a grid of summaries over its last axes; the first are those of the chunks."""
    if not chunks:
        total = Runner()(combined_in_tree(list(grid.ravel()), _add, f"sum-{token}"))
        return total if axes else float(total)
    sums = np.empty(grid.shape[: len(chunks)], object)
    for at in np.ndindex(sums.shape):
        tree = combined_in_tree(list(grid[at].ravel()), _add, f"sum-{token}-{at}")
        rest = tuple(sizes[i] for sizes, i in zip(chunks, at, strict=True))
        sums[at] = da.from_delayed(tree, (*axes, *rest), np.float64)
    return da.block(sums.tolist())


def _add(a: Any, b: Any) -> Any:
    return a + b


def _broadcast(given: dict[str, Any]) -> list[Any]:
    arrays = [
        as_dask(value, name)
        if isinstance(value, da.Array)
        else da.from_array(as_float_array(value, name, check_finite=False))
        for name, value in given.items()
    ]
    try:
        full = da.broadcast_arrays(*arrays)
    except ValueError:
        shapes = ", ".join(f"{n} {a.shape}" for n, a in zip(given, arrays, strict=True))
        last = list(given)[-1]
        msg = f"{last}: got shapes that do not broadcast ({shapes}), want compatible ones"
        raise ValueError(msg) from None
    pairs = [part for a in full for part in (a, tuple(range(a.ndim)))]
    return list(da.core.unify_chunks(*pairs)[1])


def _held(task: _Task) -> Any:
    return delayed(task, name=f"held-{tokenize(task)}", pure=True, traverse=False)


def _on_block(*blocks: Any, held: _Task, block_id: tuple[int, ...] | None = None) -> Any:
    return np.asarray(held(blocks, block_id))


def _whole(*blocks: Any, held: _Task, block_id: tuple[int, ...] | None = None) -> Any:
    return held(blocks, block_id)


def _field(found: Any, name_: str) -> Any:
    return getattr(found, name_)


class _Kept:
    """Results of blocks that are whole along all axes but those that are kept."""

    def __init__(self, kept: tuple[int, ...], ndim: int) -> None:
        self.kept, self.ndim = kept, ndim

    def __dask_tokenize__(self) -> Any:
        return self.kept, self.ndim

    def __call__(self, *blocks: Any, held: _Task, block_id: tuple[int, ...] | None = None) -> Any:
        at = dict(zip(self.kept, block_id or (), strict=False))
        return np.asarray(held(blocks, tuple(at.get(i, 0) for i in range(self.ndim))))
