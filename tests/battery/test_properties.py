"""R3: what must hold for any numbers. With EIGENFLOW_EXAMPLES=1000, so many examples of each."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import eigenflow as ef
from battery.calls import outputs

few = settings(max_examples=40)
SYSTEM = ef.lds.LinearSystem([[0.9, 0.2], [0.0, 0.5]], [[1.0, 0.5]], np.eye(2) / 4, 0.5)


def numbers(low=-1e3, high=1e3):
    return st.floats(low, high, allow_subnormal=False)


def vectors(elements, **kwargs):
    return hnp.arrays(np.float64, st.integers(1, 20), elements=elements, **kwargs)


def matrices(elements=None, dtype=np.float64):
    shape = st.tuples(st.integers(1, 8), st.integers(1, 8))
    width = 8 * np.dtype(dtype).itemsize
    anything = st.floats(allow_nan=False, allow_infinity=False, width=width)
    return hnp.arrays(dtype, shape, elements=anything if elements is None else elements)


@few
@given(matrices(numbers()))
def test_svd_is_orthogonal_ordered_and_the_matrix(A):
    k = min(A.shape)
    U, s, Vh = ef.lowrank.svd(A, k, rng=0)
    np.testing.assert_allclose(U.T @ U, np.eye(k), atol=1e-13)
    np.testing.assert_allclose(Vh @ Vh.T, np.eye(k), atol=1e-13)
    assert (s >= 0).all()
    assert (np.diff(s) <= 0).all()
    np.testing.assert_allclose((U * s) @ Vh, A, atol=1e-12 * max(s[0], 1e-300))


def finite_or_out_of_range(function, subjects, *arguments, **options):
    """Call; the result is finite, or the error names a subject."""
    try:
        found = function(*arguments, **options)
    except ValueError as error:
        found = None
        said = str(error)
    if found is None:
        assert said.startswith(subjects), said
    else:
        parts = [x for x in outputs(found) if isinstance(x, np.ndarray | float)]
        assert all(np.isfinite(part).all() for part in parts), found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@few
@given(data=st.data())
def test_svd_of_any_finite_numbers_is_finite_or_an_error_of_range(dtype, data):
    A = data.draw(matrices(dtype=dtype))
    finite_or_out_of_range(ef.lowrank.svd, "A:", A, 1, rng=0)


@few
@given(matrices(numbers()), st.integers(-200, 200))
def test_values_scale_by_powers_of_two(A, power):
    k = min(A.shape)
    s, scaled = (ef.lowrank.svd(M, k, rng=0).s for M in (A, np.ldexp(A, power)))
    np.testing.assert_allclose(scaled, np.ldexp(s, power), atol=1e-14 * np.ldexp(s[0], power))


@few
@given(matrices(numbers()), st.randoms(use_true_random=False))
def test_values_do_not_know_the_order_of_rows_nor_the_side(A, random):
    k = min(A.shape)
    rows = random.sample(range(len(A)), len(A))
    s = ef.lowrank.svd(A, k, rng=0).s
    for other in (A[rows], A.T, -A):
        np.testing.assert_allclose(
            ef.lowrank.svd(other, k, rng=0).s, s, atol=1e-13 * max(s[0], 1e-300)
        )


@few
@given(matrices(numbers()), st.floats(1e-12, 0.9))
def test_a_tolerance_is_kept_by_the_least_rank(A, rtol):
    found = ef.lowrank.svd(A, rtol=rtol, rng=0)
    left = np.linalg.norm(A - (found.U * found.s) @ found.Vh)
    assert left <= rtol * np.linalg.norm(A) * (1 + 1e-10) + 1e-13 * np.linalg.norm(A)


@few
@given(matrices(numbers()))
def test_eigenpairs_are_those_of_the_matrix(A):
    square = A @ A.T
    values, vectors = (
        getattr(ef.lowrank.eigh(square, len(square), rng=0), name)
        for name in ("eigenvalues", "eigenvectors")
    )
    scale = max(np.abs(values).max(initial=0), 1e-300)
    np.testing.assert_allclose((vectors * values) @ vectors.T, square, atol=1e-12 * scale)


@few
@given(matrices(numbers()), st.data())
def test_pivoted_qr_interpolates(A, data):
    k = data.draw(st.integers(1, min(A.shape)))
    found = ef.lowrank.pivoted_qr(A, k, rng=0)
    np.testing.assert_allclose(found.Q.T @ found.Q, np.eye(found.Q.shape[1]), atol=1e-12)
    assert len(set(found.pivots.tolist())) == A.shape[1]


@few
@given(
    vectors(st.just(0.0) | st.floats(1e-150, 1e150)),  # the scaled ones keep their digits
    st.floats(0.05, 1),
    st.integers(-100, 100),
)
def test_energy_rank_has_no_unit(s, share, power):
    s = np.sort(s)[::-1]
    shape = (len(s), len(s))
    rank = ef.lowrank.select_rank(s, shape, share=share)
    assert ef.lowrank.select_rank(np.ldexp(s, power), shape, share=share) == rank


@few
@given(vectors(st.floats(allow_nan=False, allow_infinity=False)), st.integers(0, 3), st.data())
def test_a_flow_of_any_finite_numbers_stays_between_zero_and_its_target(z, depth, data):
    rates = data.draw(hnp.arrays(np.float64, len(z), elements=st.floats(0, 1e300)))
    times = data.draw(vectors(st.floats(0, allow_infinity=True, allow_nan=False)))
    b0 = data.draw(st.floats(0, 1e30)) if depth else None
    theta = ef.flow.solve(z, rates, times, depth=depth, b0=b0)
    assert np.isfinite(theta).all()
    assert (np.abs(theta) * (1 - 1e-15) <= np.abs(z)).all()
    assert (theta * np.sign(z) >= 0).all()


@few
@given(vectors(numbers()), st.integers(0, 2), st.data())
def test_a_flow_in_parts_and_in_any_order_has_the_same_bits(z, depth, data):
    cut = data.draw(st.integers(0, len(z)))
    order = data.draw(st.permutations(range(len(z))))
    b0 = 0.5 if depth else None
    rates = np.linspace(0.1, 2.0, len(z))
    whole = ef.flow.solve(z, rates, 1.5, depth=depth, b0=b0)
    parts = [
        ef.flow.solve(z[part], rates[part], 1.5, depth=depth, b0=b0)
        for part in (slice(cut), slice(cut, None))
    ]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    moved = ef.flow.solve(z[order], rates[order], 1.5, depth=depth, b0=b0)
    assert moved.tobytes() == whole[order].tobytes()


@few
@given(vectors(numbers(-10, 10)), st.integers(0, 2))
def test_a_flow_is_the_limit_of_its_descent(z, depth):
    b0 = 0.5 if depth else None
    steps, time = 4000, 0.05
    descended = ef.flow.descend(z, 0.7, time / steps, steps, depth=depth, b0=b0).theta
    flowed = ef.flow.solve(z, 0.7, time, depth=depth, b0=b0)
    np.testing.assert_allclose(descended, flowed, rtol=2e-2, atol=1e-6)


@few
@given(vectors(st.floats(-1e100, 1e100)), st.data())
def test_a_filter_in_blocks_is_the_whole_filter(y, data):
    cut = data.draw(st.integers(0, len(y)))
    whole = ef.lds.filter(SYSTEM, y)
    parts = list(ef.lds.filter_blocks(SYSTEM, [y[:cut], y[cut:]]))
    means = np.concatenate([part.filtered_mean for part in parts])
    assert np.isfinite(whole.filtered_mean).all()
    scale = max(np.abs(y).max(), 1e-300)
    np.testing.assert_allclose(means, whole.filtered_mean, atol=1e-12 * scale)


@few
@given(vectors(numbers(-10, 10)), numbers(-10, 10))
def test_means_are_linear_in_the_observations(y, factor):
    one, many = (ef.lds.smooth(SYSTEM, a).smoothed_mean for a in (y, factor * y))
    np.testing.assert_allclose(many, factor * one, atol=1e-11)


@few
@given(vectors(numbers(-10, 10)), st.data())
def test_a_missing_end_is_a_forecast(y, data):
    steps = data.draw(st.integers(1, 5))
    padded = np.concatenate([y, np.full(steps, np.nan)])
    ahead = ef.lds.forecast(SYSTEM, y, steps).mean[:, 0]
    states = ef.lds.filter(SYSTEM, padded).filtered_mean[len(y) :]
    np.testing.assert_allclose(ahead, states @ np.array([1.0, 0.5]), atol=1e-12)


@few
@given(matrices(numbers(-5, 5)), numbers(0.01, 20), st.data())
def test_a_sine_operator_is_linear_and_its_blocks_are_its_entries(U, omega, data):
    V = data.draw(hnp.arrays(np.float64, (5, U.shape[1]), elements=numbers(-5, 5)))
    X = data.draw(hnp.arrays(np.float64, (5, 2), elements=numbers(-5, 5)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ef.sine.PhaseWarning)
        op = ef.sine.SineLowRank(U, V, omega)
        dense = op.toarray()
        np.testing.assert_allclose(op @ X, dense @ X, atol=1e-12)
        np.testing.assert_allclose(op.T.toarray(), dense.T, atol=1e-14)
        cut = data.draw(st.integers(0, len(U)))
        block = op.submatrix(slice(cut), slice(1, 4)).toarray()
    np.testing.assert_allclose(block, dense[:cut, 1:4], atol=1e-14)


@few
@given(matrices(numbers(-100, 100)), st.integers(1, 5))
def test_a_quantized_factor_keeps_what_it_can_tell(factor, bits):
    restored = ef.sine.quantize(factor, bits).toarray()
    assert restored.shape == factor.shape
    span = np.ptp(factor)
    assert np.abs(restored - factor).max() <= span + 1e-4


@pytest.mark.parametrize("module", ["lds", "flow"])
@few
@given(value=st.floats())
def test_any_scalar_gives_numbers_or_an_error_that_names_it(module, value):
    if module == "lds":
        finite_or_out_of_range(
            lambda: ef.lds.log_likelihood(ef.lds.LinearSystem(value, 1.0, 1.0, 1.0), [1.0, 2.0]),
            ("A:", "system:"),
        )
    else:
        finite_or_out_of_range(ef.flow.solve, "eigenvalues:", 1.0, value, 1.0, depth=1, b0=0.5)
