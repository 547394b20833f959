"""Plots of linear systems show the numbers they are given."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import eigenflow as ef

mpl.use("Agg")

WALK = ef.lds.LinearSystem(1.0, 1.0, 0.1, 1.0)


@pytest.fixture
def ax():
    return Figure().subplots()


def line(ax, label):
    return next(x for x in ax.get_lines() if x.get_label() == label)


def test_level_shows_series_level_and_band(ax):
    y = np.array([1.0, np.nan, 3.0, 2.0])
    mean, std = np.array([1.0, 1.5, 2.0, 2.2]), np.array([0.5, 1.0, 0.5, 0.25])
    assert ef.plot.level(y, mean, std, band=0.6827, ax=ax, label="state") is ax
    np.testing.assert_array_equal(line(ax, "observed").get_ydata(), y)
    np.testing.assert_array_equal(line(ax, "state").get_ydata(), mean)
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(2.5, abs=1e-3)
    assert corners[:, 1].min() == pytest.approx(0.5, abs=1e-3)


def test_level_uses_the_index_of_pandas(ax):
    pandas = pytest.importorskip("pandas")
    y = pandas.Series([1.0, 2.0, 3.0], index=[1871, 1872, 1873])
    ef.plot.level(y, [1.0, 2.0, 3.0], [1.0, 1.0, 1.0], ax=ax)
    np.testing.assert_array_equal(line(ax, "level").get_xdata(), [1871, 1872, 1873])
    quarters = pandas.period_range("2000Q1", periods=3, freq="Q")
    ef.plot.level(
        None, [1.0, 2.0, 3.0], [1.0] * 3, times=quarters, label="dates", ax=Figure().subplots()
    )


def test_phase_transition_marks_where_it_is_bounded(ax):
    A = np.eye(3, k=1) + np.diag([1.0, 1.0, 0.4])
    system = ef.lds.LinearSystem(A, np.eye(3), np.eye(3), np.zeros((3, 3)))
    sweep = ef.lds.phase_sweep(system, ef.lds.TopLeftBlock, [1, 2, 3], [100, 10**5])
    ef.plot.phase_transition(sweep, ax=ax)
    np.testing.assert_array_equal(line(ax, "100").get_ydata(), sweep.log1p_mean[:, 0])
    np.testing.assert_array_equal(line(ax, "1e5").get_ydata(), sweep.log1p_mean[:, 1])
    assert line(ax, "bounded from here").get_xdata()[0] == 2


def test_filter_lengths_by_three_criteria(ax):
    ef.plot.filter_lengths(WALK, [10**3, 10**6], ax=ax)
    lengths = [list(map(int, curve.get_ydata())) for curve in ax.get_lines()]
    assert [curve[-1] for curve in lengths] == [7, 21, 24]
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([1.0], [1.0, 2.0], [1.0, 1.0]), {}, r"^y: got shape \(1,\), want \(2,\)"),
        ((None, [1.0, 2.0], [1.0]), {}, r"^std: got shape \(1,\), want \(2,\)"),
        ((None, [1.0], [1.0]), {"band": 1.0}, r"^band: got 1.0"),
        ((None, [1.0], [1.0]), {"times": [1, 2]}, r"^times: got 2 positions, want 1"),
    ],
)
def test_levels_that_do_not_fit_are_refused(arguments, options, message, ax):
    with pytest.raises(ValueError, match=message):
        ef.plot.level(*arguments, ax=ax, **options)
