from typing import Any

from numpy.typing import NDArray

hold_out_vectors: int

def measure(A: NDArray[Any], workers: int) -> tuple[float, float, float, bool]: ...
def decompose(
    A: NDArray[Any],
    size: tuple[float, float, float, bool],
    rank: int,
    tolerance: float,
    oversampling: int,
    power_iterations: int,
    key: int,
    workers: int,
) -> dict[str, Any]: ...
def range_finder(
    A: NDArray[Any],
    size: tuple[float, float, float, bool],
    n_columns: int,
    power_iterations: int,
    key: int,
    workers: int,
) -> NDArray[Any]: ...
def orthonormalise(q: NDArray[Any], r: NDArray[Any]) -> None: ...
def resolvable_tolerance(A: NDArray[Any]) -> float: ...
