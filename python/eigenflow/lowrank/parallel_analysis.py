"""Rank by comparison with randomised copies of the matrix (Horn 1965)."""

from typing import Any

import numpy as np

from eigenflow._arrays import Array, as_float_array
from eigenflow._rng import RNGLike, key_from
from eigenflow.lowrank.decomposition import svd

NULLS = ("permutation", "signs")


def parallel_analysis(
    s: Array,
    shape: tuple[int, int],
    A: Any,
    *,
    n_draws: int,
    quantile: float,
    null: str,
    rng: RNGLike,
) -> int:
    """Return how many leading values exceed the quantile of their randomised counterparts."""
    a = as_float_array(A, "A", ndim=2)
    if a.shape != shape:
        msg = f"A: got shape {a.shape}, want {shape} as shape says"
        raise ValueError(msg)
    largest = float(np.abs(a).max(initial=0.0))
    if largest == 0:
        return 0
    a = a / largest
    s = s / largest
    if float(s @ s) > (1 + 1e-3) * float(np.square(a, dtype=np.float64).sum()):
        msg = "s: its squares sum to more than those of A, want the singular values of A"
        raise ValueError(msg)
    key = key_from(rng)
    size = min(s.size, 8)
    while True:
        limits = np.quantile(_random_values(a, size, key, n_draws, null), quantile, axis=0)
        below = np.flatnonzero(s[:size] <= limits)
        if below.size:
            return int(below[0])
        if size == s.size:
            break
        size = min(s.size, 2 * size)
    if size == min(shape):
        return size
    msg = (
        f"s: all {s.size} of {min(shape)} values given exceed those of random matrices, want more "
        "values to see where they stop"
    )
    raise ValueError(msg)


def _random_values(a: Array, size: int, key: int, n_draws: int, null: str) -> Array:
    """Leading values of the draws; draw b depends on (key, b) only."""
    values = np.empty((n_draws, size))
    for b in range(n_draws):
        rng = np.random.default_rng([key, b])
        if null == "permutation":
            draw = rng.permuted(a, axis=0)
        else:
            draw = a * rng.choice(np.array([-1, 1], a.dtype), a.shape)
        values[b] = svd(draw, size, rng=b).s
    return values
