"""Orthogonal bases on grids: with E^T E = n I a regression decouples into single coordinates.

All designs are tensor products of one-dimensional bases e_0 = 1, e_1, e_2, ... on [0, 1], sampled
at n = prod(shape) points, one a cell, and scaled to mean square 1 over the samples. The regression
with features E_ij = e_j(x_i) then has the observations E^T y / n (`analysis`), one a coordinate,
and the flow is the closed form of `eigenflow.flow.solve`. Source: Li and Lin, arXiv 2409.00894.
"""

import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import fft

from eigenflow._arrays import Array, as_float_array, like
from eigenflow._threads import resolve_workers
from eigenflow.flow import _haar, _real_dft

__all__ = ["CosineDesign", "FourierDesign", "HaarDesign", "OrthogonalDesign"]

_ROOT2 = float(np.sqrt(2))


class OrthogonalDesign(ABC):
    """A basis on a grid with E^T E = n I, E of n samples by n features.

    Columns are numbered in C order of their multi-indices, samples in C order of the grid.

    Parameters
    ----------
    shape : int or sequence of int
        Number of samples along each axis of the grid, positive.

    Attributes
    ----------
    shape : tuple of int
        The grid.
    n_samples, n_features : int
        Both are prod(shape).
    """

    def __init__(self, shape: int | Sequence[int]) -> None:
        self.shape = _grid_shape(shape)
        self.n_samples = self.n_features = int(np.prod(self.shape))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape})"

    def analysis(self, y: Any, *, workers: int | None = None, check_finite: bool = True) -> Any:
        """Coefficients E^T y / n of samples.

        Parameters
        ----------
        y : array_like
            Samples, of shape ``(..., n_samples)`` or ``(..., *shape)``; leading axes are a batch.
        workers : int, optional
            Threads of `scipy.fft`; the other transforms use one.
        check_finite : bool
            Refuse NaN and infinity.

        Returns
        -------
        ndarray
            Of the shape of `y`; float32 is kept.
        """
        return self._apply(y, "y", self._forward, self.n_samples**-0.5, workers, check_finite)

    def synthesis(
        self, theta: Any, *, workers: int | None = None, check_finite: bool = True
    ) -> Any:
        """Samples E theta of coefficients: the inverse of `analysis`, and n times its adjoint.

        Parameters
        ----------
        theta : array_like
            Coefficients, of shape ``(..., n_features)`` or ``(..., *shape)``.
        workers, check_finite
            As in `analysis`.

        Returns
        -------
        ndarray
            Of the shape of `theta`.
        """
        root_n = self.n_samples**0.5
        return self._apply(theta, "theta", self._backward, root_n, workers, check_finite)

    @property
    def points(self) -> Array:
        """Points of the samples in [0, 1]^d, of shape (n_samples, d)."""
        axes = [self._axis_points(n) for n in self.shape]
        return np.stack([x.ravel() for x in np.meshgrid(*axes, indexing="ij")], axis=1)

    @property
    @abstractmethod
    def frequencies(self) -> Array:
        """Integer multi-index of each column, of shape (n_features, d)."""

    def sobolev_eigenvalues(self, smoothness: float) -> Array:
        """Eigenvalues (1 + abs(m)^2)^-smoothness of the multi-indices m: a ball of a Sobolev space.

        For wavelets m is the scale, so that they fall like 4^(-level smoothness).

        Parameters
        ----------
        smoothness : float
            Positive; a kernel needs more than d / 2.

        Returns
        -------
        ndarray
            Of shape (n_features,), float64.
        """
        power = float(as_float_array(smoothness, "smoothness", ndim=0))
        if not power > 0:
            msg = f"smoothness: got {power}, want a positive number"
            raise ValueError(msg)
        squares = np.sum(self.frequencies.astype(np.float64) ** 2, axis=1)
        return np.asarray((1 + squares) ** -power)

    def _apply(
        self, x: Any, name: str, transform: Any, scale: float, workers: Any, check_finite: bool
    ) -> Any:
        a = as_float_array(x, name, check_finite=check_finite)
        d = len(self.shape)
        if a.shape[-d:] != self.shape and a.shape[-1:] != (self.n_samples,):
            grid = ", ".join(str(n) for n in self.shape)
            want = f"(..., {self.n_samples})" + (f" or (..., {grid})" if d > 1 else "")
            msg = f"{name}: got shape {a.shape}, want {want}"
            raise ValueError(msg)
        batch = a.reshape((a.size // self.n_samples, *self.shape))
        out = transform(batch, resolve_workers(workers)) * a.dtype.type(scale)
        return like(out.reshape(a.shape), x)

    # Orthonormal transforms of the axes after the first one.
    @abstractmethod
    def _forward(self, y: Array, workers: int) -> Array: ...

    @abstractmethod
    def _backward(self, theta: Array, workers: int) -> Array: ...

    @staticmethod
    def _axis_points(n: int) -> Array:
        return (np.arange(n) + 0.5) / n


class _TensorDesign(OrthogonalDesign):
    """Products of functions of one variable that can be evaluated anywhere."""

    def features(self, x: Any, columns: Any = None) -> Array:
        """Values of the basis functions at any points of [0, 1]^d.

        Parameters
        ----------
        x : array_like
            Points, of shape (k, d), or (k,) where d = 1.
        columns : array_like of int, optional
            Which basis functions, by their number; all by default.

        Returns
        -------
        ndarray
            Of shape (k, number of columns), float64. Time and memory: that size, times d.
        """
        points = _points(x, len(self.shape))
        chosen = _columns(columns, self.n_features)
        out = np.ones((points.shape[0], chosen.size))
        for axis, index in enumerate(np.unravel_index(chosen, self.shape)):
            used, where = np.unique(index, return_inverse=True)
            out *= self._axis_values(points[:, axis], used, self.shape[axis])[:, where]
        return out

    @property
    def frequencies(self) -> Array:
        """Integer multi-index of each column, of shape (n_features, d)."""
        axes = [self._axis_frequencies(n) for n in self.shape]
        return np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], axis=1)

    @staticmethod
    @abstractmethod
    def _axis_frequencies(n: int) -> Array: ...

    @staticmethod
    @abstractmethod
    def _axis_values(x: Array, columns: Array, n: int) -> Array: ...


class CosineDesign(_TensorDesign):
    """Cosines sqrt(2) cos(pi m x) on the cells' mid-points (i + 1/2) / n of [0, 1]: the DCT.

    `frequencies` are m = 0, 1, ..., n - 1 on each axis. The functions are those of a free boundary:
    their slope is 0 at both ends.

    Parameters
    ----------
    shape : int or sequence of int
        Number of samples along each axis.

    Attributes
    ----------
    shape : tuple of int
        The grid.
    n_samples, n_features : int
        Both are prod(shape).

    Examples
    --------
    >>> import numpy as np
    >>> design = ef.flow.CosineDesign(8)
    >>> y = 3 + np.cos(2 * np.pi * design.points[:, 0])
    >>> design.analysis(y).round(3) + 0.0
    array([3.   , 0.   , 0.707, 0.   , 0.   , 0.   , 0.   , 0.   ])
    """

    def _forward(self, y: Array, workers: int) -> Array:
        z: Array = fft.dctn(y, axes=range(1, y.ndim), norm="ortho", workers=workers)
        return z

    def _backward(self, theta: Array, workers: int) -> Array:
        y: Array = fft.idctn(theta, axes=range(1, theta.ndim), norm="ortho", workers=workers)
        return y

    @staticmethod
    def _axis_frequencies(n: int) -> Array:
        return np.arange(n)

    @staticmethod
    def _axis_values(x: Array, columns: Array, n: int) -> Array:
        return np.where(columns > 0, _ROOT2 * np.cos(np.pi * np.outer(x, columns)), 1.0)


class FourierDesign(_TensorDesign):
    """Sines and cosines of period 1, sqrt(2) cos(2 pi m x) and sqrt(2) sin(2 pi m x), at x = i / n.

    `frequencies` on each axis are 0, 1, -1, 2, -2, ...: a cosine has m > 0, a sine m < 0. An even n
    ends with the cosine of m = n / 2, which is 1 and -1 in turn on the grid and has no factor
    sqrt(2).

    Parameters
    ----------
    shape : int or sequence of int
        Number of samples along each axis.

    Attributes
    ----------
    shape : tuple of int
        The grid.
    n_samples, n_features : int
        Both are prod(shape).

    Examples
    --------
    >>> import numpy as np
    >>> design = ef.flow.FourierDesign((4, 3))
    >>> design.frequencies[:4].tolist()
    [[0, 0], [0, 1], [0, -1], [1, 0]]
    >>> y = np.arange(12.0).reshape(4, 3)
    >>> bool(np.allclose(design.synthesis(design.analysis(y)), y))
    True
    """

    def _forward(self, y: Array, workers: int) -> Array:
        for axis in range(1, y.ndim):
            y = _real_dft.orthonormal(np.moveaxis(y, axis, -1), workers)
            y = np.moveaxis(y, -1, axis)
        return y

    def _backward(self, theta: Array, workers: int) -> Array:
        for axis in range(1, theta.ndim):
            theta = _real_dft.inverse(np.moveaxis(theta, axis, -1), workers)
            theta = np.moveaxis(theta, -1, axis)
        return theta

    @staticmethod
    def _axis_points(n: int) -> Array:
        return np.arange(n) / n

    @staticmethod
    def _axis_frequencies(n: int) -> Array:
        k = np.arange(n)
        return np.where(k % 2 == 1, (k + 1) // 2, -(k // 2))

    @staticmethod
    def _axis_values(x: Array, columns: Array, n: int) -> Array:
        angles = 2 * np.pi * np.outer(x, (columns + 1) // 2)
        waves = _ROOT2 * np.where(columns % 2 == 1, np.cos(angles), np.sin(angles))
        flat = np.where(columns == 0, 1.0, waves)
        last = (columns == n - 1) & (n % 2 == 0)
        return np.where(last, np.cos(angles), flat)


class HaarDesign(_TensorDesign):
    """Haar functions on the n cells of [0, 1]: constant on each half of a dyadic interval of cells.

    Any n: an interval that the end of the grid cuts keeps the values that make it orthogonal to the
    others. `frequencies` on each axis are the number of intervals at the function's scale: 0 for
    the constant, then 1, 2, 2, 4, 4, 4, 4, ... The functions of several variables are all products.

    Parameters
    ----------
    shape : int or sequence of int
        Number of samples along each axis.

    Attributes
    ----------
    shape : tuple of int
        The grid.
    n_samples, n_features : int
        Both are prod(shape).

    Examples
    --------
    >>> design = ef.flow.HaarDesign(4)
    >>> design.analysis([1.0, 1.0, 5.0, 9.0])
    array([ 4.        , -3.        ,  0.        , -1.41421356])
    >>> design.frequencies.ravel()
    array([0, 1, 2, 2])
    """

    def _forward(self, y: Array, workers: int) -> Array:
        for axis in range(1, y.ndim):
            y = np.moveaxis(_haar.orthonormal(np.moveaxis(y, axis, -1)), -1, axis)
        return y

    def _backward(self, theta: Array, workers: int) -> Array:
        for axis in range(1, theta.ndim):
            theta = np.moveaxis(_haar.inverse(np.moveaxis(theta, axis, -1)), -1, axis)
        return theta

    @staticmethod
    def _axis_frequencies(n: int) -> Array:
        return _haar.scales(n)

    @staticmethod
    def _axis_values(x: Array, columns: Array, n: int) -> Array:
        cells = np.minimum((x * n).astype(np.int64), n - 1)
        return _haar.values(cells, columns, n)


def _grid_shape(shape: Any) -> tuple[int, ...]:
    try:
        sizes = tuple(operator.index(n) for n in (shape if np.iterable(shape) else (shape,)))
    except TypeError:
        msg = f"shape: got {shape!r}, want a positive integer or several"
        raise TypeError(msg) from None
    if not sizes or min(sizes) < 1:
        msg = f"shape: got {shape!r}, want positive sizes"
        raise ValueError(msg)
    return sizes


def _points(x: Any, d: int) -> Array:
    points = as_float_array(x, "x", dtype=np.float64)
    if points.ndim == 1 and d == 1:
        points = points[:, None]
    if points.ndim != 2 or points.shape[1] != d:
        msg = f"x: got shape {points.shape}, want (k, {d})" + (" or (k,)" if d == 1 else "")
        raise ValueError(msg)
    if points.size and not (points.min() >= 0 and points.max() <= 1):
        bad = np.unravel_index(np.flatnonzero((points < 0) | (points > 1))[0], points.shape)
        msg = (
            f"x: got {points[bad]} at position {tuple(int(i) for i in bad)}, want values in [0, 1]"
        )
        raise ValueError(msg)
    return points


def _columns(columns: Any, n_features: int) -> Array:
    if columns is None:
        return np.arange(n_features)
    chosen = np.atleast_1d(np.asarray(columns))
    if chosen.size == 0:
        return np.zeros(0, np.int64)
    if chosen.dtype.kind not in "iu" or chosen.ndim != 1:
        msg = f"columns: got {columns!r}, want integers in one dimension"
        raise TypeError(msg)
    if chosen.min() < 0 or chosen.max() >= n_features:
        msg = f"columns: got {chosen.min()} to {chosen.max()}, want 0 to {n_features - 1}"
        raise ValueError(msg)
    return chosen.astype(np.int64)
