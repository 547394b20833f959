import math

import mpmath as mp
import numpy as np
import pytest
import scipy.linalg

import eigenflow
from eigenflow import lds
from reference import horizon as truth

WALK = lds.LinearSystem(1.0, 1.0, 1.0, 4.0)
RHO = 1 + 1 / 8 - math.sqrt(1 / 4 + 1 / 64)
INTEGRATOR = lds.LinearSystem(truth.jordan(2, 1.0), [[1.0, 0.0]], 0.01 * np.eye(2), 1.0)
CHAIN = lds.LinearSystem(truth.jordan(4, 1.0), [[1.0, 0.0, 0.0, 0.0]], 0.01 * np.eye(4), 1.0)
PAIR = lds.LinearSystem(
    [[1.0, 0.3], [0.0, 0.6]],
    [[1.0, 0.5], [0.0, 1.0]],
    [[0.3, 0.1], [0.1, 0.5]],
    [[1.0, 0.2], [0.2, 0.7]],
)


def figure_system(eigenvalue, **start):
    """Return the system of the paper's Figure 1."""
    A = scipy.linalg.block_diag(truth.jordan(4, eigenvalue), 0.4 * np.eye(3))
    return lds.LinearSystem(A, np.eye(7), np.eye(7), np.zeros((7, 7)), **start)


# ---- filters


@pytest.mark.parametrize(("length", "mean"), [(1, 148.278991), (2, 55.035355), (4, 7.581655)])
def test_truncated_kalman_on_the_random_walk(length, mean):
    found = lds.risk(WALK, lds.truncated_kalman(WALK, length), 800)
    assert found.mean == pytest.approx(mean, abs=6e-7)
    assert found.mean == pytest.approx(RHO ** (2 * length) * (800 - length - 1) / 2, rel=1e-12)


@pytest.mark.parametrize("horizon", [2, 3, 50, 10**6, 10**12])
def test_the_last_observation_is_a_bounded_predictor_of_the_random_walk(horizon):
    # The counterexample to Theorem 4 as printed: one weight, mean risk at most rho r for ever.
    found = lds.risk(WALK, lds.FirFilter([1.0]), horizon)
    assert found.mean == pytest.approx(RHO * 4.0, rel=1e-13)
    assert found.total == pytest.approx((horizon - 1) * RHO * 4.0, rel=1e-13)
    assert found.n_steps == horizon - 1


@pytest.mark.parametrize(("system", "horizon"), [(WALK, 12), (INTEGRATOR, 9), (PAIR, 8)])
@pytest.mark.parametrize("length", [1, 3])
def test_filters_against_brute_force(system, horizon, length):
    p = system.obs_dim
    weights = np.random.default_rng(length).standard_normal((length, p, p))
    learners = [
        lds.FirFilter(weights),
        lds.truncated_kalman(system, length),
        lds.fir_predictor(system, length, horizon=horizon),
        lds.fir_predictor(system, length, horizon=5 * horizon),
    ]
    with mp.workdps(truth.DIGITS):
        parts = system.A, system.C, system.Q, system.R
        blocks = truth.observation_cov(*parts, truth.steady_prior(*parts), horizon)
        for learner in learners:
            flat = mp.matrix(np.concatenate(list(learner.weights), axis=1))
            expected = float(truth.mean_excess(blocks, flat, length))
            # float64 weights on the reference's side
            assert lds.risk(system, learner, horizon).mean == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("system", "length"), [(WALK, 3), (INTEGRATOR, 2), (CHAIN, 3), (CHAIN, 6)])
@pytest.mark.parametrize("horizon", [10, 10**4, 10**9])
def test_the_risk_of_a_design_is_its_excess(system, length, horizon):
    predictor = lds.fir_predictor(system, length, horizon=horizon)
    found = lds.risk(system, predictor, horizon)
    assert found.mean == pytest.approx(predictor.excess, rel=1e-12)


def test_exact_weights_stay_bounded_where_rounded_ones_do_not():
    # Six weights: the four that the chain fixes are the integers 4, -6, 4, -1, which do not round.
    predictor = lds.fir_predictor(CHAIN, 6)
    horizons = (10**5, 10**8)
    exact = [lds.risk(CHAIN, predictor, t).mean for t in horizons]
    assert max(exact) < 1.001 * predictor.excess
    rounded = [lds.risk(CHAIN, lds.FirFilter(predictor.weights), t).mean for t in horizons]
    assert rounded[1] > 1e6 * exact[1]


def test_simulated_random_walk_has_the_exact_risk():
    rng = np.random.default_rng(5)
    q, r, n_series, horizon = 1.0, 4.0, 4000, 30
    prior = q / 2 + math.sqrt(q * q / 4 + q * r)
    x = rng.standard_normal(n_series) * math.sqrt(prior)
    estimate, previous, total = np.zeros(n_series), None, 0.0
    for _ in range(horizon):
        if previous is not None:
            total += np.mean((estimate - previous) ** 2)
        y = x + math.sqrt(r) * rng.standard_normal(n_series)
        estimate += prior / (prior + r) * (y - estimate)
        x = x + math.sqrt(q) * rng.standard_normal(n_series)
        previous = y
    found = lds.risk(WALK, lds.FirFilter([1.0]), horizon)
    assert total / (horizon - 1) == pytest.approx(found.mean, rel=0.03)


def test_a_filter_for_another_system_is_scored_on_the_true_one():
    other = lds.LinearSystem(1.0, 1.0, 0.1, 4.0)
    learner = lds.fir_predictor(other, 4)
    best = lds.fir_predictor(WALK, 4, horizon=100)
    assert lds.risk(WALK, learner, 100).mean > 1.2 * best.excess
    same_weights = lds.risk(WALK, lds.FirFilter(learner.weights), 100)
    assert lds.risk(WALK, learner, 100).mean == pytest.approx(same_weights.mean, rel=1e-12)


# ---- the top left block of the paper's Figure 1

FIGURE_1 = [
    (1.0, 10, [6.81, 4.70, 2.11, 0.44, 0.32, 0.17, 0.0]),
    (1.0, 70, [16.48, 10.30, 3.70, 0.45, 0.32, 0.17, 0.0]),
    (1.1, 10, [7.82, 5.65, 2.68, 0.44, 0.32, 0.17, 0.0]),
    (1.1, 70, [27.05, 20.42, 12.42, 0.45, 0.32, 0.17, 0.0]),
]


@pytest.mark.parametrize(("eigenvalue", "horizon", "row"), FIGURE_1)
def test_figure_1_to_the_published_digits(eigenvalue, horizon, row):
    system = figure_system(eigenvalue)
    found = [lds.risk(system, lds.TopLeftBlock(k), horizon).log1p_mean for k in range(1, 8)]
    np.testing.assert_allclose(found, row, atol=0.0052)


@pytest.mark.parametrize("eigenvalue", [1.0, 1.1])
@pytest.mark.parametrize("size", range(8))
def test_block_learner_against_brute_force(eigenvalue, size):
    system = figure_system(eigenvalue)
    with mp.workdps(truth.DIGITS):
        expected = float(truth.block_learner_excess(system.A, system.Q, np.eye(7), size, 23))
    found = lds.risk(system, lds.TopLeftBlock(size), 23).mean
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-40)


def test_a_given_start_is_used_and_named():
    start = np.diag([3.0, 0.0, 1.0, 2.0, 0.5, 0.0, 1.0])
    system = figure_system(1.0, cov0=start)
    with mp.workdps(truth.DIGITS):
        expected = float(truth.block_learner_excess(system.A, system.Q, start, 3, 9))
    found = lds.risk(system, lds.TopLeftBlock(3), 9)
    assert found.mean == pytest.approx(expected, rel=1e-12)
    assert found.start == "given"
    assert "w_0" in lds.risk(figure_system(1.0), lds.TopLeftBlock(3), 9).start


@pytest.mark.parametrize("size", [1, 2, 3])
def test_too_small_blocks_grow_by_the_power_that_is_missing(size):
    system = figure_system(1.0)
    at = [lds.risk(system, lds.TopLeftBlock(size), t).log_mean for t in (10**6, 10**9)]
    exponent = (at[1] - at[0]) / math.log(1e3)
    assert exponent == pytest.approx(2 * (4 - size) - 1, abs=1e-4)


@pytest.mark.parametrize("size", [4, 5, 6, 7])
def test_large_enough_blocks_stay_at_the_floor(size):
    floor = (7 - size) * 0.16 / 0.84
    for eigenvalue in (1.0, 1.1):
        found = lds.risk(figure_system(eigenvalue), lds.TopLeftBlock(size), 5000)
        assert found.mean == pytest.approx(floor, rel=1e-3, abs=0)


def test_a_repeated_state_tells_nothing_more():
    # Two copies of one walk: the covariance is singular and either copy predicts both.
    walk = lds.LinearSystem(np.eye(2), np.eye(2), np.ones((2, 2)), np.zeros((2, 2)))
    one = lds.risk(walk, lds.TopLeftBlock(1), 11)
    assert one.mean == pytest.approx(np.arange(1, 11).mean())  # the second row is all missed
    assert lds.risk(walk, lds.TopLeftBlock(2), 11).mean == 0


# ---- range


def test_what_exceeds_float64_is_said_and_kept_as_a_logarithm():
    system = figure_system(1.1)
    with pytest.warns(RuntimeWarning, match="^risk: the value is beyond float64"):
        found = lds.risk(system, lds.TopLeftBlock(1), 10**5)
    assert (found.mean, found.total) == (math.inf, math.inf)
    with pytest.warns(RuntimeWarning, match="^risk: "):
        later = lds.risk(system, lds.TopLeftBlock(1), 10**5 + 1000)
    growth = later.log_total - found.log_total
    assert growth == pytest.approx(2000 * math.log(1.1), rel=2e-3)
    assert found.log1p_mean == pytest.approx(found.log_mean, rel=1e-15)
    assert found.log_total - found.log_mean == pytest.approx(math.log(10**5 - 1), rel=1e-9)


def test_zero_risk_has_no_logarithm():
    found = lds.risk(figure_system(1.0), lds.TopLeftBlock(7), 50)
    assert (found.mean, found.total, found.log1p_mean) == (0.0, 0.0, 0.0)
    assert found.log_mean == found.log_total == -math.inf


def test_tiny_and_huge_units():
    for scale in (1e-140, 1e140):
        system = lds.LinearSystem(1.0, 1.0, scale, 4.0 * scale)
        found = lds.risk(system, lds.truncated_kalman(system, 2), 800)
        assert found.mean / scale == pytest.approx(55.035355, rel=1e-7)


def test_a_horizon_beyond_any_number_of_digits_is_refused():
    system = lds.LinearSystem(np.diag([1.5, 0.5]), [[1.0, 1.0]], np.eye(2), 1.0)
    with pytest.raises(eigenflow.ConvergenceError, match=r"^horizon: 2560 digits are not enough"):
        lds.fir_predictor(system, 2, horizon=10**5)


@pytest.mark.parametrize("seed", range(4))
def test_a_far_horizon_is_never_mistaken_in_a_mixed_basis(seed):
    # 1.5^(2 * 200) hides the stable direction from 40 digits; two runs must not agree on its loss.
    V = np.random.default_rng(seed).standard_normal((2, 2))
    A = np.linalg.solve(V, np.diag([1.5, 0.5]) @ V)
    system = lds.LinearSystem(A, [[1.0, 0.3]], np.eye(2), 1.0)
    limit = lds.fir_predictor(system, 2).excess
    for horizon in (100, 200, 2000):
        assert lds.fir_predictor(system, 2, horizon=horizon).excess == pytest.approx(
            limit, rel=3 / horizon
        )


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match=r"^learner: got str, want FirPredictor"):
        lds.risk(WALK, "kalman", 10)
    with pytest.raises(ValueError, match=r"^workers: got 0"):
        lds.risk(WALK, lds.FirFilter([1.0]), 10, workers=0)
    with pytest.raises(TypeError, match=r"^horizon: got 10.0, want an integer"):
        lds.risk(WALK, lds.FirFilter([1.0]), 10.0)
    with pytest.raises(ValueError, match=r"^horizon: got 2, want at least 3 \(more than the"):
        lds.risk(WALK, lds.FirFilter([0.5, 0.5]), 2)
    with pytest.raises(ValueError, match=r"^learner: got a filter of 1 outputs, want 2"):
        lds.risk(PAIR, lds.FirFilter([1.0]), 10)
    with pytest.raises(ValueError, match=r"^system: TopLeftBlock reads the state itself"):
        lds.risk(WALK, lds.TopLeftBlock(1), 10)
    with pytest.raises(ValueError, match=r"^learner: got size 8, want at most 7"):
        lds.risk(figure_system(1.0), lds.TopLeftBlock(8), 10)
    with pytest.raises(ValueError, match=r"^size: got -1"):
        lds.TopLeftBlock(-1)
    with pytest.raises(ValueError, match=r"^weights: got nan at position 0"):
        lds.FirFilter([math.nan])
    offset = lds.LinearSystem(1.0, 1.0, 1.0, 0.0, state_offset=[1.0])
    with pytest.raises(ValueError, match=r"^system: got a state offset"):
        lds.risk(offset, lds.TopLeftBlock(1), 10)
