"""The derivative in z, and the risk estimate that lives on it."""

import mpmath as mp
import numpy as np
import pytest

import eigenflow as ef
from reference import flow as truth


def gradient(z, lam, t, **options):
    """Return d theta / d z out of SURE with one coordinate and unit variance."""
    s = ef.flow.state(z, lam, t, **options)
    risk = ef.flow.sure([z], lam, t, 1.0, **options)
    return (risk - float(s.residual) ** 2 + 1) / 2


@pytest.mark.parametrize("lam", [1e-300, 1e-12, 1e-3, 1.0])
def test_depth_0_derivative_against_differences_of_many_digits(lam):
    with mp.workdps(700):
        h = mp.mpf(10) ** -100
        for z in (0.01, -0.3, 2.0):
            escape = abs(float(mp.log(4 * abs(z) / lam) / (2 * abs(z))))
            for t in (0.1, 50.0, escape):
                plus, minus = (truth.closed_form(mp.mpf(z) + d, lam, t) for d in (h, -h))
                want = float((plus - minus) / (2 * h))
                tolerance = 1e-14 * max(1, (2 * abs(z) + lam) * t)
                got = gradient(z, lam, t)
                assert got == pytest.approx(want, rel=tolerance, abs=2e-16 + tolerance * z * z)


@pytest.mark.parametrize("coupling", ["shared", "separate"])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_deep_derivative_against_mpmath(depth, coupling):
    options = {"depth": depth, "b0": 0.5, "coupling": coupling}
    with mp.workdps(truth.DIGITS):
        for lam, z, fraction in [(0.1, 0.2, 0.3), (1e-6, 1.0, 0.5), (1.0, 3.0, 0.999)]:
            deep = truth.Deep(z, lam, 0.5, depth, coupling)
            beta = deep.beta_at(mp.mpf(fraction))
            t, want = float(deep.time_of(beta)), float(deep.derivative(beta))
            got = gradient(z, lam, t, **options)
            assert got == pytest.approx(want, rel=1e-13 * max(1, float(deep.last_rate()) * t))


def test_zero_observations_and_saddles_have_their_own_derivative():
    t = 3.0
    assert gradient(0.0, 0.2, t) == pytest.approx(1 - np.exp(-0.6), rel=1e-14)
    deep = gradient(0.0, 0.2, t, depth=2, b0=0.5)
    assert deep == pytest.approx(1 - np.exp(-0.2 * 0.5**4 * t), rel=1e-14)
    assert gradient(1.0, 0.0, t) == 0
    assert gradient(1.0, 0.5, t, depth=1, b0=0.0) == 0
    assert gradient(1.0, 0.5, np.inf, depth=1, b0=0.4) == 1
    assert gradient(1.0, 0.5, np.inf) == 1


@pytest.mark.parametrize("options", [{}, {"depth": 1, "b0": 0.4}])
def test_sums_over_axes(options):
    rng = np.random.default_rng(2)
    z, lam = rng.normal(size=(3, 4, 50)), rng.random((4, 1))
    variance = rng.random(50)
    t = np.array([[0.0, 1.0], [2.0, 9.0]])
    s = ef.flow.state(z, lam, t, **options)
    step = 1e-6
    slope = (
        ef.flow.solve(z + step, lam, t, **options) - ef.flow.solve(z - step, lam, t, **options)
    ) / (2 * step)
    terms = s.residual**2 + variance * (2 * slope - 1)
    for axis in (None, 0, -1, (0, 2), (-1, 1), ()):
        risk = ef.flow.sure(z, lam, t, variance, axis=axis, **options)
        axes = range(3) if axis is None else [axis] if isinstance(axis, int) else axis
        want = terms.sum(axis=tuple(2 + a % 3 for a in axes))
        assert np.shape(risk) == want.shape
        np.testing.assert_allclose(risk, want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"depth": 2, "b0": 0.3}])
def test_sure_is_unbiased(options):
    """The mean over draws meets the mean loss within its standard error."""
    rng = np.random.default_rng(4)
    n, sigma = 2000, 0.1
    signal = np.zeros(n)
    signal[:40] = 0.5
    lam = np.arange(1, n + 1) ** -1.5
    z = signal + sigma * rng.normal(size=(40, n))
    t = [5.0, 20.0]
    risk = ef.flow.sure(z, lam, t, sigma**2, axis=-1, **options)
    loss = np.sum((ef.flow.solve(z, lam, t, **options) - signal) ** 2, axis=-1)
    difference = risk - loss
    error = difference.std(axis=-1) / np.sqrt(40)
    assert np.all(np.abs(difference.mean(axis=-1)) < 4 * error)
    assert isinstance(ef.flow.sure(z, lam, 5.0, sigma**2, **options), float)
