from typing import Any

from numpy.typing import NDArray

def fill_words(
    key: int, first_row: int, first_col: int, out: NDArray[Any], workers: int
) -> None: ...
def fill_normals(
    key: int, first_row: int, first_col: int, out: NDArray[Any], workers: int
) -> None: ...
