"""Work on times x coordinates in blocks, so that temporaries stay small."""

import math
from collections.abc import Iterator

from eigenflow._arrays import Kind

BLOCK = 1 << 16  # entries: 0.5 MiB for each temporary
DEVICE_BLOCK = 1 << 24  # 128 MiB: enough to fill a GPU


def blocks(shape: tuple[int, ...], kind: Kind = "numpy") -> Iterator[tuple[slice, ...]]:
    """Cut times x coordinates into blocks of at most BLOCK entries, DEVICE_BLOCK on the device.

    All times of a block share the march, so times are cut only where there are very many.
    """
    if 0 in shape:
        return
    most = DEVICE_BLOCK if kind == "cupy" else BLOCK
    most_times = min(shape[0], most // 16)
    for first in range(0, shape[0], most_times):
        for block in _cut(shape[1:], most // most_times):
            yield (slice(first, first + most_times), *block)


def _cut(shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    if not shape:
        yield ()
        return
    step = max(1, most // math.prod(shape[1:]))
    for first in range(0, shape[0], step):
        for rest in _cut(shape[1:], most):
            yield (slice(first, min(first + step, shape[0])), *rest)
