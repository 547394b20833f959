"""The sine-activated matrix, in high precision and in plain NumPy."""

import mpmath as mp
import numpy as np
from scipy.interpolate import BarycentricInterpolator


def dense(U, V, omega, gain=None):
    """sin(omega U V^T) / gain in float64."""
    gain = np.sqrt(max(len(V), 1)) if gain is None else gain
    return np.sin(omega * (np.asarray(U, float) @ np.asarray(V, float).T)) / gain


def exact_dense(U, V, omega, gain=1.0):
    """The same with 60 digits, rounded to float64: for phases where float64 is no truth."""
    with mp.workdps(60):
        rows = [[_exact_entry(u, v, omega) / mp.mpf(gain) for v in V] for u in U]
        return np.array([[float(x) for x in row] for row in rows]).reshape(len(U), len(V))


def _exact_entry(u, v, omega):
    terms = (mp.mpf(float(a)) * mp.mpf(float(b)) for a, b in zip(u, v, strict=True))
    return mp.sin(mp.mpf(omega) * mp.fsum(terms))


def stable_rank(W):
    """Squared Frobenius norm over squared spectral norm."""
    s = np.linalg.svd(W, compute_uv=False)
    return float((s**2).sum() / s[0] ** 2)


def taylor_rank(k, order):
    """Rank of the odd Taylor polynomial of sin(u.v) with terms up to `order`, u and v in R^k."""
    return sum(int(mp.binomial(k + p - 1, p)) for p in range(1, order + 1, 2))


def kaiming_factors(rng, n, k):
    """The authors' start: U uniform in +-1/sqrt(k), V uniform in +-1/sqrt(n)."""
    U = rng.uniform(-1, 1, (n, k)) / np.sqrt(k)
    V = rng.uniform(-1, 1, (n, k)) / np.sqrt(n)
    return U, V


def chebyshev_nodes(count):
    """Ascending zeros of the Chebyshev polynomial of this degree."""
    return -np.cos(np.pi * (2 * np.arange(count) + 1) / (2 * count))


def interpolated(U, V, omega, counts, half_widths):
    """sin(omega U V^T) interpolated in the rows of V, one dimension after the other."""
    grids = [w * chebyshev_nodes(c) for w, c in zip(half_widths, counts, strict=True)]
    nodes = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1)
    values = np.sin(omega * np.tensordot(nodes, np.asarray(U, float), axes=(-1, 1)))
    matrix = np.empty((len(U), len(V)))
    for j, v in enumerate(np.asarray(V, float)):
        left = values
        for x, grid in zip(v, grids, strict=True):
            left = BarycentricInterpolator(grid, left)(x)
        matrix[:, j] = left
    return matrix


def gradients(U, V, omega, gain, X, grad_output):
    """Gradients of sum(grad_output * (sin(omega U V^T) / gain @ X)), in float64."""
    U, V, X, Y = (np.asarray(a, float) for a in (U, V, X, grad_output))
    phase = omega * (U @ V.T)
    S, G = np.sin(phase) / gain, Y @ X.T
    Q = np.cos(phase) * G / gain
    return {
        "U": omega * Q @ V,
        "V": omega * Q.T @ U,
        "omega": float(np.vdot(U @ V.T, Q)),
        "gain": -float(np.vdot(S, G)) / gain,
        "X": S.T @ Y,
    }
