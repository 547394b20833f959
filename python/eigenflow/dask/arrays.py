"""What a Dask array must be for our kernels to work on its blocks."""

from typing import Any

import dask.array as da
import numpy as np

from eigenflow._arrays import float_dtype, require_ndim


def as_dask(x: Any, name: str, ndim: int | tuple[int, ...] | None = None) -> Any:
    """Return a Dask array of numbers with blocks of known sizes.

    Raises
    ------
    TypeError, ValueError
        For another collection, blocks that are no plain NumPy arrays, dtypes without numbers and
        chunks of unknown size.
    """
    if not isinstance(x, da.Array):
        msg = f"{name}: got {type(x).__name__}, want a dask.array.Array"
        raise TypeError(msg)
    if type(x._meta) is not np.ndarray:
        msg = f"{name}: got blocks of {type(x._meta).__name__}, want blocks of numpy.ndarray"
        raise TypeError(msg)
    float_dtype(x, name, allow_complex=True)
    require_ndim(x, name, ndim)
    if any(np.isnan(size) for sizes in x.chunks for size in sizes):
        msg = f"{name}: got chunks of unknown size, want {name}.compute_chunk_sizes() first"
        raise ValueError(msg)
    return x


def whole_rows(A: Any) -> Any:
    """Return the array in blocks of whole rows, none larger than its largest block was.

    An array that is cut along other axes too is put together anew, and its blocks then move between
    workers each time that it is read.
    """
    if all(len(sizes) == 1 for sizes in A.chunks[1:]):
        return A
    row_bytes = max(1, int(np.prod(A.shape[1:])) * A.dtype.itemsize)
    largest = int(np.prod([max(sizes) for sizes in A.chunks])) * A.dtype.itemsize
    rows = max(1, min(max(A.chunks[0]), largest // row_bytes))
    return A.rechunk({0: rows, **dict.fromkeys(range(1, A.ndim), -1)})
