"""Compiles kernels at first use and launches them on CuPy's current stream."""

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from eigenflow._gpu.sources import compile_options, entry_path

_THREADS = 256
_MAX_BLOCKS = 65_535


def kernel(entry: str, name: str, **defines: int) -> Any:
    """Return kernel `name` of `cuda/entry/<entry>.cu`; call it as (grid, block, arguments).

    ``EF_DEPTH=8`` among `defines` compiles the file for that number.
    """
    import cupy

    options = tuple(f"-D{define}={value}" for define, value in sorted(defines.items()))
    return _kernel(entry, name, options, cupy.cuda.Device().compute_capability)


@cache
def _kernel(entry: str, name: str, defines: tuple[str, ...], capability: str) -> Any:
    return _module(entry, defines, capability).get_function(name)


@cache
def _module(entry: str, defines: tuple[str, ...], capability: str) -> Any:
    import cupy

    return cupy.RawModule(path=str(_compiled(entry, defines, capability)))


def _compiled(entry: str, defines: tuple[str, ...], capability: str) -> Path:
    """Machine code of an entry for the current device, compiled unless the cache has it.

    ``RawModule(code=...)`` would add ``-ftz=true`` after our own options: single precision below
    1.2e-38 would become zero on the device, and not on the host.
    """
    import cupy

    code = entry_path(entry).read_text(encoding="utf-8")
    options = (*compile_options(), *defines)
    versions = (cupy.__version__, cupy.cuda.nvrtc.getVersion(), capability)
    key = hashlib.sha256(repr((code, options, versions)).encode()).hexdigest()[:32]
    path = _cache_folder() / f"eigenflow-{entry}-{key}.cubin"
    if not path.exists():
        binary, _ = cupy.cuda.compiler.compile_using_nvrtc(code, options, filename=f"{entry}.cu")
        _write_whole(path, binary if isinstance(binary, bytes) else binary.encode())
    return path


@cache
def _cache_folder() -> Path:
    """CuPy's folder for compiled kernels; one of this process where that cannot be written."""
    usual = Path(os.environ.get("CUPY_CACHE_DIR") or Path.home() / ".cupy" / "kernel_cache")
    try:
        usual.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="eigenflow-kernels-"))
    return usual if os.access(usual, os.W_OK) else Path(tempfile.mkdtemp(prefix="eigenflow-"))


def _write_whole(path: Path, content: bytes) -> None:
    """Other processes see the whole file or none."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
        part.write(content)
    os.replace(part.name, path)


def suffix(dtype: Any) -> str:
    """Ending of the names of kernels for float32 or float64."""
    return "f32" if dtype == np.float32 else "f64"


def launch_shape(n: int, threads: int = _THREADS) -> tuple[tuple[int], tuple[int]]:
    """Grid and block for `n` independent elements; grid-stride loops do the rest."""
    return (max(1, min(_MAX_BLOCKS, -(-n // threads))),), (threads,)


def launch_table(rows: int, cols: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Grid and block for a table of independent elements, neighbours in a row side by side."""
    across = min(_THREADS, 1 << max(0, cols - 1).bit_length())
    down = _THREADS // across
    grid = (min(_MAX_BLOCKS, -(-cols // across)), min(_MAX_BLOCKS, -(-rows // down)))
    return grid, (across, down)
