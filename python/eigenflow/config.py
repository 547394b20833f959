"""What this installation is made of: what a bug report needs."""

import os
import platform
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from eigenflow import _core


def _installed_version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _gpu_state() -> str:
    if find_spec("cupy") is None:
        return "none (CuPy is not installed: pip install 'eigenflow[cuda13]')"
    import cupy

    if not cupy.cuda.is_available():
        return f"none (CuPy {cupy.__version__} finds no device)"
    names = [
        cupy.cuda.runtime.getDeviceProperties(i)["name"].decode()
        for i in range(cupy.cuda.runtime.getDeviceCount())
    ]
    return f"{', '.join(names)} (CuPy {cupy.__version__})"


def _blas_state() -> str:
    from threadpoolctl import threadpool_info

    from eigenflow import _blas

    _blas.ensure_bound()
    pools = sorted(
        (_owner(pool["filepath"]), f"{pool['internal_api']} {pool['version']}", pool["num_threads"])
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    )
    known = [
        f"{library} of {owner} ({count} thread{'s' if count != 1 else ''})"
        for owner, library, count in pools
    ]
    return ", ".join(known) or f"that of SciPy {_installed_version('scipy')}"


def _owner(library: str) -> str:
    """Name whose copy it is: wheels keep theirs in a folder of their own, like "scipy.libs"."""
    folder = Path(library).parent.name.removeprefix(".").removesuffix(".libs")
    names = {"numpy": "NumPy", "scipy": "SciPy"}
    return f"{names[folder]} {_installed_version(folder)}" if folder in names else str(library)


def config() -> dict[str, str]:
    """Return the version, CPU level, threads, BLAS and GPU state, as text."""
    return {
        "eigenflow": _core.__version__,
        "Python": f"{platform.python_version()} ({sys.platform}, {platform.machine()})",
        "NumPy": _installed_version("numpy"),
        "CPU level": _core.runtime.cpu_level(),
        "CPUs": f"{os.cpu_count()}, default workers {_core.runtime.default_workers()}",
        "BLAS": _blas_state(),
        "GPU": _gpu_state(),
    }


def show_config() -> None:
    """Print the version, CPU level, BLAS, threads and GPU state."""
    entries = config()
    width = max(map(len, entries))
    for name, value in entries.items():
        print(f"{name:<{width}}  {value}")
