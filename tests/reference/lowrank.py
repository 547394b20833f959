"""Truth for truncated singular value decompositions: the dense LAPACK one, cut."""

import numpy as np


def wide(A):
    """The same numbers in double precision."""
    A = np.asarray(A)
    return A.astype(complex if A.dtype.kind == "c" else float)


def svd(A, rank):
    """U, s, Vh with the entry of largest modulus in each row of Vh positive, first on ties."""
    U, s, Vh = np.linalg.svd(wide(A), full_matrices=False)
    U, s, Vh = U[:, :rank].copy(), s[:rank].copy(), Vh[:rank].copy()
    for u, v in zip(U.T, Vh, strict=True):
        largest = v[np.argmax(np.abs(v))]
        if largest != 0:
            phase = largest / np.abs(largest)
            u *= phase
            v *= np.conj(phase)
    return U, s, Vh


def distance(A, U, s, Vh):
    """Frobenius norm of A - U diag(s) Vh, in double precision and free of overflow."""
    A = wide(A)
    scale = np.abs(A).max(initial=0.0) or 1.0
    values = np.asarray(s, float) / scale
    return np.linalg.norm(A / scale - (wide(U) * values) @ wide(Vh)) * scale


def best_error(A, rank):
    """The least Frobenius error of any matrix of this rank (Eckart and Young)."""
    A = wide(A)
    scale = np.abs(A).max(initial=0.0) or 1.0
    s = np.linalg.svd(A / scale, compute_uv=False)
    return np.sqrt(np.sum(s[rank:] ** 2)) * scale


def best_rank(A, tolerance):
    """The least rank whose best error is within the tolerance."""
    A = wide(A)
    squares = np.linalg.svd(A, compute_uv=False) ** 2
    ranks = range(len(squares) + 1)
    return next(k for k in ranks if np.sum(squares[k:]) <= tolerance**2)


def with_spectrum(shape, s, seed=0, dtype=np.float64):
    """A matrix with these singular values (zeros after them) and random singular vectors."""
    rng = np.random.default_rng(seed)

    def orthonormal(n):
        X = rng.normal(size=(n, len(s)))
        if np.dtype(dtype).kind == "c":
            X = X + 1j * rng.normal(size=X.shape)
        return np.linalg.qr(X)[0]

    U, V = (orthonormal(n) for n in shape)
    return ((U * s) @ V.conj().T).astype(dtype)


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
