from typing import Any

from numpy.typing import NDArray

def score(
    system: tuple[NDArray[Any], ...], start: tuple[NDArray[Any], ...], y: NDArray[Any]
) -> dict[str, Any]: ...
