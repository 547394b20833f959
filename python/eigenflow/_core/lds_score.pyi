from typing import Any, TypeAlias

from numpy.typing import NDArray

_Arrays: TypeAlias = tuple[NDArray[Any] | None, ...]

def score(
    system: _Arrays,
    start: _Arrays,
    y: NDArray[Any],
    inputs: NDArray[Any] | None,
    workers: int,
    moments: bool,
    progress: Any,
    batch_shape: tuple[int, ...],
) -> dict[str, Any]: ...
