"""Whether a block and what is made of it fit on a worker, before anything runs."""

from typing import Any

from dask.utils import format_bytes, parse_bytes

from eigenflow._map_reduce.lowrank import PANEL, wide_dtype
from eigenflow._map_reduce.tree import FAN_IN


def as_bytes(value: Any, name: str) -> float | None:
    """Return a number of bytes: a number, or text such as "2 GB"."""
    if value is None:
        return None
    try:
        size = float(parse_bytes(value))
    except (TypeError, ValueError, AttributeError):
        msg = f"{name}: got {value!r}, want bytes, for example 2e9 or '2 GB'"
        raise TypeError(msg) from None
    if not size > 0:
        msg = f"{name}: got {value!r}, want a positive number of bytes"
        raise ValueError(msg)
    return size


def require_memory(A: Any, columns: int, limit: float | None) -> None:
    """Refuse blocks that a task cannot hold together with its products of so many columns.

    Raises
    ------
    MemoryError
        It names a chunk size that fits, where there is one.
    """
    if limit is None or 0 in A.shape:
        return
    n = A.shape[1]
    row = n * A.dtype.itemsize
    wide = wide_dtype(A.dtype).itemsize
    tallest = max(A.chunks[0])
    panel = min(PANEL, tallest * n * wide)
    beside = 2 * panel + (FAN_IN + 4) * n * columns * wide
    need = tallest * row + beside
    if need <= limit:
        return
    fits = int((limit - beside) // row)
    got = f"A: got blocks of {tallest} x {n} ({format_bytes(tallest * row)}), which with products "
    got += f"of {columns} columns need {format_bytes(int(need))}, where a task may use "
    got += format_bytes(int(limit))
    if fits >= 1:
        msg = f"{got}; want chunks of at most {fits} rows: A.rechunk({{0: {fits}, 1: -1}})"
    else:
        msg = f"{got}; want workers with more memory or fewer threads, or a smaller rank"
    raise MemoryError(msg)


def require_memory_of_block(
    name: str, largest: int, each: int, limit: float | None, unit: str
) -> None:
    """Refuse blocks of so many units that need so many bytes each, with what is made of them.

    Raises
    ------
    MemoryError
        It names a size of blocks that fits, where there is one.
    """
    if limit is None or largest * each <= limit:
        return
    fits = int(limit // each)
    got = f"{name}: got blocks of {largest} {unit}, which with their results need "
    got += f"{format_bytes(largest * each)}, where a task may use {format_bytes(int(limit))}"
    want = f"blocks of at most {fits} {unit}" if fits else "workers with more memory"
    msg = f"{got}; want {want}"
    raise MemoryError(msg)


def require_memory_of_columns(rows: Any, limit: float | None, small: int) -> None:
    """Refuse blocks of columns, given as rows, that a task cannot hold with its products.

    A task holds a block, the block in double precision and a product of its size, and the sums of
    a group of tasks: of n^2 numbers each up to `small` samples, and of n beyond.

    Raises
    ------
    MemoryError
        It names a chunk size that fits, where there is one.
    """
    if limit is None or 0 in rows.shape:
        return
    n = rows.shape[1]
    column = n * (rows.dtype.itemsize + 16)
    beside = 8 * (FAN_IN + 2) * n * (n if n <= small else 4)
    widest = max(rows.chunks[0])
    if widest * column + beside <= limit:
        return
    fits = int((limit - beside) // column)
    got = f"features: got blocks of {n} x {widest}, which with their products need "
    got += f"{format_bytes(int(widest * column + beside))}, where a task may use "
    got += format_bytes(int(limit))
    if fits >= 1:
        msg = (
            f"{got}; want chunks of at most {fits} columns: features.rechunk({{0: -1, 1: {fits}}})"
        )
    else:
        msg = f"{got}; want workers with more memory or fewer threads, or fewer samples"
    raise MemoryError(msg)
