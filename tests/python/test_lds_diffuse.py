"""Published values of the Nile series, and exact diffuse starts against statsmodels."""

import mpmath
import numpy as np
import pytest
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from eigenflow import lds
from eigenflow.demo.nile import FLOW
from eigenflow.lds import LinearSystem
from reference import lds as truth

NILE = np.array(FLOW, float)
LEVEL = LinearSystem(1, 1, 1469.1, 15099)
GAPPY = NILE.copy()
GAPPY[20:40] = np.nan
GAPPY[60:80] = np.nan
COVS = ("smoothed_mean", "smoothed_cov")


def test_nile_log_likelihood_in_each_convention():
    # Durbin and Koopman (2012), 7.2.5, at the maximum-likelihood values.
    q, r = 1469.176, 15098.518
    exact = lds.filter(LinearSystem(1, 1, q, r), NILE)
    assert exact.log_likelihood == pytest.approx(-633.464564, abs=5e-7)
    assert "exact diffuse" in exact.diffuse_convention
    # KFAS leaves the constant of the first observation out.
    assert exact.log_likelihood + np.log(2 * np.pi) / 2 == pytest.approx(-632.545625, abs=5e-7)
    for variance, value in ((1e7, -641.585578), (1e6, -640.989753)):
        proper = LinearSystem(1, 1, q, r, cov0=variance)
        assert lds.log_likelihood(proper, NILE) == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize(
    ("ratio", "value"),
    [(1, -495.68), (0.0360, -492.53), (0.0745, -492.10), (0.0974, -492.07), (0.0973, -492.07)],
)
def test_nile_concentrated_log_likelihood(ratio, value):
    # Table 2.1 of Durbin and Koopman: the variance is maximised out; the constants n log(2 pi)/2
    # and (n - 1)/2 are left out.
    unit = lds.filter(LinearSystem(1, 1, ratio, 1), NILE, store=("innovations", "innovation_cov"))
    v, F = unit.innovations[1:, 0], unit.innovation_cov.dense()[1:, 0, 0]
    n = len(NILE)
    variance = np.mean(v**2 / F)
    best = LinearSystem(1, 1, ratio * variance, variance)
    concentrated = lds.log_likelihood(best, NILE) + (n - 1) / 2 + n * np.log(2 * np.pi) / 2
    assert concentrated == pytest.approx(value, abs=0.006)


def test_nile_steady_state_and_last_prediction():
    steady = lds.steady_state(LEVEL)
    assert steady.predicted_cov[0, 0] == pytest.approx(5501.258, abs=5e-4)
    assert steady.gain[0, 0] == pytest.approx(0.267048, abs=5e-7)
    assert steady.innovation_cov[0, 0] == pytest.approx(20600.258, abs=5e-4)
    result = lds.filter(LEVEL, NILE, store=("filtered_cov",))
    assert result.filtered_cov[-1][0, 0] == pytest.approx(4032.158, abs=5e-4)
    assert result.final_state.mean[0] == pytest.approx(798.3703, abs=5e-5)
    assert result.n_diffuse == 1


def test_nile_with_a_large_prior_variance():
    result = lds.filter(
        LinearSystem(1, 1, 1469.1, 15099, cov0=1e7),
        NILE,
        store=("predicted_mean", "predicted_cov"),
    )
    assert result.predicted_mean[1, 0] == pytest.approx(1118.3115, abs=5e-5)
    assert result.predicted_cov[1][0, 0] == pytest.approx(16545.336, abs=5e-4)


@pytest.mark.parametrize("method", ["auto", "full"])
def test_nile_smoothed_level(method):
    result = lds.smooth(LEVEL, NILE, store=COVS, method=method)
    at = [0, 49, 99]
    np.testing.assert_allclose(result.smoothed_mean[at, 0], [1111.668, 834.763, 798.370], atol=5e-4)
    variance = result.smoothed_cov.dense()[at, 0, 0]
    np.testing.assert_allclose(variance, [4032.158, 2326.757, 4032.158], atol=5e-4)
    rho = lds.steady_state(LEVEL).rho
    np.testing.assert_allclose(variance[1], 15099 * (1 - rho) / (1 + rho), rtol=1e-9)


def test_nile_with_gaps():
    result = lds.filter(LEVEL, GAPPY, store=("predicted_cov",))
    assert result.log_likelihood == pytest.approx(-381.506001, abs=5e-7)
    assert result.predicted_cov[40][0, 0] == pytest.approx(34883.296, abs=5e-4)


def peer(system, y):
    """The same system in statsmodels, with its convergence switch off."""
    n, p, k = system.state_dim, system.obs_dim, system.diffuse_directions.shape[1]
    model = KalmanSmoother(k_endog=p, k_states=n, k_posdef=n)
    model.bind(np.ascontiguousarray(y))
    model["design"], model["transition"], model["selection"] = system.C, system.A, np.eye(n)
    model["obs_cov"], model["state_cov"] = system.R, system.Q
    model["state_intercept"] = system.state_offset[:, None]
    model["obs_intercept"] = system.obs_offset[:, None]
    model.tolerance = 0
    if k:
        spread = system.diffuse_directions @ system.diffuse_directions.T
        model.initialize_components(a=system.mean0, Pstar=system.cov0, Pinf=spread)
    else:
        model.initialize_known(system.mean0, system.cov0)
    return model


def random_diffuse(seed, n, p, n_diffuse):
    """Diffuse states first: the peer wants them to be coordinates."""
    rng = np.random.default_rng(seed)
    A = 0.6 * rng.standard_normal((n, n)) / np.sqrt(n)
    A[:n_diffuse, :n_diffuse] = np.eye(n_diffuse)
    Q, R, cov0 = (M @ M.T for M in (rng.standard_normal((k, k)) for k in (n, p, n)))
    mask = np.arange(n) < n_diffuse
    cov0[mask] = cov0[:, mask] = 0
    return LinearSystem(
        A,
        rng.standard_normal((p, n)),
        Q,
        R,
        diffuse=mask,
        cov0=cov0,
        state_offset=rng.standard_normal(n),
        obs_offset=rng.standard_normal(p),
    )


@pytest.mark.filterwarnings("ignore:The univariate filtering approach")
@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize(
    ("n", "p", "n_diffuse"),
    [
        (1, 1, 1),
        (2, 1, 0),
        (2, 1, 2),
        (2, 1, 1),
        (3, 2, 1),
        (3, 1, 1),
        (2, 3, 1),
        (4, 2, 0),
        (2, 2, 2),
        (4, 2, 3),
    ],
)
def test_random_systems_agree_with_statsmodels(n, p, n_diffuse, share):
    system = random_diffuse(10 * n + p, n, p, n_diffuse)
    assert system.diffuse_directions.shape[1] == n_diffuse
    y = lds.simulate(system, 120, rng=3).observations
    y[np.random.default_rng(1).random(y.shape) < share] = np.nan
    model = peer(system, y)
    expected = model.smooth()
    result = lds.filter(system, y, store=("filtered_mean", "predicted_cov", "filtered_cov"))
    smoothed = lds.smooth(system, y, store=COVS)
    np.testing.assert_allclose(result.log_likelihood, expected.llf, rtol=1e-9)
    np.testing.assert_allclose(
        result.filtered_mean, expected.filtered_state.T, rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        smoothed.smoothed_mean, expected.smoothed_state.T, rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        smoothed.smoothed_cov.dense(),
        np.moveaxis(expected.smoothed_state_cov, -1, 0),
        rtol=1e-6,
        atol=1e-6,
    )
    if n_diffuse:
        assert result.n_diffuse == expected.nobs_diffuse


SYSTEMS = {
    "level": LEVEL,
    "trend": LinearSystem([[1, 1], [0, 1]], [[1, 0]], np.diag([0.3, 0.1]), 1),
    "smooth trend": LinearSystem([[1, 1], [0, 1]], [[1, 0]], np.diag([0, 0.1]), 0.5),
    "seasonal": LinearSystem(
        [[-1, -1, -1], [1, 0, 0], [0, 1, 0]], [[1, 0, 0]], np.diag([0.4, 0, 0]), 1
    ),
    "rotation": LinearSystem(
        [[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]], [[1, 0]], 0.1 * np.eye(2), 1
    ),
    "unstable and stable": LinearSystem([[1.1, 0.2], [0, 0.5]], [[1, 1]], [[1, 0.3], [0.3, 1]], 1),
    "two series, one level": LinearSystem(1, [[1], [0.5]], 0.3, [[1, 0.4], [0.4, 1]]),
    "two levels, two series": LinearSystem(
        np.eye(2), [[1, 0.5], [0.2, 1]], np.eye(2), [[1, 0.4], [0.4, 1]]
    ),
    "stable but declared diffuse": LinearSystem(
        [[0.5, 0.1], [0.2, 0.3]], [[1, 0.5]], np.eye(2), 1, diffuse=True
    ),
    "no observation noise": LinearSystem([[1, 1], [0, 1]], [[1, 0]], np.diag([0.3, 0.1]), 0),
}


@pytest.mark.parametrize("gaps", [(), (1, 3, 4), (0, 1)])
@pytest.mark.parametrize("name", SYSTEMS)
def test_an_exact_diffuse_start_is_the_limit_of_large_variances(name, gaps):
    system = SYSTEMS[name]
    y = np.random.default_rng(5).standard_normal((9, system.obs_dim)).cumsum(axis=0)
    y[list(gaps), 0] = np.nan
    arrays = (system.A, system.C, system.Q, system.R, system.mean0, system.cov0)
    means, covs, expected = truth.diffuse_smooth(*arrays, system.diffuse_directions, y)
    result = lds.smooth(system, y, store=COVS)
    np.testing.assert_allclose(result.smoothed_mean, means, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(result.smoothed_cov.dense(), covs, rtol=1e-8, atol=1e-8)
    filtered = lds.filter(system, y, store=("filtered_mean",))
    np.testing.assert_allclose(filtered.filtered_mean[-1], means[-1], rtol=1e-8, atol=1e-8)
    # The constant of the reference belongs to this determinant; ours counts one factor for each
    # direction in the order in which the data see them, and the product is the same.
    np.testing.assert_allclose(result.log_likelihood, expected, rtol=1e-9)


def test_reference_diffuse_level_is_the_published_value():
    expected = truth.diffuse_smooth(
        *(np.array([[x]]) for x in (1.0, 1.0, 1469.176, 15098.518)),
        np.zeros(1),
        np.zeros((1, 1)),
        np.ones((1, 1)),
        NILE[:12, None],
    )[2]
    level = LinearSystem(1, 1, 1469.176, 15098.518)
    assert lds.log_likelihood(level, NILE[:12]) == pytest.approx(expected, rel=1e-10)
    assert mpmath.isfinite(expected)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_the_diffuse_phase_does_not_depend_on_the_unit_of_the_data(scale):
    system = SYSTEMS["trend"]
    y = np.random.default_rng(0).standard_normal(40).cumsum()
    other = LinearSystem(system.A, system.C, system.Q * scale**2, system.R * scale**2)
    plain, scaled = lds.smooth(system, y), lds.smooth(other, scale * y)
    assert plain.n_diffuse == scaled.n_diffuse == 2
    np.testing.assert_allclose(scale * plain.smoothed_mean, scaled.smoothed_mean, rtol=1e-11)


def test_a_direction_that_no_observation_sees_stays_diffuse():
    system = LinearSystem(np.eye(2), [[1, 0]], np.eye(2), 1)
    result = lds.filter(system, NILE[:20])
    assert result.n_diffuse == 20
    assert result.steady_from is None
    np.testing.assert_allclose(np.abs(result.final_state.diffuse), [[0], [1]], atol=1e-15)


def test_a_diffuse_state_that_the_transition_forgets_is_done():
    result = lds.filter(LinearSystem(0, 1, 1, 1, diffuse=True), [np.nan, 1, 2])
    assert result.n_diffuse == 1
    np.testing.assert_allclose(result.log_likelihood, -np.log(4 * np.pi) - (1 + 4) / 4, rtol=1e-14)
