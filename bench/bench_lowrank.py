"""Truncated SVD against scikit-learn's `randomized_svd` at its defaults.

NumPy and SciPy each carry an OpenBLAS whose idle threads spin for a while; both contestants suffer
from it, and a quiet machine matters here more than elsewhere. The reconstruction error is a fact of
every row: eigenflow's must not be larger.
"""

from functools import cache

import numpy as np
import pytest
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

import eigenflow as ef

SHAPES = [(4000, 2000), (3000, 1000)]
SPECTRA = {
    "j^-1/2": lambda j: j**-0.5,
    "1/j": lambda j: 1 / j,
    "exp(-j/40)": lambda j: np.exp(-j / 40),
}
RANK = 50


@cache
def matrix(shape, spectrum, dtype):
    """A matrix with known singular values and random singular vectors."""
    rng = np.random.default_rng(0)
    k = min(shape)
    U, V = (np.linalg.qr(rng.standard_normal((n, k)))[0] for n in shape)
    s = SPECTRA[spectrum](np.arange(1.0, k + 1))
    return ((U * s) @ V.T).astype(dtype)


def reconstruction_error(A, U, s, Vh):
    exact = A.astype(np.float64)
    return float(np.linalg.norm(exact - (U.astype(np.float64) * s) @ Vh) / np.linalg.norm(exact))


def ours(A):
    return tuple(ef.lowrank.svd(A, RANK, rng=0))


def theirs(A):
    return randomized_svd(A, RANK, random_state=0)


def theirs_on_one_thread(A):
    with threadpool_limits(1, user_api="blas"):
        return theirs(A)


CONTESTANTS = {
    "eigenflow": ours,
    "scikit-learn": theirs,
    "scikit-learn, one thread": theirs_on_one_thread,
}


@pytest.mark.parametrize("who", CONTESTANTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rank_50(contest, shape, spectrum, dtype, who):
    A = matrix(shape, spectrum, dtype)
    error = reconstruction_error(A, *CONTESTANTS[who](A))
    cell = f"svd {shape[0]} x {shape[1]}, rank {RANK}, {dtype}, {spectrum}"
    contest(cell, who, lambda: CONTESTANTS[who](A), rounds=5, error=f"{error:.5f}")
