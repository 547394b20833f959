"""Triplets and their errors: held to the dense decomposition, engine by engine."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.extmath import randomized_svd

import eigenflow as ef
from reference import lowrank as truth

DTYPES = [np.float32, np.float64]
SPECTRA = ["root", "harmonic", "exponential", "flat", "step"]
SHAPES = [(500, 300), (300, 500), (320, 320)]
RANK = 10
# Engine: power_iterations, rank, method. The rank decides between Krylov and the exact way.
ENGINES = {
    "krylov": (None, RANK, "krylov"),
    "q=0": (0, RANK, "subspace"),
    "q=1": (1, RANK, "subspace"),
    "q=2": (2, RANK, "subspace"),
    "exact": (None, 120, "exact"),
}


def eps(a):
    return float(np.finfo(a.dtype).eps)


@cache
def model(spectrum, shape=(500, 300), dtype=np.float64):
    A = truth.with_spectrum(shape, truth.decay(spectrum, min(shape)), seed=3).astype(dtype)
    A.setflags(write=False)
    return A


def off_identity(Q):
    Q = Q.astype(float)
    return np.abs(Q.T @ Q - np.eye(Q.shape[1])).max(initial=0.0)


def check_form(result, A):
    """What holds for every result: shapes, dtypes, order, orthonormality, signs."""
    U, s, Vh = result
    k, (m, n) = result.rank, A.shape
    assert (U.shape, s.shape, Vh.shape, result.residuals.shape) == ((m, k), (k,), (k, n), (k,))
    assert {x.dtype for x in (U, s, Vh, result.residuals)} == {A.dtype}
    assert all(np.isfinite(x).all() for x in (U, s, Vh, result.residuals))
    assert (s >= 0).all()
    assert (np.diff(s) <= 0).all()
    bound = 20 * eps(A) * np.sqrt(max(1, k))
    assert off_identity(U) <= bound
    assert off_identity(Vh.T) <= bound
    for v in Vh:
        assert v[np.argmax(np.abs(v))] > 0


def check_error(result, A):
    """The reported error, from half to three times the true one."""
    true = truth.distance(A, *result)
    norm = truth.best_error(A, 0)
    rounding = 30 * eps(A) * norm
    if true > rounding:
        assert 0.5 <= result.error / true <= 3
    else:
        assert result.error <= 3 * rounding
    assert result.relative_error == (pytest.approx(result.error / norm, rel=1e-5) if norm else 0)
    if result.error_kind == "tail-energy":
        assert result.failure_probability == 0
    else:
        assert result.error_kind == "hold-out"
        assert 0 < result.failure_probability < 1e-5


def check_residuals(result, A):
    """Each residual is the one of its triplet, and a singular value lies within it (Weyl)."""
    U, s, V = result.U.astype(float), result.s.astype(float), result.Vh.T.astype(float)
    left = np.linalg.norm(A @ V - s * U, axis=0)
    right = np.linalg.norm(A.T @ U - s * V, axis=0)
    true = np.sqrt((left**2 + right**2) / 2)
    slack = 100 * eps(A) * np.linalg.norm(A)
    got = result.residuals.astype(float)
    assert (true <= 1.5 * got + slack).all()
    assert (got <= 1.5 * true + slack).all()
    exact = np.linalg.svd(A.astype(float), compute_uv=False)
    assert (np.abs(exact[:, None] - s).min(axis=0) <= 1.5 * got + slack).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_keeps_its_word(engine, spectrum, shape, dtype):
    A = model(spectrum, shape, dtype)
    steps, rank, method = ENGINES[engine]
    result = ef.lowrank.svd(A, rank, power_iterations=steps, rng=1)
    assert result.rank == rank
    assert result.method == method
    check_form(result, A)
    check_error(result, A)
    check_residuals(result, A)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [5, 10, 25])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_the_default_error_is_at_most_five_percent_above_the_best(spectrum, rank, dtype):
    A = model(spectrum, dtype=dtype)
    error = truth.distance(A, *ef.lowrank.svd(A, rank, rng=2))
    best = truth.best_error(A, rank)
    assert error <= 1.001 * best + 30 * eps(A) * np.linalg.norm(A)
    U, s, Vh = randomized_svd(A, rank, random_state=0)
    assert error <= 1.05 * truth.distance(A, U, s, Vh) + 30 * eps(A) * np.linalg.norm(A)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_power_iterations_are_taken_literally(steps):
    """With q steps and rank + oversampling columns: the error of that method, no better."""
    A = model("root")
    result = ef.lowrank.svd(A, RANK, power_iterations=steps, oversampling=0, rng=5)
    Q = ef.lowrank.range_finder(A, RANK, power_iterations=steps, rng=5)
    want = np.linalg.norm(A - Q @ (Q.T @ A))
    assert truth.distance(A, *result) == pytest.approx(want, rel=1e-10)
    # 2 q + 1 products for the range, one for the image, one for the residuals.
    assert result.passes == 2 * steps + 3


def test_power_iterations_lower_the_error():
    A = model("root")
    errors = [
        truth.distance(A, *ef.lowrank.svd(A, RANK, power_iterations=q, rng=1)) for q in range(4)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[3] <= 1.01 * truth.best_error(A, RANK) < errors[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_well_separated_triplets_are_those_of_lapack_signs_included(shape, dtype):
    A = truth.with_spectrum(shape, 0.5 ** np.arange(40)).astype(dtype)
    U, s, Vh = truth.svd(A, 8)
    got = ef.lowrank.svd(A, 8, rng=4)
    assert got.method == "krylov"
    # The last gap is 2^-8 s_1: vectors lose that factor.
    np.testing.assert_allclose(got.s, s, rtol=0, atol=20 * eps(A))
    np.testing.assert_allclose(got.U, U, atol=5000 * eps(A))
    np.testing.assert_allclose(got.Vh, Vh, atol=5000 * eps(A))


def test_ties_for_the_largest_entry_go_to_the_first():
    U, s, Vh = ef.lowrank.svd([[-3.0, 3.0, 0.0]], 1)
    np.testing.assert_allclose(Vh, [[0.5**0.5, -(0.5**0.5), 0]], atol=1e-15)
    np.testing.assert_allclose((U[0, 0], s[0]), (-1, 18**0.5), rtol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(40, 25), (25, 40), (200, 130), (130, 200)])
def test_the_whole_decomposition_is_exact(shape, dtype):
    A = model("harmonic", shape, dtype)
    got = ef.lowrank.svd(A)
    check_form(got, A)
    assert got.rank == min(shape)
    assert got.method == "exact"
    want = np.linalg.svd(A.astype(float), compute_uv=False)
    np.testing.assert_allclose(got.s, want, rtol=0, atol=20 * eps(A) * want[0])
    assert truth.distance(A, *got) <= 50 * eps(A) * np.linalg.norm(A)
    check_error(got, A)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", [None, 1])
@pytest.mark.parametrize(("spectrum", "rtol"), [("root", 0.6), ("harmonic", 0.2), ("step", 0.1)])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_tolerance_is_met_with_hardly_more_than_the_best_rank(
    shape, spectrum, rtol, steps, dtype
):
    A = model(spectrum, shape, dtype)
    got = ef.lowrank.svd(A, rtol=rtol, power_iterations=steps, rng=6)
    tolerance = rtol * np.linalg.norm(A.astype(float))
    check_form(got, A)
    check_error(got, A)
    assert truth.distance(A, *got) <= tolerance * (1 + 20 * eps(A))
    best = truth.best_rank(A, tolerance)
    assert best <= got.rank <= best + (1 if steps is None else 2 + 0.15 * best)


@pytest.mark.parametrize("rtol", [1e-1, 1e-3, 1e-5, 1e-8, 1e-11])
def test_small_tolerances_are_met_in_double_precision(rtol):
    A = truth.with_spectrum((400, 300), np.exp(-np.arange(300.0) / 6))
    got = ef.lowrank.svd(A, rtol=rtol, rng=0)
    tolerance = rtol * np.linalg.norm(A)
    assert truth.distance(A, *got) <= 1.001 * tolerance
    assert got.rank <= truth.best_rank(A, tolerance) + 1
    check_form(got, A)
    check_error(got, A)


@pytest.mark.parametrize("fall", [0.99, 0.9, 0.8])  # at 0.8 the last value is 1.9e-6 of the first
@pytest.mark.parametrize("workers", [1, 2])
def test_both_sides_belong_together_in_single_precision(fall, workers):
    A = truth.with_spectrum((900, 500), fall ** np.arange(500.0)).astype(np.float32)
    got = ef.lowrank.svd(A, 60, rng=0, workers=workers)
    check_form(got, A)
    image = A.astype(np.float64) @ got.Vh.T.astype(np.float64)
    assert np.linalg.norm(image - got.U * got.s, axis=0).max() <= 20 * eps(A)
    check_error(got, A)


def test_a_large_first_value_costs_no_more_reads_in_single_precision():
    """Its rounding must not look like energy that further blocks gain."""
    values = np.exp(-np.arange(500.0) / 40)
    values[0] *= 300
    A = truth.with_spectrum((1200, 500), values).astype(np.float32)
    assert ef.lowrank.svd(A, 5, rng=0).passes <= 12


@pytest.mark.parametrize("rtol", [1e-1, 1e-2, 1e-3, 1e-4])
def test_small_tolerances_are_met_in_single_precision(rtol):
    A = truth.with_spectrum((400, 300), np.exp(-np.arange(300.0) / 6)).astype(np.float32)
    got = ef.lowrank.svd(A, rtol=rtol, rng=0)
    tolerance = rtol * np.linalg.norm(A)
    assert truth.distance(A, *got) <= 1.001 * tolerance + 8 * eps(A) * np.linalg.norm(A)
    assert got.rank <= truth.best_rank(A, tolerance) + 1
    check_form(got, A)
    check_error(got, A)


def test_the_larger_of_two_tolerances_counts_and_rank_is_a_ceiling():
    A = model("harmonic")
    norm = np.linalg.norm(A)
    by_rtol = ef.lowrank.svd(A, rtol=0.3, rng=0).rank
    assert ef.lowrank.svd(A, atol=0.3 * norm, rng=0).rank == by_rtol
    assert ef.lowrank.svd(A, rtol=0.01, atol=0.3 * norm, rng=0).rank == by_rtol
    assert ef.lowrank.svd(A, 3, rtol=0.01, rng=0).rank == 3
    assert ef.lowrank.svd(A, 200, rtol=0.3, rng=0).rank == by_rtol
    whole = ef.lowrank.svd(A, rtol=1.0)
    assert (whole.rank, whole.relative_error) == (0, 1.0)


@pytest.mark.parametrize(
    ("dtype", "exponent"),
    [(np.float32, e) for e in (-30, -15, 15, 30)]
    + [(np.float64, e) for e in (-150, -100, -30, 30, 100, 150)],
)
@pytest.mark.parametrize("shape", [(30, 20), (500, 300), (300, 500)])
def test_scales_change_nothing_but_the_scale(shape, exponent, dtype):
    base = model("harmonic", shape)
    A = (base * 10.0**exponent).astype(dtype)
    got = ef.lowrank.svd(A, 5, rng=0)
    want = ef.lowrank.svd(base.astype(dtype), 5, rng=0)
    np.testing.assert_allclose(
        got.s.astype(float) / 10.0**exponent, want.s, rtol=100 * eps(A), atol=0
    )
    assert got.error / 10.0**exponent == pytest.approx(want.error, rel=1e-4)
    assert got.method == want.method
    check_form(got, A)
    check_error(got, A)
    by_tolerance = ef.lowrank.svd(A, atol=0.3 * 10.0**exponent * np.linalg.norm(base), rng=0)
    assert by_tolerance.rank == ef.lowrank.svd(base.astype(dtype), rtol=0.3, rng=0).rank
    Q = ef.lowrank.range_finder(A, 5, rng=0)
    assert off_identity(Q) <= 50 * eps(A)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", [None, 0, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_rank_deficient_matrices_give_zeros_and_orthonormal_vectors(shape, steps, dtype):
    A = truth.with_spectrum(shape, [3.0, 2.0, 1.0]).astype(dtype)
    got = ef.lowrank.svd(A, 8, power_iterations=steps, rng=0)
    check_form(got, A)
    np.testing.assert_allclose(got.s[:3], [3, 2, 1], rtol=50 * eps(A))
    assert got.s[3:].max() <= 50 * eps(A)
    check_error(got, A)
    assert ef.lowrank.svd(A, rtol=1e-3, power_iterations=steps, rng=0).rank == 3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", [None, 1])
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (400, 300)])
def test_the_zero_matrix(shape, steps, dtype):
    A = np.zeros(shape, dtype)
    got = ef.lowrank.svd(A, 1, power_iterations=steps)
    check_form(got, A)
    assert (got.s[0], got.error, got.relative_error) == (0, 0, 0)
    assert ef.lowrank.svd(A, rtol=0.1, power_iterations=steps).rank == 0
    assert off_identity(ef.lowrank.range_finder(A, 1)) <= 10 * eps(A)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", [None, 0])
@pytest.mark.parametrize("shape", [(1, 700), (700, 1), (1, 1), (2, 3)])
def test_vectors_and_single_numbers(shape, steps, dtype):
    A = -np.arange(1.0, 1 + np.prod(shape)).reshape(shape).astype(dtype)
    got = ef.lowrank.svd(A, 1, power_iterations=steps)
    check_form(got, A)
    check_error(got, A)
    assert got.s[0] == pytest.approx(np.linalg.svd(A, compute_uv=False)[0], rel=10 * eps(A))


@pytest.mark.parametrize("steps", [None, 0])
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_empty_matrices(shape, steps):
    A = np.zeros(shape)
    for got in (
        ef.lowrank.svd(A, power_iterations=steps),
        ef.lowrank.svd(A, rtol=0.1, power_iterations=steps),
    ):
        check_form(got, A)
        assert (got.rank, got.error) == (0, 0)
    assert ef.lowrank.range_finder(A, 0).shape == (shape[0], 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("condition", [1, 1e2, 1e4, 1e6, 1e8, 1e12, 1e16])
@pytest.mark.parametrize("shape", [(500, 300), (120, 90)])
def test_orthogonality_survives_any_condition(shape, condition, dtype):
    s = np.geomspace(1, 1 / condition, min(shape))
    A = truth.with_spectrum(shape, s, seed=9).astype(dtype)
    for steps, rank in ((None, 20), (None, None), (0, 40), (2, 40)):
        result = ef.lowrank.svd(A, rank, power_iterations=steps, rng=0)
        check_form(result, A)
        check_error(result, A)
    for steps in (0, 1, 3):
        Q = ef.lowrank.range_finder(A, 60, power_iterations=steps, rng=0)
        assert off_identity(Q) <= 60 * eps(A)


def test_the_range_finder_is_the_one_of_halko_martinsson_and_tropp():
    A = model("harmonic")
    for steps in (0, 1, 2):
        Q = ef.lowrank.range_finder(A, 30, power_iterations=steps, rng=0)
        best = truth.best_error(A, 30)
        # Theorem 10.5 with 15 + 15 columns bounds the plain sketch; steps lower its error.
        bound = np.sqrt(1 + 15 / 14) * truth.best_error(A, 15) if steps == 0 else 1.1 * best
        assert best <= np.linalg.norm(A - Q @ (Q.T @ A)) <= bound
    np.testing.assert_array_equal(
        ef.lowrank.range_finder(A, 30, rng=0),
        ef.lowrank.range_finder(A, 30, power_iterations=2, rng=0),
    )


@settings(max_examples=40)
@given(
    m=st.integers(1, 60),
    n=st.integers(1, 60),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
    steps=st.sampled_from([None, 0, 1]),
    dtype=st.sampled_from(DTYPES),
)
def test_any_shape_and_seed(m, n, share, seed, steps, dtype):
    A = np.random.default_rng(seed).normal(size=(m, n)).astype(dtype)
    result = ef.lowrank.svd(A, round(share * min(m, n)), power_iterations=steps, rng=seed)
    check_form(result, A)
    check_error(result, A)


def deep_models():
    m, n = 500, 360
    i, j = np.ogrid[:m, :n]
    pair = np.zeros((m, n))
    pair[0, 0], pair[7, 9] = 1.0, 1e-8
    noise = 1e-9 * np.random.default_rng(0).normal(size=(m, n))
    return {"Hilbert": 1 / (i + j + 1.0), "pair": pair, "one and noise": 1 + noise}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["Hilbert", "pair", "one and noise"])
def test_values_far_below_the_first_are_found_to_rounding(name, dtype):
    """Products with A^T A see them squared: at sqrt(eps) they are not the end."""
    A = deep_models()[name].astype(dtype)
    got = ef.lowrank.svd(A, 20, rng=0)
    assert got.method == "krylov"
    check_form(got, A)
    check_error(got, A)
    check_residuals(got, A)
    rounding = 30 * eps(A) * np.linalg.norm(A)
    assert truth.distance(A, *got) <= 1.05 * truth.best_error(A, 20) + rounding
