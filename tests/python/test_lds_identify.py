"""Subspace identification and least squares over restricted predictors."""

import math

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from eigenflow import lds
from eigenflow.demo.nile import FLOW
from eigenflow.lds.estimation.windows import HankelData, autoregressive_factor
from reference.horizon import jordan

TURNING = lds.LinearSystem([[0.9, 0.3], [-0.3, 0.9]], [[1.0, 0.0]], np.eye(2), 1.0)
WALK = lds.LinearSystem(1.0, 1.0, 1.0, 4.0, mean0=[0.0], cov0=0.0)
INTEGRATOR = lds.LinearSystem(
    jordan(2, 1.0), [[1.0, 0.0]], 0.01 * np.eye(2), 1.0, mean0=[0.0, 0.0], cov0=np.eye(2)
)
PAIR = lds.LinearSystem(
    np.diag([0.95, -0.7]), [[1.0, 0.3], [0.2, 1.0]], np.eye(2), np.diag([0.5, 1.0])
)

SHIFT = np.array([5.0, -2.0])


# ---- windows that are never formed


@pytest.mark.parametrize("newest_first", [False, True])
def test_products_with_windows_are_those_of_the_formed_matrix(newest_first):
    rng = np.random.default_rng(0)
    y = rng.standard_normal((9000, 2))
    data = HankelData(y, 3, 4, 8900, newest_first=newest_first)
    formed = sliding_window_view(y, 4, axis=0)[3:8903].transpose(0, 2, 1)
    formed = (formed[:, ::-1] if newest_first else formed).reshape(8900, 8)
    x = rng.standard_normal((8, 3))
    np.testing.assert_allclose(data.dot(x), formed @ x, rtol=1e-12, atol=1e-12)
    other = HankelData(y, 10, 2, 8900)
    right = sliding_window_view(y, 2, axis=0)[10:8910].transpose(0, 2, 1).reshape(8900, 4)
    z = rng.standard_normal((4, 3))
    np.testing.assert_allclose(data.cross_dot(other, z), formed.T @ (right @ z), atol=1e-8)


def test_one_factor_serves_all_autoregressions():
    y = np.random.default_rng(1).standard_normal((5000, 1)).cumsum(axis=0)
    R = autoregressive_factor(y, 6)
    rows = np.concatenate([y[6 - k : len(y) - k] for k in range(1, 7)], axis=1)
    for h in (1, 3, 6):
        left = y[6:] - rows[:, :h] @ np.linalg.lstsq(rows[:, :h], y[6:])[0]
        assert np.sum(R[h:, 6] ** 2) == pytest.approx(float(np.sum(left**2)), rel=1e-9)


# ---- identification


@pytest.mark.parametrize(
    ("system", "n_steps", "tolerance"),
    [(TURNING, 5000, 0.02), (WALK, 3000, 0.01), (INTEGRATOR, 3000, 0.02), (PAIR, 5000, 0.05)],
)
def test_states_are_counted_and_modes_found(system, n_steps, tolerance):
    y = lds.simulate(system, n_steps, rng=2).observations
    found = lds.identify(y)
    n, p = system.state_dim, system.obs_dim
    assert found.state_dim == n
    assert (found.canonical_correlations[:n] > found.threshold).all()
    assert found.canonical_correlations[n] < found.threshold
    modes = np.sort_complex(np.linalg.eigvals(found.A))
    truth = np.sort_complex(np.linalg.eigvals(system.A))
    np.testing.assert_allclose(modes, truth, atol=tolerance)
    steady = lds.steady_state(system)
    np.testing.assert_allclose(found.innovation_cov, steady.innovation_cov, rtol=0.1, atol=0.1)
    assert found.manifold_dim == 2 * n * p + p * (p + 1) // 2
    assert found.parameter_count - found.manifold_dim == n * n


def test_the_risk_of_the_identified_predictor_falls_with_the_data():
    risks = []
    for n_steps in (500, 50_000):
        y = lds.simulate(TURNING, n_steps, rng=5).observations
        risks.append(lds.risk(TURNING, lds.identify(y, mean=False).predictor, 1000).mean)
    # about 2 n p S / T
    assert risks[1] < 0.05 * risks[0]
    assert risks[1] == pytest.approx(4 * 3.1 / 50_000, rel=2)


def test_the_system_filters_like_the_predictor():
    y = lds.simulate(PAIR, 3000, rng=4).observations + SHIFT
    found = lds.identify(y)
    innovations = lds.filter(found.system, y, store=("innovations",)).innovations
    predicted = found.offset + found.predictor.predict(y - found.offset)
    np.testing.assert_allclose((y - innovations)[100:], predicted[100:], atol=1e-6)
    cov = lds.steady_state(found.system).innovation_cov
    np.testing.assert_allclose(cov, found.innovation_cov, rtol=1e-6)


def test_a_given_number_of_states_is_kept():
    y = lds.simulate(PAIR, 2000, rng=0).observations
    for n in (1, 3, 5):
        found = lds.identify(y, state_dim=n, lags=4)
        assert found.state_dim == n
        assert found.A.shape == (n, n)
        assert found.lags == 4


def test_units_and_means_change_nothing():
    y = lds.simulate(PAIR, 2000, rng=0).observations
    plain = lds.identify(y)
    for scale in (1e-100, 1e100):
        moved = lds.identify(scale * (y + SHIFT))
        assert moved.state_dim == plain.state_dim
        np.testing.assert_allclose(
            moved.canonical_correlations, plain.canonical_correlations, rtol=1e-8, atol=1e-10
        )
        modes = np.sort_complex(np.linalg.eigvals(moved.A))
        np.testing.assert_allclose(modes, np.sort_complex(np.linalg.eigvals(plain.A)), rtol=1e-6)
        shift = plain.offset + SHIFT
        np.testing.assert_allclose(moved.offset / scale, shift, rtol=1e-8)


def test_white_noise_has_no_correlation_above_the_threshold():
    found = lds.identify(np.random.default_rng(3).standard_normal(2000))
    assert found.canonical_correlations[0] < found.threshold
    assert found.state_dim == 1  # the least


# ---- restricted predictors


def test_filters_are_least_squares_and_their_length_is_chosen():
    y = lds.simulate(TURNING, 3000, rng=1).observations
    found = lds.fit_filter(y, 3)
    rows = np.concatenate([y[3 - k : len(y) - k] for k in (1, 2, 3)], axis=1)
    expected = np.linalg.lstsq(rows, y[3:])[0].ravel()
    np.testing.assert_allclose(found.weights.ravel(), expected, rtol=1e-9)
    assert (found.parameter_count, found.manifold_dim) == (3, 3)
    chosen = lds.fit_filter(y)
    assert 3 < len(chosen.weights) < 36
    assert lds.risk(TURNING, chosen, 1000).mean < lds.risk(TURNING, lds.fit_filter(y, 1), 1000).mean


def test_a_filter_of_several_outputs_reads_the_newest_first():
    A = np.array([[0.5, 0.3], [-0.2, 0.4]])
    system = lds.LinearSystem(A, np.eye(2), np.eye(2), np.zeros((2, 2)))
    y = lds.simulate(system, 20_000, rng=0).observations
    found = lds.fit_filter(y, 2)
    np.testing.assert_allclose(found.weights, [A, np.zeros((2, 2))], atol=0.03)
    np.testing.assert_allclose(found.residual_cov, np.eye(2), atol=0.03)


def test_estimation_costs_about_one_variance_for_each_weight():
    """The excess of a fitted filter over the best of its length is h S / T."""
    h, n_steps = 4, 2000
    best = lds.fir_predictor(TURNING, h)
    extra = []
    for seed in range(40):
        fitted = lds.fit_filter(lds.simulate(TURNING, n_steps, rng=seed).observations, h)
        extra.append(lds.risk(TURNING, fitted, 10**5).mean - best.excess)
    assert np.mean(extra) == pytest.approx(h * best.mse / n_steps, rel=0.3)


def test_smoothing_finds_the_gain():
    y = lds.simulate(WALK, 20_000, rng=0).observations
    gain = lds.fit_smoothing(y).gain[0, 0]
    assert gain == pytest.approx(float(lds.steady_state(WALK).gain[0, 0]), abs=0.02)
    assert lds.fit_smoothing(np.arange(10.0)).gain[0, 0] == 1.0
    nile = lds.fit_smoothing(np.array(FLOW, float))
    assert 0.2 < nile.gain[0, 0] < 0.3
    assert nile.n_parameters == 1


def test_balanced_truncation_is_exact_with_all_states_and_diverges_on_unit_roots():
    stable = lds.LinearSystem(np.diag([0.9, 0.5, -0.1]), np.ones((1, 3)), np.eye(3), 1.0)
    risks = [lds.risk(stable, lds.balanced_predictor(stable, r), 500).mean for r in (1, 2, 3)]
    assert risks[0] > risks[1] > risks[2] == 0
    sweep = lds.phase_sweep(
        INTEGRATOR, lambda r: lds.balanced_predictor(INTEGRATOR, r), [1, 2], [10**5, 10**7]
    )
    assert sweep.transition_count == 2
    assert sweep.n_parameters == (2, 4)


def test_bad_series_are_refused():
    rng = np.random.default_rng(0)
    y = rng.standard_normal(100)
    y[3] = math.nan
    for function in (lds.identify, lds.fit_filter, lds.fit_smoothing):
        with pytest.raises(ValueError, match=r"^y: got nan"):
            function(y)
    with pytest.raises(ValueError, match=r"^y: got linearly dependent"):
        lds.identify(np.ones(100))
    twice = np.repeat(rng.standard_normal((200, 1)), 2, axis=1)
    for function in (lds.identify, lds.fit_filter):
        with pytest.raises(ValueError, match=r"^y: got linearly dependent"):
            function(twice)
    with pytest.raises(ValueError, match=r"^y: got 12 steps, want at least 15 for 4 lags"):
        lds.identify(np.arange(12.0) ** 2, lags=4)
    with pytest.raises(ValueError, match=r"^y: got 1 steps, want at least 2"):
        lds.fit_filter([1.0])
    with pytest.raises(ValueError, match=r"^lags: got 1, want at least 3"):
        lds.identify(rng.standard_normal(100), state_dim=3, lags=1)
    with pytest.raises(ValueError, match=r"^y: got 2 columns, want one series"):
        lds.fit_smoothing(np.ones((5, 2)))
    with pytest.raises(ValueError, match=r"^order: got 3, want at most 2"):
        lds.balanced_predictor(INTEGRATOR, 3)


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize(("p", "m", "h", "b"), [(1, 1, 1, 1), (2, 1, 2, 3), (1, 2, 3, 1)])
def test_arx_is_least_squares_on_the_windows(p, m, h, b, delay):
    rng = np.random.default_rng(0)
    u, y = rng.standard_normal((300, m)), rng.standard_normal((300, p)).cumsum(axis=0)
    found = lds.fit_arx(y, u, h, input_length=b, delay=delay)
    first = max(h, delay + b - 1)
    rows = [
        np.concatenate(
            [*(y[t - k] for k in range(1, h + 1)), *(u[t - delay - j] for j in range(b))]
        )
        for t in range(first, 300)
    ]
    want, *_ = np.linalg.lstsq(np.array(rows), y[first:], rcond=None)
    got = np.concatenate([*found.weights, *found.input_weights], axis=1).T
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)
    assert found.parameter_count == want.size
    errors = y[first:] - np.array(rows) @ want
    np.testing.assert_allclose(found.residual_cov, errors.T @ errors / len(errors), rtol=1e-8)
    predicted = found.predict(y, u)
    assert np.isnan(predicted[:first]).all()
    np.testing.assert_allclose(predicted[first:], np.array(rows) @ want, rtol=1e-8, atol=1e-9)


def test_arx_names_what_is_wrong():
    y = np.random.default_rng(0).standard_normal(50)
    with pytest.raises(ValueError, match=r"^inputs: got shape \(49, 1\), want \(50, m\)"):
        lds.fit_arx(y, y[1:], 1)
    with pytest.raises(ValueError, match=r"^y: got linearly dependent columns"):
        lds.fit_arx(y, np.zeros(50), 1)
    with pytest.raises(ValueError, match=r"^y: got 50 steps, want at least 121 for 80 weights"):
        lds.fit_arx(y, y[::-1], 40)
    with pytest.raises(ValueError, match=r"^delay: got -1"):
        lds.fit_arx(y, y[::-1], 1, delay=-1)
    with pytest.raises(ValueError, match=r"^inputs: got 1 and 2 columns, want \(1, 1\)"):
        lds.fit_arx(y, y[::-1], 1).predict(y, np.ones((50, 2)))


def test_progress_counts_passes(capsys):
    pytest.importorskip("tqdm")
    y = np.random.default_rng(0).standard_normal(200)
    found = lds.identify(y, progress=True)
    assert "passes" in capsys.readouterr().err
    assert found.A.tobytes() == lds.identify(y).A.tobytes()
