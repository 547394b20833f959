"""Pieces of the flow over coordinates, which do not know of each other.

Paths need no summary: `eigenflow.flow.solve` and its like run on each block as they are. Sums over
coordinates are summaries.
"""

from typing import Any

import numpy as np

from eigenflow._arrays import Array


def losses(first: int, z: Array, eigenvalues: Array, b0: Any, times: Array, options: Any) -> Array:
    """Return ``sum((theta - z)^2) / 2`` of a block of coordinates at each time, in double."""
    from eigenflow import flow

    residual = flow.state(z, eigenvalues, times, b0=b0, workers=1, **options).residual
    squares = np.square(residual, dtype=np.float64).reshape(*np.shape(times), -1)
    return np.asarray(squares.sum(axis=-1) / 2)


def sure(
    first: int, z: Array, eigenvalues: Array, b0: Any, times: Array, variance: Any, options: Any
) -> Array:
    """Return what a block of coordinates adds to Stein's unbiased risk at each time."""
    from eigenflow import flow

    return np.asarray(
        flow.sure(z, eigenvalues, times, variance, b0=b0, workers=1, **options), np.float64
    )


def expected_risk(
    first: int,
    signal: Array,
    eigenvalues: Array,
    b0: Any,
    times: Array,
    variance: Any,
    options: Any,
) -> Array:
    """Return what a block of coordinates adds to the expected risk at each time."""
    from eigenflow import flow

    return np.asarray(
        flow.expected_risk(signal, eigenvalues, times, variance, b0=b0, workers=1, **options),
        np.float64,
    )


def add(a: Array, b: Array) -> Array:
    """Combine two sums."""
    return a + b
