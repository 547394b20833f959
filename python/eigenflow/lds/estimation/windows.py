"""Block Hankel matrices of a long series, which are never formed."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from eigenflow._arrays import Array

_ROWS = 4096


class HankelData:
    """Rows are windows of a series: row t holds y_(t+first), ..., y_(t+first+length-1).

    Parameters
    ----------
    y : (T, p) ndarray
    first, length, n_rows : int
        Offset and number of steps of a window, and number of windows.
    newest_first : bool
        Whether a window is read backwards.
    """

    def __init__(
        self, y: Array, first: int, length: int, n_rows: int, *, newest_first: bool = False
    ) -> None:
        p = y.shape[1]
        self.shape = (n_rows, length * p)
        windows = sliding_window_view(y, length, axis=0)[first : first + n_rows]
        windows = windows.transpose(0, 2, 1)  # (n_rows, length, p), a view
        self._windows = windows[:, ::-1] if newest_first else windows

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """A few thousand rows at a time, formed."""
        for begin in range(0, self.shape[0], _ROWS):
            rows = slice(begin, min(begin + _ROWS, self.shape[0]))
            block = self._windows[rows].reshape(rows.stop - begin, -1)
            # Overlapping rows of a view have no BLAS: NumPy would copy them in every product.
            yield rows, np.ascontiguousarray(block)

    def dot(self, x: Array) -> Array:
        """Product with a matrix."""
        out = np.empty((self.shape[0], x.shape[1]))
        for rows, block in self.blocks():
            out[rows] = block @ x
        return out

    def cross_dot(self, other: "HankelData", x: Array) -> Array:
        """Product of the transpose with another one times a matrix, in one pass over the series."""
        out = np.zeros((self.shape[1], x.shape[1]))
        for (_, mine), (_, theirs) in zip(self.blocks(), other.blocks(), strict=True):
            out += mine.T @ (theirs @ x)
        return out


def triangular_factor(*parts: HankelData) -> Array:
    """R of the QR decomposition of the parts side by side, row block by row block."""
    width = sum(part.shape[1] for part in parts)
    out = np.zeros((0, width))
    for blocks in zip(*(part.blocks() for part in parts), strict=True):
        rows = np.concatenate([block for _, block in blocks], axis=1)
        out = np.asarray(np.linalg.qr(np.concatenate([out, rows]), mode="r"))
    return out


def autoregressive_factor(y: Array, length: int) -> Array:
    """R of the regression of y_t on y_(t-1), ..., y_(t-length): the last p columns are y_t's.

    One factor serves all shorter autoregressions, because the lags stand in order.
    """
    n_rows = len(y) - length
    past = HankelData(y, 0, length, n_rows, newest_first=True)
    return triangular_factor(past, HankelData(y, length, 1, n_rows))
