"""Eigenpairs of symmetric matrices: held to the dense decomposition, way by way."""

from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator

import eigenflow as ef
from reference import lowrank as truth
from support.stated_error import check_stated_error

N = 300
RANK = 10
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


@cache
def unitary(n, is_complex, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n))
    return np.linalg.qr(X + 1j * rng.normal(size=X.shape) if is_complex else X)[0]


def hermitian(values, dtype=np.float64, seed=5):
    """A matrix with these eigenvalues, equal to its adjoint to the bit."""
    Q = unitary(len(values), np.dtype(dtype).kind == "c", seed)
    A = ((Q * values) @ Q.conj().T).astype(dtype)
    return (A + A.conj().T) / 2


def spectrum(name):
    """Positive ones, and the same with alternating signs."""
    kind, _, form = name.partition("-")
    values = truth.decay(form, N)
    return values if kind == "positive" else values * (-1.0) ** np.arange(N)


def eps(A):
    return float(np.finfo(A.dtype).eps)


def distance(A, result):
    X, wide = truth.wide(result.eigenvectors), truth.wide(A)
    return np.linalg.norm(wide - (X * result.eigenvalues.astype(float)) @ X.conj().T)


def best(A, rank):
    squares = np.sort(np.linalg.eigvalsh(truth.wide(A)) ** 2)
    return np.sqrt(squares[: len(squares) - rank].sum())


def check(A, result):
    """What holds for every result."""
    w, X = result
    n, k = len(A), result.rank
    assert (w.shape, X.shape, result.residuals.shape) == ((k,), (n, k), (k,))
    assert X.dtype == A.dtype
    assert w.dtype == result.residuals.dtype == A.real.dtype
    assert (np.diff(np.abs(w)) <= 0).all()
    wide = truth.wide(X)
    off = np.abs(wide.conj().T @ wide - np.eye(k)).max(initial=0.0)
    assert off <= 20 * eps(A) * np.sqrt(max(k, 1))
    for x in X.T:
        largest = x[np.argmax(np.abs(x))]
        assert largest.real > 0
        assert abs(largest.imag) <= eps(A)
    norm = np.linalg.norm(truth.wide(A))
    check_stated_error(result, distance(A, result), 30 * eps(A) * norm)


def check_residuals(A, result):
    w, X = (truth.wide(x) for x in result)
    norms = np.linalg.norm(truth.wide(A) @ X - X * w, axis=0)
    rounding = 20 * eps(A) * np.linalg.norm(truth.wide(A))
    assert np.abs(result.residuals - norms).max(initial=0.0) <= rounding + 1e-3 * norms.max()
    everything = np.linalg.eigvalsh(truth.wide(A))
    for value, residual in zip(w.real, result.residuals, strict=True):
        assert np.abs(everything - value).min() <= residual + rounding


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name",
    ["positive-harmonic", "positive-step", "mixed-root", "mixed-exponential", "mixed-step"],
)
@pytest.mark.parametrize(("rank", "method"), [(RANK, "krylov"), (120, "exact")])
def test_pairs_by_rank(name, rank, method, dtype):
    A = hermitian(spectrum(name), dtype)
    result = ef.lowrank.eigh(A, rank, rng=0)
    assert (result.rank, result.method) == (rank, method)
    check(A, result)
    check_residuals(A, result)
    assert distance(A, result) <= 1.001 * best(A, rank) + 30 * eps(A) * np.linalg.norm(A)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["root", "harmonic", "exponential", "step"])
@pytest.mark.parametrize(("passes", "excess"), [(None, 1.001), (1, 1.8)])
def test_nystrom_is_positive_and_below_the_matrix(form, passes, excess, dtype):
    A = hermitian(spectrum(f"positive-{form}"), dtype)
    result = ef.lowrank.eigh(A, RANK, positive=True, passes=passes, rng=0)
    assert result.method == "nystrom"
    check(A, result)
    slack = 1e3 * eps(A) * np.linalg.norm(A)
    assert (result.eigenvalues >= 0).all()
    X = truth.wide(result.eigenvectors)
    rest = truth.wide(A) - (X * result.eigenvalues.astype(float)) @ X.conj().T
    assert np.linalg.eigvalsh(rest)[0] >= -slack
    assert distance(A, result) <= excess * best(A, RANK) + slack
    if passes is None:
        check_residuals(A, result)
    else:
        assert result.passes == 1
        assert np.isnan(result.residuals).all()


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("rtol", [0.5, 0.2, 0.05, 1e-3])
def test_a_tolerance_gives_the_least_rank(rtol, positive):
    A = hermitian(spectrum("positive-exponential"))
    result = ef.lowrank.eigh(A, rtol=rtol, positive=positive, rng=0)
    assert result.rank == truth.best_rank(A, rtol * np.linalg.norm(A))
    assert distance(A, result) <= rtol * np.linalg.norm(A) * (1 + 1e-9)
    check(A, result)


def test_agrees_with_numpy_pair_by_pair():
    A = hermitian(np.array([7.0, -5.0, 3.0, 2.0, -1.0]))
    result = ef.lowrank.eigh(A)
    w, X = np.linalg.eigh(A)
    order = np.argsort(-np.abs(w))
    np.testing.assert_allclose(result.eigenvalues, w[order], rtol=1e-13)
    signs = np.sign((X[:, order] * result.eigenvectors).sum(axis=0))
    np.testing.assert_allclose(result.eigenvectors, X[:, order] * signs, atol=1e-13)


@pytest.mark.parametrize("make", [sp.csr_array, sp.coo_matrix, "operator", "vectors", "block"])
@pytest.mark.parametrize("positive", [False, True])
def test_sparse_matrices_and_operators_without_an_adjoint(make, positive):
    values = spectrum("positive-harmonic" if positive else "mixed-harmonic")
    A = hermitian(values)
    if make == "operator":
        given = LinearOperator(A.shape, matvec=lambda x: A @ x, dtype=A.dtype)
    elif make in ("vectors", "block"):

        class Own:
            shape, dtype = A.shape, A.dtype

        given = Own()
        setattr(given, "matvec" if make == "vectors" else "matmat", lambda X: A @ X)
    else:
        given = make(A)
    result = ef.lowrank.eigh(given, RANK, positive=positive, rng=3)
    check(A, result)
    check_residuals(A, result)
    w = values[np.argsort(-np.abs(values))][:RANK]
    np.testing.assert_allclose(result.eigenvalues, w, rtol=1e-5)
    by_tolerance = ef.lowrank.eigh(given, rtol=0.2, positive=positive, rng=3)
    known = truth.best_rank(A, 0.2 * np.linalg.norm(A))
    assert abs(by_tolerance.rank - known) <= (0 if make in (sp.csr_array, sp.coo_matrix) else 8)
    once = ef.lowrank.eigh(given, 0, rng=3)
    assert once.error == pytest.approx(np.linalg.norm(A), rel=0.5)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("rank", [RANK, 120])
@pytest.mark.parametrize("positive", [False, True])
def test_extreme_scales(scale, rank, positive):
    A = hermitian(spectrum("positive-harmonic"))
    plain = ef.lowrank.eigh(A, rank, positive=positive, rng=1)
    scaled = ef.lowrank.eigh(A * scale, rank, positive=positive, rng=1)
    np.testing.assert_allclose(scaled.eigenvalues / scale, plain.eigenvalues, rtol=1e-9)
    assert scaled.error / scale == pytest.approx(plain.error, rel=1e-6)
    assert scaled.relative_error == pytest.approx(plain.relative_error, rel=1e-6)


@pytest.mark.parametrize("n", [50, N])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_operators_that_lead_to_nan(value, n):
    given = LinearOperator((n, n), matvec=lambda x: np.full_like(x, value), dtype=np.float64)
    for options in ({"rank": 3}, {"rtol": 0.1}, {"rank": 3, "positive": True}):
        with pytest.raises(ValueError, match=r"^A: holds, or leads to, values that are not finite"):
            ef.lowrank.eigh(given, rng=0, **options)


@pytest.mark.parametrize("n", [50, N])
@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_operators_of_extreme_scale(scale, n):
    values = (-1.0) ** np.arange(n) * truth.decay("harmonic", n)
    A = hermitian(values) * scale
    given = LinearOperator(A.shape, matvec=lambda x: A @ x, dtype=A.dtype)
    result = ef.lowrank.eigh(given, 5, rng=0)
    np.testing.assert_allclose(result.eigenvalues / scale, values[:5], rtol=1e-5)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("n", [0, 1, 2, 300])
def test_zero_matrices(n, positive):
    A = np.zeros((n, n))
    for rank in (0, n):
        result = ef.lowrank.eigh(A, rank, positive=positive)
        check(A, result)
        assert result.error == result.relative_error == 0
        assert not result.eigenvalues.any()
    assert ef.lowrank.eigh(A, rtol=0.1, positive=positive).rank == 0


def test_one_by_one():
    result = ef.lowrank.eigh([[-3]])
    assert (result.eigenvalues, result.eigenvectors, result.error) == (-3, 1, 0)


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("rank", [3, 5, 40])
def test_low_rank_is_exact(rank, positive):
    values = np.zeros(N)
    values[:3] = [5, 3, 2] if positive else [5, -3, 2]
    A = hermitian(values)
    result = ef.lowrank.eigh(A, rank, positive=positive, rng=0)
    check(A, result)
    np.testing.assert_allclose(result.eigenvalues[:3], values[:3], rtol=1e-13)
    assert np.abs(result.eigenvalues[3:]).max(initial=0.0) <= 1e-13
    assert ef.lowrank.eigh(A, rtol=1e-6, positive=positive).rank == 3


def test_multiple_eigenvalues_of_both_signs_report_what_they_miss():
    # A^2 is the identity: every subspace is as good as any other to the Krylov iteration.
    A = hermitian((-1.0) ** np.arange(N))
    result = ef.lowrank.eigh(A, RANK, rng=0)
    check(A, result)
    check_residuals(A, result)
    assert distance(A, result) <= 1.03 * best(A, RANK)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    exponent=st.integers(-60, 60),
    dtype=st.sampled_from(DTYPES),
    data=st.data(),
)
def test_random_matrices(n, seed, exponent, dtype, data):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=n) * 10.0 ** rng.uniform(-3, 3, n)
    A = hermitian(values, np.complex128 if np.dtype(dtype).kind == "c" else float, seed)
    A = (A * 2.0**exponent).astype(dtype)
    rank = data.draw(st.integers(0, n))
    before = A.copy()
    result = ef.lowrank.eigh(A, rank, rng=seed)
    assert (before == A).all()
    check(A, result)
    check_residuals(A, result) if rank else None
    assert distance(A, result) <= best(A, rank) * 1.001 + 30 * eps(A) * np.linalg.norm(
        truth.wide(A)
    )


def test_seeds_and_strides():
    A = hermitian(spectrum("mixed-root"))
    first = ef.lowrank.eigh(A, RANK, rng=7)
    for B in (np.asfortranarray(A), A[::-1, ::-1][::-1, ::-1], np.repeat(A, 2, axis=0)[::2]):
        again = ef.lowrank.eigh(B, RANK, rng=7)
        np.testing.assert_allclose(again.eigenvalues, first.eigenvalues, rtol=1e-12)
    same = ef.lowrank.eigh(A, RANK, rng=7)
    assert (same.eigenvectors == first.eigenvectors).all()


@pytest.mark.parametrize("n", [40, N])
def test_matrices_that_are_not_what_they_are_said_to_be(n):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, n))
    nilpotent = np.triu(X, n // 2)
    for A in (X, X - X.T, nilpotent):
        with pytest.raises(ValueError, match=r"^A: got a matrix that differs from its adjoint"):
            ef.lowrank.eigh(A, 5, rng=0)
    with pytest.raises(ValueError, match=r"^A: got a matrix with an eigenvalue of -"):
        ef.lowrank.eigh(X + X.T, 5, positive=True, rng=0)
    tilted = hermitian(truth.decay("harmonic", n))
    tilted[0, 1] *= 1 + 1e-15  # rounding is no asymmetry
    assert ef.lowrank.eigh(tilted, 5, rng=0).rank == 5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((2, 3)),), ValueError, r"^A: got shape \(2, 3\), want a square matrix"),
        ((np.eye(3), 4), ValueError, r"^rank: got 4, want 0 to 3"),
        ((np.eye(3), -1), ValueError, r"^rank: got -1, want 0 to 3"),
        ((np.eye(3), 1.5), TypeError, r"^rank: got 1.5, want an integer"),
        ((np.zeros(3),), ValueError, r"^A: got 1 dimensions"),
        ((np.array([[1.0, 2.0], [2.0, np.nan]]),), ValueError, r"^A: got nan at position \(1, 1\)"),
        ((np.array([["a"]]),), TypeError, r"^A: got dtype"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ef.lowrank.eigh(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rtol": -1}, r"^rtol: got -1, want a finite number >= 0"),
        ({"rtol": 0}, r"^rtol: got 0, want at least"),
        ({"atol": 1e-30}, r"^atol: got 1e-30, want at least"),
        ({"atol": np.inf}, r"^atol: got inf"),
        ({"oversampling": -1}, r"^oversampling: got -1"),
        ({"passes": 2, "rank": 1}, r"^passes: got 2, want 1 or None"),
        ({"passes": 1, "positive": True}, r"^passes: got 1, which wants a rank"),
        ({"passes": 1, "rank": 1}, r"^passes: got 1, which wants positive=True"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ef.lowrank.eigh(np.eye(3), **options)
