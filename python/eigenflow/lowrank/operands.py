"""What `svd` takes: arrays, memory-mapped files, sparse matrices, anything with products."""

import math
import mmap
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from eigenflow import _core
from eigenflow._arrays import (
    Array,
    as_float_array,
    float_dtype,
    kind_of,
    require_finite,
    require_ndim,
)
from eigenflow._rng import random_normals

_Product = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Operator:
    """A matrix as the C++ driver sees it; its norm is negative when it is not known."""

    core: _core.svd.Operator
    norm: float
    mean: Array | None = None


@dataclass(frozen=True, eq=False)
class Weights:
    """diag(row_factors) (A - 1 mean) diag(col_factors): empty factors are ones."""

    row_factors: Array
    col_factors: Array
    center: bool

    def __bool__(self) -> bool:
        return self.center or self.row_factors.size + self.col_factors.size > 0


def as_weights(shape: tuple[int, int], center: bool, rows: Any, cols: Any) -> Weights:
    """Check weights of rows and columns, and turn them into the factors that have them as squares.

    Raises
    ------
    TypeError, ValueError
        If a weight is missing, negative or not finite, or all of them are zero.
    """
    factors = []
    for given, size, name in (
        (rows, shape[0], "row_weights"),
        (cols, shape[1], "column_weights"),
    ):
        if given is None:
            factors.append(np.empty(0))
            continue
        weights = as_float_array(given, name, ndim=1, dtype=np.float64)
        if weights.size != size:
            msg = f"{name}: got {weights.size} weights, want {size}"
            raise ValueError(msg)
        if (weights < 0).any():
            i = int(np.argmax(weights < 0))
            msg = f"{name}: got {weights[i]} at position {i}, want weights >= 0"
            raise ValueError(msg)
        if size > 0 and not weights.any():
            msg = f"{name}: got zeros only, want a positive weight"
            raise ValueError(msg)
        factors.append(np.sqrt(weights))
    return Weights(factors[0], factors[1], bool(center))


class Operand(Protocol):
    """A checked argument, not yet read."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def open(self, workers: int, weights: Weights, *, check_finite: bool, once: bool) -> Operator:
        """Find the norm, which reads every entry that there is, and refuse what is not finite.

        `once`: files are not read here, and the norm stays unknown.
        """
        ...


def as_operand(A: Any) -> Operand:
    """Recognise what `A` is; costs nothing for what need not be converted.

    Raises
    ------
    TypeError, ValueError
        If it is no matrix of real or complex numbers in CPU memory.
    """
    if kind_of(A) == "cupy":
        msg = "A: got a CuPy array, want an array in CPU memory (for example A.get())"
        raise TypeError(msg)
    sparse = sys.modules.get("scipy.sparse")
    if sparse is not None and sparse.issparse(A):
        return Sparse(A)
    if isinstance(A, np.ndarray) and is_mapped(A):
        return Mapped(A)
    if not isinstance(A, np.ndarray) and _has_products(A):
        return Products(A)
    return Dense(A)


def self_adjoint(A: Any) -> Any:
    """Let an operator that is its own adjoint, and may have no products with it, pass as one."""
    if not hasattr(A, "dtype") or hasattr(A, "toarray"):
        return A
    for product in ("matmat", "matvec"):
        if callable(getattr(A, product, None)):
            return SimpleNamespace(
                shape=A.shape,
                dtype=A.dtype,
                **{product: getattr(A, product), f"r{product}": getattr(A, product)},
            )
    return A


def is_mapped(a: Any) -> bool:
    """Tell whether an array is a view of a memory-mapped file."""
    while isinstance(a, np.ndarray):
        a = a.base
    return isinstance(a, mmap.mmap)


class Dense:
    """An array in memory."""

    def __init__(self, A: Any) -> None:
        # The norm is computed anyway and tells whether all entries are finite.
        self._a = as_float_array(A, "A", ndim=2, check_finite=False, allow_complex=True)
        self.shape = self._a.shape
        self.dtype = self._a.dtype

    def open(self, workers: int, weights: Weights, *, check_finite: bool, once: bool) -> Operator:
        """Measure the array."""
        if weights:
            core, size, mean = _core.svd.weighted_dense(
                self._a, weights.row_factors, weights.col_factors, weights.center, False, workers
            )
            if not size[3]:
                _refuse(self._a, check_finite=check_finite)
            return Operator(core, size[0], mean)
        size = _core.svd.measure(self._a, workers)
        if not size[3]:
            _refuse(self._a, check_finite=check_finite)
        return Operator(_core.svd.dense(self._a, size, False, workers), size[0])


class Mapped:
    """A memory-mapped array: used where it is, or converted a block of rows at a time."""

    def __init__(self, a: Array) -> None:
        require_ndim(a, "A", 2)
        self._a = a
        self.shape: tuple[int, int] = a.shape
        self.dtype = float_dtype(a, "A", allow_complex=True)

    def open(self, workers: int, weights: Weights, *, check_finite: bool, once: bool) -> Operator:
        """Measure the file."""
        a, rows = self._a, self._rows
        direct = a.dtype == self.dtype and a.flags.aligned
        if weights:
            factors, center = (weights.row_factors, weights.col_factors), weights.center
            core, size, mean = (
                _core.svd.weighted_dense(a, *factors, center, True, workers)
                if direct
                else _core.svd.weighted_blocks(
                    rows, *self.shape, self.dtype, *factors, center, workers
                )
            )
            if not size[3]:
                _refuse(a, check_finite=check_finite)
            return Operator(core, size[0], mean)
        if once:
            size = (-1.0, 1.0, -1.0, True)
        elif direct:
            size = _core.svd.measure(a, workers)
        else:
            size = _core.svd.measure_rows(rows, *self.shape, self.dtype, workers)
        if not size[3]:
            _refuse(a, check_finite=check_finite)
        core = (
            _core.svd.dense(a, size, True, workers)
            if direct
            else _core.svd.row_blocks(rows, *self.shape, self.dtype, size, workers)
        )
        return Operator(core, size[0])

    def _rows(self, begin: int, end: int) -> Array:
        return np.ascontiguousarray(self._a[begin:end], self.dtype)


class Sparse:
    """A scipy.sparse matrix or array; products are SciPy's, one thread each."""

    def __init__(self, A: Any) -> None:
        if len(A.shape) != 2:
            msg = f"A: got {len(A.shape)} dimensions (shape {A.shape}), want 2"
            raise ValueError(msg)
        self._a = A
        self.shape: tuple[int, int] = A.shape
        self.dtype = float_dtype(A, "A", allow_complex=True)

    def open(self, workers: int, weights: Weights, *, check_finite: bool, once: bool) -> Operator:
        """Bring it to a form with fast products; measure the entries."""
        a = self._a if self._a.format in ("csr", "csc") else self._a.tocsr()
        if not a.has_canonical_format:
            a = a.copy() if a is self._a else a
            a.sum_duplicates()
        a = a.astype(self.dtype, copy=False)
        size = _core.svd.measure(a.data[:, None], workers)
        if not size[3]:
            entries = a.tocoo()
            bad = int(np.flatnonzero(~np.isfinite(entries.data))[0])
            where = (int(entries.row[bad]), int(entries.col[bad]))
            msg = f"A: got {entries.data[bad]} at position {where}, want finite values"
            raise ValueError(msg)
        if size[1] != 1:
            a = a.copy()
            a.data = (a.data.astype(_wide(self.dtype)) * size[1]).astype(self.dtype)
        turned, is_complex = a.T, self.dtype.kind == "c"

        def adjoint(Y: Array) -> Array:
            product: Array = turned @ (Y.conj() if is_complex else Y)
            return product.conj() if is_complex else product

        core = _core.svd.products(
            lambda X: a @ X, adjoint, *self.shape, self.dtype, size[2], size[1]
        )
        if not weights:
            return Operator(core, size[0])
        mean, norm = _sparse_moments(a, weights, 1 / size[1])
        factors = (weights.row_factors, weights.col_factors)
        return Operator(_core.svd.weighted(core, *factors, mean, norm), norm, mean)


class Products:
    """An object with ``shape``, ``dtype`` and products of blocks or of vectors."""

    def __init__(self, A: Any) -> None:
        shape = tuple(A.shape)
        if len(shape) != 2:
            msg = f"A: got {len(shape)} dimensions (shape {shape}), want 2"
            raise ValueError(msg)
        self._a = A
        self.shape: tuple[int, int] = (int(shape[0]), int(shape[1]))
        sample = np.empty(0, np.float64 if A.dtype is None else A.dtype)
        self.dtype = float_dtype(sample, "A", allow_complex=True)

    def open(self, workers: int, weights: Weights, *, check_finite: bool, once: bool) -> Operator:
        """Wrap the products; of the norm a single one tells the order of magnitude."""
        rows, cols = self.shape
        scale = 1.0 if once or not rows * cols else self._scale()
        core = _core.svd.products(
            self._product("matmat", "matvec", rows, scale),
            self._product("rmatmat", "rmatvec", cols, scale),
            rows,
            cols,
            self.dtype,
            -1.0,
            scale,
        )
        if not weights:
            return Operator(core, -1.0)
        mean = np.empty(0, _wide(self.dtype))
        if weights.center:
            squares = np.square(weights.row_factors) if weights.row_factors.size else np.ones(rows)
            sums = self._product("rmatmat", "rmatvec", cols)(squares[:, None].astype(self.dtype))
            mean = np.conj(sums[:, 0]).astype(mean.dtype) / max(squares.sum(), 1e-300)
        factors = (weights.row_factors, weights.col_factors)
        return Operator(_core.svd.weighted(core, *factors, mean, -1.0), -1.0, mean)

    def _scale(self) -> float:
        """Return a power of two that brings products back to where their squares are numbers."""
        single = np.finfo(self.dtype).bits == 32
        image = self._product("matmat", "matvec", self.shape[0])(
            random_normals(0, (self.shape[1], 1)).astype(self.dtype)
        )
        largest = float(np.abs(image.astype(_wide(self.dtype))).max())
        low, high = (1e-12, 1e15) if single else (1e-70, 1e70)
        if low < largest < high or not 0 < largest < math.inf:
            return 1.0
        return math.ldexp(1.0, -math.frexp(largest)[1])

    def _product(self, by_blocks: str, by_vectors: str, size: int, scale: float = 1.0) -> _Product:
        name = by_blocks if hasattr(self._a, by_blocks) else by_vectors
        multiply = getattr(self._a, name)

        def product(X: Array) -> Array:
            if name == by_vectors:
                parts = [np.reshape(multiply(x), -1) for x in X.T]
                Y = np.stack(parts, axis=1) if parts else np.empty((size, 0))
            else:
                Y = np.asarray(multiply(X))
            if Y.shape != (size, X.shape[1]):
                msg = f"A: {name} gave shape {Y.shape}, want {(size, X.shape[1])}"
                raise ValueError(msg)
            if Y.dtype.kind not in ("biufc" if self.dtype.kind == "c" else "biuf"):
                msg = f"A: {name} gave dtype {Y.dtype}, want {self.dtype} as A.dtype says"
                raise TypeError(msg)
            if scale != 1:
                Y = Y.astype(_wide(self.dtype)) * scale
            return Y.astype(self.dtype, copy=False)

        return product


def _sparse_moments(a: Any, weights: Weights, back: float) -> tuple[Array, float]:
    """Return the means and the norm of the weighted matrix, for a sparse `a` that `back` scales.

    Sums over the entries that are stored and over the zeros between them, both of squares: no
    digits cancel.
    """
    rows, cols = a.shape
    entries = a.tocoo()
    row = np.square(weights.row_factors) if weights.row_factors.size else np.ones(rows)
    col = np.square(weights.col_factors) if weights.col_factors.size else np.ones(cols)
    values, total = entries.data.astype(_wide(a.dtype)) * back, row.sum()
    mean = np.zeros(cols, values.dtype)
    if weights.center:
        np.add.at(mean, entries.col, values * row[entries.row] / max(total, 1e-300))
    stored = np.bincount(entries.col, row[entries.row], cols)
    scale = max(np.abs(values).max(initial=0.0), np.abs(mean).max(initial=0.0)) or 1.0
    apart = np.abs((values - mean[entries.col]) / scale) ** 2
    squares = apart @ (row[entries.row] * col[entries.col])
    squares += np.abs(mean / scale) ** 2 @ (col * np.maximum(total - stored, 0.0))
    return mean if weights.center else mean[:0], float(scale * np.sqrt(squares))


def _has_products(A: Any) -> bool:
    def either(*names: str) -> bool:
        return any(callable(getattr(A, name, None)) for name in names)

    both = either("matmat", "matvec") and either("rmatmat", "rmatvec")
    return both and hasattr(A, "shape") and hasattr(A, "dtype")


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.complex128 if dtype.kind == "c" else np.float64)


def _refuse(a: Array, *, check_finite: bool) -> None:
    """Raise for an array that holds NaN or infinity; name the first one a few rows at a time."""
    height = max(1, 2**20 // max(1, a.shape[1]))
    for begin in range(0, a.shape[0] if check_finite else 0, height):
        require_finite(a[begin : begin + height], "A", first=(begin, 0))
    msg = "A: got NaN or infinity, want finite values"
    raise ValueError(msg)
