"""The spectral norm: bounds that hold, ranks that are the least ones."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

import eigenflow as ef
from reference import lowrank as truth

DTYPES = [np.float32, np.float64, np.complex128]
SHAPES = [(420, 300), (300, 420)]
ENGINES = [(None, 6, "krylov"), (0, 6, "subspace"), (2, 6, "subspace"), (None, 120, "exact")]


def model(spectrum, shape=(420, 300), dtype=np.float64):
    return truth.with_spectrum(shape, truth.decay(spectrum, min(shape)), seed=8, dtype=dtype)


def spectral_error(A, result):
    return np.linalg.norm(truth.wide(A) - (truth.wide(result.U) * result.s) @ result.Vh, 2)


def holds(A, result):
    true = spectral_error(A, result)
    slack = 30 * np.finfo(A.dtype).eps * np.linalg.norm(truth.wide(A), 2)
    if result.error_kind == "next-value":
        assert result.failure_probability == 0
        assert true - slack <= result.error + 1e-6 * true <= 1.001 * true + slack + 2e-6 * true
    else:
        assert result.error_kind == "power-bound"
        assert 0 < result.failure_probability < 1e-8
        assert true - slack <= result.error <= 1.8 * true + slack
    assert result.relative_error == pytest.approx(result.error / result.s[0], rel=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spectrum", ["root", "harmonic", "exponential", "flat", "step"])
@pytest.mark.parametrize(("steps", "rank", "method"), ENGINES)
def test_the_error_of_every_engine_is_bounded(steps, rank, method, spectrum, shape, dtype):
    A = model(spectrum, shape, dtype)
    result = ef.lowrank.svd(A, rank, norm="spectral", power_iterations=steps, rng=0)
    assert (result.rank, result.method) == (rank, method)
    holds(A, result)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", [None, 1])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("spectrum", "rtol", "rank"),
    [("root", 0.35, 8), ("harmonic", 0.105, 9), ("exponential", 0.5, 28), ("step", 0.5, 12)],
)
def test_a_tolerance_gives_the_least_rank(spectrum, rtol, rank, shape, steps, dtype):
    A = model(spectrum, shape, dtype)
    result = ef.lowrank.svd(A, rtol=rtol, norm="spectral", power_iterations=steps, rng=0)
    assert spectral_error(A, result) <= result.error <= rtol * result.s[0] * (1 + 1e-6)
    assert rank <= result.rank <= (rank if steps is None else 2 * rank + 4)
    if steps is None:
        first = result.s[0]
        assert ef.lowrank.svd(A, atol=rtol * first, norm="spectral", rng=0).rank == rank


def test_the_first_singular_value_is_the_norm_and_rank_is_a_ceiling():
    A = model("harmonic")
    assert ef.lowrank.svd(A, rtol=1.01, norm="spectral").rank == 0
    nothing = ef.lowrank.svd(A, 0, norm="spectral")
    assert 1 - 1e-12 <= nothing.error <= 1.8
    capped = ef.lowrank.svd(A, 3, rtol=0.01, norm="spectral", rng=0)
    assert capped.rank == 3
    holds(A, capped)
    assert ef.lowrank.svd(A, 250, rtol=0.105, norm="spectral", rng=0).rank == 9


@pytest.mark.parametrize("rtol", [1e-2, 1e-4, 1e-6, 1e-9, 1e-12])
def test_small_tolerances(rtol):
    A = truth.with_spectrum((400, 300), np.exp(-np.arange(300.0) / 8))
    result = ef.lowrank.svd(A, rtol=rtol, norm="spectral", rng=0)
    assert spectral_error(A, result) <= rtol * (1 + 1e-3)
    assert abs(result.rank - np.ceil(-8 * np.log(rtol))) <= 1


def test_sparse_matrices_and_operators_of_unknown_norm():
    A = model("exponential")
    for operand in (sp.csr_array(A), aslinearoperator(A)):
        holds(A, ef.lowrank.svd(operand, 7, norm="spectral", rng=0))
        by_tolerance = ef.lowrank.svd(operand, rtol=0.5, norm="spectral", rng=0)
        assert (by_tolerance.rank, by_tolerance.method) == (28, "krylov")
        assert spectral_error(A, by_tolerance) <= by_tolerance.error <= 0.5
    assert ef.lowrank.svd(aslinearoperator(A), rtol=1e-10, norm="spectral").method == "exact"


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_scales(scale):
    A = model("harmonic")
    want = ef.lowrank.svd(A, rtol=0.105, norm="spectral", rng=0)
    got = ef.lowrank.svd(A * scale, rtol=0.105, norm="spectral", rng=0)
    assert got.rank == want.rank == 9
    assert got.error / scale == pytest.approx(want.error, rel=1e-3)
    assert ef.lowrank.svd(A * scale, atol=0.105 * scale, norm="spectral", rng=0).rank == 9


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (1, 9), (30, 20), (400, 300)])
def test_zero_small_and_empty(shape):
    for options in ({}, {"power_iterations": 0}, {"rtol": 0.1}):
        result = ef.lowrank.svd(np.zeros(shape), norm="spectral", **options)
        assert (result.error, result.relative_error) == (0, 0)
    if min(shape) == 1:
        result = ef.lowrank.svd(np.ones(shape), 1, norm="spectral")
        assert result.error <= 1e-14


def test_refusals():
    A = model("harmonic")
    with pytest.raises(ValueError, match=r"^norm: got 'nuclear', want 'fro' or 'spectral'"):
        ef.lowrank.svd(A, 2, norm="nuclear")
    for options in ({"rtol": 1e-17}, {"atol": 1e-18}):
        with pytest.raises(ValueError, match="want at least"):
            ef.lowrank.svd(A, norm="spectral", **options)
