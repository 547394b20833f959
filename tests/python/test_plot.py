"""Plots show the numbers they are given, on the axes they are given."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import eigenflow as ef

mpl.use("Agg")


@pytest.fixture
def ax():
    return Figure().subplots()


def line(ax, label):
    return next(x for x in ax.get_lines() if x.get_label() == label)


def test_path_shows_risk_loss_and_stop(ax):
    times = np.geomspace(1, 100, 9)
    risk = (np.log(times) - 2) ** 2 + 1
    best = times[risk.argmin()]
    assert ef.plot.path(times, risk, best, loss=risk + 0.1, ax=ax) is ax
    np.testing.assert_array_equal(line(ax, "estimated risk").get_xydata(), np.c_[times, risk])
    np.testing.assert_array_equal(line(ax, "true loss").get_ydata(), risk + 0.1)
    x, y = line(ax, f"stopped at {best:.3g}").get_data()
    assert (x[0], y[0]) == pytest.approx((best, risk.min()))
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")


def test_path_takes_unsorted_times_and_negative_risks(ax):
    ef.plot.path([4.0, 1.0, 2.0], [-1.0, 3.0, 0.0], 2.0, ax=ax)
    assert line(ax, "stopped at 2").get_ydata()[0] == pytest.approx(0.0)
    assert ax.get_yscale() == "linear"


def test_a_wide_range_of_risks_gets_a_logarithmic_axis(ax):
    assert ef.plot.path([1.0, 2.0], [1.0, 100.0], ax=ax).get_yscale() == "log"


@pytest.mark.parametrize("signal", [[1], [False, True, False, False]])
def test_learned_eigenvalues_highlight_the_signal(ax, signal):
    ef.plot.learned_eigenvalues([1.0, 0.1, 0.0, 2.0], [1.0, 0.5, 0.0, 2.0], signal=signal, ax=ax)
    np.testing.assert_array_equal(line(ax, "signal").get_xydata(), [[0.1, 0.5]])
    np.testing.assert_array_equal(line(ax, "others").get_xydata(), [[1.0, 1.0], [2.0, 2.0]])


def test_learned_eigenvalues_of_nothing_are_an_empty_plot(ax):
    ef.plot.learned_eigenvalues(np.zeros(3), np.zeros(3), ax=ax)
    assert line(ax, "eigenvalues").get_xydata().size == 0


def test_spectrum_is_ordered_by_eigenvalue(ax):
    ef.plot.spectrum([[0.1, -3.0], [0.0, 0.5]], [[1.0, 2.0], [4.0, 3.0]], level=0.5, ax=ax)
    np.testing.assert_array_equal(line(ax, "signal").get_xydata(), [[2, 0.5], [3, 3.0]])
    np.testing.assert_array_equal(line(ax, "below").get_xydata(), [[4, 0.1]])


def test_misalignment_marks_the_two_minima(ax):
    signal = np.where(np.arange(1, 101) % 10 == 0, 1.0, 0.0)
    report = ef.flow.misalignment_report(signal, np.arange(100, 0, -1.0), 1e-2)
    assert report.plot(ax) is ax
    ordered = line(ax, "keep k, order of the signal").get_ydata()
    assert ordered.min() == pytest.approx(report.ideal_risk)
    wrong = line(ax, "keep k, order of the eigenvalues").get_ydata()
    assert wrong.min() == pytest.approx(report.truncation_risk)
    assert line(ax, "flow, fixed eigenvalues").get_ydata()[0] == report.fixed_risk


def test_without_axes_a_figure_is_made():
    import matplotlib.pyplot as plt

    made = ef.plot.spectrum([1.0, 0.5])
    assert made.figure.number in plt.get_fignums()
    plt.close(made.figure)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.path([1.0, 2.0], [1.0]), r"risk: got shape \(1,\)"),
        (lambda p: p.path([1.0], [1.0], loss=[1.0, 2.0]), r"loss: got shape \(2,\)"),
        (lambda p: p.learned_eigenvalues([1.0], [1.0, 2.0]), r"learned: got shape \(2,\)"),
        (lambda p: p.learned_eigenvalues([1.0], [1.0], signal=[1]), r"signal: got \[1\]"),
        (lambda p: p.learned_eigenvalues([1.0], [1.0], signal=[True] * 2), "signal: got a mask"),
        (lambda p: p.spectrum([1.0], [1.0, 2.0]), "eigenvalues: got shape"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(ef.plot)


@pytest.mark.parametrize(
    ("module", "code", "extra"),
    [("matplotlib", "ef.plot.spectrum([1.0])", "plot"), ("sklearn", "ef.estimators", "sklearn")],
)
def test_a_missing_extra_is_named(module, code, extra):
    program = f"import sys; sys.modules[{module!r}] = None; import eigenflow as ef; {code}"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"pip install eigenflow[{extra}]" in run.stderr
