"""Singular values and stable rank of sin(omega U V^T) against omega; NumPy alone."""

from collections.abc import Callable
from typing import Any

import numpy as np

from eigenflow.sine import SineLowRank

SIZES = ((128, 1), (256, 1), (256, 5), (256, 20), (768, 5))
OMEGAS = (10.0, 50.0, 100.0, 200.0, 400.0, 1000.0, 2000.0)
SHOWN, SHOWN_OMEGAS = (256, 5), (10.0, 50.0, 100.0, 200.0, 400.0)
SEEDS = 3
# Stable ranks that an independent implementation gave before this one was written.
EXPECTED = {
    (128, 1): (1.00, 1.20, 2.25, 3.90, 6.07, 10.3, 14.4),
    (256, 1): (1.00, 1.03, 1.73, 3.26, 5.61, 10.6, 16.1),
    (256, 5): (3.89, 4.45, 11.5, 48.1, 64.7, 65.1, 64.8),
    (256, 20): (10.9, 12.9, 43.7, 65.7, 66.2, 65.5, 66.0),
    (768, 5): (4.13, 4.25, 5.25, 21.6, 118, 193, 194),
}


def factors(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """U and V as the authors start them."""
    rng = np.random.default_rng([n, k, seed])
    return rng.uniform(-1, 1, (n, k)) / k**0.5, rng.uniform(-1, 1, (n, k)) / n**0.5


def singular_values(n: int, k: int, omega: float, seed: int) -> np.ndarray:
    """All of them, in float64."""
    return np.linalg.svd(SineLowRank(*factors(n, k, seed), omega).toarray(), compute_uv=False)


def stable_rank(s: np.ndarray) -> float:
    """Squared Frobenius norm over squared spectral norm."""
    return float((s**2).sum() / s[0] ** 2)


def dense(n: int, seed: int) -> np.ndarray:
    """Singular values of a full matrix with Kaiming's start."""
    rng = np.random.default_rng([n, seed])
    return np.linalg.svd(rng.uniform(-1, 1, (n, n)) / n**0.5, compute_uv=False)


def measure(quick: bool, tick: Callable[[], Any]) -> dict[str, Any]:
    """Mean stable rank over seeds for each size and frequency, and spectra of one size."""
    rows = []
    for n, k in _sizes(quick):
        seeds = range(1 if quick or n > 256 else SEEDS)
        found = [
            np.mean([stable_rank(singular_values(n, k, omega, s)) for s in seeds])
            for omega in OMEGAS
        ]
        full = np.mean([stable_rank(dense(n, s)) for s in seeds])
        rows.append({"n": n, "k": k, "stable_rank": [float(x) for x in found],
                     "dense": float(full)})  # fmt: skip
        tick()
    n, k = SHOWN
    curves = {f"{omega:g}": singular_values(n, k, omega, 0).tolist() for omega in SHOWN_OMEGAS}
    return {"rows": rows, "spectra": curves, "full": dense(n, 0).tolist()}


def _sizes(quick: bool) -> tuple[tuple[int, int], ...]:
    return SIZES[:3] if quick else SIZES


def n_ticks(quick: bool) -> int:
    """How often `measure` calls `tick`."""
    return len(_sizes(quick))
