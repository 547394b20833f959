"""Filtering of a long series: eigenflow against the state space code of statsmodels."""

import tracemalloc

import numpy as np
import pytest
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter

from eigenflow import lds
from eigenflow.lds import LinearSystem

N_STEPS = 1_000_000


def systems():
    rng = np.random.default_rng(0)
    A = np.diag([0.9, 0.8, 0.5, -0.3]) + 0.1 * np.triu(rng.standard_normal((4, 4)), 1)
    return {
        1: LinearSystem(1, 1, 0.1, 1, cov0=1.0),
        4: LinearSystem(A, rng.standard_normal((1, 4)), np.eye(4), 1),
    }


@pytest.fixture(scope="module", params=[1, 4], ids=lambda n: f"n={n}")
def series(request):
    system = systems()[request.param]
    return system, lds.simulate(system, N_STEPS, rng=1).observations


def peer(system, y, memory):
    n = system.state_dim
    model = KalmanFilter(k_endog=1, k_states=n, k_posdef=n)
    model.bind(np.ascontiguousarray(y))
    model["design"], model["transition"], model["selection"] = system.C, system.A, np.eye(n)
    model["obs_cov"], model["state_cov"] = system.R, system.Q
    model.initialize_known(system.mean0, system.cov0)
    model.set_conserve_memory(memory)
    return model


def peak_bytes_a_step(function):
    """Python and NumPy memory; eigenflow's kernels keep a few tiles a worker beside it."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1] / N_STEPS
    finally:
        tracemalloc.stop()


def run(contest, name, workers, function):
    who = "eigenflow" if workers is None else "eigenflow, one core"
    contest(name, who, function, bytes_a_step=peak_bytes_a_step(function))


def cell(task, system):
    return f"lds {task}, n={system.state_dim}, p=1"


@pytest.mark.parametrize("workers", [None, 1], ids=["all cores", "one core"])
def test_filter_eigenflow(contest, series, workers):
    system, y = series
    run(contest, cell("filter", system), workers, lambda: lds.filter(system, y, workers=workers))


def test_filter_statsmodels(contest, series):
    system, y = series
    model = peer(system, y, 0)
    got, expected = lds.filter(system, y).filtered_mean, model.filter().filtered_state.T
    error = float(np.max(np.abs(got - expected)))
    contest(cell("filter", system), "statsmodels", model.filter, rounds=1, error=error)


@pytest.mark.parametrize("workers", [None, 1], ids=["all cores", "one core"])
def test_log_likelihood_eigenflow(contest, series, workers):
    system, y = series
    task = cell("log-likelihood", system)
    run(contest, task, workers, lambda: lds.log_likelihood(system, y, workers=workers))


def test_log_likelihood_statsmodels(contest, series):
    system, y = series
    model = peer(system, y, 0)
    error = abs(lds.log_likelihood(system, y) / model.loglike() - 1)
    contest(cell("log-likelihood", system), "statsmodels", model.loglike, rounds=1, error=error)
