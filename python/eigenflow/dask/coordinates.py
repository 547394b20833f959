"""Functions of coordinates on Dask arrays: each block by itself, nothing computed."""

import dataclasses
from typing import Any

import dask.array as da
import numpy as np
from dask import delayed
from dask.base import tokenize

from eigenflow._arrays import as_float_array, float_dtype, on_host
from eigenflow.dask.arrays import as_dask
from eigenflow.flow import FlowState

# What describes the coordinates; all else is the same for each of them.
_COORDINATES = ("z", "theta", "eigenvalues", "b0")
_DOUBLE = ("hitting_time",)  # results in double precision whatever the inputs


def run(function: Any, given: dict[str, Any], lead: str | None) -> Any:
    """Return the lazy result of `function`, with the blocks of the broadcast coordinates."""
    if given.get("out") is not None:
        msg = "out: got a value, want None with Dask arrays: the result is lazy"
        raise ValueError(msg)
    names = [name for name in _COORDINATES if np.ndim(given.get(name, 0)) > 0]
    rest = {name: value for name, value in given.items() if name not in names and name != lead}
    before = as_float_array(on_host(given[lead]), lead, check_finite=False) if lead else None
    arrays = _broadcast({name: given[name] for name in names})
    dtype = np.result_type(*(float_dtype(a, name) for name, a in zip(names, arrays, strict=True)))
    if function.__name__ in _DOUBLE:
        dtype = np.dtype(np.float64)
    axes = () if before is None else before.shape
    # Python's numbers and lists of the first call decide errors now, not on a worker.
    _try_nothing(function, names, before, lead, rest)
    held = _held(function, names, before, lead, rest)

    def mapped(kind: Any, piece: Any) -> Any:
        return da.map_blocks(
            piece,
            *arrays,
            held=held,
            dtype=kind,
            new_axis=list(range(len(axes))) or None,
            chunks=(*((n,) for n in axes), *arrays[0].chunks),
            meta=np.empty((0,) * (len(axes) + arrays[0].ndim), kind),
        )

    if function.__name__ != "state":
        return mapped(dtype, _on_block)
    fields = [field.name for field in dataclasses.fields(FlowState)]
    return FlowState(**{name: mapped(dtype, _Field(name)) for name in fields})


def _broadcast(given: dict[str, Any]) -> list[Any]:
    arrays = [
        as_dask(value, name)
        if isinstance(value, da.Array)
        else da.from_array(as_float_array(value, name, check_finite=False))
        for name, value in given.items()
    ]
    try:
        return list(da.broadcast_arrays(*arrays))
    except ValueError:
        shapes = ", ".join(f"{n} {a.shape}" for n, a in zip(given, arrays, strict=True))
        last = list(given)[-1]
        msg = f"{last}: got shapes that do not broadcast ({shapes}), want compatible ones"
        raise ValueError(msg) from None


def _held(*values: Any) -> Any:
    return delayed(values, name=f"held-{tokenize(values)}", pure=True, traverse=False)


def _try_nothing(function: Any, names: list[str], before: Any, lead: Any, rest: Any) -> None:
    none = dict.fromkeys(names, np.ones(0))
    if lead is not None:
        none[lead] = before
    function(**none, **rest)


def _call(blocks: tuple[Any, ...], held: tuple[Any, ...]) -> Any:
    function, names, before, lead, rest = held
    arguments = dict(zip(names, blocks, strict=True))
    if lead is not None:
        arguments[lead] = before
    return function(**arguments, **{**rest, "workers": 1})


def _on_block(*blocks: Any, held: tuple[Any, ...]) -> Any:
    return np.asarray(_call(blocks, held))


class _Field:
    """One field of a result that has several."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __dask_tokenize__(self) -> Any:
        return self.name

    def __call__(self, *blocks: Any, held: tuple[Any, ...]) -> Any:
        return getattr(_call(blocks, held), self.name)
