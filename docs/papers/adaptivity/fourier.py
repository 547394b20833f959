"""The trigonometric basis of the paper's Example 2.2, on the torus [-1, 1)^d."""

import numpy as np

from adaptivity.sequence import Array


def multi_indices(dimension: int, radius_squared: int) -> Array:
    """One of each pair m, -m of integer vectors with 0 < |m|^2 <= radius_squared, by length."""
    vectors = np.zeros((1, 0), dtype=np.int64)
    top = int(np.sqrt(radius_squared))
    for _ in range(dimension):
        grown = np.array([[*v, k] for v in vectors.tolist() for k in range(-top, top + 1)])
        vectors = grown[np.sum(grown**2, axis=1) <= radius_squared]
    return by_length(first_positive(vectors))


def square_indices(cutoff: int) -> Array:
    """One of each pair m, -m of nonzero pairs of integers of size at most `cutoff`, by length."""
    side = np.arange(-cutoff, cutoff + 1)
    return by_length(first_positive(np.array([(i, k) for i in side for k in side])))


def first_positive(vectors: Array) -> Array:
    """Keep the vectors whose first nonzero entry is positive."""
    nonzero = vectors[np.any(vectors != 0, axis=1)]
    first = nonzero[np.arange(len(nonzero)), np.argmax(nonzero != 0, axis=1)]
    return nonzero[first > 0]


def by_length(vectors: Array) -> Array:
    """Sort by |m|, the order of the kernel's eigenvalues (1 + |m|^2)^-r."""
    return vectors[np.argsort(np.sum(vectors**2, axis=1), kind="stable")]


def features(points: Array, indices: Array) -> Array:
    """sqrt(2) cos(pi m x) and sqrt(2) sin(pi m x), column by column, for each m of `indices`.

    Orthonormal for points that are uniform on [-1, 1)^d. Shape (points, 2 x indices).
    """
    angle = np.pi * points @ indices.T.astype(float)
    columns = np.empty((len(points), 2 * len(indices)))
    np.cos(angle, out=columns[:, 0::2])
    np.sin(angle, out=columns[:, 1::2])
    columns *= np.sqrt(2)
    return columns
