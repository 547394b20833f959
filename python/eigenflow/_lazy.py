"""Dask arrays in functions of coordinates, which do not know of each other."""

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from eigenflow._arrays import is_dask

P = ParamSpec("P")
T = TypeVar("T")


def over_coordinates(lead: str | None = None) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Let a function take Dask arrays of coordinates; it then runs on their blocks, lazily.

    `lead` names the argument whose axes come before those of the coordinates in the result. All
    blocks get it whole.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if not any(map(is_dask, (*args, *kwargs.values()))):
                return function(*args, **kwargs)
            from eigenflow.dask.coordinates import run

            result: T = run(function, signature.bind(*args, **kwargs).arguments, lead)
            return result

        return call

    return decorate
