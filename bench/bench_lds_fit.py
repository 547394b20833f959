"""Score and maximum likelihood: eigenflow against the state space code of statsmodels."""

import functools

import numpy as np
import pytest
from statsmodels.tsa.statespace.structural import UnobservedComponents

from eigenflow import lds

N_STEPS = 2_000
SIZES = (3, 7, 13, 30)  # a level, a slope and the states of a season


@functools.cache
def series(n):
    model = lds.structural("local linear trend", seasonal=n - 1)
    params = np.array([1.0, 0.1, 0.01, 0.1])
    system = model.system(params)
    proper = lds.LinearSystem(
        system.A, system.C, system.Q, system.R, mean0=np.zeros(n), cov0=np.eye(n)
    )
    y = lds.simulate(proper, N_STEPS, rng=0).observations[:, 0]
    peer = UnobservedComponents(y, "lltrend", seasonal=n - 1, use_exact_diffuse=True)
    return model, params, y, peer


@pytest.mark.parametrize("n", SIZES)
def test_score_eigenflow(contest, n):
    model, params, y, _ = series(n)
    contest(
        f"lds score, n={n}, 4 parameters, T={N_STEPS}",
        "eigenflow",
        lambda: model.score(params, y),
    )


@pytest.mark.parametrize("n", SIZES)
def test_score_statsmodels(contest, n):
    model, params, y, peer = series(n)
    got = model.score(params, y)[1]
    wanted = peer.score(params, approx_complex_step=False, approx_centered=True)
    error = float(np.max(np.abs(got - wanted)) / np.max(np.abs(wanted)))
    contest(
        f"lds score, n={n}, 4 parameters, T={N_STEPS}",
        "statsmodels, differences",
        lambda: peer.score(params, approx_complex_step=False),
        error=error,
    )


def test_fit_eigenflow(contest):
    model, _, y, _ = series(13)
    contest(
        f"lds fit, n=13, 4 parameters, T={N_STEPS}",
        "eigenflow",
        lambda: lds.fit(model, y),
        rounds=3,
    )


def test_fit_statsmodels(contest):
    model, _, y, peer = series(13)
    best = peer.fit(disp=0)
    error = float(lds.fit(model, y).log_likelihood - best.llf)
    contest(
        f"lds fit, n=13, 4 parameters, T={N_STEPS}",
        "statsmodels",
        lambda: peer.fit(disp=0),
        rounds=3,
        error=error,
    )
