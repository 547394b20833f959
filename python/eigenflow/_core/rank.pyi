from typing import Any

from numpy.typing import NDArray

def energy(
    s: NDArray[Any], size: int, total_squared: float, precision: float, share: float
) -> tuple[int, bool, float]: ...
def frobenius(
    s: NDArray[Any], size: int, total_squared: float, precision: float, rtol: float, atol: float
) -> tuple[int, bool, float]: ...
def gavish_donoho(
    s: NDArray[Any], rows: int, cols: int, noise_std: float
) -> tuple[int, bool, float]: ...
def gavish_donoho_lambda(beta: float) -> float: ...
def gavish_donoho_omega(beta: float) -> float: ...
def marchenko_pastur_median(beta: float) -> float: ...
def allocate_by_share(
    s: NDArray[Any],
    ends: list[int],
    table: NDArray[Any],
    share: float,
    budget: float,
    multiple_of: int,
) -> tuple[list[int], list[bool], float, float, float, int]: ...
def allocate_by_budget(
    s: NDArray[Any], ends: list[int], table: NDArray[Any], budget: float, multiple_of: int
) -> tuple[list[int], list[bool], float, float, float, int]: ...
