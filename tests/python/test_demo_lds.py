import math

import numpy as np
import pytest

from eigenflow import lds
from eigenflow.demo import lds as section_module
from eigenflow.demo import nile


@pytest.fixture(scope="module")
def messages():
    return []


@pytest.fixture(scope="module")
def section(messages):
    return section_module.run(messages.append)


def test_the_bar_is_told_of_every_step(section, messages):
    assert len(messages) == section_module.N_STEPS
    assert len(section.pictures) == 3
    assert section.title == "lds"


def test_the_nile_is_the_published_series():
    assert len(nile.FLOW) == 100
    assert np.mean(nile.FLOW) == pytest.approx(919.35)
    assert np.var(nile.FLOW, ddof=1) == pytest.approx(28637.947, abs=1e-3)


def test_the_fit_is_the_published_maximum(section):
    what, result = section.summary[0]
    assert "exact diffuse" in what
    assert result == "-633.464564"
    level = section_module._nile_level()
    assert level.system.R[0, 0] == pytest.approx(15098.518, rel=1e-5)
    assert level.system.Q[0, 0] == pytest.approx(1469.176, rel=1e-4)
    at_published = lds.log_likelihood(lds.LinearSystem(1.0, 1.0, 1469.176, 15098.518), nile.FLOW)
    assert at_published == pytest.approx(-633.464564, abs=6e-7)


def test_smoothing_narrows_the_band_inside_and_not_at_the_end(section):
    level = section_module._nile_level()
    assert (level.smoothed_std[10:90] < 0.8 * level.filtered_std[10:90]).all()
    assert level.smoothed_std[-1] == pytest.approx(level.filtered_std[-1])
    drop = np.diff(level.smoothed)
    assert abs(nile.FIRST_YEAR + 1 + int(np.argmin(drop)) - 1898) <= 2


def test_only_two_of_the_three_lengths_grow(section):
    mean, total, truncated = (np.array([int(n) for n in row[1:]]) for row in section.tables[0].rows)
    assert np.ptp(mean[1:]) == 0
    assert mean.max() <= 8
    for growing in (total, truncated):
        steps = np.diff(growing)
        assert (steps > 0).all()
        assert np.ptp(steps[1:]) <= 1  # the same number of flows for every factor of ten


def test_a_short_filter_predicts_the_nile_as_well_as_the_kalman_filter(section):
    level = section_module._nile_level()
    fixed, kalman = section_module._one_step_errors(level, 7)
    assert fixed == pytest.approx(kalman, rel=0.03)


def test_the_risk_collapses_at_the_size_of_the_chain(section):
    rows = [[float(cell) for cell in row] for row in section.tables[1].rows]
    for eigenvalue, t, *values in rows:
        below, above = values[:3], values[3:]
        assert min(below) > 4 * max(above)
        assert max(above) <= math.log(1 + 3 * 0.16 / 0.84) + 0.005
        if (eigenvalue, t) == (1.1, 70):
            assert values == [27.05, 20.42, 12.42, 0.45, 0.32, 0.17, 0.0]
    by_time = np.array([row[2:5] for row in rows if row[0] == 1.0])
    assert (np.diff(by_time, axis=0) > 0).all()
