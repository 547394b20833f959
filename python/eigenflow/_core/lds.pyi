from typing import Any

from numpy.typing import NDArray

def filter(  # noqa: A001
    system: tuple[NDArray[Any], ...],
    start: tuple[NDArray[Any], ...],
    y: NDArray[Any],
    means: tuple[NDArray[Any] | None, ...],
    covs: tuple[bool, bool, bool],
    switch_to_steady: bool,
    check_finite: bool,
    workers: int,
) -> dict[str, Any]: ...
def smooth(
    system: tuple[NDArray[Any], ...],
    start: tuple[NDArray[Any], ...],
    y: NDArray[Any],
    smoothed_mean: NDArray[Any] | None,
    store_cov: bool,
    switch_to_steady: bool,
    check_finite: bool,
    workers: int,
) -> dict[str, Any]: ...
def steady_state(
    system: tuple[NDArray[Any], ...],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], float, float]: ...
def propagate(transition: NDArray[Any], offset: NDArray[Any], states: NDArray[Any]) -> None: ...
