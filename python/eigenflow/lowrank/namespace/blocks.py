"""Blocks of columns of an array library: what is asked of it, Gram matrices, orthonormal bases."""

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy.linalg import lapack

from eigenflow._arrays import Array
from eigenflow._rng import random_normals

_ROWS = 2**16
_HOST_SIZE = 96  # up to which a host decomposes a matrix as fast as a device
_DEPENDENT = 1e6  # the condition whose square a Gram matrix in double precision still shows


class Library(Protocol):
    """An array library, and what it must be told about it."""

    xp: Any

    def normals(self, key: int, rows: int, first_col: int, cols: int, dtype: Any) -> Any:
        """Return columns of the Gaussian matrix that `key` makes, with E abs(x)^2 = 1."""
        ...

    def to_host(self, x: Any) -> Array:
        """Return a small array as NumPy's."""
        ...

    def to_device(self, x: Array) -> Any:
        """Return a small array as the library's."""
        ...


@dataclass(frozen=True, eq=False)
class Sides:
    """A matrix or its adjoint, by products with the matrix."""

    a: Any
    turned: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        m, n = self.a.shape
        return (n, m) if self.turned else (m, n)

    @property
    def dtype(self) -> Any:
        """The type of the entries."""
        return self.a.dtype

    def forward(self, X: Any) -> Any:
        """A X."""
        return (X.conj().T @ self.a).conj().T if self.turned else self.a @ X

    def backward(self, Y: Any) -> Any:
        """A^H Y."""
        return self.a @ Y if self.turned else (Y.conj().T @ self.a).conj().T

    def adjoint(self) -> "Sides":
        """Return the adjoint."""
        return replace(self, turned=not self.turned)


class Host:
    """NumPy."""

    xp: Any = np

    def normals(self, key: int, rows: int, first_col: int, cols: int, dtype: Any) -> Array:
        """See `Library`."""
        return np.asarray(gaussian(random_normals, key, rows, first_col, cols, dtype))

    def to_host(self, x: Any) -> Array:
        """Return the same array."""
        return np.asarray(x)

    def to_device(self, x: Array) -> Any:
        """Return the same array."""
        return x


def gaussian(draw: Any, key: int, rows: int, first_col: int, cols: int, dtype: Any) -> Any:
    """Return columns of the Gaussian matrix that `key` makes, from the library's real normals.

    A complex column takes two real ones, each with half of the variance.
    """
    if np.dtype(dtype).kind != "c":
        return draw(key, (rows, cols), dtype, first_col=first_col)
    parts = np.zeros(0, dtype).real.dtype
    pairs = draw(key, (rows, 2 * cols), parts, first_col=2 * first_col)
    return (pairs * parts.type(math.sqrt(0.5))).view(dtype)


def gram(library: Library, Y: Any) -> Any:
    """Y^H Y in double precision, a few rows at a time."""
    wide = wide_dtype(Y.dtype)
    total = None
    for begin in range(0, max(1, Y.shape[0]), _ROWS):
        part = Y[begin : begin + _ROWS].astype(wide, copy=False)
        product = part.conj().T @ part
        total = product if total is None else total + product
    return total


def squares_of_columns(library: Library, X: Any) -> Any:
    """Return the squared norms of columns, summed in double precision."""
    sizes = abs(X) if X.dtype.kind == "c" else X
    return library.xp.square(sizes).sum(axis=0, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Triangle:
    """R with R^H R = G and its inverse, for a Gram matrix G of columns in any scale."""

    R: Array
    inverse: Array
    condition: float  # of R with columns of norm one, in the Frobenius norm: at least its size

    @property
    def near_identity(self) -> bool:
        """Whether the columns of G, at norm one, are orthonormal but for a modest factor."""
        return self.condition < 1.2 * len(self.R)


def triangle(G: Array) -> Triangle | None:
    """Return Cholesky's factor; None where the columns are too dependent to be told apart."""
    squares = np.diag(G).real
    if not (np.isfinite(G).all() and squares.min(initial=1.0) > 0):
        return None
    lengths = np.sqrt(squares)
    # LAPACK's own routines: for matrices this small, NumPy's ways around them cost more than they.
    complex_ = G.dtype.kind == "c"
    factor, invert = (lapack.zpotrf, lapack.ztrtri) if complex_ else (lapack.dpotrf, lapack.dtrtri)
    lower, failed = factor(G / lengths / lengths[:, None], lower=1)
    if failed:
        return None
    inverse = invert(lower, lower=1)[0]
    condition = math.sqrt(np.vdot(lower, lower).real * np.vdot(inverse, inverse).real)
    if not condition <= _DEPENDENT:
        return None
    return Triangle(lower.conj().T * lengths, inverse.conj().T / lengths[:, None], condition)


def orthonormalise(library: Library, Y: Any) -> tuple[Any, Array]:
    """Q and R with Y = Q R, for tall Y of any condition.

    CholeskyQR with a Gram matrix in double precision: a second time where the first one cannot
    reach rounding, and Householder's where the columns are too dependent.
    """
    Q, R = Y, np.eye(Y.shape[1])
    for turn in range(2):
        G = library.to_host(gram(library, Q))
        if turn == 1 and not np.linalg.norm(G - np.eye(len(G))) < 0.1:
            break
        step = triangle(G)
        if step is None:
            break
        Q = Q @ library.to_device(step.inverse.astype(Y.dtype))
        R = step.R @ R
        if turn == 1 or step.near_identity:
            return Q, R
    Q, rest = library.xp.linalg.qr(Q)
    return Q, library.to_host(rest) @ R


def count_above(G: Array, shift: float) -> int:
    """Return the number of eigenvalues above a shift, by inertia: a sixth of the cost of values."""
    factor = lapack.zhetrf if G.dtype.kind == "c" else lapack.dsytrf
    shifted = np.array(G, order="F")
    shifted[np.diag_indices_from(shifted)] -= shift
    factored, pivots, _ = factor(shifted, lower=1, lwork=64 * len(G), overwrite_a=1)
    alone = pivots > 0  # the others are in pairs, with one value above and one below
    return int(np.sum(np.diag(factored).real[alone] > 0) + np.sum(~alone) // 2)


def small_eigh(library: Library, G: Any) -> tuple[Array, Any]:
    """Eigenvalues on the host, and vectors on the side that takes less time."""
    if len(G) <= _HOST_SIZE:
        values, vectors = np.linalg.eigh(library.to_host(G))
        return values, library.to_device(vectors)
    values, vectors = library.xp.linalg.eigh(library.to_device(G))
    return library.to_host(values), vectors


def wide_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the same kind of number in double precision."""
    return np.dtype(np.complex128 if np.dtype(dtype).kind == "c" else np.float64)
