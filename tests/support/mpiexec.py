"""Where mpiexec is: it must belong to the library that mpi4py loads."""

import os
import shutil
import sys
from pathlib import Path

# For an MPI that asks for more, for example Open MPI as root or on few cores.
FLAGS = os.environ.get("EIGENFLOW_MPIEXEC_FLAGS", "").split()


def mpiexec() -> str | None:
    """EIGENFLOW_MPIEXEC, else that of the environment that holds mpi4py, else one on the path."""
    import mpi4py

    given = os.environ.get("EIGENFLOW_MPIEXEC")
    folders = [Path(sys.executable).parent, Path(mpi4py.__file__).parents[4] / "bin"]
    beside = [str(folder / "mpiexec") for folder in folders if (folder / "mpiexec").exists()]
    return given or (beside[0] if beside else shutil.which("mpiexec"))


def environment(launcher: str) -> dict[str, str]:
    """One thread a rank, and the library beside this launcher: in lib, or where Debian has it."""
    found = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "EIGENFLOW_NUM_THREADS": "1"}
    folder = Path(launcher).parents[1] / "lib"
    for library in sorted([*folder.glob("libmpi.so.*"), *folder.glob("*-linux-gnu/libmpi.so.*")]):
        found.setdefault("MPI4PY_LIBMPI", str(library))
    return found
