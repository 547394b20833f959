"""Dask arrays in functions of coordinates, which do not know of each other."""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from eigenflow._arrays import is_dask

P = ParamSpec("P")
T = TypeVar("T")


def over_coordinates(
    lead: str | None = None, engine: str = "coordinates.run"
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function take Dask arrays of coordinates; it then runs on their blocks, lazily.

    `lead` names the argument whose axes come before those of the coordinates in the result. All
    blocks get it whole. `engine` names the function of `eigenflow.dask` that does it, such as
    "coordinates.run_sum" for sums over coordinates: it gets the function, all of its arguments,
    and `lead`.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if not any(map(is_dask, (*args, *kwargs.values()))):
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            module, name = engine.split(".")
            run = getattr(importlib.import_module(f"eigenflow.dask.{module}"), name)
            result: T = run(call, bound.arguments, lead)
            return result

        return call

    return decorate
