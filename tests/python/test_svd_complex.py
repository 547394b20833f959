"""Complex matrices: the same promises as for real ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eigenflow as ef
from reference import lowrank as truth

DTYPES = [np.complex64, np.complex128]
ENGINES = [(None, 10, "krylov"), (0, 10, "subspace"), (2, 10, "subspace"), (None, 130, "exact")]


def eps(a):
    return float(np.finfo(a.dtype).eps)


def model(shape, dtype, spectrum="harmonic"):
    return truth.with_spectrum(shape, truth.decay(spectrum, min(shape)), seed=1, dtype=dtype)


def off_identity(Q):
    return np.abs(truth.wide(Q).conj().T @ truth.wide(Q) - np.eye(Q.shape[1])).max(initial=0.0)


def check(result, A):
    U, s, Vh = result
    assert {U.dtype, Vh.dtype} == {A.dtype}
    assert s.dtype == result.residuals.dtype == A.real.dtype
    bound = 20 * eps(A) * np.sqrt(max(1, result.rank))
    assert max(off_identity(U), off_identity(Vh.conj().T)) <= bound
    pivots = Vh[np.arange(result.rank), np.argmax(np.abs(Vh), axis=1)] if Vh.size else Vh
    assert (pivots.real >= 0).all()
    assert (pivots.imag == 0).all()
    true, norm = truth.distance(A, *result), np.linalg.norm(truth.wide(A))
    assert 0.5 * true - 30 * eps(A) * norm <= result.error <= 3 * true + 90 * eps(A) * norm


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(400, 300), (300, 400)])
@pytest.mark.parametrize("spectrum", ["root", "harmonic", "exponential"])
@pytest.mark.parametrize(("steps", "rank", "method"), ENGINES)
def test_every_engine_keeps_its_word(steps, rank, method, spectrum, shape, order, dtype):
    A = np.asarray(model(shape, dtype, spectrum), order=order)
    result = ef.lowrank.svd(A, rank, power_iterations=steps, rng=1)
    assert (result.rank, result.method) == (rank, method)
    check(result, A)
    best = truth.best_error(A, rank)
    assert truth.distance(A, *result) <= (1.4 if steps == 0 else 1.02) * best
    left = np.linalg.norm(A @ result.Vh.conj().T - result.U * result.s, axis=0)
    right = np.linalg.norm(A.conj().T @ result.U - result.Vh.conj().T * result.s, axis=0)
    np.testing.assert_allclose(
        result.residuals, np.sqrt((left**2 + right**2) / 2), rtol=0.5, atol=300 * eps(A)
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(40, 25), (25, 40), (400, 300)])
def test_triplets_are_those_of_lapack_phases_included(shape, dtype):
    A = truth.with_spectrum(shape, 0.5 ** np.arange(20), dtype=dtype)
    U, s, Vh = truth.svd(A, 6)
    got = ef.lowrank.svd(A, 6, rng=0)
    np.testing.assert_allclose(got.s, s, atol=20 * eps(A))
    np.testing.assert_allclose(got.U, U, atol=3000 * eps(A))
    np.testing.assert_allclose(got.Vh, Vh, atol=3000 * eps(A))


@pytest.mark.parametrize("rtol", [0.5, 0.1, 1e-3, 1e-9])
def test_tolerances(rtol):
    A = truth.with_spectrum((400, 300), np.exp(-np.arange(300.0) / 8), dtype=complex)
    got = ef.lowrank.svd(A, rtol=rtol, rng=0)
    tolerance = rtol * np.linalg.norm(A)
    assert truth.distance(A, *got) <= 1.001 * tolerance
    assert got.rank <= truth.best_rank(A, tolerance) + 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "layout",
    [
        lambda a: a[::-1, ::-1],
        lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: (a.conj()).T.copy().T.conj(),
    ],
)
def test_layouts(layout, dtype):
    A = model((400, 300), dtype)
    x = layout(A)
    want = ef.lowrank.svd(np.ascontiguousarray(x).astype(dtype), 6, rng=0)
    got = ef.lowrank.svd(x, 6, rng=0)
    np.testing.assert_allclose(got.s, want.s, atol=50 * eps(A))
    check(got, np.asarray(x, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("exponent", [-30, 30, 150])
def test_scales(exponent, dtype):
    if exponent == 150 and dtype == np.complex64:
        exponent = 36
    base = model((60, 40), np.complex128)
    got = ef.lowrank.svd((base * 10.0**exponent).astype(dtype), 4, rng=0)
    np.testing.assert_allclose(
        got.s.astype(float) / 10.0**exponent, 1 / np.arange(1.0, 5), rtol=1e-5
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("condition", [1, 1e4, 1e8, 1e16])
def test_range_finder_and_orthogonality(condition, dtype):
    A = truth.with_spectrum((200, 120), np.geomspace(1, 1 / condition, 120), dtype=dtype)
    for steps in (0, 2):
        Q = ef.lowrank.range_finder(A, 40, power_iterations=steps, rng=0)
        assert off_identity(Q) <= 60 * eps(A)
    check(ef.lowrank.svd(A, 40, power_iterations=0, rng=0), A)


@settings(max_examples=25)
@given(m=st.integers(0, 40), n=st.integers(0, 40), seed=st.integers(0, 2**32))
def test_any_shape(m, n, seed):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(m, n)) + 1j * rng.normal(size=(m, n))
    check(ef.lowrank.svd(A, min(m, n) // 2, rng=seed), A)
    check(ef.lowrank.svd(A, power_iterations=0, rng=seed), A)


def test_a_real_matrix_in_complex_clothes_has_real_vectors():
    A = model((300, 200), np.float64)
    got, want = ef.lowrank.svd(A + 0j, 5, rng=0), ef.lowrank.svd(A, 5, rng=0)
    np.testing.assert_allclose(got.s, want.s, rtol=1e-5)
    np.testing.assert_allclose(np.abs(got.Vh.imag).max(), 0, atol=1e-2)
    exact = ef.lowrank.svd(A[:40, :30] + 0j, 5)
    np.testing.assert_allclose(exact.Vh, ef.lowrank.svd(A[:40, :30], 5).Vh, atol=1e-12)
