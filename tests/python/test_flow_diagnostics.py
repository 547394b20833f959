"""Span quantities against their definitions, and against power laws known in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import eigenflow as ef

SIGNALS = arrays(
    np.float64,
    st.integers(1, 40),
    elements=st.sampled_from([0.0, 0.1, -0.5, 1.0, -1.0, 2.0, 3.5, -7.0]),
)
LEVELS = st.sampled_from([0.0, 0.05, 0.5, 1.0, 2.5, 7.0, 8.0])


def power_signal(p, q, n):
    """The sequence theta of size j^(-(p + 1) / 2) at index j^q, all other coordinates 0."""
    j = np.arange(1, n + 1)
    theta = np.zeros(n**q)
    theta[j**q - 1] = j ** (-(p + 1) / 2)
    return theta


@given(SIGNALS, LEVELS)
def test_set_size_energy_and_span_are_what_they_say(theta, level):
    signal = [j for j, x in enumerate(theta) if abs(x) >= level]
    assert ef.flow.signal_set(theta, level).tolist() == signal
    assert ef.flow.signal_size(theta, level) == len(signal)
    outside = sum(x**2 for x in theta if abs(x) < level)
    assert ef.flow.tail_energy(theta, level) == pytest.approx(outside, rel=1e-14)
    assert ef.flow.signal_span(theta, level) == max((j + 1 for j in signal), default=0)


@given(SIGNALS, st.floats(0.01, 10))
def test_signal_size_and_tail_energy_make_the_ideal_risk(theta, std):
    ideal = np.sum(np.minimum(std**2, theta**2))
    size, energy = ef.flow.signal_size(theta, std), ef.flow.tail_energy(theta, std)
    assert std**2 * size + energy == pytest.approx(ideal, rel=1e-13, abs=1e-300)


@given(SIGNALS, st.floats(0.01, 10), st.integers(0, 3))
def test_effective_span_dimension_bounds_the_risk_of_truncation(theta, variance, seed):
    eigenvalues = np.random.default_rng(seed).permutation(theta.size).astype(float)
    dimension = ef.flow.effective_span_dimension(theta, eigenvalues, noise_variance=variance)
    ordered = theta[np.argsort(-eigenvalues)]
    tail = [np.sum(ordered[k:] ** 2) for k in range(theta.size + 1)]
    assert dimension == next(k for k in range(1, theta.size + 1) if tail[k] <= k * variance)
    best = min(k * variance + tail[k] for k in range(1, theta.size + 1))
    assert (dimension - 1) * variance * (1 - 1e-12) <= best <= 2 * dimension * variance + 1e-12


@pytest.mark.parametrize("p", [0.6, 1, 3])
def test_power_laws_of_the_size_and_the_energy(p):
    n = 1_000_000
    theta = power_signal(p, 1, n)
    levels = np.geomspace(1e-3, 1e-2, 5) if p < 2 else np.geomspace(1e-6, 1e-4, 5)
    size = levels ** (-2 / (p + 1))
    np.testing.assert_allclose(ef.flow.signal_size(theta, levels), size, rtol=0, atol=1.0)
    # The sum over j > m of j^-(p + 1) is m^-p / p up to a relative O(p / m); n cuts it off.
    energy = levels ** (2 * p / (p + 1)) / p - n**-p / p
    np.testing.assert_allclose(ef.flow.tail_energy(theta, levels), energy, rtol=2 / size.min())


@pytest.mark.parametrize(("p", "q"), [(0.6, 1), (1, 1), (1, 2), (3, 2), (3, 3)])
def test_the_span_exponent_is_2q_over_p_plus_1(p, q):
    theta = power_signal(p, q, 60)
    fit = ef.flow.span_exponent(theta)
    assert fit.kappa == pytest.approx(2 * q / (p + 1), rel=1e-10)
    assert fit.constant == pytest.approx(1, rel=1e-9)
    assert fit.spans.tolist() == [j**q for j in range(1, 61)]
    # The same signal dealt out, with eigenvalues that say where its coordinates went.
    order = np.random.default_rng(0).permutation(theta.size)
    eigenvalues = np.arange(theta.size, 0, -1.0)
    shuffled = ef.flow.span_exponent(theta[order], eigenvalues[order])
    assert shuffled.kappa == fit.kappa


def test_the_fitted_law_is_an_upper_bound():
    theta = np.random.default_rng(3).standard_t(1, 500) / np.arange(1, 501)
    fit = ef.flow.span_exponent(theta, min_level=1e-3)
    assert fit.levels.min() >= 1e-3
    levels = np.geomspace(fit.levels.min(), fit.levels.max(), 1000)
    spans = ef.flow.signal_span(theta, levels)
    assert np.all(spans <= fit.constant * levels**-fit.kappa * (1 + 1e-12))


def test_shapes_and_kinds_of_input():
    theta = np.array([[0.0, 3.0], [-2.0, 0.5]], np.float32)
    eigenvalues = [[4.0, 1.0], [1.0, 2.0]]  # order 0, 3, 1, 2: equal ones as they stand
    levels = np.array([[0.4, 1.0, 2.5]])
    assert ef.flow.signal_span(theta, levels, eigenvalues).tolist() == [[4, 4, 3]]
    assert ef.flow.signal_size(theta.T[::-1], levels).tolist() == [[3, 2, 1]]
    assert isinstance(ef.flow.signal_size(theta, 1), int)
    assert isinstance(ef.flow.tail_energy(theta, 1), float)
    assert ef.flow.effective_span_dimension(theta, noise_variance=[[0.1], [100]]).shape == (2, 1)


def test_empty_and_zero_signals():
    assert ef.flow.signal_set([], 1.0).size == 0
    assert ef.flow.signal_size([], 0.0) == ef.flow.signal_span([], 0.0) == 0
    assert ef.flow.tail_energy([], 1.0) == 0
    assert ef.flow.effective_span_dimension([], noise_variance=1.0) == 0
    assert ef.flow.effective_span_dimension([0.0, 0.0], noise_variance=0.0) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f.signal_set([1.0, np.nan], 1.0), "coefficients: got nan at position 1"),
        (lambda f: f.signal_set([1.0], -1.0), "level: got -1.0"),
        (lambda f: f.signal_set([1.0], [1.0]), "level: got 1 dimensions"),
        (lambda f: f.signal_size([1.0], [0.0, -2.0]), "levels: got -2.0 at position 1"),
        (lambda f: f.signal_span([1.0, 2.0], 1.0, [1.0]), r"eigenvalues: got shape \(1,\)"),
        (lambda f: f.signal_span([1.0], 1.0, [-1.0]), "eigenvalues: got -1.0"),
        (lambda f: f.span_exponent([1.0, 0.0]), "coefficients: got 1 steps"),
        (lambda f: f.span_exponent([1.0, 0.5], min_level=0.7), "coefficients: got 1 steps"),
        (
            lambda f: f.effective_span_dimension([1.0], noise_variance=np.nan),
            "noise_variance: got nan",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(ef.flow)
