"""The random matrices of `eigenflow._rng` on the device: the same words, Gaussians to 1 ulp."""

from typing import Any

import numpy as np

from eigenflow._gpu.compile import kernel, launch_table, suffix

_BYTES = 16  # of what one counter gives


def random_normals(
    key: int, shape: tuple[int, int], dtype: Any, *, first_row: int = 0, first_col: int = 0
) -> Any:
    """Standard normals for a block of the matrix that `key` and the dtype determine."""
    import cupy

    out = cupy.empty(shape, dtype)
    if out.size:
        name = f"fill_normals_{suffix(out.dtype)}"
        size = _BYTES // out.dtype.itemsize
        grid, block = launch_table(shape[0], -(-(first_col % size + shape[1]) // size))
        origin = (np.uint64(key), np.int64(first_row), np.int64(first_col))
        sizes = (np.int64(shape[0]), np.int64(shape[1]))
        kernel("rng", name)(grid, block, (*origin, *sizes, out))
    return out
