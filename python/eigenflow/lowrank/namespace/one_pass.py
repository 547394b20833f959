"""Triplets from sketches that are taken in one sweep; see cpp/src/svd_one_pass.cpp."""

import math
from typing import Any

import numpy as np

from eigenflow import _core
from eigenflow.lowrank.namespace.blocks import (
    Library,
    Sides,
    orthonormalise,
    squares_of_columns,
    wide_dtype,
)
from eigenflow.lowrank.namespace.krylov import Target

# Columns of the random matrices, far from each other.
_RANGE, _RIGHT, _LEFT = 0, 2**43, 2**44


def one_pass(
    a: Sides, target: Target, library: Library, key: int
) -> tuple[Any, np.ndarray, Any, float]:
    """Left vectors, values, right vectors, and the error by hold-out vectors.

    Range and co-range of A are sketched with 2 rank + oversampling columns and a core with twice
    as many (Tropp, Yurtsever, Udell and Cevher 2019): one product with A and one with A^H.
    """
    (m, n), dtype, rank = a.shape, a.a.dtype, target.rank
    size = min(2 * rank + target.oversampling, m, n)
    core = 2 * size + 1
    G = library.normals(key, m, _LEFT, size + core + _core.svd.hold_out_vectors, dtype)
    phi, theta = G[:, size : size + core], G[:, size + core :]
    psi = library.normals(key, n, _RIGHT, core, dtype)
    X = a.backward(G)
    Q, _ = orthonormalise(library, a.forward(library.normals(key, n, _RANGE, size, dtype)))
    P, _ = orthonormalise(library, X[:, :size])

    def on_host(Y: Any) -> np.ndarray:
        return library.to_host(Y).astype(wide_dtype(dtype))

    Z = on_host(psi.conj().T @ X[:, size : size + core]).conj().T  # Phi^H A Psi
    Q1, R1 = np.linalg.qr(on_host(phi.conj().T @ Q))
    Q2, R2 = np.linalg.qr(on_host(psi.conj().T @ P))
    half = np.linalg.solve(R1, Q1.conj().T @ Z @ Q2)
    u, s, vh = np.linalg.svd(np.linalg.solve(R2, half.conj().T).conj().T)
    s = s[:rank]
    left = Q @ library.to_device(u[:, :rank].astype(dtype))
    right = P @ library.to_device(vh[:rank].conj().T.astype(dtype))
    values = library.to_device(s.astype(np.zeros(0, dtype).real.dtype))
    rest = X[:, size + core :] - right @ (values[:, None] * (left.conj().T @ theta))
    energy = float(squares_of_columns(library, rest).sum()) / _core.svd.hold_out_vectors
    return left, s, right, math.sqrt(energy)
