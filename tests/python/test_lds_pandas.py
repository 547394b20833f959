"""pandas in, pandas out: indices kept and continued, the numbers those of plain arrays."""

import numpy as np
import pytest

from eigenflow import lds
from eigenflow.demo.nile import FLOW

pandas = pytest.importorskip("pandas")

LEVEL = lds.LinearSystem(1.0, 1.0, 1469.1, 15099.0)
YEARS = pandas.period_range("1871", periods=100, freq="Y", name="year")
NILE = pandas.Series(FLOW, index=YEARS, name="flow", dtype=float)
EACH = ("filtered_mean", "predicted_mean", "innovations", "log_likelihood_terms")


def test_fields_of_the_filter_keep_the_index():
    plain = lds.filter(LEVEL, NILE.to_numpy(), store=(*EACH, "filtered_cov"))
    got = lds.filter(LEVEL, NILE, store=(*EACH, "filtered_cov"))
    for name in EACH:
        field = getattr(got, name)
        assert field.index.equals(NILE.index)
        np.testing.assert_array_equal(field.to_numpy().ravel(), getattr(plain, name).ravel())
    assert got.innovations.name == "flow"
    assert got.filtered_mean.shape == (100, 1)
    assert isinstance(got.filtered_cov, lds.CovarianceSequence)
    assert got.log_likelihood == plain.log_likelihood == lds.log_likelihood(LEVEL, NILE)


def test_the_smoother_keeps_it_too():
    table = pandas.DataFrame({"a": FLOW, "b": FLOW[::-1]}, index=YEARS, dtype=float)
    table.loc["1880":"1890", "a"] = np.nan
    both = lds.LinearSystem(np.eye(2), np.eye(2), 1469.1 * np.eye(2), 15099.0 * np.eye(2))
    fields = ("smoothed_mean", "state_disturbance", "obs_disturbance")
    got = lds.smooth(both, table, store=fields)
    plain = lds.smooth(both, table.to_numpy(), store=fields)
    for name in fields:
        np.testing.assert_array_equal(getattr(got, name), getattr(plain, name))
        assert getattr(got, name).index.equals(YEARS)
    assert list(got.obs_disturbance.columns) == ["a", "b"]
    assert list(got.smoothed_mean.columns) == [0, 1]


def test_forecasts_go_on_with_the_index():
    ahead = lds.forecast(LEVEL, NILE, 3)
    plain = lds.forecast(LEVEL, NILE.to_numpy(), 3)
    for name in ("mean", "lower", "upper"):
        field = getattr(ahead, name)
        assert [str(x) for x in field.index] == ["1971", "1972", "1973"]
        assert field.name == "flow"
        np.testing.assert_array_equal(field, getattr(plain, name)[:, 0])
    assert ahead.state_mean.index.equals(ahead.mean.index)
    table = lds.forecast(LEVEL, NILE.to_frame(), 2)
    assert list(table.mean.columns) == ["flow"]
    numbered = lds.forecast(LEVEL, NILE.reset_index(drop=True), 2)
    assert list(numbered.mean.index) == [100, 101]


def test_missing_of_any_kind():
    holes = NILE.astype("Float64")
    holes.iloc[20:40] = pandas.NA
    plain = NILE.to_numpy().copy()
    plain[20:40] = np.nan
    assert lds.log_likelihood(LEVEL, holes) == lds.log_likelihood(LEVEL, plain)
    assert lds.score(LEVEL, holes).Q == lds.score(LEVEL, plain).Q


def test_inputs_belong_to_the_same_steps():
    system = lds.LinearSystem(1.0, 1.0, 1469.1, 15099.0, D=1.0)
    u = pandas.Series(np.arange(100.0), index=YEARS)
    plain = lds.log_likelihood(system, FLOW, inputs=np.arange(100.0))
    assert lds.log_likelihood(system, NILE, inputs=u) == plain
    for function in (lds.filter, lds.smooth, lds.score, lds.diagnose):
        with pytest.raises(ValueError, match=r"^inputs: got an index that differs from that of y"):
            function(system, NILE, inputs=u.shift(1, freq="Y"))


def test_residuals_and_fits_take_series():
    checks = lds.diagnose(LEVEL, NILE, lags=9)
    assert checks.residuals.index.equals(YEARS)
    assert checks.ljung_box.statistic[0] == pytest.approx(8.84, abs=0.01)
    found = lds.fit(lds.local_level(), NILE)
    assert found.log_likelihood == pytest.approx(-633.464564, abs=1e-5)


def test_fields_given_by_out_stay_arrays():
    room = np.empty((100, 1))
    got = lds.filter(LEVEL, NILE, out={"filtered_mean": room})
    assert got.filtered_mean is room
