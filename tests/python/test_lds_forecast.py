"""Forecasts, and tests of residuals, against statsmodels and the smoother."""

import numpy as np
import pytest
from scipy.stats import jarque_bera
from statsmodels.stats.diagnostic import acorr_ljungbox
from statsmodels.tsa.statespace.structural import UnobservedComponents

from eigenflow import lds
from eigenflow.demo.nile import FLOW
from eigenflow.lds import LinearSystem

NILE = np.array(FLOW, float)
LEVEL = LinearSystem(1, 1, 1469.1, 15099)


def test_a_forecast_is_the_smoother_over_missing_rows():
    rng = np.random.default_rng(0)
    system = LinearSystem(
        [[1, 1], [0, 0.9]],
        rng.standard_normal((2, 2)),
        np.eye(2),
        [[1, 0.3], [0.3, 2]],
        B=[[1.0], [0.5]],
        D=[[0.3], [0.1]],
        obs_offset=[3, 4],
    )
    y, u = rng.standard_normal((30, 2)), rng.standard_normal((36, 1))
    ahead = lds.forecast(system, y, 6, inputs=u[:30], future_inputs=u[30:], level=0.9)
    padded = np.vstack([y, np.full((6, 2), np.nan)])
    whole = lds.smooth(system, padded, inputs=u, store=("smoothed_mean", "smoothed_cov"))
    np.testing.assert_allclose(ahead.state_mean, whole.smoothed_mean[30:], rtol=1e-10)
    np.testing.assert_allclose(ahead.state_cov, whole.smoothed_cov.dense()[30:], rtol=1e-10)
    mean = ahead.state_mean @ system.C.T + u[30:] @ system.D.T + system.obs_offset
    np.testing.assert_allclose(ahead.mean, mean, rtol=1e-12)
    cov = system.C @ ahead.state_cov @ system.C.T + system.R
    np.testing.assert_allclose(ahead.cov, cov, rtol=1e-12)
    width = 1.6448536269514722 * np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    np.testing.assert_allclose(ahead.upper - ahead.mean, width, rtol=1e-9)
    np.testing.assert_allclose(ahead.mean - ahead.lower, width, rtol=1e-9)


def test_nile_forecast_is_that_of_statsmodels():
    model = UnobservedComponents(NILE, "local level", use_exact_diffuse=True)
    peer = model.smooth([15099, 1469.1]).get_forecast(10)
    ahead = lds.forecast(LEVEL, NILE, 10)
    np.testing.assert_allclose(ahead.mean[:, 0], peer.predicted_mean, rtol=1e-9)
    np.testing.assert_allclose(
        np.column_stack([ahead.lower, ahead.upper]), peer.conf_int(), rtol=1e-8
    )


def test_blocks_of_steps_are_one_forecast(monkeypatch):
    system = LinearSystem(
        [[1, 1], [0, 0.9]], np.eye(2), np.eye(2), np.eye(2), B=[[1.0], [0.5]], D=[[0.3], [0.1]]
    )
    rng = np.random.default_rng(0)
    y, u, ahead_u = (rng.standard_normal(shape) for shape in ((3, 9, 2), (3, 9, 1), (3, 11, 1)))
    whole = lds.forecast(system, y, 11, inputs=u, future_inputs=ahead_u)
    monkeypatch.setattr("eigenflow.lds.forecasting._BLOCK", 2 * 3 * 16)
    parts = lds.forecast(system, y, 11, inputs=u, future_inputs=ahead_u)
    for name in ("mean", "lower", "upper", "cov", "state_mean", "state_cov"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-13)
    assert lds.forecast(system, y, 0, inputs=u, future_inputs=ahead_u[:, :0]).mean.shape == (
        3,
        0,
        2,
    )


def test_batches_changing_systems_and_open_directions():
    y = np.stack([NILE, NILE[::-1]])[..., None]
    both = lds.forecast(LEVEL, y, 3)
    assert both.mean.shape == (2, 3, 1)
    assert both.cov.shape == (2, 3, 1, 1)
    np.testing.assert_array_equal(both.mean[0], lds.forecast(LEVEL, NILE, 3).mean)
    unseen = lds.forecast(LEVEL, [np.nan, np.nan], 2)
    assert np.isinf(unseen.lower).all()
    assert np.isinf(unseen.upper).all()
    half = LinearSystem(np.eye(2), [[1, 0], [0, 1]], np.eye(2), np.eye(2))
    some = lds.forecast(half, [[1.0, np.nan]], 2)
    assert list(np.isinf(some.upper[0])) == [False, True]
    C = np.arange(1.0, 6.0).reshape(5, 1, 1)
    changing = LinearSystem(1, C[:3], 1, 1, cov0=1, time_varying=True)
    later = LinearSystem(1, C[3:], 1, 1, cov0=1, time_varying=True)
    ahead = lds.forecast(changing, [1.0, 2.0, 3.0], 2, future=later)
    np.testing.assert_allclose(ahead.mean[:, 0], ahead.state_mean[:, 0] * [4, 5], rtol=1e-14)
    assert lds.forecast(LEVEL, NILE, 0).mean.shape == (0, 1)


def got_normality(checks):
    return checks.normality.statistic[0], checks.normality.p_value[0]


@pytest.mark.parametrize("where", [(), (20, 21, 50)])
def test_diagnostics_are_those_of_statsmodels(where):
    y = NILE.copy()
    y[list(where)] = np.nan
    model = UnobservedComponents(y, "local level", use_exact_diffuse=True)
    peer = model.smooth([15099, 1469.1])
    got = lds.diagnose(LEVEL, y, lags=9)
    want = peer.test_heteroskedasticity("breakvar", use_f=True)[0]
    # The peer takes a missing residual for a zero.
    if not where:
        np.testing.assert_allclose(
            [got.heteroskedasticity.statistic[0], got.heteroskedasticity.p_value[0]],
            want,
            rtol=1e-8,
        )
        table = acorr_ljungbox(got.residuals[1:, 0], lags=[9])
        np.testing.assert_allclose(
            [got.ljung_box.statistic[0], got.ljung_box.p_value[0]], table.iloc[0], rtol=1e-9
        )
        jb = peer.test_normality("jarquebera")[0]
        numbers = (*got_normality(got), got.skewness[0], got.kurtosis[0])
        np.testing.assert_allclose(numbers, jb, rtol=1e-8)
    e = got.residuals[np.isfinite(got.residuals)]
    np.testing.assert_allclose(got_normality(got), jarque_bera(e), rtol=1e-10)
    e = peer.filter_results.standardized_forecasts_error[0]
    seen = ~np.isnan(y)
    np.testing.assert_allclose(got.residuals[1:, 0][seen[1:]], e[1:][seen[1:]], rtol=1e-8)
    assert np.isnan(got.residuals[0, 0])


def test_nile_diagnostics_are_the_published_ones():
    # Durbin and Koopman (2012), page 40.
    got = lds.diagnose(LEVEL, NILE, lags=9)
    numbers = [got.ljung_box.statistic, got.heteroskedasticity.statistic, got.normality.statistic]
    np.testing.assert_allclose(np.ravel(numbers), [8.84, 0.61, 0.05], atol=0.006)
    np.testing.assert_allclose([got.skewness[0], got.kurtosis[0]], [-0.03, 3.09], atol=0.006)


def test_residuals_of_several_series_are_white():
    rng = np.random.default_rng(0)
    R = np.array([[2, 0.9], [0.9, 1]])
    system = LinearSystem([[0.8]], [[1], [0.5]], 1, R)
    y = lds.simulate(system, 40_000, rng=1).observations
    y[rng.random(y.shape) < 0.05] = np.nan
    e = lds.standardized_residuals(system, y)
    np.testing.assert_array_equal(np.isnan(e), np.isnan(y))
    whole = e[~np.isnan(e).any(1)]
    np.testing.assert_allclose(np.cov(whole.T), np.eye(2), atol=0.03)
    np.testing.assert_allclose(np.nanvar(e), 1, atol=0.02)
    checks = lds.diagnose(system, y)
    assert checks.lags == 10
    assert np.all(checks.ljung_box.p_value > 1e-3)
    assert np.all(checks.normality.p_value > 1e-3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lds.forecast(LEVEL, NILE, -1), ValueError, r"^steps: got -1"),
        (lambda: lds.forecast(LEVEL, NILE, 1.5), TypeError, r"^steps: got 1\.5"),
        (lambda: lds.forecast(LEVEL, NILE, 1, level=95), ValueError, r"^level: got 95"),
        (
            lambda: lds.forecast(
                LinearSystem(1, 1, 1, np.ones((2, 1, 1)), time_varying=True), [1.0, 2.0], 1
            ),
            ValueError,
            r"^future: got None",
        ),
        (lambda: lds.diagnose(LEVEL, NILE, lags=0), ValueError, r"^lags: got 0"),
        (lambda: lds.diagnose(LEVEL, NILE, lags=99), ValueError, r"^lags: got 99"),
        (lambda: lds.diagnose(LEVEL, np.ones((2, 9, 1))), ValueError, r"^y: .*want one series"),
    ],
)
def test_bad_input_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("y", [np.empty(0), np.full(5, np.nan), [1.0], [1.0, 2.0]])
def test_no_residuals_no_diagnosis(y):
    with pytest.raises(ValueError, match=r"^y: got [01] numbers in a column besides those that a"):
        lds.diagnose(LEVEL, y)


def test_a_forecast_out_of_range_says_from_where_it_counts(monkeypatch):
    growing = LinearSystem(1.1, 1.0, 1.0, 1.0, cov0=1.0)
    with pytest.raises(ValueError, match=r"at step 37\d\d, want other units, [^(]*$"):
        lds.forecast(growing, [1.0], 5000)
    monkeypatch.setattr("eigenflow.lds.forecasting._BLOCK", 4 * 1000)
    with pytest.raises(ValueError, match=r"at step 7\d\d, .* \(counted from 3000 steps ahead\)$"):
        lds.forecast(growing, [1.0], 5000)


def test_no_steps_ahead_of_a_changing_system():
    changing = LinearSystem(np.ones((1, 1, 1)), 1.0, 1.0, 1.0, cov0=1.0, time_varying=True)
    ahead = lds.forecast(LEVEL, NILE, 0, future=changing)
    assert ahead.mean.shape == (0, 1)
