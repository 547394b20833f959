"""Random keys from NumPy generators, as SPEC 7 wants `rng=` to work."""

import functools
import secrets
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from eigenflow import _core

RNGLike: TypeAlias = "int | np.integer[Any] | np.random.Generator | np.random.BitGenerator | None"


def key_from(rng: RNGLike) -> int:
    """Return a 64-bit key: equal for equal seeds, and the next draw of a generator."""
    if rng is None:
        return secrets.randbits(64)
    return _key_of_seed(rng) if type(rng) is int else _draw(rng)


@functools.lru_cache(maxsize=256)
def _key_of_seed(seed: int) -> int:
    """Return the first draw, kept: to make a generator takes longer than a small problem."""
    return _draw(seed)


def _draw(rng: RNGLike) -> int:
    try:
        generator = np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        msg = f"rng: got {rng!r}, want a seed or a numpy.random.Generator ({error})"
        raise type(error)(msg) from None
    return int(generator.integers(0, 2**64, dtype=np.uint64))


def random_words(
    key: int,
    shape: tuple[int, int],
    *,
    first_row: int = 0,
    first_col: int = 0,
    workers: int | None = None,
) -> NDArray[np.uint32]:
    """32 random bits for each entry of a block of an infinite matrix that only `key` determines."""
    from eigenflow._threads import resolve_workers

    out = np.empty(shape, np.uint32)
    _core.rng.fill_words(key, first_row, first_col, out, resolve_workers(workers))
    return out


def random_normals(
    key: int,
    shape: tuple[int, int],
    dtype: DTypeLike = np.float64,
    *,
    first_row: int = 0,
    first_col: int = 0,
    workers: int | None = None,
) -> NDArray[Any]:
    """Standard normals for a block of an infinite matrix that only `key` and the dtype determine.

    Box-Muller on the words of `random_words`' generator; float32 and float64 draw different
    numbers.
    """
    from eigenflow._threads import resolve_workers

    out = np.empty(shape, dtype)
    _core.rng.fill_normals(key, first_row, first_col, out, resolve_workers(workers))
    return out
