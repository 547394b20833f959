"""Series with gaps: gains found again by pattern, against filters that compute each of them."""

import numpy as np
import pytest

from bench_lds import N_STEPS, PART, ours, series
from eigenflow import lds
from eigenflow.comparison.statespace import in_statsmodels

PERIODS = (10, 100, 1000)


def with_gaps(period):
    system, y = series(4, 1)
    gaps = y.copy()
    gaps[::period] = np.nan
    return system, gaps


@pytest.mark.parametrize("period", PERIODS)
def test_gaps_eigenflow(contest, period):
    system, y = with_gaps(period)
    ours(contest, f"lds filter, n=4, p=1, every {period}th missing", lambda: lds.filter(system, y))


@pytest.mark.parametrize("period", PERIODS)
def test_gaps_each_gain(contest, period):
    system, y = with_gaps(period)
    run = lambda: lds.filter(system, y[:PART], method="joseph")  # noqa: E731
    cell = f"lds filter, n=4, p=1, every {period}th missing"
    scale = N_STEPS // PART
    contest(cell, "not a rival: eigenflow, each gain computed", run, rounds=3, scale=scale)


@pytest.mark.parametrize("period", PERIODS)
def test_gaps_statsmodels(contest, period):
    system, y = with_gaps(period)
    model = in_statsmodels(system, y[:PART])
    got, expected = lds.filter(system, y[:PART]).filtered_mean, model.filter().filtered_state.T
    error = float(np.max(np.abs(got - expected)))
    cell = f"lds filter, n=4, p=1, every {period}th missing"
    contest(cell, "statsmodels", model.filter, rounds=3, error=error, scale=N_STEPS // PART)
