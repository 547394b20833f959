from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

def phase_accuracy(
    U: NDArray[Any], V: NDArray[Any], omega: float, exact_phase: bool
) -> tuple[float, float, bool]: ...
def apply(
    U: NDArray[Any],
    V: NDArray[Any],
    X: NDArray[Any],
    out: NDArray[Any],
    omega: float,
    gain: float,
    exact_phase: bool,
    transposed: bool,
    workers: int,
) -> None: ...
def apply_packed(
    U: tuple[NDArray[Any], NDArray[Any], int, int, int],
    V: tuple[NDArray[Any], NDArray[Any], int, int, int],
    X: NDArray[Any],
    out: NDArray[Any],
    omega: float,
    gain: float,
    transposed: bool,
    workers: int,
) -> None: ...
def entries(
    U: NDArray[Any],
    V: NDArray[Any],
    out: NDArray[Any],
    omega: float,
    gain: float,
    exact_phase: bool,
    workers: int,
) -> None: ...
def vjp(
    U: NDArray[Any],
    V: NDArray[Any],
    X: NDArray[Any],
    grad_output: NDArray[Any],
    grad_U: NDArray[Any] | None,
    grad_V: NDArray[Any] | None,
    grad_X: NDArray[Any] | None,
    omega: float,
    gain: float,
    exact_phase: bool,
    scale_right: bool,
    workers: int,
) -> tuple[float, float]: ...
def residual_gradients(
    U: NDArray[Any],
    V: NDArray[Any],
    W: NDArray[Any],
    grad_U: NDArray[Any],
    grad_V: NDArray[Any],
    omega: float,
    gain: float,
    workers: int,
) -> tuple[float, float, float]: ...
def jvp(
    U: NDArray[Any],
    V: NDArray[Any],
    X: NDArray[Any],
    dU: NDArray[Any] | None,
    dV: NDArray[Any] | None,
    dX: NDArray[Any] | None,
    domega: float,
    dgain: float,
    out: NDArray[Any],
    omega: float,
    gain: float,
    exact_phase: bool,
    scale_right: bool,
    workers: int,
) -> None: ...
def apply_anchors(
    U: NDArray[Any],
    V: NDArray[Any],
    X: NDArray[Any],
    out: NDArray[Any],
    counts: Sequence[int],
    half_widths: Sequence[float],
    omega: float,
    gain: float,
    workers: int,
) -> None: ...
def apply_taylor(
    U: NDArray[Any],
    V: NDArray[Any],
    X: NDArray[Any],
    out: NDArray[Any],
    order: int,
    omega: float,
    gain: float,
    workers: int,
) -> None: ...
def sincospi(t: NDArray[Any], sine: NDArray[Any], cosine: NDArray[Any]) -> None: ...
def register_loop(depth: int, n_rhs: int, n: int, twice: bool = False) -> float: ...
