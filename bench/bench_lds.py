"""Filtering of long and of many series: eigenflow against what people use today.

Rivals: the state space code of statsmodels, `scipy.signal.lfilter` on the same steady recursion,
simdkalman on many short series where it is installed, and NumPy's copy as a measure of the memory.
A rival that would take minutes runs a part of the task; `scale` says which.
"""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.signal import lfilter, ss2tf

from eigenflow import lds
from eigenflow._threads import resolve_workers
from eigenflow.comparison.statespace import in_statsmodels
from eigenflow.lds import LinearSystem
from eigenflow.lds.series import aligned

N_STEPS = 1_000_000
PART = 100_000  # what statsmodels runs
ROUNDS = 31  # of tasks of a few milliseconds on all cores: the first ones wake the second core
SHAPES = [(n, p) for n in (1, 2, 4, 8, 16) for p in (1, 2, 4)]


def system_of(n, p, **options):
    rng = np.random.default_rng(0)
    A = np.diag(np.linspace(0.9, -0.3, n)) + 0.1 * np.triu(rng.standard_normal((n, n)), 1)
    return LinearSystem(A, rng.standard_normal((p, n)), np.eye(n), np.eye(p), **options)


_SERIES = {}


def series(n, p):
    """One long series for each shape, drawn once."""
    if (n, p) not in _SERIES:
        system = system_of(n, p)
        _SERIES.clear()
        _SERIES[n, p] = system, lds.simulate(system, N_STEPS, rng=1).observations
    return _SERIES[n, p]


def peak_bytes_a_step(function, n_steps=N_STEPS):
    """Python and NumPy memory; eigenflow's kernels keep a few tiles a worker beside it."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1] / n_steps
    finally:
        tracemalloc.stop()


def ours(contest, cell, function, workers=None, **facts):
    who = "eigenflow" if workers is None else "eigenflow, one core"
    contest(cell, who, function, rounds=ROUNDS, **facts)


@pytest.mark.parametrize(("n", "p"), SHAPES, ids=str)
def test_log_likelihood_eigenflow(contest, n, p):
    system, y = series(n, p)
    ours(contest, f"lds log-likelihood, n={n}, p={p}", lambda: lds.log_likelihood(system, y))


@pytest.mark.parametrize(("n", "p"), SHAPES, ids=str)
def test_log_likelihood_statsmodels(contest, n, p):
    system, y = series(n, p)
    model = in_statsmodels(system, y[:PART])
    error = abs(lds.log_likelihood(system, y[:PART]) / model.loglike() - 1)
    cell = f"lds log-likelihood, n={n}, p={p}"
    scale = N_STEPS // PART
    contest(cell, "statsmodels", model.loglike, rounds=3, error=error, scale=scale)


@pytest.mark.parametrize("workers", [None, 1], ids=["all cores", "one core"])
def test_filter_eigenflow(contest, workers):
    system, y = series(4, 1)

    def run():
        return lds.filter(system, y, workers=workers)

    ours(contest, "lds filter, n=4, p=1", run, workers, bytes_a_step=peak_bytes_a_step(run))


def test_filter_statsmodels(contest):
    system, y = series(4, 1)
    model = in_statsmodels(system, y[:PART])
    got, expected = lds.filter(system, y[:PART]).filtered_mean, model.filter().filtered_state.T
    error = float(np.max(np.abs(got - expected)))
    contest("lds filter, n=4, p=1", "statsmodels", model.filter, rounds=3, error=error, scale=10)


@pytest.mark.parametrize("workers", [None, 1], ids=["all cores", "one core"])
def test_smoother_eigenflow(contest, workers):
    system, y = series(4, 1)

    def run():
        return lds.smooth(system, y, workers=workers)

    ours(contest, "lds smoother, n=4, p=1", run, workers, bytes_a_step=peak_bytes_a_step(run))


def test_smoother_statsmodels(contest):
    system, y = series(4, 1)
    model = in_statsmodels(system, y[:PART], smoother=True)
    got, expected = lds.smooth(system, y[:PART]).smoothed_mean, model.smooth().smoothed_state.T
    error = float(np.max(np.abs(got - expected)))
    contest("lds smoother, n=4, p=1", "statsmodels", model.smooth, rounds=3, error=error, scale=10)


# ---- the same recursion, the same output: one-step predictions on one thread


def test_predictions_eigenflow(contest):
    system, y = series(4, 1)
    out = {"innovations": np.empty((N_STEPS, 1))}
    run = lambda: lds.filter(system, y, store=(), out=out, workers=1)  # noqa: E731
    ours(contest, "lds predictions, n=4, one thread", run, 1)


def test_predictions_lfilter(contest):
    system, y = series(4, 1)
    law = lds.steady_state(system)
    L = system.A @ law.gain
    F = system.A - L @ system.C
    b, a = ss2tf(F, L, system.C, np.zeros((1, 1)))
    column = np.ascontiguousarray(y[:, 0])
    got = y[:, 0] - lds.filter(system, y, store=("innovations",)).innovations[:, 0]
    error = float(np.max(np.abs(lfilter(b[0], a, column) - got)[1000:]))
    run = lambda: lfilter(b[0], a, column)  # noqa: E731
    cell = "lds predictions, n=4, one thread"
    contest(cell, "scipy.signal.lfilter", run, rounds=ROUNDS, error=error)


# ---- memory bandwidth: 8 bytes in and 32 out a step


def test_states_out_eigenflow(contest):
    system, n_steps = system_of(4, 1), 10_000_000
    y = lds.simulate(system, n_steps, rng=1).observations
    out = {"filtered_mean": aligned((n_steps, 4))}
    run = lambda: lds.filter(system, y, store=(), out=out)  # noqa: E731
    ours(contest, "lds states out, T=1e7, n=4", run, bytes_a_step=40.0)


def test_states_out_stream(contest):
    """Copies of half as many bytes, which are read and written: the same traffic, on all cores."""
    size, workers = 10_000_000 * 40 // 16, resolve_workers(None)
    source, out = np.ones(size), np.zeros(size)
    cuts = np.linspace(0, size, 16 * workers + 1).astype(int)

    def part(i):
        np.copyto(out[cuts[i] : cuts[i + 1]], source[cuts[i] : cuts[i + 1]])

    with ThreadPoolExecutor(workers) as pool:
        run = lambda: list(pool.map(part, range(len(cuts) - 1)))  # noqa: E731
        contest("lds states out, T=1e7, n=4", "stream kernel", run, rounds=ROUNDS)


# ---- many short series, and matrices that change


def test_batch_eigenflow(contest):
    system = system_of(2, 1)
    y = lds.simulate(system, 1000, n_series=100_000, rng=1).observations
    run = lambda: lds.filter(system, y)  # noqa: E731
    ours(contest, "lds batch of 1e5 x 1000, n=2", run)


def test_batch_simdkalman(contest):
    simdkalman = pytest.importorskip("simdkalman", reason="simdkalman is not installed")
    system, n_series = system_of(2, 1), 1000
    y = lds.simulate(system, 1000, n_series=n_series, rng=1).observations[..., 0]
    model = simdkalman.KalmanFilter(system.A, system.Q, system.C, system.R)
    start = {"initial_value": system.mean0, "initial_covariance": system.cov0}

    def run():
        return model.compute(y, 0, filtered=True, smoothed=False, **start)

    got = lds.filter(system, y[..., None]).filtered_mean
    error = float(np.max(np.abs(run().filtered.states.mean - got)))
    contest("lds batch of 1e5 x 1000, n=2", "simdkalman", run, rounds=2, error=error, scale=100)


def changing(n_steps):
    base = system_of(4, 1)
    C = np.random.default_rng(3).standard_normal((n_steps, 1, 4))
    system = LinearSystem(
        base.A, C, base.Q, base.R, mean0=base.mean0, cov0=base.cov0, time_varying=True
    )
    return system, lds.simulate(system, n_steps, rng=1).observations


def test_time_varying_eigenflow(contest):
    system, y = changing(PART)
    ours(contest, "lds time-varying filter, n=4, p=1", lambda: lds.filter(system, y))


def test_time_varying_statsmodels(contest):
    system, y = changing(PART)
    model = in_statsmodels(system, y)
    got, expected = lds.filter(system, y).filtered_mean, model.filter().filtered_state.T
    error = float(np.max(np.abs(got - expected)))
    contest("lds time-varying filter, n=4, p=1", "statsmodels", model.filter, rounds=3, error=error)
