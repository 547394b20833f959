"""Random keys from NumPy generators, as SPEC 7 wants `rng=` to work."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from eigenflow import _core

RNGLike: TypeAlias = "int | np.integer[Any] | np.random.Generator | np.random.BitGenerator | None"


def key_from(rng: RNGLike) -> int:
    """Return a 64-bit key: equal for equal seeds, and the next draw of a generator."""
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
