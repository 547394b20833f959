"""Launches of the sine kernels, of CuPy arrays or of addresses, on CuPy's current stream.

Matrices are (entries, row stride, column stride), numbers that may lie on the device (address of a
float or 0, address of a double or 0, value). Nothing is copied, allocated or waited for.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._gpu.compile import kernel, launch_shape, suffix

Strided = tuple[Any, np.int64, np.int64]
Number = tuple[int, int, float]
MAX_DEPTH = 32  # of the kernels that are compiled for a depth
FEW = 8  # columns up to which threads keep sums of whole rows
_ROWS, _GROUPS, _COLS = 32, 8, 64  # of the kernel for any depth: cuda/sine.cuh
_MAX_COLUMN_BLOCKS = 65_535
_TILE_ROWS, _TILE_INNER, _TILE_THREADS = 64, 32, 128  # cuda/sine_tiles.cuh
_WANTED_BLOCKS, _LEAST_STEPS = 528, 4  # four for each multiprocessor of a large device


@dataclass(frozen=True)
class Factors:
    """Left (m, size) row-major and right (size, n) row-major; one of them in half-turns."""

    left: Any
    right: Any
    m: int
    size: int
    n: int

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What kernels take."""
        return self.left, self.right, np.int64(self.size), np.int64(self.m), np.int64(self.n)

    @property
    def depth(self) -> int:
        """The bound of the size that a kernel is compiled for."""
        return next(bound for bound in (4, 8, 16, 32) if self.size <= bound)


def copy_factor(
    dtype: Any, source: Strided, shape: tuple[int, int], omega: Number | None, out: Strided
) -> None:
    """Copy a factor into other strides, times omega / pi if omega is given."""
    grid, block = launch_shape(shape[0] * shape[1])
    scaled = (np.int32(omega is not None), *(omega or (0, 0, 1.0)))
    kernel("sine", f"copy_factor_{suffix(dtype)}")(
        grid, block, (*source, *map(np.int64, shape), *scaled, *out)
    )


def few_columns(
    dtype: Any, factors: Factors, X: Strided, n_cols: int, gain: Number, Y: Strided
) -> None:
    """Fill Y (m, T) with S X, for T up to `FEW`."""
    columns = next(bound for bound in (1, 4, FEW) if n_cols <= bound)
    rows = 8 if columns <= 4 else 4
    sized = {"EF_DEPTH": factors.depth, "EF_COLUMNS": columns}
    kernel("sine_rows", f"few_columns_{suffix(dtype)}", **sized)(
        (-(-factors.m // rows),), (256,), (*factors.arguments, *X, np.int64(n_cols), *gain, *Y)
    )


def few_slopes(
    dtype: Any, factors: Factors, a: Strided, b: Strided, n_cols: int, Y: Strided
) -> None:
    """Fill Y (m, size) with ``(cos(phase) o a b^T) right^T``, for T up to `FEW` columns of a, b."""
    columns = next(bound for bound in (1, 4, FEW) if n_cols <= bound)
    depth = factors.depth
    rows = 8 if depth == 4 else (64 if dtype == np.float32 else 32) // depth
    sized = {"EF_DEPTH": depth, "EF_COLUMNS": columns}
    kernel("sine_rows", f"few_slopes_{suffix(dtype)}", **sized)(
        (-(-factors.m // rows),), (256,), (*factors.arguments, *a, *b, np.int64(n_cols), *Y)
    )


def n_parts(factors: Factors, n_cols: int) -> int:
    """Parts of the inner sum of `tiled_product` that keep a device busy; a rule of shapes alone."""
    columns = _tile_columns(n_cols)
    blocks = -(-factors.m // _TILE_ROWS) * -(-n_cols // columns)
    steps = -(-factors.n // _TILE_INNER)
    return max(1, min(-(-_WANTED_BLOCKS // blocks), steps // _LEAST_STEPS))


def _tile_columns(n_cols: int) -> int:
    return next((bound for bound in (16, 32) if n_cols <= bound), 64)


def tiled_product(
    dtype: Any,
    factors: Factors,
    X: Strided,
    n_cols: int,
    parts: int,
    gain: Number,
    Y: tuple[Any, ...],
) -> None:
    """Fill Y with S X; Y is (entries, row, column and part stride), and its parts sum to S X."""
    columns = _tile_columns(n_cols)
    column_blocks = -(-n_cols // columns) * parts
    _require_few(column_blocks, n_cols)
    sized = {"EF_DEPTH": factors.depth, "EF_COLUMNS": columns}
    kernel("sine_tiles", f"tiled_product_{suffix(dtype)}", **sized)(
        (-(-factors.m // _TILE_ROWS), column_blocks),
        (_TILE_THREADS,),
        (*factors.arguments, *X, np.int64(n_cols), np.int64(parts), *gain, *Y),
    )


def _require_few(column_blocks: int, n_cols: int) -> None:
    if column_blocks > _MAX_COLUMN_BLOCKS:
        most = _COLS * _MAX_COLUMN_BLOCKS
        msg = f"X: got {n_cols} columns, want at most {most} on the device"
        raise ValueError(msg)


def weights(kind: str, factors: Factors, gain: Number, base: Strided, out: Any) -> None:
    """Fill `out`, row-major, with ``base + S`` in "f32", "f64" or "bf16"; base may be (0, 0, 0)."""
    _for_all_phases(f"weights_{kind}", factors, (*gain, *base, out))


def cosines(dtype: Any, factors: Factors, G: Strided, out: Any) -> None:
    """Fill `out`, row-major, with ``cos(phase) o G``."""
    _for_all_phases(f"cosines_{suffix(dtype)}", factors, (*G, out))


def _for_all_phases(name: str, factors: Factors, rest: tuple[Any, ...]) -> None:
    grid = (-(-factors.m // 16), max(1, min(8, factors.n // 512)))
    kernel("sine_weights", name, EF_DEPTH=factors.depth)(grid, (256,), (*factors.arguments, *rest))


# ---- for any depth, and exact phases; `factors` is (left, its low part or 0, right, its low part
# or 0, depth, inverse gain), both factors row-major


def any_entries(dtype: Any, factors: tuple[Any, ...], m: int, n: int, out: Any) -> None:
    """Fill `out`, row-major, with the m n entries."""
    grid, block = launch_shape(m * n)
    arguments = (*factors, np.int64(m), np.int64(n), out)
    kernel("sine", f"sine_entries_{suffix(dtype)}")(grid, block, arguments)


def any_product(
    dtype: Any,
    factors: tuple[Any, ...],
    X: Strided,
    Y: Strided,
    shape: tuple[int, int, int],
    inner: tuple[Any, ...] = (),
) -> None:
    """Fill Y (m, T) with S X, for X (n, T) and a shape (m, n, T).

    With ``inner = (*a, *b, size)`` the matrix is ``cos(phase) o a b^T / gain`` instead.
    """
    column_blocks = -(-shape[2] // _COLS)
    _require_few(column_blocks, shape[2])
    name = "sine_slope_product" if inner else "sine_product"
    kernel("sine", f"{name}_{suffix(dtype)}")(
        (-(-shape[0] // _ROWS), column_blocks),
        (_ROWS, _GROUPS),
        (*factors, *inner, *X, *map(np.int64, shape), *Y),
    )
