"""Compiles kernels at first use and launches them on CuPy's current stream."""

from functools import cache
from typing import Any

from eigenflow._gpu.sources import compile_options, entry_path

_THREADS = 256
_MAX_BLOCKS = 65_535


@cache
def _module(entry: str) -> Any:
    import cupy

    return cupy.RawModule(
        code=entry_path(entry).read_text(encoding="utf-8"),
        options=compile_options(),
        backend="nvrtc",
    )


@cache
def kernel(entry: str, name: str) -> Any:
    """Return kernel `name` of `cuda/entry/<entry>.cu`; call it as (grid, block, arguments)."""
    return _module(entry).get_function(name)


def launch_shape(n: int, threads: int = _THREADS) -> tuple[tuple[int], tuple[int]]:
    """Grid and block for `n` independent elements; grid-stride loops do the rest."""
    return (max(1, min(_MAX_BLOCKS, -(-n // threads))),), (threads,)
