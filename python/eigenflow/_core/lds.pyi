from typing import Any, TypeAlias

from numpy.typing import NDArray

from eigenflow._core.ranks import Ranks

_Arrays: TypeAlias = tuple[NDArray[Any] | None, ...]

class System:
    def __init__(self, arrays: _Arrays) -> None: ...

def filter(  # noqa: A001
    system: System,
    start: _Arrays,
    y: NDArray[Any],
    inputs: NDArray[Any] | None,
    means: _Arrays,
    covs: tuple[bool, ...],
    settings: tuple[bool, str, bool, int, Any],
    batch_shape: tuple[int, ...],
    ranks: Ranks | None = None,
) -> dict[str, Any]: ...
def smooth(
    system: System,
    start: _Arrays,
    y: NDArray[Any],
    inputs: NDArray[Any] | None,
    means: _Arrays,
    covs: tuple[bool, ...],
    settings: tuple[bool, str, bool, int, Any],
    batch_shape: tuple[int, ...],
) -> dict[str, Any]: ...
def steady_state(
    system: _Arrays,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], float, float]: ...
def propagate(system: _Arrays, inputs: NDArray[Any] | None, states: NDArray[Any]) -> None: ...
