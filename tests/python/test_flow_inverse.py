"""Hitting times: the way back from `solve`, at any scale."""

import mpmath as mp
import numpy as np
import pytest

import eigenflow as ef
from reference import flow as truth

EPS = np.finfo(float).eps


def test_depth_0_against_many_digits():
    rng = np.random.default_rng(3)
    with mp.workdps(400):
        for f in (1e-80, 1e-12, 0.01, 0.3, 0.5, 0.9, 1 - 1e-6):
            for _ in range(6):
                z, lam = float(rng.normal()), 10.0 ** rng.uniform(-100, 2)
                part = mp.mpf(f)
                r = mp.sqrt(mp.mpf(lam) ** 2 + 4 * mp.mpf(z) ** 2)
                s = 2 * part * z / (lam + mp.sqrt(mp.mpf(lam) ** 2 + 4 * (part * z) ** 2))
                want = 2 * mp.atanh(r * s / (2 * z - lam * s)) / r
                assert abs(truth.closed_form(z, lam, want) - part * z) < 1e-90 * abs(z)
                got = ef.flow.hitting_time(f, z, lam)
                assert got == pytest.approx(float(want), rel=10 * EPS), (f, z, lam)


@pytest.mark.parametrize("coupling", ["shared", "separate"])
@pytest.mark.parametrize("depth", [1, 2, 3, 8])
def test_depth_1_and_more_against_mpmath(depth, coupling):
    with mp.workdps(truth.DIGITS):
        for lam, b0, z in [(0.3, 0.6, 0.07), (1e-9, 0.1, 2.0), (2.0, 0.05, 1.0)]:
            deep = truth.Deep(z, lam, b0, depth, coupling)
            for f in (1e-9, 0.4, 0.999):
                want = float(deep.time_of(deep.beta_at(mp.mpf(f))))
                got = ef.flow.hitting_time(f, -z, lam, depth=depth, b0=b0, coupling=coupling)
                assert got == pytest.approx(want, rel=40 * EPS), (lam, b0, z, f)


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
def test_the_flow_is_there_at_that_time(depth):
    rng = np.random.default_rng(4)
    z, lam = rng.normal(size=200), 10.0 ** rng.uniform(-12, 1, 200)
    options = {"depth": depth, "b0": 10.0 ** rng.uniform(-1, 1, 200) if depth else None}
    for f in (1e-9, 0.02, 0.5, 0.99):
        t = ef.flow.hitting_time(f, z, lam, **options)
        theta = ef.flow.solve(z, lam, t, **options)[np.arange(200), np.arange(200)]
        last = ef.flow.learned_eigenvalues(z, lam, **options) * (depth + 2)
        assert np.all(np.abs(theta - f * z) <= 40 * EPS * f * np.abs(z) * np.maximum(1, last * t))


def test_ends_limits_and_shapes():
    for options in ({}, {"depth": 1, "b0": 0.5}):
        t = ef.flow.hitting_time([[0.0, 1.0]], [0.3, -0.3, 0.0], [[0.1], [0.0]], **options)
        assert t.shape == (1, 2, 2, 3)
        np.testing.assert_array_equal(t[0, 0], 0)
        np.testing.assert_array_equal(t[0, 1], np.inf)
        assert ef.flow.hitting_time(0.5, 1.0, 0.0, **options) == np.inf
        assert ef.flow.hitting_time([], np.ones(3), 1.0, **options).shape == (0, 3)
    rate = 0.2 * 0.5**2
    assert ef.flow.hitting_time(0.5, 0.0, 0.2) == pytest.approx(np.log(2) / 0.2, rel=1e-14)
    small = ef.flow.hitting_time(0.5, 0.0, 0.2, depth=1, b0=0.5)
    assert small == pytest.approx(np.log(2) / rate, rel=1e-13)
    assert ef.flow.hitting_time(0.5, 1.0, 1.0, depth=2, b0=0.0) == np.inf
    assert isinstance(small, float)


@pytest.mark.parametrize("depth", [0, 1, 8])
def test_finite_input_never_gives_nan(depth):
    z = np.array([0.0, 5e-324, 1e-300, 1.0, -1e12, 1.7e308])
    lam = np.array([5e-324, 1e-300, 1.0, 1e300, 1.7e308])[:, None]
    f = [5e-324, 1e-300, 1e-8, 0.5, 1 - EPS / 2]
    # With b0 below the march's bound the times of tiny fractions are off by percents.
    slack = 1 if depth == 0 else 0.97
    for b0 in [None] if depth == 0 else [1e-200, 1.0, 1e100]:
        t = ef.flow.hitting_time(f, z, lam, depth=depth, b0=b0)
        assert np.all(t >= 0)
        assert np.all(t[1:] >= slack * t[:-1])


@pytest.mark.parametrize("options", [{}, {"depth": 2, "b0": 0.4}])
def test_any_number_of_workers_gives_the_same_bytes(options):
    rng = np.random.default_rng(5)
    z, lam = rng.normal(size=5003).astype(np.float32), rng.random(5003).astype(np.float32)
    runs = [ef.flow.hitting_time(0.7, z, lam, workers=w, **options) for w in (1, 2, 3, 7)]
    for run in runs[1:]:
        np.testing.assert_array_equal(run, runs[0])


@pytest.mark.parametrize("fraction", [-0.1, 1.5, np.nan, [0.5, 2.0]])
def test_fractions_lie_between_0_and_1(fraction):
    with pytest.raises(ValueError, match=r"^fraction: got"):
        ef.flow.hitting_time(fraction, 1.0, 1.0)
