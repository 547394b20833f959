"""Score and maximum likelihood: eigenflow against the state space code of statsmodels."""

import numpy as np
import pytest
from statsmodels.tsa.statespace.structural import UnobservedComponents

from eigenflow import lds

N_STEPS = 2_000


@pytest.fixture(scope="module")
def series():
    model = lds.structural("local linear trend", seasonal=12)
    params = np.array([1.0, 0.1, 0.01, 0.1])
    system = model.system(params)
    proper = lds.LinearSystem(
        system.A, system.C, system.Q, system.R, mean0=np.zeros(13), cov0=np.eye(13)
    )
    y = lds.simulate(proper, N_STEPS, rng=0).observations[:, 0]
    peer = UnobservedComponents(y, "lltrend", seasonal=12, use_exact_diffuse=True)
    return model, params, y, peer


def test_score_eigenflow(contest, series):
    model, params, y, _ = series
    contest(
        f"lds score, n=13, 4 parameters, T={N_STEPS}", "eigenflow", lambda: model.score(params, y)
    )


def test_score_statsmodels(contest, series):
    model, params, y, peer = series
    got = model.score(params, y)[1]
    wanted = peer.score(params, approx_complex_step=False, approx_centered=True)
    error = float(np.max(np.abs(got - wanted)) / np.max(np.abs(wanted)))
    contest(
        f"lds score, n=13, 4 parameters, T={N_STEPS}",
        "statsmodels, differences",
        lambda: peer.score(params, approx_complex_step=False),
        rounds=1,
        error=error,
    )


def test_fit_eigenflow(contest, series):
    model, _, y, _ = series
    contest(
        f"lds fit, n=13, 4 parameters, T={N_STEPS}",
        "eigenflow",
        lambda: lds.fit(model, y),
        rounds=1,
    )


def test_fit_statsmodels(contest, series):
    model, _, y, peer = series
    best = peer.fit(disp=0)
    error = float(lds.fit(model, y).log_likelihood - best.llf)
    contest(
        f"lds fit, n=13, 4 parameters, T={N_STEPS}",
        "statsmodels",
        lambda: peer.fit(disp=0),
        rounds=1,
        error=error,
    )
