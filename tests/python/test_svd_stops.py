"""Where the Krylov basis stops growing: early, and with next to nothing missing."""

import numpy as np
import pytest

import eigenflow as ef
from reference import lowrank as truth

SHAPE = (700, 600)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [5, 20, 60])
@pytest.mark.parametrize("spectrum", ["root", "harmonic", "exponential"])
def test_the_error_is_the_best_to_a_few_parts_in_1e5(spectrum, rank, dtype):
    s = truth.decay(spectrum, min(SHAPE))
    A = truth.with_spectrum(SHAPE, s, seed=2).astype(dtype)
    result = ef.lowrank.svd(A, rank, rng=0)
    assert result.method == "krylov"
    excess = truth.distance(A, *result) / truth.best_error(A, rank) - 1
    assert excess <= (2e-5 if dtype is np.float64 else 5e-5)


def test_noise_without_leading_values():
    A = np.random.default_rng(0).normal(size=(700, 600))
    result = ef.lowrank.svd(A, 10, rng=0)
    assert result.method == "krylov"
    assert truth.distance(A, *result) <= (1 + 5e-5) * truth.best_error(A, 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("copies", [40, 90])
def test_copies_of_a_value_beyond_the_width_of_a_block_are_found(copies, dtype):
    """A block of 32 columns sees 32 copies of a value; what follows settles without the rest."""
    j = np.arange(1.0, 601)
    s = np.where(j <= copies, 1.0, 0.3 * 0.9 ** (j - copies))
    A = truth.with_spectrum((700, 600), s, seed=1).astype(dtype)
    result = ef.lowrank.svd(A, 60, rng=0)
    assert truth.distance(A, *result) <= (1 + 1e-4) * truth.best_error(A, 60)


def test_copies_that_fill_the_rank_cost_nothing():
    s = np.where(np.arange(600) < 300, 1.0, 1e-3)
    A = truth.with_spectrum((700, 600), s, seed=1)
    few, many = (ef.lowrank.svd(A, rank, rng=0) for rank in (20, 50))
    for result in (few, many):
        np.testing.assert_allclose(result.s, 1, rtol=1e-12)
    assert few.passes <= 3
    assert many.passes <= 5


@pytest.mark.parametrize("first", [30, 100])
def test_one_value_far_above_the_rest_in_single_precision(first):
    """The rounding of its products hides what is missing of the others; further blocks show it."""
    s = 1 / np.arange(1.0, 601)
    s[0] = first
    A = truth.with_spectrum(SHAPE, s, seed=4).astype(np.float32)
    result = ef.lowrank.svd(A, 8, rng=0)
    rounding = 30 * np.finfo(np.float32).eps * np.linalg.norm(A)
    assert truth.distance(A, *result) <= 1.003 * truth.best_error(A, 8) + rounding


def test_more_oversampling_gives_a_larger_basis():
    A = truth.with_spectrum((700, 600), truth.decay("root", 600), seed=5)
    plain, more, all_columns = (
        ef.lowrank.svd(A, 5, oversampling=n, rng=0) for n in (10, 150, 10**6)
    )
    assert more.passes > plain.passes
    assert all_columns.method == "exact"
    exact = np.linalg.svd(A, compute_uv=False)[:5]
    np.testing.assert_allclose(more.s, exact, rtol=1e-9)
    np.testing.assert_allclose(all_columns.s, exact, rtol=1e-12)


@pytest.mark.parametrize("kind", ["rank", "rtol", "spectral"])
def test_a_complex_matrix_stops_as_early(kind):
    s = truth.decay("exponential", 600)
    A = truth.with_spectrum(SHAPE, s, seed=6, dtype=np.complex128)
    wanted = {
        "rank": {"rank": 30},
        "rtol": {"rtol": 0.2},
        "spectral": {"rtol": 0.2, "norm": "spectral"},
    }[kind]
    result = ef.lowrank.svd(A, **wanted, rng=0)
    assert result.method == "krylov"
    U, values, V = result.U, result.s, result.Vh
    best = truth.best_error(A, result.rank)
    assert np.linalg.norm(A - (U * values) @ V) <= (1 + 2e-5) * best


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("norm", ["fro", "spectral"])
def test_what_memory_held_before_changes_nothing(norm, dtype):
    A = truth.with_spectrum((420, 300), truth.decay("root", 300), seed=3, dtype=np.complex128)
    A = np.ascontiguousarray(A.real if dtype is np.float32 else A, dtype)
    seen = set()
    for seed in range(4):
        np.random.default_rng(seed).normal(size=300_000)
        result = ef.lowrank.svd(A, rtol=0.35 if norm == "spectral" else 0.6, norm=norm, rng=0)
        seen.add((result.U.tobytes(), result.s.tobytes(), result.error))
    assert len(seen) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("copies", [50, 200])
def test_a_tolerance_among_copies_gives_the_least_rank(copies, dtype):
    j = np.arange(1.0, 601)
    s = np.where(j <= copies, 1.0, 0.3 * 0.95 ** (j - copies))
    A = truth.with_spectrum(SHAPE, s, seed=1).astype(dtype)
    tails = np.sqrt(np.cumsum(s[::-1] ** 2)[::-1])
    for rank in (copies - 5, copies + 5):
        rtol = 1.02 * tails[rank] / tails[0]
        result = ef.lowrank.svd(A, rtol=rtol, rng=0)
        assert truth.distance(A, *result) <= rtol * tails[0] * (1 + 1e-6)
        assert rank - 1 <= result.rank <= rank


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("factor", [1e2, 1e3, 1e4])
def test_values_far_below_the_first_are_found_in_single_precision(dtype, power, factor):
    s = np.arange(1.0, min(SHAPE) + 1) ** -power
    s[0] = factor * s[1]
    A = truth.with_spectrum(SHAPE, s, seed=5)
    if dtype is np.complex64:
        A = A * np.exp(1j * np.arange(min(SHAPE)))
    for B in (A.astype(dtype), A.T.astype(dtype)):
        found = ef.lowrank.svd(B, 20, rng=0)
        assert found.method == "krylov"
        error = truth.distance(B, *found)
        rounding = 30 * np.finfo(dtype).eps * s[0]
        assert error <= np.hypot(1.003 * np.linalg.norm(s[20:]), rounding)
        assert 0.5 <= found.error / error <= 3
