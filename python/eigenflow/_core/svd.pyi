from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from eigenflow._core.ranks import Ranks

hold_out_vectors: int
bound_vectors: int

# Frobenius norm, scale, norm after scaling, finite.
_Size: TypeAlias = tuple[float, float, float, bool]
_Product: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]
_Rows: TypeAlias = Callable[[int, int], NDArray[Any]]

class Operator: ...

def measure(A: NDArray[Any], workers: int) -> _Size: ...
def measure_rows(
    read: _Rows, rows: int, cols: int, dtype: np.dtype[Any], workers: int
) -> _Size: ...
def dense(A: NDArray[Any], size: _Size, streamed: bool, workers: int) -> Operator: ...
def row_blocks(
    read: _Rows, rows: int, cols: int, dtype: np.dtype[Any], size: _Size, workers: int
) -> Operator: ...
def products(
    matmat: _Product,
    rmatmat: _Product,
    rows: int,
    cols: int,
    dtype: np.dtype[Any],
    norm: float,
    scale: float,
) -> Operator: ...
def weighted_dense(
    A: NDArray[Any],
    row_factors: NDArray[Any],
    col_factors: NDArray[Any],
    center: bool,
    streamed: bool,
    workers: int,
) -> tuple[Operator, _Size, NDArray[Any]]: ...
def weighted_blocks(
    read: _Rows,
    rows: int,
    cols: int,
    dtype: np.dtype[Any],
    row_factors: NDArray[Any],
    col_factors: NDArray[Any],
    center: bool,
    workers: int,
) -> tuple[Operator, _Size, NDArray[Any]]: ...
def weighted(
    A: Operator,
    row_factors: NDArray[Any],
    col_factors: NDArray[Any],
    mean: NDArray[Any],
    norm: float,
) -> Operator: ...
def decompose_rows(
    ranks: Ranks,
    A: NDArray[Any],
    rank: int,
    tolerance: float,
    relative_tolerance: float,
    spectral: bool,
    oversampling: int,
    key: int,
    workers: int,
) -> dict[str, Any]: ...
def apply(A: Operator, x: NDArray[Any], y: NDArray[Any]) -> None: ...
def apply_gram(A: Operator, x: NDArray[Any], w: NDArray[Any]) -> None: ...
def decompose(
    A: Operator,
    rank: int,
    tolerance: float,
    relative_tolerance: float,
    spectral: bool,
    one_pass: bool,
    oversampling: int,
    power_iterations: int,
    key: int,
    workers: int,
) -> dict[str, Any]: ...
def range_finder(
    A: Operator, n_columns: int, power_iterations: int, key: int, workers: int
) -> NDArray[Any]: ...
def orthonormalise(q: NDArray[Any], r: NDArray[Any]) -> None: ...
def resolvable_tolerance(dtype: np.dtype[Any], rows: int, cols: int) -> float: ...
def eigh(
    A: Operator,
    rank: int,
    tolerance: float,
    relative_tolerance: float,
    positive: bool,
    one_pass: bool,
    oversampling: int,
    key: int,
    workers: int,
) -> dict[str, Any]: ...
def pivoted_qr(
    A: Operator,
    rank: int,
    tolerance: float,
    relative_tolerance: float,
    oversampling: int,
    interpolate: bool,
    key: int,
    workers: int,
) -> dict[str, Any]: ...
