"""Which rows and columns of the operator an index means."""

from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from eigenflow import _arrays

Index: TypeAlias = "SupportsIndex | slice | list[Any] | _arrays.Array"


def is_integer(key: Any) -> bool:
    """Tell whether `key` is a single index."""
    return hasattr(key, "__index__") and getattr(key, "ndim", 0) == 0 and not isinstance(key, bool)


def as_range(key: Any, size: int, axis: int) -> Any:
    """Turn an integer into the slice that holds it; leave slices and arrays alone."""
    if not is_integer(key):
        return key
    i = int(key.__index__())
    if not -size <= i < size:
        msg = f"index {i} is out of bounds for axis {axis} with size {size}"
        raise IndexError(msg)
    return slice(i % size, i % size + 1)


def rows_of(factor: Any, key: Any, name: str) -> Any:
    """Return the rows of a factor that a slice, an index array or a mask chooses."""
    if isinstance(key, slice):
        return factor[key]
    index = np.asarray(key) if isinstance(key, (list, tuple, range)) else key
    if getattr(index, "ndim", None) != 1:
        msg = f"{name}: got {key!r}, want a slice, or a one-dimensional index or mask array"
        raise IndexError(msg)
    if index.size == 0 and index.dtype.kind == "f":  # an empty list
        index = index.astype(np.intp)
    return factor[index]
