"""Truth for truncated singular value decompositions: the dense LAPACK one, cut."""

import numpy as np


def svd(A, rank):
    """U, s, Vh with the entry of largest modulus in each row of Vh positive, first on ties."""
    U, s, Vh = np.linalg.svd(np.asarray(A, float), full_matrices=False)
    U, s, Vh = U[:, :rank].copy(), s[:rank].copy(), Vh[:rank].copy()
    for u, v in zip(U.T, Vh, strict=True):
        largest = v[np.argmax(np.abs(v))]
        if largest < 0:
            u *= -1
            v *= -1
    return U, s, Vh


def distance(A, U, s, Vh):
    """Frobenius norm of A - U diag(s) Vh, in double precision and free of overflow."""
    A = np.asarray(A, float)
    scale = np.abs(A).max(initial=0.0) or 1.0
    values = np.asarray(s, float) / scale
    return np.linalg.norm(A / scale - (U.astype(float) * values) @ Vh.astype(float)) * scale


def best_error(A, rank):
    """The least Frobenius error of any matrix of this rank (Eckart and Young)."""
    A = np.asarray(A, float)
    scale = np.abs(A).max(initial=0.0) or 1.0
    s = np.linalg.svd(A / scale, compute_uv=False)
    return np.sqrt(np.sum(s[rank:] ** 2)) * scale


def best_rank(A, tolerance):
    """The least rank whose best error is within the tolerance."""
    A = np.asarray(A, float)
    squares = np.linalg.svd(A, compute_uv=False) ** 2
    ranks = range(len(squares) + 1)
    return next(k for k in ranks if np.sum(squares[k:]) <= tolerance**2)


def with_spectrum(shape, s, seed=0):
    """A matrix with these singular values (zeros after them) and random singular vectors."""
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.normal(size=(n, len(s))))[0] for n in shape)
    return (U * s) @ V.T


def decay(name, n):
    """Model spectra of n values."""
    j = np.arange(1.0, n + 1)
    return {
        "root": j**-0.5,
        "harmonic": 1 / j,
        "exponential": np.exp(-j / 40),
        "flat": np.ones(n),
        "step": np.where(j <= 12, 1.0, 1e-3),
    }[name]
