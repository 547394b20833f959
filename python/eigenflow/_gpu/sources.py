"""Where the shipped CUDA sources are, and how NVRTC compiles them."""

import hashlib
from functools import cache
from pathlib import Path

import eigenflow


def _shipped(folder: str) -> Path:
    """Path of a folder beside the package's modules; an editable install has two such places."""
    return next(path for place in eigenflow.__path__ if (path := Path(place) / folder).is_dir())


def _includes() -> tuple[Path, Path]:
    return _shipped("cpp") / "include", _shipped("cuda") / "include"


def entry_path(entry: str) -> Path:
    """Path of `cuda/entry/<entry>.cu`, which holds extern "C" kernels."""
    return _shipped("cuda") / "entry" / f"{entry}.cu"


def entries() -> list[str]:
    """Names of all entry files."""
    return sorted(path.stem for path in (_shipped("cuda") / "entry").glob("*.cu"))


@cache
def source_hash() -> str:
    """Hash of every header that a kernel can include.

    CuPy's disk cache looks at the entry file and the options only: without the hash among the
    options, a changed header would silently reuse an old binary.
    """
    digest = hashlib.sha256()
    host, device = _includes()
    device_headers = [
        *(host / "eigenflow" / "hd").glob("*.hpp"),
        *(device / "eigenflow" / "cuda").glob("*.cuh"),
    ]
    for path in sorted(device_headers):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def compile_options() -> tuple[str, ...]:
    """Options for NVRTC. Contraction is off: device and host fuse where the source says fma."""
    return (
        "--std=c++20",
        "--fmad=false",
        "-default-device",
        *(f"-I{path}" for path in _includes()),
        f"-DEIGENFLOW_SOURCE_HASH=0x{source_hash()}",
    )
