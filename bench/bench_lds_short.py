"""Short series, where the call costs more than the steps: a hundred of them, 200 calls a time."""

import numpy as np
import pytest

from bench_lds import ours, system_of
from eigenflow import lds
from eigenflow.comparison.statespace import in_statsmodels

N_STEPS, CALLS = 100, 200


def task():
    system = system_of(4, 1)
    return system, lds.simulate(system, N_STEPS, rng=1).observations


def often(call):
    def run():
        for _ in range(CALLS):
            call()

    return run


@pytest.mark.parametrize("what", ["filter", "log_likelihood"])
def test_short_eigenflow(contest, what):
    system, y = task()
    call = getattr(lds, what)
    ours(contest, f"lds {what}, n=4, T=100", often(lambda: call(system, y)), per=CALLS)


@pytest.mark.parametrize("what", ["filter", "log_likelihood"])
def test_short_statsmodels(contest, what):
    system, y = task()
    model = in_statsmodels(system, y)
    call = model.filter if what == "filter" else model.loglike
    error = abs(lds.log_likelihood(system, y) / model.loglike() - 1)
    contest(f"lds {what}, n=4, T=100", "statsmodels", often(call), error=error, per=CALLS)


def test_short_simdkalman(contest):
    simdkalman = pytest.importorskip("simdkalman", reason="simdkalman is not installed")
    system, y = task()
    model = simdkalman.KalmanFilter(system.A, system.Q, system.C, system.R)
    start = {"initial_value": system.mean0, "initial_covariance": system.cov0}

    def call():
        return model.compute(y[np.newaxis, :, 0], 0, filtered=True, smoothed=False, **start)

    error = float(
        np.max(np.abs(call().filtered.states.mean[0] - lds.filter(system, y).filtered_mean))
    )
    scale, cell = CALLS // 10, "lds filter, n=4, T=100"
    run = lambda: [call() for _ in range(10)]  # noqa: E731
    contest(cell, "simdkalman", run, rounds=3, error=error, scale=scale, per=CALLS)
