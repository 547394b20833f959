"""The Haar transform of any length: rotations of neighbours, level by level.

A dyadic interval that the end of the grid cuts keeps its two parts with their own numbers of cells,
so the functions stay orthogonal for every length, not only for powers of two.
"""

import numpy as np

from eigenflow._arrays import Array


def _levels(n: int) -> list[tuple[Array, Array]]:
    """Square roots of the shares of left and right cells in each pair, from fine to coarse."""
    counts = np.ones(n)
    rotations = []
    while counts.size > 1:
        pairs = counts.size // 2
        left, right = counts[: 2 * pairs : 2], counts[1 : 2 * pairs : 2]
        total = left + right
        rotations.append((np.sqrt(left / total), np.sqrt(right / total)))
        counts = np.concatenate([total, counts[2 * pairs :]])
    return rotations


def orthonormal(y: Array) -> Array:
    """Transform the last axis; coarse coefficients come first."""
    out = np.empty_like(y)
    smooth, end = y, y.shape[-1]
    for cosine, sine in _levels(y.shape[-1]):
        c, s = cosine.astype(y.dtype), sine.astype(y.dtype)
        pairs = c.size
        left, right = smooth[..., : 2 * pairs : 2], smooth[..., 1 : 2 * pairs : 2]
        out[..., end - pairs : end] = s * left - c * right
        smooth = np.concatenate([c * left + s * right, smooth[..., 2 * pairs :]], axis=-1)
        end -= pairs
    out[..., :1] = smooth
    return out


def inverse(coefficients: Array) -> Array:
    """Undo `orthonormal`, by the transposed rotations."""
    smooth = coefficients[..., :1]
    start = 1
    for cosine, sine in reversed(_levels(coefficients.shape[-1])):
        c, s = cosine.astype(smooth.dtype), sine.astype(smooth.dtype)
        pairs = c.size
        detail = coefficients[..., start : start + pairs]
        mean, odd = smooth[..., :pairs], smooth[..., pairs:]
        fine = np.empty((*smooth.shape[:-1], 2 * pairs + odd.shape[-1]), smooth.dtype)
        fine[..., : 2 * pairs : 2] = c * mean + s * detail
        fine[..., 1 : 2 * pairs : 2] = s * mean - c * detail
        fine[..., 2 * pairs :] = odd
        smooth = fine
        start += pairs
    return smooth


def supports(n: int) -> Array:
    """First cell, first cell of the right part and end of every function; the constant has none.

    Of shape (n, 3); the constant, which is first, is left of a middle at its end.
    """
    rows = []
    width = 2
    while width < 2 * n:
        first = np.arange(0, n - width // 2, width)
        rows.append(np.stack([first, first + width // 2, np.minimum(first + width, n)], axis=1))
        width *= 2
    return np.concatenate([[[0, n, n]], *reversed(rows)])


def values(cells: Array, columns: Array, n: int) -> Array:
    """Functions of mean square 1 over the cells, at the given cells; shape cells x columns."""
    first, middle, end = supports(n)[columns].T
    left, right = middle - first, end - middle
    with np.errstate(divide="ignore"):
        high = np.sqrt(
            n * np.where(right > 0, right, 1) / (left * np.where(right > 0, end - first, 1))
        )
        low = np.sqrt(n * left / (right * (end - first)))
    at = cells[:, None]
    value = np.where((at >= first) & (at < middle), np.where(right > 0, high, 1.0), 0.0)
    return np.where((at >= middle) & (at < end), -low, value)


def scales(n: int) -> Array:
    """Number of dyadic intervals in [0, 1] at each function's scale: 0 (constant), 1, 2, 2, 4..."""
    rows = supports(n)
    finest = max(int(n - 1).bit_length() - 1, 0)
    width = np.maximum(rows[:, 1] - rows[:, 0], 1)  # of the left part, which is never cut
    scale = 2.0 ** (finest - np.log2(width))
    scale[0] = 0
    return np.asarray(scale, np.int64)
