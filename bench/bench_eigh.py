"""Leading eigenpairs and columns against SciPy's ARPACK, full `eigh` and interpolative routines.

The relative error of what each one returns is a fact of every row.
"""

from functools import cache

import numpy as np
import pytest
import scipy.linalg
import scipy.linalg.interpolative as scipy_interpolative
from scipy.sparse.linalg import eigsh

import eigenflow as ef

SIZE, RANK = 2000, 50


@cache
def symmetric(sign):
    """Eigenvalues 1/j, or with alternating signs, and random vectors."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((SIZE, SIZE)))[0]
    A = (Q * sign ** np.arange(SIZE) / np.arange(1.0, SIZE + 1)) @ Q.T
    return (A + A.T) / 2


def leading(w, X):
    kept = np.argsort(-np.abs(w))[:RANK]
    return w[kept], X[:, kept]


PAIRS = {
    "eigenflow": lambda A: tuple(ef.lowrank.eigh(A, RANK, rng=0)),
    "SciPy eigsh": lambda A: leading(*eigsh(A, RANK, which="LM")),
    "SciPy eigh, all": lambda A: leading(*scipy.linalg.eigh(A)),
}
POSITIVE = {
    "eigenflow": lambda A: tuple(ef.lowrank.eigh(A, RANK, positive=True, rng=0)),
    "eigenflow, one pass": lambda A: tuple(
        ef.lowrank.eigh(A, RANK, positive=True, passes=1, rng=0)
    ),
    "SciPy eigsh": PAIRS["SciPy eigsh"],
}


def eigen_error(A, pairs):
    w, X = pairs
    return np.linalg.norm(A - (X * w) @ X.T) / np.linalg.norm(A)


@pytest.mark.parametrize("who", PAIRS)
def test_eigh(contest, who):
    A = symmetric(-1.0)
    find = PAIRS[who]
    cell = f"eigh {SIZE} x {SIZE}, rank {RANK}, eigenvalues of both signs"
    contest(cell, who, lambda: find(A), rounds=5, error=f"{eigen_error(A, find(A)):.5f}")


@pytest.mark.parametrize("who", POSITIVE)
def test_positive_eigh(contest, who):
    A = symmetric(1.0)
    find = POSITIVE[who]
    cell = f"eigh {SIZE} x {SIZE}, rank {RANK}, positive"
    contest(cell, who, lambda: find(A), rounds=5, error=f"{eigen_error(A, find(A)):.5f}")


def scipy_columns(A):
    index, projection = scipy_interpolative.interp_decomp(A, RANK, rng=0)
    return index[:RANK], scipy_interpolative.reconstruct_interp_matrix(index, projection)


def lapack_columns(A):
    R, index = scipy.linalg.qr(A, mode="r", pivoting=True)
    C = np.zeros((RANK, A.shape[1]))
    C[:, index] = scipy.linalg.solve_triangular(R[:RANK, :RANK], R[:RANK])
    return index[:RANK], C


COLUMNS = {
    "eigenflow": lambda A: tuple(ef.lowrank.interpolative(A, RANK, rng=0)),
    "SciPy interpolative": scipy_columns,
    "LAPACK pivoted QR": lapack_columns,
}


@pytest.mark.parametrize("who", COLUMNS)
def test_interpolative(contest, who):
    A = symmetric(-1.0)
    find = COLUMNS[who]
    index, C = find(A)
    error = np.linalg.norm(A - A[:, index] @ C) / np.linalg.norm(A)
    cell = f"interpolative {SIZE} x {SIZE}, rank {RANK}"
    contest(cell, who, lambda: find(A), rounds=3, error=f"{error:.5f}")
