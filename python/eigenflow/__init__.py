"""How much capacity does a model need, and where?

Four answers, one library: `flow` (which eigenvalues grow), `lowrank` (which ranks, in which
layers), `sine` (how much rank a frequency buys) and `lds` (how many parameters keep predictions
stable). Around them: `estimators` for scikit-learn, `nn` for PyTorch, `dask` and `mpi` for data
that no one machine holds, and `plot`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from eigenflow import _threads  # noqa: F401 - makes threadpoolctl know eigenflow
from eigenflow._core import ConvergenceError, __version__
from eigenflow.config import show_config

if TYPE_CHECKING:
    from eigenflow import dask as dask
    from eigenflow import estimators as estimators
    from eigenflow import flow, lds, lowrank, mpi, plot, sine

_SUBMODULES = ("flow", "lowrank", "sine", "lds", "estimators", "dask", "mpi", "plot", "nn")

# Not in __all__: a star import must not need scikit-learn, Dask or PyTorch.
_WITH_EXTRAS = ("dask", "estimators", "nn")

__all__ = [
    "ConvergenceError",
    "__version__",
    "flow",
    "lds",
    "lowrank",
    "mpi",
    "plot",
    "show_config",
    "sine",
]


def __getattr__(name: str) -> Any:
    """Import submodules at first use, which keeps `import eigenflow` fast."""
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted([*__all__, *_WITH_EXTRAS])
