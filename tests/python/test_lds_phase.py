"""Phase sweeps, divergences, recursive learners, margins and the Monte Carlo twin."""

import itertools
import math
import warnings

import numpy as np
import pytest
import scipy.linalg

from eigenflow import lds
from reference import horizon as truth

WALK = lds.LinearSystem(1.0, 1.0, 1.0, 4.0)
RHO = 1 + 1 / 8 - math.sqrt(1 / 4 + 1 / 64)
CHAIN = lds.LinearSystem(truth.jordan(4, 1.0), [[1.0, 0, 0, 0]], 0.01 * np.eye(4), 1.0)
INTEGRATOR = lds.LinearSystem(truth.jordan(2, 1.0), [[1.0, 0.0]], 0.01 * np.eye(2), 1.0)
PAIR = lds.LinearSystem(
    [[1.0, 0.3], [0.0, 0.6]],
    [[1.0, 0.5], [0.0, 1.0]],
    [[0.3, 0.1], [0.1, 0.5]],
    [[1.0, 0.2], [0.2, 0.7]],
)


def observed(A):
    n = len(A)
    return lds.LinearSystem(A, np.eye(n), np.eye(n), np.zeros((n, n)))


def figure_1(eigenvalue):
    return observed(scipy.linalg.block_diag(truth.jordan(4, eigenvalue), 0.4 * np.eye(3)))


# ---- phase sweeps


def test_figure_1_has_its_transition_at_the_size_of_the_chain():
    sweep = lds.phase_sweep(figure_1(1.0), lds.TopLeftBlock, range(1, 8), [10**6, 10**9, 10**12])
    assert (sweep.transition_index, sweep.transition_count) == (3, 4)
    np.testing.assert_allclose(sweep.growth[:, -1], [5, 3, 1, 0, 0, 0, 0], atol=1e-4)
    assert sweep.n_parameters == (1, 4, 9, 16, 25, 36, 49)
    published = lds.phase_sweep(figure_1(1.0), lds.TopLeftBlock, range(1, 8), [50, 70])
    np.testing.assert_allclose(published.growth[:3, 0], [5.05, 2.97, 0.92], atol=0.05)


def test_exponential_growth_shows_at_every_horizon():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # beyond float64 is told by log_mean alone
        sweep = lds.phase_sweep(figure_1(1.1), lds.TopLeftBlock, [3, 4], [100, 10**6])
    assert sweep.transition_count == 4
    assert sweep.growth[0, 0] > 1e4
    assert np.isinf(sweep.mean[0, 1])
    assert np.isfinite(sweep.log_mean).all()


def test_filters_of_a_chain_need_its_observability_index():
    sweep = lds.phase_sweep(CHAIN, lds.fir_predictor, [2, 3, 4, 5], [10**6, 10**9])
    assert sweep.transition_count == lds.min_filter_length(CHAIN.A, CHAIN.C) == 4
    np.testing.assert_allclose(sweep.growth[:, 0], [3, 1, 0, 0], atol=0.03)


def test_a_cut_off_kalman_filter_is_never_bounded():
    sweep = lds.phase_sweep(WALK, lds.truncated_kalman, [1, 2, 4, 8], [10**6, 10**9])
    np.testing.assert_allclose(sweep.growth, 1, atol=1e-4)
    assert sweep.transition_index is sweep.transition_count is None


def test_theorem_2_part_2_counterexample():
    """diag(1.2, 1.2, .4): the printed count is 2, but no parameter at all is needed.

    1.2 I repeats A on the unstable subspace in every basis.
    """
    A = np.diag([1.2, 1.2, 0.4])
    counts = lds.min_parameters(A)
    assert (counts.paper_fixed_spectrum, counts.fixed_spectrum) == (2, 0)
    V = np.random.default_rng(0).standard_normal((3, 3))
    for basis in (np.eye(3), V):
        system = observed(np.linalg.solve(basis, A @ basis))
        nothing = lds.FixedTransition(1.2 * np.eye(3))
        assert nothing.n_parameters(3) == 0
        means = [lds.risk(system, nothing, t).mean for t in (30, 60)]
        assert means[1] == pytest.approx(means[0], rel=0.02)
        cut = [
            lds.risk(system, lds.FixedTransition(1.19 * np.eye(3)), t).log_mean for t in (30, 60)
        ]
        assert cut[1] - cut[0] > 5


def test_fewer_than_the_paper_count_diverge_somewhere_near():
    """Theorem 2 part 1, for one unstable mode: no parameter at all is too few."""
    fixed = lds.FixedTransition(1.0 * np.eye(2))
    for shift, grows in ((0.0, False), (0.01, True)):
        sweep = lds.phase_sweep(
            observed(np.diag([1.0 + shift, 0.4])), lambda _: fixed, [0], [200, 400]
        )
        assert (sweep.transition_index is None) is grows


@pytest.mark.parametrize(
    ("counts", "horizons", "message"),
    [
        ([], [2, 3], r"^counts: got \(\), want at least 1"),
        ([2, 1], [2, 3], r"^counts: got \(2, 1\)"),
        ([1], [5], r"^horizons: got \(5,\), want at least 2"),
        ([1], [5, 5], r"^horizons: got \(5, 5\)"),
    ],
)
def test_sweeps_want_increasing_integers(counts, horizons, message):
    with pytest.raises(ValueError, match=message):
        lds.phase_sweep(figure_1(1.0), lds.TopLeftBlock, counts, horizons)


def test_a_sweep_wants_a_function():
    with pytest.raises(TypeError, match=r"^learner: got TopLeftBlock, want a function"):
        lds.phase_sweep(figure_1(1.0), lds.TopLeftBlock(1), [1], [2, 3])


# ---- recursive learners


@pytest.mark.parametrize("horizon", [2, 50, 10**12])
@pytest.mark.parametrize("gain", [0.1, 0.3, 1.0])
def test_exponential_smoothing_of_the_random_walk_in_closed_form(gain, horizon):
    """The state error z - x is an AR(1) with coefficient 1 - g, driven by (g - K) e."""
    keep, K, S = 1 - gain, 1 - RHO, 4 / RHO
    t = horizon - 1
    limit = (gain - K) ** 2 * S / (1 - keep**2)
    start = (1 - keep ** (2 * t)) / (1 - keep**2) * keep**2 / t if keep else 0.0
    found = lds.risk(WALK, lds.exponential_smoothing(gain), horizon)
    assert found.mean == pytest.approx(limit * (1 - start), rel=1e-10)
    assert found.n_steps == t


def test_the_last_observation_is_smoothing_with_gain_one():
    by_filter = lds.risk(WALK, lds.FirFilter([1.0]), 77)
    assert lds.risk(WALK, lds.exponential_smoothing(1.0), 77).mean == pytest.approx(by_filter.mean)


@pytest.mark.parametrize("system", [WALK, INTEGRATOR, PAIR, CHAIN])
def test_the_kalman_filter_has_no_risk(system):
    learner = lds.kalman_predictor(system)
    assert lds.risk(system, learner, 10**9).mean == 0
    assert learner.n_parameters == 2 * system.state_dim * system.obs_dim


def test_predictions_of_the_kalman_learner_are_those_of_the_filter():
    y = lds.simulate(PAIR, 40, rng=0).observations
    steady = lds.steady_state(PAIR)
    start = lds.LinearSystem(
        PAIR.A, PAIR.C, PAIR.Q, PAIR.R, mean0=np.zeros(2), cov0=steady.predicted_cov
    )
    expected = lds.filter(start, y, store=("predicted_mean",)).predicted_mean @ PAIR.C.T
    np.testing.assert_allclose(lds.kalman_predictor(PAIR).predict(y), expected, atol=1e-12)


def test_bad_recursive_learners_are_refused():
    with pytest.raises(ValueError, match=r"^gain: got 1.5, want a number between"):
        lds.exponential_smoothing(1.5)
    with pytest.raises(ValueError, match=r"^gain: got shapes \(1, 1\) and \(1, 2\)"):
        lds.RecursivePredictor(np.eye(2), np.ones((1, 1)), np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^learner: got a filter of 1 outputs, want 2"):
        lds.risk(PAIR, lds.exponential_smoothing(0.5), 10)


# ---- Kullback-Leibler


def test_divergence_of_the_last_observation_is_known():
    found = lds.kl_divergence(WALK, lds.FirFilter([1.0]), 10**6)
    assert found.per_step == pytest.approx(math.log1p(RHO**2) / 2, rel=1e-12)
    assert found.total == pytest.approx(found.per_step * found.n_steps)
    assert found.mean_term + found.variance_term == pytest.approx(found.per_step, rel=1e-13)


def test_divergence_with_a_claimed_covariance():
    S, D = 4 / RHO, RHO * 4.0
    claimed = 7.0
    found = lds.kl_divergence(WALK, lds.FirFilter([1.0]), 100, noise_cov=claimed)
    assert found.mean_term == pytest.approx(D / claimed / 2, rel=1e-12)
    expected = (S / claimed - math.log(S / claimed) - 1) / 2
    assert found.variance_term == pytest.approx(expected, rel=1e-12)
    best = lds.kl_divergence(WALK, lds.FirFilter([1.0]), 100)
    assert best.noise_cov[0, 0] == pytest.approx(S + D)
    assert best.per_step < found.per_step


def test_divergence_against_a_joint_gaussian():
    """The chain rule: KL of two joint laws of T observations, up to the terms of the window."""
    horizon, length = 7, 2
    learner = lds.fir_predictor(PAIR, length, horizon=horizon)
    found = lds.kl_divergence(PAIR, learner, horizon)
    prior = truth.steady_prior(PAIR.A, PAIR.C, PAIR.Q, PAIR.R)
    blocks = truth.observation_cov(PAIR.A, PAIR.C, PAIR.Q, PAIR.R, prior, horizon)
    cov = np.block([[np.array(b.tolist(), float) for b in row] for row in blocks])
    # The learner's law: the same first two observations, then the filter with noise N.
    n = 2 * horizon
    whiten, noise = np.eye(n), np.zeros((n, n))
    noise[:4, :4] = cov[:4, :4]
    for t, k in itertools.product(range(length, horizon), range(1, length + 1)):
        whiten[2 * t : 2 * t + 2, 2 * (t - k) : 2 * (t - k) + 2] = -learner.weights[k - 1]
        noise[2 * t : 2 * t + 2, 2 * t : 2 * t + 2] = found.noise_cov
    inverse = whiten.T @ np.linalg.solve(noise, whiten)
    product = inverse @ cov
    expected = (np.trace(product) - np.linalg.slogdet(product)[1] - n) / 2
    assert found.total == pytest.approx(expected, rel=1e-9)


def test_divergence_grows_like_the_logarithm_of_an_unbounded_risk():
    at = [lds.kl_divergence(WALK, lds.truncated_kalman(WALK, 1), 10**k).per_step for k in (6, 9)]
    assert at[1] - at[0] == pytest.approx(math.log(1e3) / 2, abs=1e-4)


def test_singular_noise_has_no_divergence():
    walk = lds.LinearSystem(np.eye(2), np.eye(2), np.ones((2, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"^system: got a singular noise covariance"):
        lds.kl_divergence(walk, lds.TopLeftBlock(1), 11)
    with pytest.raises(ValueError, match=r"^noise_cov: got a singular"):
        lds.kl_divergence(WALK, lds.FirFilter([1.0]), 11, noise_cov=0.0)


# ---- Monte Carlo


@pytest.mark.parametrize(
    ("system", "learner", "horizon"),
    [
        (WALK, lds.FirFilter([0.7, 0.3]), 30),
        (WALK, lds.exponential_smoothing(0.2), 40),
        (INTEGRATOR, lds.truncated_kalman(INTEGRATOR, 3), 20),
        (PAIR, lds.fir_predictor(PAIR, 2, horizon=20), 20),
        (figure_1(1.1), lds.TopLeftBlock(2), 12),
        (figure_1(1.0), lds.ReducedRank(3), 12),
    ],
)
def test_simulation_agrees_with_the_exact_risk(system, learner, horizon):
    exact = lds.risk(system, learner, horizon)
    found = lds.simulated_risk(system, learner, horizon, n_series=3000, rng=4)
    assert abs(found.mean - exact.mean) < 4 * found.standard_error
    assert found.standard_error < 0.1 * exact.mean
    assert found.by_step.shape == (exact.n_steps,)
    assert found.by_step.mean() == pytest.approx(found.mean)


def test_simulation_says_where_float64_ends():
    unstable = observed(np.array([[1.1]]))
    with pytest.warns(RuntimeWarning, match=r"^simulated_risk: the horizon 400 is beyond the 378"):
        lds.simulated_risk(unstable, lds.TopLeftBlock(0), 400, n_series=2, rng=0)


# ---- margins


@pytest.mark.parametrize(
    ("A", "horizon", "digits"),
    [
        (truth.jordan(1, 1.0), 2e31, 0.02),
        (truth.jordan(2, 1.0), 2.7e10, 0.02),
        (truth.jordan(3, 1.0), 1.8e6, 0.02),
        (truth.jordan(4, 1.0), 3.0e4, 0.02),
        (np.diag([1.1, 0.5]), 378, 0.001),
    ],
)
def test_horizons_that_float64_can_follow(A, horizon, digits):
    found = lds.stability_margins(A)
    assert found.representable_horizon == pytest.approx(horizon, rel=digits)
    assert (found.circle_distance == 0) == (found.spectral_radius < 1.05)


@pytest.mark.parametrize("seed", range(4))
def test_stability_radius_and_kreiss_constant_against_a_fine_grid(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((4, 4))
    A *= 0.95 / np.abs(np.linalg.eigvals(A)).max()
    found = lds.stability_margins(A)
    z = np.exp(1j * np.linspace(0, np.pi, 2001))[:, None, None] * np.eye(4)

    def least(radius):
        return np.linalg.svd(radius * z - A, compute_uv=False)[:, -1].min()

    assert found.stability_radius == pytest.approx(least(1.0), rel=1e-4)
    assert found.stability_radius <= least(1.0) * (1 + 1e-12)
    scan = max((r - 1) / least(r) for r in 1 + np.logspace(-3, 1, 60))
    assert found.kreiss_constant >= scan * (1 - 1e-3)
    powers = max(np.linalg.norm(np.linalg.matrix_power(A, t), 2) for t in range(200))
    assert found.kreiss_constant <= powers * (1 + 1e-6) <= math.e * 4 * found.kreiss_constant


def test_a_perturbation_of_the_stability_radius_reaches_the_circle():
    A = np.array([[0.9, 10.0], [0.0, 0.8]])
    radius = lds.stability_margins(A).stability_radius
    u, s, vh = np.linalg.svd(np.eye(2) - A)
    assert radius == pytest.approx(s[-1], rel=1e-9)
    moved = A + radius * np.outer(u[:, -1], vh[-1])
    assert np.abs(np.linalg.eigvals(moved)).max() == pytest.approx(1, abs=1e-9)


def test_margins_of_small_and_unstable_systems():
    assert lds.stability_margins(np.zeros((0, 0))).kreiss_constant == 1
    turning = lds.stability_margins([[0.0, -1.0], [1.0, 0.0]])
    assert (turning.stability_radius, turning.circle_distance) == (0, 0)
    assert turning.kreiss_constant == pytest.approx(1, abs=1e-6)
    block = lds.stability_margins(truth.jordan(2, -1.1))
    assert (block.growth_base, block.growth_power) == (pytest.approx(1.21), 2)
    assert math.isinf(block.kreiss_constant)


# ---- what of the unstable modes is seen and excited


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_observed_and_excited_dimensions(seed):
    A = scipy.linalg.block_diag(truth.jordan(3, 1.0), 1.2, 0.5)
    C = np.array([[0.0, 1.0, 0.0, 0.0, 1.0]])  # sees the chain from its second state on, not 1.2
    B = np.array([[0.0], [1.0], [0.0], [0.0], [1.0]])  # drives its second state and so its first
    if seed is not None:
        V = np.random.default_rng(seed).standard_normal((5, 5))
        A, C, B = np.linalg.solve(V, A @ V), C @ V, np.linalg.solve(V, B)
    found = lds.unstable_structure(A, C=C, Q=B @ B.T)
    assert (found.count, found.observed_dim, found.excited_dim) == (4, 2, 2)
    assert lds.unstable_structure(A).excited_dim is None


# ---- the best length when weights are estimated


@pytest.mark.parametrize("ratio", [1e-1, 1e-2, 1e-4])
def test_best_length_follows_its_closed_form(ratio):
    walk = lds.LinearSystem(1.0, 1.0, ratio, 1.0)
    log_rho = -2 * math.asinh(math.sqrt(ratio) / 2)
    for horizon in (10**7, 10**9):
        h = lds.best_filter_length(walk, horizon)
        expected = math.log(2 * -log_rho * horizon * -math.expm1(2 * log_rho)) / (2 * -log_rho)
        assert h == pytest.approx(expected, abs=2, rel=0.06)


def test_best_length_is_a_minimum():
    for system, horizon in ((WALK, 500), (PAIR, 300)):
        h = lds.best_filter_length(system, horizon)
        S = np.trace(lds.fir_predictor(system, 1, horizon=horizon).innovation_cov)

        def cost(length, system=system, horizon=horizon, S=S):
            excess = lds.fir_predictor(system, length, horizon=horizon).excess
            return excess * (horizon - length) + length * system.obs_dim * S

        assert cost(h) <= min(cost(h + 1), cost(max(h - 1, 1)))
