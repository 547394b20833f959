"""Pieces of a decomposition of a tall matrix: A^H (A W), the factor R of A V, rows of U.

Everything is summed in double precision, also for single-precision blocks: a sweep in single
precision would lose directions below 3e-4 of the first singular value, and one in double loses
those below 1e-8. A block is worked on a panel of rows at a time, so that what is converted stays
small and a cancelled call notices soon.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from eigenflow import _core
from eigenflow._arrays import Array
from eigenflow._blas import ensure_bound
from eigenflow._map_reduce import stop
from eigenflow._map_reduce.engine import Rows
from eigenflow._threads import single_blas_thread

T = TypeVar("T")

PANEL = 2**23  # bytes


Refused: TypeAlias = tuple[tuple[int, ...], str] | None


class Sum(NamedTuple):
    """A sum over rows of A, with the norm of those rows.

    `refused` is the first entry that is no finite number, as its position and its text; the sum is
    then worthless. A summary carries it, rather than an exception, so that the first one wins
    whatever ran first, and every rank learns of it.
    """

    product: Array
    norm: float
    refused: Refused = None


def wide_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the double-precision type of the same kind of number."""
    return np.dtype(np.complex128 if np.dtype(dtype).kind == "c" else np.float64)


def fused(first: int, A: Array, W: Array, scale: float) -> Sum:
    """Return ``A^H (A W)`` of a block of rows in one read, for the block times `scale`."""
    total, step = (np.zeros(W.shape, W.dtype, order="F") for _ in range(2))
    norm = 0.0
    with single_blas_thread(1):
        for begin, panel in _panels(A, W.dtype):
            size = _core.svd.measure(panel, 1)
            if not size[3]:
                return Sum(total, math.inf, _refused(panel, first + begin))
            norm = math.hypot(norm, size[2] * (scale / size[1]))
            _core.svd.apply_gram(_operator(panel, scale), W, step)
            total += step
    return Sum(total, norm)


def add(a: Sum, b: Sum) -> Sum:
    """Combine two sums."""
    if a.refused is not None or b.refused is not None:
        return Sum(a.product, math.inf, _earlier(a.refused, b.refused))
    with np.errstate(over="ignore", invalid="ignore"):  # seen by the norm, and done again scaled
        return Sum(a.product + b.product, math.hypot(a.norm, b.norm))


class Triangle(NamedTuple):
    """The factor R of ``A V = Q R``, with fewer rows where A has few; the rest as in `Sum`."""

    factor: Array
    norm: float
    refused: Refused = None


def triangle(first: int, A: Array, V: Array | None, scale: float) -> Triangle:
    """Return the factor R of ``A V`` for a block of rows; None stands for the identity."""
    dtype = wide_dtype(A.dtype)
    R = np.empty((0, A.shape[1] if V is None else V.shape[1]), dtype)
    norm = 0.0
    with single_blas_thread(1):
        for begin, panel in _panels(A, dtype):
            size = _core.svd.measure(panel, 1)
            if not size[3]:
                return Triangle(R, math.inf, _refused(panel, first + begin))
            norm = math.hypot(norm, size[2] * (scale / size[1]))
            R = _factor(R, panel * scale if V is None else _image(panel, V, scale))
    return Triangle(R, norm)


def stack(a: Triangle, b: Triangle) -> Triangle:
    """Combine two factors: that of one above the other."""
    if a.refused is not None or b.refused is not None:
        return Triangle(a.factor, math.inf, _earlier(a.refused, b.refused))
    return Triangle(_factor(a.factor, b.factor), math.hypot(a.norm, b.norm))


def _factor(a: Array, b: Array) -> Array:
    both = np.concatenate((a, b))
    if len(both) <= both.shape[1]:
        return both
    if not np.isfinite(both).all():  # an overflow, which the norm shows too
        return np.full((both.shape[1],) * 2, math.inf, both.dtype)
    return np.asarray(np.linalg.qr(both, mode="r"))


def adjoint(first: int, A: Array, W: Array, scale: float, turn: Array) -> Sum:
    """Return ``A^H Q`` for ``Q = (A W) turn`` of a block of rows in one read."""
    turn = np.require(turn, W.dtype, ["C", "A"])
    total = np.zeros((A.shape[1], turn.shape[1]), W.dtype)
    norm = 0.0
    with single_blas_thread(1):
        for begin, panel in _panels(A, W.dtype):
            size = _core.svd.measure(panel, 1)
            if not size[3]:
                return Sum(total, math.inf, _refused(panel, first + begin))
            norm = math.hypot(norm, size[2] * (scale / size[1]))
            Q = _image(panel, W, scale) @ turn
            total += (np.require(panel, requirements="C") * scale).conj().T @ Q
    return Sum(total, norm)


class Frame(NamedTuple):
    """What turns A into ``diag(roots) (A - 1 mean) diag(columns)``; None for what is not asked."""

    mean: Array | None
    columns: Array | None
    roots: bool  # of the rows come in blocks beside those of A


class _Framed:
    """A block of rows in its frame, made a panel at a time; what is not finite is left as it is."""

    def __init__(self, A: Array, roots: Array | None, frame: Frame) -> None:
        self._A, self._roots, self._frame = A, roots, frame
        self.shape, self.dtype = A.shape, wide_dtype(A.dtype)

    def __len__(self) -> int:
        return len(self._A)

    def __getitem__(self, rows: slice) -> Array:
        panel = np.array(self._A[rows], self.dtype, order="C")
        if not np.isfinite(panel).all():
            return panel
        if self._frame.mean is not None:
            panel -= self._frame.mean
        if self._roots is not None:
            panel *= self._roots[rows]
        if self._frame.columns is not None:
            panel *= self._frame.columns
        return panel


def framed(first: int, A: Array, *rest: Any) -> Any:
    """Return what another piece makes of a block in its frame: frame, piece, what that shares."""
    at = next(i for i, x in enumerate(rest) if isinstance(x, Frame))
    frame, piece, *shared = rest[at:]
    roots = rest[0] if frame.roots else None
    block: Any = _Framed(A, roots, frame)
    return piece(first, block, *shared)


class FramedRows:
    """An engine whose blocks are in a frame."""

    def __init__(self, rows: Rows, frame: Frame) -> None:
        self._rows, self._frame = rows, frame

    def reduce(self, piece: Callable[..., T], combine: Callable[[T, T], T], *shared: Any) -> T:
        """See `Rows`."""
        found: T = self._rows.reduce(framed, combine, self._frame, piece, *shared)
        return found

    def map(
        self, piece: Callable[..., Any], cols: tuple[int, ...], dtype: Any, *shared: Any
    ) -> Any:
        """See `Rows`."""
        return self._rows.map(framed, cols, dtype, self._frame, piece, *shared)


def means(first: int, A: Array, *rest: Any) -> Sum:
    """Return the sum of rows times weights that are 1 in all: ``(roots / length)^2``.

    `rest` is the roots, where there are some, and the length.
    """
    *blocks, length = rest
    total = np.zeros((A.shape[1], 1), wide_dtype(A.dtype))
    for begin, panel in _panels(A, total.dtype):
        if not np.isfinite(panel).all():
            return Sum(total, math.inf, _refused(panel, first + begin))
        roots = blocks[0][begin : begin + len(panel)] if blocks else 1.0
        total[:, 0] += (panel * (roots / length) ** 2).sum(axis=0)
    return Sum(total, 0.0)


def image(first: int, A: Array, V: Array, dtype: Any) -> Array:
    """Return ``A V`` in `dtype` for a block of rows: those of U, when V is divided by s."""
    out = np.empty((len(A), V.shape[1]), dtype)
    with single_blas_thread(1):
        for begin, panel in _panels(A, V.dtype):
            out[begin : begin + len(panel)] = _image(panel, V, 1.0)
    return out


def _image(panel: Array, V: Array, scale: float) -> Array:
    out = np.empty((len(panel), V.shape[1]), V.dtype, order="F")
    _core.svd.apply(_operator(panel, scale), np.asfortranarray(V), out)
    return out


def _operator(panel: Array, scale: float) -> _core.svd.Operator:
    return _core.svd.dense(panel, (1.0, scale, 1.0, True), False, 1)


def _panels(A: Array, dtype: np.dtype[Any]) -> Iterator[tuple[int, Array]]:
    """Cut a block into panels of rows, native and in double precision."""
    ensure_bound()
    height = max(1, PANEL // max(1, A.shape[1] * dtype.itemsize))
    for begin in range(0, len(A), height):
        stop.check()
        yield begin, np.require(A[begin : begin + height], dtype, "A")


def _earlier(a: Refused, b: Refused) -> Refused:
    return min(x for x in (a, b) if x is not None)


def _refused(panel: Array, first: int) -> Refused:
    i, j = (int(x) for x in np.argwhere(~np.isfinite(panel))[0])
    return (first + i, j), str(panel[i, j])
