"""KalmanForecaster: statsmodels' numbers, pandas' index, scikit-learn's manners."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from statsmodels.tsa.statespace.structural import UnobservedComponents

from eigenflow import lds
from eigenflow.demo.nile import FLOW
from eigenflow.estimators import KalmanForecaster

pandas = pytest.importorskip("pandas")

NILE = np.array(FLOW, float)


@pytest.fixture(scope="module")
def nile():
    return KalmanForecaster().fit(NILE)


def test_forecasts_are_those_of_statsmodels(nile):
    peer = UnobservedComponents(NILE, "llevel", use_exact_diffuse=True)
    with_same = peer.smooth(nile.result_.params)
    expected = with_same.get_forecast(5)
    np.testing.assert_allclose(nile.predict(5), expected.predicted_mean, rtol=1e-8)
    interval = expected.conf_int(alpha=0.1)
    np.testing.assert_allclose(nile.predict_interval(5), interval, rtol=1e-8)
    np.testing.assert_allclose(nile.smoothed_, with_same.smoothed_state[0], rtol=1e-8)
    std = np.sqrt(with_same.smoothed_state_cov[0, 0])
    np.testing.assert_allclose(nile.smoothed_std_, std, rtol=1e-8)
    np.testing.assert_allclose(nile.predicted_[1:], with_same.fittedvalues[1:], rtol=1e-8)
    assert np.isnan(nile.predicted_[0])
    assert nile.params_["sigma2.level"] == pytest.approx(1469.18, abs=0.05)


@pytest.mark.parametrize(
    ("index", "after"),
    [
        (range(1871, 1971), [1971, 1972]),
        (pandas.date_range("1871-12-31", periods=100, freq="YE"), ["1971-12-31", "1972-12-31"]),
        (pandas.period_range("1871", periods=100, freq="Y"), ["1971", "1972"]),
        ([f"year {i}" for i in range(100)], [100, 101]),
    ],
)
def test_the_index_is_kept_and_continued(index, after):
    y = pandas.Series(NILE, index=index)
    model = KalmanForecaster().fit(y)
    assert model.smoothed_.index.equals(y.index)
    forecast, interval = model.predict(2), model.predict_interval(2)
    kept = [str(x)[: len(str(after[0]))] for x in forecast.index]
    assert kept == [str(x) for x in after]
    assert interval.index.equals(forecast.index)
    assert list(interval.columns) == ["lower", "upper"]
    assert (interval["lower"] < forecast).all()


def test_updating_goes_on_where_the_series_ended(nile):
    half = clone(nile).set_params(model=lds.local_level()).fit(NILE[:60])
    fixed = half.system_
    rest = float(lds.log_likelihood(fixed, NILE[60:], state=half.final_state_)) / 40
    assert half.score(NILE[60:]) == pytest.approx(rest)
    half.update(NILE[60:80]).update(NILE[80:])
    whole = lds.filter(fixed, NILE).final_state
    assert half.predict(1)[0] == pytest.approx(whole.mean[0], rel=1e-12)
    series = pandas.Series(NILE[:60], index=range(60))
    moved = KalmanForecaster().fit(series).update(pandas.Series(NILE[60:], index=range(60, 100)))
    assert list(moved.predict(1).index) == [100]


def test_gaps_and_seasons():
    rng = np.random.default_rng(0)
    t = np.arange(80)
    y = 10 + 0.1 * t + np.array([3, -1, 0, -2])[t % 4] + 0.3 * rng.standard_normal(80)
    y[30:35] = np.nan
    model = KalmanForecaster("local linear trend", seasonal=4).fit(y)
    expected = 10 + 0.1 * np.arange(80, 88) + np.array([3, -1, 0, -2])[np.arange(80, 88) % 4]
    np.testing.assert_allclose(model.predict(8), expected, atol=0.8)
    assert not np.isnan(model.smoothed_).any()
    assert model.smoothed_std_[30:35].max() > model.smoothed_std_[37:42].max()


def test_it_is_an_estimator(nile):
    model = KalmanForecaster("smooth trend", ar=1)
    assert clone(model).get_params() == model.get_params()
    assert "smooth trend" in repr(model)
    with pytest.raises(NotFittedError):
        model.predict(1)
    ax = nile.plot(NILE, steps=10, ax=Figure().subplots())
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"observed", "level", "forecast"} <= set(labels)


def test_what_it_cannot_read_is_refused(nile):
    with pytest.raises(ValueError, match=r"^y: got shape \(2, 3\), want one series"):
        KalmanForecaster().fit(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"^level: got 'cubic'"):
        KalmanForecaster("cubic").fit(NILE)
    with pytest.raises(ValueError, match=r"^steps: got 0"):
        nile.predict(0)
    with pytest.raises(ValueError, match=r"^coverage: got 1"):
        nile.predict_interval(1, coverage=1)
