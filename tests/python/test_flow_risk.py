"""The expected risk: quadrature against more digits, against draws and against limits."""

import mpmath as mp
import numpy as np
import pytest

import eigenflow as ef
from reference import flow as truth

OPTIONS = [{}, {"depth": 1, "b0": 0.3}, {"depth": 3, "b0": 0.5, "coupling": "separate"}]


def fine_sum(signal, lam, t, variance, **options):
    """Evaluate the mean over the noise by a trapezoidal rule far finer than any feature."""
    xi = np.linspace(-11, 11, 20_001)
    weight = np.exp(-(xi**2) / 2)
    theta = ef.flow.solve(signal + np.sqrt(variance) * xi, lam, t, **options)
    return (theta - signal) ** 2 @ weight / weight.sum()


@pytest.mark.parametrize(
    ("signal", "lam", "t", "variance"),
    [
        (0.0, 1e-3, 8.0, 0.04),
        (0.3, 1e-2, 20.0, 0.01),
        (-1.0, 0.5, 1.5, 2.0),
        (0.0, 1e-9, 30.0, 0.1),
    ],
)
def test_depth_0_against_mpmath(signal, lam, t, variance):
    with mp.workdps(25):
        s, sd = mp.mpf(signal), mp.sqrt(variance)

        def integrand(xi):
            return (truth.closed_form(s + sd * xi, lam, t) - s) ** 2 * mp.npdf(xi)

        want = float(mp.quad(integrand, mp.linspace(-15, 15, 121)))
    got = ef.flow.expected_risk(signal, lam, t, variance)
    assert got == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("signal", [0.0, 0.02, 0.3, -1.0])
@pytest.mark.parametrize("lam", [1e-8, 1e-2, 1.0])
def test_against_a_much_finer_rule(options, signal, lam):
    for t in (0.5, 5.0, 50.0, 500.0):
        got = ef.flow.expected_risk(signal, lam, t, 1e-3, **options)
        assert got == pytest.approx(fine_sum(signal, lam, t, 1e-3, **options), rel=2e-8)


@pytest.mark.parametrize("options", OPTIONS)
def test_against_draws(options):
    rng = np.random.default_rng(3)
    n, repetitions = 60, 2000
    signal = np.arange(1.0, n + 1) ** -1.5
    lam, t, variance = signal, [2.0, 20.0, 100.0], np.linspace(1e-3, 1e-2, n)
    z = signal + np.sqrt(variance) * rng.normal(size=(repetitions, n))
    loss = np.sum((ef.flow.solve(z, lam, t, **options) - signal) ** 2, axis=-1)
    risk = ef.flow.expected_risk(signal, lam, t, variance, **options)
    standard_error = loss.std(axis=-1) / np.sqrt(repetitions)
    assert np.all(np.abs(loss.mean(axis=-1) - risk) < 4 * standard_error)


@pytest.mark.parametrize("options", OPTIONS)
def test_limits(options):
    signal = np.array([0.0, 0.5, -2.0, 1e6])
    risk = ef.flow.expected_risk(signal, 0.1, [0.0, np.inf], 0.04, axis=(), **options)
    np.testing.assert_allclose(risk[0], signal**2, rtol=1e-14)
    np.testing.assert_allclose(risk[1], 0.04, rtol=1e-9)
    stuck = ef.flow.expected_risk(signal, 0.0, 3.0, 0.04, axis=(), **options)
    np.testing.assert_allclose(stuck, signal**2, rtol=1e-14)
    loss = ef.flow.expected_risk(signal, 0.1, 3.0, 0.0, axis=(), **options)
    residual = ef.flow.state(signal, 0.1, 3.0, **options).residual
    np.testing.assert_allclose(loss, residual**2, rtol=1e-13)


def test_wide_eigenvalues_make_it_vanilla():
    lam, t = 1e6, 0.7e-6
    kept = np.exp(-lam * t)
    risk = ef.flow.expected_risk([0.3, -1.0], lam, t, 0.25)
    want = kept**2 * (0.3**2 + 1) + 2 * (1 - kept) ** 2 * 0.25
    assert risk == pytest.approx(want, rel=1e-9)


def test_small_noise_keeps_its_digits():
    """A signal far above the noise: theta - signal is a difference of nearly equal numbers."""
    variance = 1e-24
    risk = ef.flow.expected_risk(1.0, 1.0, 200.0, variance)
    assert risk == pytest.approx(variance, rel=1e-8)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_times_and_workers(options, dtype):
    rng = np.random.default_rng(6)
    signal = (rng.normal(size=(3, 4, 9)) * (rng.random((3, 4, 9)) < 0.5)).astype(dtype)
    lam, variance = rng.random((4, 1)).astype(dtype), rng.random(9).astype(dtype) / 10
    t = np.array([[20.0, 1.0], [0.0, 5.0]])
    terms = ef.flow.expected_risk(signal, lam, t, variance, axis=(), rtol=1e-6, **options)
    assert terms.shape == (2, 2, 3, 4, 9)
    assert terms.dtype == np.float64
    for axis in (None, 0, -1, (0, 2)):
        axes = range(3) if axis is None else [axis] if isinstance(axis, int) else axis
        runs = [
            ef.flow.expected_risk(
                signal, lam, t, variance, axis=axis, rtol=1e-6, workers=w, **options
            )
            for w in (1, 2, 5)
        ]
        np.testing.assert_allclose(
            runs[0], terms.sum(axis=tuple(2 + a % 3 for a in axes)), rtol=1e-5
        )
        for run in runs[1:]:
            np.testing.assert_array_equal(run, runs[0])


def test_many_tiles_add_up():
    n = 40_000
    signal = np.zeros(n)
    signal[::100] = 0.5
    lam, t = np.full(n, 1e-3), np.array([3.0, 30.0])
    one = ef.flow.expected_risk([0.0, 0.5], 1e-3, t, 0.01, axis=(), rtol=1e-5)
    risk = ef.flow.expected_risk(signal, lam, t, 0.01, rtol=1e-5)
    np.testing.assert_allclose(risk, one @ [n - n // 100, n // 100], rtol=1e-4)
    rows = ef.flow.expected_risk(signal.reshape(400, 100), 1e-3, t, 0.01, axis=1, rtol=1e-5)
    np.testing.assert_allclose(rows.sum(axis=1), risk, rtol=1e-4)


def test_no_coordinates_no_times_and_scalars():
    assert ef.flow.expected_risk([], 1.0, [1.0, 2.0], 0.1).tolist() == [0, 0]
    assert ef.flow.expected_risk([1.0], 1.0, [], 0.1).shape == (0,)
    assert isinstance(ef.flow.expected_risk(1, 1, 1, 1), float)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("variance", [5e-324, 1e-200, 1.0, 1e200])
def test_extremes_stay_numbers(options, variance):
    signal = np.array([0.0, 1e-300, 1e-12, 1.0, 1e12, 1e200])
    for lam in (1e-300, 1e-12, 1.0, 1e12):
        risk = ef.flow.expected_risk(
            signal, lam, [0.0, 1e-300, 1.0, np.inf], variance, axis=(), rtol=0.1, **options
        )
        assert not np.any(np.isnan(risk))
        assert np.all(risk >= 0)


CALLS = [
    (lambda: ef.flow.expected_risk(np.nan, 1.0, 1.0, 1.0), "signal: got nan"),
    (lambda: ef.flow.expected_risk(1.0, -1.0, 1.0, 1.0), "eigenvalues: got -1.0"),
    (lambda: ef.flow.expected_risk(1.0, 1.0, -1.0, 1.0), "times: got -1.0"),
    (lambda: ef.flow.expected_risk(1.0, 1.0, 1.0, [-1.0]), "noise_variance: got -1.0"),
    (lambda: ef.flow.expected_risk(1.0, 1.0, 1.0, 1.0, rtol=1e-13), "rtol: got 1e-13"),
    (lambda: ef.flow.expected_risk(1.0, 1.0, 1.0, 1.0, rtol="x"), "rtol: got 'x'"),
    (lambda: ef.flow.expected_risk(1.0, 1.0, 1.0, 1.0, axis=0), "axis: got 0"),
    (lambda: ef.flow.expected_risk(1.0, 1.0, 1.0, 1.0, depth=1), "b0: got None"),
]


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_errors_name_the_argument(call, message):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert str(error.value).startswith(message)
