"""Values: held to mpmath, to the full system of factors, and to published figures."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eigenflow as ef
from reference import flow as truth

EPS = np.finfo(float).eps

GOLDEN_CLOSED = [
    (1, 1, 2, 0.96566908321652091),
    (1e-4, 0.5, 30, 0.49999999906433141),
    (1e-12, 0.3, 40, 0.0064792557027869923),
    (1e-12, -0.3, 50, -0.26971347580560006),
    (1e-2, 1e-3, 500, 9.9371690992944406e-4),
    (1e-300, 0.3, 1200, 0.29999999999992684),
]
GOLDEN_DEEP = [
    (1, 0.5, 1, 1, 3, 0.99658722795721374, 1.227821004222737),
    (1e-4, 0.3, 1, 0.5, 30, 0.28306046672084099, 0.44585364560534632),
    (1e-4, 0.3, 2, 0.5, 60, 6.4130532813339158e-4, 0.0081370191473593823),
    (1e-6, 0.3, 1, -0.3, 100, -0.29999992511089228, 0.46287737565333602),
]


def unit(rate, t):
    """Error unit of the flow: round-off times the conditioning of theta in t."""
    return 20 * EPS * max(1.0, float(rate) * t)


@pytest.mark.parametrize(("lam", "z", "t", "theta"), GOLDEN_CLOSED)
def test_depth_0_gives_the_thirty_digit_values(lam, z, t, theta):
    assert ef.flow.solve(z, lam, t) == pytest.approx(theta, rel=unit(2 * abs(z) + lam, t))


@pytest.mark.parametrize(("lam", "b0", "depth", "z", "t", "theta", "product"), GOLDEN_DEEP)
def test_depth_1_and_2_give_the_thirty_digit_values(lam, b0, depth, z, t, theta, product):
    s = ef.flow.state(z, lam, t, depth=depth, b0=b0)
    rate = truth.Deep(abs(z), lam, b0, depth).last_rate()
    assert s.theta == pytest.approx(theta, rel=unit(rate, t))
    assert np.sqrt(s.learned_eigenvalues) == pytest.approx(product, rel=unit(rate, t))


@pytest.mark.parametrize("scale", [1e-290, 1e-100, 1.0, 1e100, 1e290])
def test_depth_0_against_many_digits_at_every_scale(scale):
    rng = np.random.default_rng(7)
    with mp.workdps(1000):
        for _ in range(15):
            z = float(rng.normal()) * scale
            lam = scale * 10.0 ** rng.uniform(-18, 2) if scale > 1e-200 else scale * rng.random()
            t = 10.0 ** rng.uniform(-3, 2.2) / abs(z)
            want = truth.closed_form(z, lam, t)
            got = ef.flow.state(z, lam, t)
            tolerance = unit(2 * abs(z) + lam, t)
            assert abs(mp.mpf(float(got.theta)) - want) <= tolerance * abs(want), (z, lam, t)
            left = mp.mpf(z) - want
            if abs(left) > 1e-300 * abs(z):
                slack = 5e-324  # the last digit of a subnormal number
                assert abs(mp.mpf(float(got.residual)) - left) <= tolerance * abs(left) + slack


@pytest.mark.parametrize("lam", [5e-324, 1e-300, 1e-200])
@pytest.mark.parametrize("z", [1e-150, 0.3, 1e150])
def test_the_escape_from_a_tiny_eigenvalue_is_timed_right(lam, z):
    """Theta leaves 0 near t = ln(4 z / lambda) / (2 z), though lambda / z is no double."""
    with mp.workdps(1400):
        escape = float(mp.log(4 * mp.mpf(z) / mp.mpf(lam)) / (2 * mp.mpf(z)))
        for t in np.array([0.5, 0.99, 1.0, 1.01]) * escape:
            want = truth.closed_form(z, lam, t)
            got = ef.flow.solve(z, lam, t)
            slack = 5e-324 if want < 1e-290 else 0
            assert abs(mp.mpf(float(got)) - want) <= unit(2 * z, t) * want + slack


def deep_cases(n, seed):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        depth = int(rng.integers(1, 9))
        lam, b0, z = (
            10.0 ** rng.uniform(-12, 0.5),
            10.0 ** rng.uniform(-1.5, 0.7),
            10.0 ** (rng.uniform(-3, 1)),
        )
        yield lam, b0, depth, z, float(rng.choice([1e-9, 0.01, 0.4, 0.9, 1 - 1e-6]))


@pytest.mark.parametrize("coupling", ["shared", "separate"])
def test_depth_1_to_8_against_mpmath(coupling):
    cases = list(deep_cases(8, 11))
    cases += [(0.3957, 0.6703, 3, 0.06874, 0.6), (1e-12, 0.05, 1, 3.0, 0.5)]
    with mp.workdps(truth.DIGITS):
        for lam, b0, depth, z, fraction in cases:
            deep = truth.Deep(z, lam, b0, depth, coupling)
            beta = deep.beta_at(mp.mpf(fraction))
            t = float(deep.time_of(beta))
            s = ef.flow.state(z, lam, t, depth=depth, b0=b0, coupling=coupling)
            tolerance = unit(deep.last_rate(), t)
            where = (lam, b0, depth, z, fraction)
            assert float(s.theta) == pytest.approx(fraction * z, rel=tolerance), where
            assert float(s.beta) == pytest.approx(float(beta), rel=tolerance), where
            left = float(z - beta * deep.g(beta))
            assert float(s.residual) == pytest.approx(left, rel=tolerance), where


@pytest.mark.parametrize("coupling", ["shared", "separate"])
@pytest.mark.parametrize("depth", [0, 1, 2, 3, 5])
def test_all_factors_against_the_full_system(depth, coupling):
    times = np.array([0.5, 2.0, 5.0, 9.0])
    b0 = 0.6 if depth else None
    theta, factors = truth.all_factors(-0.8, 0.02, 0.6, depth, times, coupling)
    s = ef.flow.state(-0.8, 0.02, times, depth=depth, b0=b0, coupling=coupling)
    np.testing.assert_allclose(s.theta, theta, rtol=1e-10)
    np.testing.assert_allclose(s.residual, -0.8 - theta, rtol=1e-8)
    np.testing.assert_allclose(s.a, factors[0], rtol=1e-10)
    np.testing.assert_allclose(s.beta, factors[-1], rtol=1e-10)
    for b in factors[1:-1] if depth else [np.ones(4)]:
        np.testing.assert_allclose(s.b, b, rtol=1e-10)
    np.testing.assert_allclose(s.learned_eigenvalues, (s.a * s.b**depth) ** 2, rtol=1e-13)
    again = ef.flow.learned_eigenvalues(s.theta, 0.02, depth=depth, b0=b0, coupling=coupling)
    np.testing.assert_allclose(again, s.learned_eigenvalues, rtol=1e-12)


positive = st.floats(1e-6, 1e3)


@settings(max_examples=60, deadline=None)
@given(
    z=st.floats(-1e3, 1e3),
    lam=positive,
    b0=st.floats(1e-3, 10),
    depth=st.integers(0, 8),
    times=st.lists(st.floats(0, 1e4), min_size=2, max_size=6),
)
def test_the_path_is_monotone_bounded_odd_and_conserves(z, lam, b0, depth, times):
    options = {"depth": depth, "b0": b0 if depth else None}
    t = np.sort(times)
    s = ef.flow.state(z, lam, t, **options)
    size, slack = np.abs(s.theta), 1 + 1e-10
    assert np.all(size <= abs(z))
    assert np.all(size[:-1] <= size[1:] * slack)
    assert np.all(s.learned_eigenvalues[:-1] <= s.learned_eigenvalues[1:] * slack)
    np.testing.assert_array_equal(ef.flow.solve(-z, lam, t, **options), -s.theta)
    np.testing.assert_allclose(s.a**2 - s.beta**2, lam, rtol=1e-9, atol=1e-12 * np.max(s.a) ** 2)
    bound = np.maximum(np.sqrt(lam), np.abs(s.beta))
    assert np.all(s.a >= bound * (1 - 1e-12))
    assert np.all(s.a <= np.sqrt(2) * bound * slack)


@settings(max_examples=60, deadline=None)
@given(z=st.floats(1e-3, 10), lam=st.floats(1e-9, 10), t=st.floats(1e-3, 1e3))
def test_depth_0_lies_between_the_surrogates_of_the_paper(z, lam, t):
    """Lemma D.1: the flow with lambda + 2 |theta| is ahead, and behind at t / sqrt(2)."""

    def surrogate(time):
        q = np.exp(-(2 * z + lam) * time)
        return z * lam * (1 - q) / (2 * z * q + lam)

    theta = ef.flow.solve(z, lam, t)
    slack = 1e-10 * max(1, (2 * z + lam) * t)
    assert surrogate(t / np.sqrt(2)) * (1 - slack) <= theta <= surrogate(t) * (1 + slack)


def test_vanilla_is_its_formula():
    rng = np.random.default_rng(1)
    z, lam = rng.normal(size=500), 10.0 ** rng.uniform(-20, 3, 500)
    t = np.array([0.0, 1e-3, 1.0, 1e3])
    want = -np.expm1(-lam * t[:, None]) * z
    np.testing.assert_allclose(ef.flow.vanilla(z, lam, t), want, rtol=4 * EPS)


@pytest.mark.parametrize("depth", [0, 1, 2, 4, 8])
def test_a_path_gives_what_single_times_give(depth):
    rng = np.random.default_rng(3)
    z, lam = rng.normal(size=40), 10.0 ** rng.uniform(-8, 0, 40)
    t = np.r_[0.0, np.geomspace(1e-3, 1e4, 60), np.inf]
    options = {"depth": depth, "b0": 0.4 if depth else None}
    path = ef.flow.solve(z, lam, t, **options)
    shuffled = rng.permutation(t.size)
    np.testing.assert_array_equal(ef.flow.solve(z, lam, t[shuffled], **options), path[shuffled])
    for i in range(t.size):
        alone = ef.flow.solve(z, lam, t[i], **options)
        np.testing.assert_array_equal(alone, path[i])
    np.testing.assert_array_equal(path[0], 0)
    np.testing.assert_array_equal(path[-1], z)
