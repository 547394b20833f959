"""Basis functions of several variables, and the user's own features, as one kind of thing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.signal import fftconvolve

from eigenflow._arrays import Array, as_float_array
from eigenflow.flow.designs import CosineDesign, FourierDesign, HaarDesign

_CHUNK = 1 << 22  # entries of a feature matrix that a prediction holds at once


class Features(Protocol):
    """A map from samples to features, fixed by the samples it was made for."""

    @property
    def n_features(self) -> int:
        """Number of features."""
        ...

    def __call__(self, X: Array) -> Array:
        """Features of other samples, one row a sample."""
        ...


@dataclass(frozen=True, eq=False)
class TensorBasis:
    """Products over the columns of X of functions of one variable on [0, 1].

    `indices` numbers the function of each column of X in each product, `frequencies` is what these
    numbers mean. The training range of a column of X is [0, 1]; beyond it a function keeps its
    value at the end, a periodic one repeats.
    """

    name: str
    indices: Array
    frequencies: Array
    low: Array
    high: Array

    @property
    def n_features(self) -> int:
        """Number of products."""
        return len(self.indices)

    def __call__(self, X: Array) -> Array:
        """Values of the products, one row a sample."""
        # Halves, because the range of a column may be more than the largest number.
        x = (X / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
        x = x % 1.0 if self.name == "fourier" else np.clip(x, 0.0, 1.0)
        out = np.ones((len(x), self.n_features))
        for axis in range(x.shape[1]):
            used, where = np.unique(self.indices[:, axis], return_inverse=True)
            design = _one_dimension(self.name, int(used[-1]) + 1)
            if used.size > 1:
                out *= design.features(x[:, axis], used)[:, where]
        return out


@dataclass(frozen=True, eq=False)
class Standardised:
    """Given features less their mean, in units of their standard deviation; constants become 0."""

    made: Callable[[Array], Array]
    mean: Array
    std: Array

    @property
    def n_features(self) -> int:
        """Number of given features."""
        return self.mean.size

    def __call__(self, X: Array) -> Array:
        """Standardised features, one row a sample."""
        return (_matrix(self.made(X), len(X)) - self.mean) / self.std


def tensor_basis(name: str, X: Array, n_features: int, max_frequency: int | None) -> TensorBasis:
    """Return the products of lowest frequency for the range of these samples.

    Whole shells of equal |m|^2 are taken, so that no column of X comes before another: as many as
    `n_features` holds, and one beyond the constant at least.
    """
    low, high = X.min(axis=0), X.max(axis=0)
    constant = np.flatnonzero(low == high)
    if constant.size:
        msg = f"X: got a constant column {constant[0]}, want columns that vary"
        raise ValueError(msg)
    indices = lowest_indices(name, X.shape[1], n_features, max_frequency)
    return TensorBasis(name, indices, _signed(name, indices), low, high)


def standardised(made: Callable[[Array], Array], X: Array) -> Standardised:
    """Return given features, standardised over these samples."""
    values = _matrix(made(X), len(X))
    mean = values.mean(axis=0)
    std = values.std(axis=0)
    # Rounding leaves a constant column some eps of its mean.
    flat = std <= 1e-14 * np.abs(mean)
    return Standardised(made, mean, np.where(flat, np.inf, std))


def lowest_indices(
    name: str, n_dimensions: int, n_features: int, max_frequency: int | None
) -> Array:
    """Index tuples by increasing sum of squared frequencies, in whole shells of equal sum."""
    enough = int(_axis_frequencies(name, np.array(n_features)))
    highest = enough if max_frequency is None else min(enough, max_frequency)
    squares = _axis_frequencies(name, np.arange(_count_up_to(name, highest))) ** 2
    largest = _largest_sum(squares, n_dimensions, n_features)
    axis = squares[squares <= largest]
    indices, sums = np.zeros((1, 0), np.int64), np.zeros(1, np.int64)
    for _ in range(n_dimensions):
        grown = sums[:, None] + axis
        row, k = np.nonzero(grown <= largest)
        indices, sums = np.column_stack((indices[row], k)), grown[row, k]
    return indices[np.argsort(sums, stable=True)]


def _largest_sum(squares: Array, n_dimensions: int, n_features: int) -> int:
    """Return up to which sum of squares the tuples number at most `n_features`; 1 at least."""
    end = int(squares[-1]) * n_dimensions
    limit = 1
    while True:
        limit = min(2 * limit, end)
        # Coefficients of (x^s_0 + x^s_1 + ...)^dimensions count the tuples with each sum.
        one = np.bincount(squares[squares <= limit], minlength=limit + 1).astype(float)
        counts = one
        for _ in range(n_dimensions - 1):
            counts = np.rint(fftconvolve(counts, one)[: limit + 1])
        total = np.cumsum(counts)
        if total[-1] > n_features or limit == end:
            fitting = np.flatnonzero(total <= n_features)
            return int(fitting.max(initial=1))


def _axis_frequencies(name: str, k: Array) -> Array:
    """Frequency of the k-th function of one variable."""
    if name == "fourier":
        return (k + 1) // 2
    if name == "haar":
        return np.where(k > 0, 2 ** np.floor(np.log2(np.maximum(k, 1))), 0).astype(np.int64)
    return k


def _count_up_to(name: str, frequency: int) -> int:
    """Return how many functions of one variable have at most this frequency."""
    if name == "fourier":
        return 2 * frequency + 1
    if name == "haar":
        return 1 << int(frequency).bit_length()
    return frequency + 1


def _signed(name: str, indices: Array) -> Array:
    """Frequencies; for Fourier m > 0 is a cosine, m < 0 a sine."""
    if name == "fourier":
        return np.where(indices % 2 == 1, (indices + 1) // 2, -(indices // 2))
    return _axis_frequencies(name, indices)


def _one_dimension(name: str, count: int) -> CosineDesign | FourierDesign | HaarDesign:
    """Return a design whose first `count` functions are the ones on the whole interval."""
    if name == "fourier":
        return FourierDesign(count | 1)  # an even one ends with a cosine of another scale
    if name == "haar":
        return HaarDesign(1 << (count - 1).bit_length())
    return CosineDesign(count)


def _matrix(values: Any, n_samples: int) -> Array:
    made = as_float_array(values, "basis", ndim=2, dtype=np.float64)
    if len(made) != n_samples or made.shape[1] == 0:
        msg = f"basis: got features of shape {made.shape}, want {n_samples} rows, one a sample"
        raise ValueError(msg)
    return made


def in_chunks(features: Features, X: Array, weights: Array) -> Array:
    """Features times weights, without the whole feature matrix at once."""
    rows = max(1, _CHUNK // max(1, features.n_features))
    parts = [features(X[i : i + rows]) @ weights for i in range(0, len(X), rows)]
    return np.concatenate(parts)
