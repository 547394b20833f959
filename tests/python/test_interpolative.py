"""Pivoted QR and interpolative decompositions: held to LAPACK's and SciPy's."""

from functools import cache

import numpy as np
import pytest
import scipy.linalg
import scipy.linalg.interpolative as scipy_interpolative
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator

import eigenflow as ef
from reference import lowrank as truth
from support.stated_error import check_stated_error

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
SHAPES = [(300, 220), (220, 300)]
SPECTRA = ["root", "harmonic", "exponential", "step"]


@cache
def model(spectrum, shape=(300, 220), dtype=np.float64):
    return truth.with_spectrum(shape, truth.decay(spectrum, min(shape)), seed=2, dtype=dtype)


def eps(A):
    return float(np.finfo(A.dtype).eps)


def check_error(A, result, true):
    wide = truth.wide(A)
    check_stated_error(result, true, 50 * eps(A) * np.linalg.norm(wide))


def check_qr(A, result):
    """What holds for every pivoted QR; returns the true error."""
    Q, R, pivots = result
    k, (m, n) = result.rank, A.shape
    assert (Q.shape, R.shape, pivots.shape) == ((m, k), (k, n), (n,))
    assert Q.dtype == R.dtype == A.dtype
    assert sorted(pivots.tolist()) == list(range(n))
    assert (np.tril(R, -1) == 0).all()
    diagonal = np.diag(R[:, :k])
    assert (diagonal.imag == 0).all()
    assert (diagonal.real >= 0).all()
    slack = 30 * eps(A) * np.linalg.norm(truth.wide(A))
    assert (np.diff(diagonal.real) <= slack).all()
    wide = truth.wide(Q)
    assert np.abs(wide.conj().T @ wide - np.eye(k)).max(initial=0.0) <= 20 * eps(A) * (k + 1) ** 0.5
    rest = truth.wide(A)[:, pivots] - wide @ truth.wide(R)
    assert np.abs(rest[:, :k]).max(initial=0.0) <= slack
    check_error(A, result, np.linalg.norm(rest))
    return np.linalg.norm(rest)


def check_interpolation(A, result):
    """What holds for every interpolative decomposition; returns the true error."""
    indices, C = result
    k, n = result.rank, A.shape[1]
    assert (indices.shape, C.shape, C.dtype) == ((k,), (k, n), A.dtype)
    assert len(set(indices.tolist())) == k
    assert (C[:, indices] == np.eye(k)).all()
    assert np.isfinite(C).all()
    wide = truth.wide(A)
    true = np.linalg.norm(wide - wide[:, indices] @ truth.wide(C))
    check_error(A, result, true)
    return true


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize(("rank", "method"), [(20, "sketch"), (130, "exact")])
def test_columns_by_rank(spectrum, rank, method, shape, dtype):
    A = model(spectrum, shape, dtype)
    result = ef.lowrank.pivoted_qr(A, rank, rng=0)
    assert (result.rank, result.method) == (rank, method)
    true = check_qr(A, result)
    lapack = np.linalg.norm(scipy.linalg.qr(truth.wide(A), mode="r", pivoting=True)[0][rank:])
    rounding = 30 * eps(A) * np.linalg.norm(A)
    assert true <= 1.25 * lapack + rounding
    columns = ef.lowrank.interpolative(A, rank, rng=0)
    assert (columns.indices == result.pivots[:rank]).all()
    assert check_interpolation(A, columns) <= (1 + 1e-4) * true + rounding


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_the_exact_way_is_lapacks(dtype):
    A = model("root", (60, 45), dtype)
    Q, R, pivots = ef.lowrank.pivoted_qr(A)
    theirs, upper, order = scipy.linalg.qr(A, mode="economic", pivoting=True)
    phases = np.diag(upper) / np.abs(np.diag(upper))
    assert (pivots == order).all()
    np.testing.assert_allclose(R, upper / phases[:, None], atol=1e-14)
    np.testing.assert_allclose(Q, theirs * phases, atol=1e-13)


@pytest.mark.parametrize("spectrum", ["harmonic", "exponential"])
def test_near_scipys(spectrum):
    A = model(spectrum)
    for rank in (5, 20, 60):
        index, projection = scipy_interpolative.interp_decomp(A, rank, rng=0)
        C = scipy_interpolative.reconstruct_interp_matrix(index, projection)
        theirs = np.linalg.norm(A - A[:, index[:rank]] @ C)
        assert ef.lowrank.interpolative(A, rank, rng=0).error <= 1.15 * theirs


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rtol", [0.5, 0.2, 0.05, 1e-3])
def test_a_tolerance_is_met_with_few_columns(rtol, shape):
    A = model("exponential", shape)
    result = ef.lowrank.pivoted_qr(A, rtol=rtol, rng=0)
    true = check_qr(A, result)
    assert true <= rtol * np.linalg.norm(A) * (1 + 1e-9)
    if result.rank:  # one column less, in this order, is too few
        less = result.error**2 + np.linalg.norm(result.R[-1]) ** 2
        assert np.sqrt(less) > rtol * np.linalg.norm(A)
    best = truth.best_rank(A, rtol * np.linalg.norm(A))
    assert best <= result.rank <= 1.5 * best + 6
    assert ef.lowrank.interpolative(A, rtol=rtol, rng=0).rank == result.rank
    assert ef.lowrank.pivoted_qr(A, 3, rtol=rtol, rng=0).rank == min(3, result.rank)


@pytest.mark.parametrize("make", [sp.csc_array, aslinearoperator])
def test_sparse_matrices_and_operators(make):
    A = model("harmonic")
    result = ef.lowrank.pivoted_qr(make(A), 12, rng=1)
    check_qr(A, result)
    assert result.error_kind == ("tail-energy" if make is sp.csc_array else "hold-out")
    columns = ef.lowrank.interpolative(make(A), rtol=0.3, rng=1)
    assert check_interpolation(A, columns) <= 0.3 * np.linalg.norm(A) * 1.5
    nothing = ef.lowrank.pivoted_qr(make(A), 0, rng=1)
    assert nothing.error == pytest.approx(np.linalg.norm(A), rel=0.5)


def test_mapped_files_and_strides(tmp_path):
    A = model("root")
    stored = np.memmap(tmp_path / "a.bin", A.dtype, "w+", shape=A.shape)
    stored[:] = A
    wide = np.zeros((2 * A.shape[0], A.shape[1]))
    wide[::2] = A
    first = ef.lowrank.pivoted_qr(A, 10, rng=4)
    for other in (stored, np.asfortranarray(A), wide[::2], A.tolist()):
        again = ef.lowrank.pivoted_qr(other, 10, rng=4)
        assert (again.pivots[:10] == first.pivots[:10]).all()
        np.testing.assert_allclose(again.R[:, :10], first.R[:, :10], atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [3, 8, 110])
def test_dependent_columns(rank, dtype):
    rng = np.random.default_rng(0)
    A = (rng.normal(size=(240, 3)) @ rng.normal(size=(3, 250))).astype(dtype)
    check_qr(A, ef.lowrank.pivoted_qr(A, rank, rng=0))
    result = ef.lowrank.interpolative(A, rank, rng=0)
    true = check_interpolation(A, result)
    assert true <= 100 * eps(A) * np.linalg.norm(A)
    assert np.abs(result.coefficients).max() < 20
    assert ef.lowrank.interpolative(A, rtol=1e-3, rng=0).rank == 3


def test_equal_columns_and_zero_columns():
    A = np.zeros((30, 40))
    A[:, 7] = A[:, 20] = np.arange(30.0)
    indices, C = ef.lowrank.interpolative(A, 4)
    np.testing.assert_allclose(A[:, indices] @ C, A, atol=1e-14)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1), (1, 5), (5, 1), (200, 150)])
def test_zero_matrices(shape):
    A = np.zeros(shape)
    for rank in (0, min(shape)):
        check_qr(A, ef.lowrank.pivoted_qr(A, rank))
        check_interpolation(A, ef.lowrank.interpolative(A, rank))
    assert ef.lowrank.interpolative(A, rtol=0.1).rank == 0


def test_one_row():
    indices, C = ef.lowrank.interpolative([[1, -4, 2]])
    assert indices.tolist() == [1]
    np.testing.assert_allclose(C, [[-0.25, 1, -0.5]])


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("rank", [20, 130])
def test_extreme_scales(scale, rank):
    A = model("harmonic")
    plain = ef.lowrank.interpolative(A, rank, rng=1)
    scaled = ef.lowrank.interpolative(A * scale, rank, rng=1)
    assert (scaled.indices == plain.indices).all()
    np.testing.assert_allclose(scaled.coefficients, plain.coefficients, atol=1e-9)
    assert scaled.error / scale == pytest.approx(plain.error, rel=1e-6)
    R = ef.lowrank.pivoted_qr(A * scale, rank, rng=1).R / scale
    np.testing.assert_allclose(R, ef.lowrank.pivoted_qr(A, rank, rng=1).R, atol=1e-9)


@pytest.mark.parametrize("size", [40, 300])
def test_operators_that_lead_to_nan(size):
    given = aslinearoperator(np.diag(np.full(size, np.nan)))
    for options in ({"rank": 3}, {"rtol": 0.1}):
        with pytest.raises(ValueError, match=r"^A: holds, or leads to, values that are not finite"):
            ef.lowrank.interpolative(given, rng=0, **options)


@settings(max_examples=30, deadline=None)
@given(
    m=st.integers(1, 60),
    n=st.integers(1, 60),
    seed=st.integers(0, 2**32 - 1),
    exponent=st.integers(-60, 60),
    dtype=st.sampled_from(DTYPES),
    data=st.data(),
)
def test_random_matrices(m, n, seed, exponent, dtype, data):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(m, n)) + 1j * rng.normal(size=(m, n))
    A = A * 10.0 ** rng.uniform(-3, 3, n) * 2.0**exponent
    A = (A if np.dtype(dtype).kind == "c" else A.real).astype(dtype)
    before, rank = A.copy(), data.draw(st.integers(0, min(m, n)))
    check_qr(A, ef.lowrank.pivoted_qr(A, rank, rng=seed))
    check_interpolation(A, ef.lowrank.interpolative(A, rank, rng=seed))
    assert (before == A).all()


@pytest.mark.parametrize("function", [ef.lowrank.pivoted_qr, ef.lowrank.interpolative])
@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.eye(3), 4), {}, ValueError, r"^rank: got 4, want 0 to 3"),
        ((np.eye(3), 1.5), {}, TypeError, r"^rank: got 1.5, want an integer"),
        ((np.zeros(3),), {}, ValueError, r"^A: got 1 dimensions"),
        ((np.array([[1.0], [np.inf]]),), {}, ValueError, r"^A: got inf at position \(1, 0\)"),
        ((np.eye(3),), {"rtol": 0}, ValueError, r"^rtol: got 0, want at least"),
        ((np.eye(3),), {"atol": -1}, ValueError, r"^atol: got -1"),
        ((np.eye(3),), {"oversampling": -2}, ValueError, r"^oversampling: got -2"),
        ((np.eye(3),), {"rng": "seed"}, TypeError, r"^rng: got 'seed'"),
    ],
)
def test_bad_arguments(function, arguments, options, error, message):
    with pytest.raises(error, match=message):
        function(*arguments, **options)
