import itertools
import math

import mpmath as mp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from eigenflow import lds
from reference import horizon as truth

COS, SIN = math.cos(0.3), math.sin(0.3)
ROTATION = np.array([[COS, -SIN], [SIN, COS]])
FIRST_OF_2 = [[1.0, 0.0]]
FIRST_OF_4 = [[1.0, 0.0, 0.0, 0.0]]

WALK = lds.LinearSystem(1.0, 1.0, 1.0, 4.0)
INTEGRATOR = lds.LinearSystem(truth.jordan(2, 1.0), FIRST_OF_2, 0.01 * np.eye(2), 1.0)
TURNING = lds.LinearSystem(ROTATION, FIRST_OF_2, 0.05 * np.eye(2), 1.0)
CHAIN = lds.LinearSystem(truth.jordan(4, 1.0), FIRST_OF_4, 0.01 * np.eye(4), 1.0)
MIXED = lds.LinearSystem(
    [[1.0, 0.3, 0.0], [0.0, 0.6, 0.2], [0.0, 0.0, 1.05]],
    [[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]],
    [[0.3, 0.1, 0.0], [0.1, 0.5, 0.1], [0.0, 0.1, 0.2]],
    [[1.0, 0.2], [0.2, 0.7]],
)


def observations(system, horizon):
    parts = system.A, system.C, system.Q, system.R
    return truth.observation_cov(*parts, truth.steady_prior(*parts), horizon)


def flat(weights):
    """(h, p, p) as the reference's [F_1 ... F_h]."""
    return np.concatenate(list(weights), axis=1)


def change_basis(A, seed):
    V = np.random.default_rng(seed).standard_normal(A.shape)
    return np.linalg.solve(V, A @ V), V


# ---- the noisy random walk: printed values


@pytest.mark.parametrize(
    ("length", "at_200", "limit"),
    [(1, 2.28687685, 2.43844719), (2, 0.63006931, 0.66066941), (4, 0.07685719, 0.08017054)],
)
def test_random_walk_excess_to_the_published_digits(length, at_200, limit):
    assert lds.fir_predictor(WALK, length, horizon=200).excess == pytest.approx(at_200, abs=6e-9)
    assert lds.fir_predictor(WALK, length).excess == pytest.approx(limit, abs=6e-9)


@pytest.mark.parametrize("length", [1, 2, 5, 30])
@pytest.mark.parametrize(("q", "r"), [(1.0, 4.0), (1e-4, 1.0), (3e8, 2.0), (1e-190, 1e-188)])
def test_random_walk_closed_form_is_the_general_formula(length, q, r):
    # In two units of the state the random walk is not recognised and takes the general way.
    short = lds.fir_predictor(lds.LinearSystem(1.0, 1.0, q, r), length)
    padded = lds.LinearSystem(np.diag([1.0, 0.0]), FIRST_OF_2, np.diag([q, q]), r)
    general = lds.fir_predictor(padded, length)
    np.testing.assert_allclose(short.weights, general.weights, rtol=1e-13)
    assert short.excess == pytest.approx(general.excess, rel=1e-12, abs=0)
    assert short.mse == pytest.approx(general.mse, rel=1e-12, abs=0)
    assert short.weights.sum() == pytest.approx(1, rel=1e-13)


def test_random_walk_of_one_observation_is_known_exactly():
    predictor = lds.fir_predictor(lds.LinearSystem(1.0, 1.0, 0.25, 3.0), 1)
    assert predictor.weights.ravel().tolist() == pytest.approx([1.0])
    assert predictor.mse == pytest.approx(2 * 3.0 + 0.25, rel=1e-14)


@pytest.mark.parametrize(
    ("ratio", "horizon", "mean", "total", "truncated"),
    [(1e-1, 10**6, 7, 21, 24), (1e-2, 10**6, 15, 61, 66), (1e-4, 10**9, 55, 841, 771)],
)
def test_lengths_by_three_criteria(ratio, horizon, mean, total, truncated):
    walk = lds.LinearSystem(1.0, 1.0, ratio, 1.0)
    assert lds.filter_length_for(walk, horizon, tol=0.01) == mean
    assert lds.filter_length_for(walk, horizon, tol=1.0, criterion="total") == total
    assert lds.filter_length_for(walk, horizon, tol=0.01, criterion="truncated") == truncated


def test_the_general_search_gives_the_lengths_of_the_closed_form():
    walk = lds.LinearSystem(1.0, 1.0, 0.1, 1.0)
    padded = lds.LinearSystem(np.diag([1.0, 0.0]), FIRST_OF_2, np.diag([0.1, 1.0]), 1.0)
    for criterion, tol in (("mean", 0.01), ("total", 1.0), ("truncated", 0.01)):
        lengths = {
            lds.filter_length_for(system, 10**4, tol=tol, criterion=criterion)
            for system in (walk, padded)
        }
        assert len(lengths) == 1


def test_only_total_risk_and_truncation_follow_the_logarithm_of_the_horizon():
    walk = lds.LinearSystem(1.0, 1.0, 1e-2, 1.0)
    rho = 1 + 0.005 - math.sqrt(0.01 + 0.000025)
    decades = range(4, 13)
    step = math.log(10) / (2 * abs(math.log(rho)))

    def lengths(criterion, tol):
        found = [lds.filter_length_for(walk, 10**k, tol=tol, criterion=criterion) for k in decades]
        return np.array(found)

    assert np.ptp(lengths("mean", 0.01)) == 0
    for criterion, tol in (("total", 1.0), ("truncated", 0.01)):
        slope = np.polyfit(list(decades), lengths(criterion, tol), 1)[0]
        assert slope == pytest.approx(step, rel=0.02)


# ---- against brute force


@pytest.mark.parametrize(
    ("system", "length", "horizon"),
    [
        (WALK, 1, 12),
        (WALK, 3, 5),
        (INTEGRATOR, 1, 14),
        (INTEGRATOR, 3, 9),
        (TURNING, 2, 10),
        (CHAIN, 3, 16),
        (CHAIN, 5, 12),
        (MIXED, 1, 9),
        (MIXED, 3, 8),
        (MIXED, 2, 3),
    ],
)
def test_design_is_the_brute_force_optimum(system, length, horizon):
    predictor = lds.fir_predictor(system, length, horizon=horizon)
    with mp.workdps(truth.DIGITS):
        blocks = observations(system, horizon)
        best = truth.best_filter(blocks, length)
        excess = float(truth.mean_excess(blocks, best, length))
        best = np.array(best.tolist(), dtype=float)
        prior = truth.steady_prior(system.A, system.C, system.Q, system.R)
        prior = np.array(prior.tolist(), dtype=float)
    error_cov = system.C @ prior @ system.C.T + system.R
    np.testing.assert_allclose(predictor.innovation_cov, error_cov, rtol=1e-13)
    assert predictor.mse == pytest.approx(np.trace(error_cov) + excess, rel=1e-13)
    if horizon > length + 1:  # one window alone starts at x = 0, and many filters are optimal
        np.testing.assert_allclose(flat(predictor.weights), best, rtol=1e-10, atol=1e-12)
    assert predictor.excess == pytest.approx(excess, rel=1e-10, abs=1e-30)


@pytest.mark.parametrize(("system", "horizon"), [(INTEGRATOR, 10**13), (MIXED, 700)])
def test_long_horizons_tend_to_the_infinite_one(system, horizon):
    for length in (2, 4):
        limit = lds.fir_predictor(system, length)
        long = lds.fir_predictor(system, length, horizon=horizon)
        assert long.excess == pytest.approx(limit.excess, rel=2e-2 if horizon < 1e3 else 1e-9)
        assert long.excess < limit.excess


def test_an_infinite_horizon_annihilates_what_grows():
    # On the unstable subspace the filter repeats C A^h exactly, or its risk would not be bounded.
    predictor = lds.fir_predictor(MIXED, 4)
    U = lds.unstable_structure(MIXED.A).basis
    power = np.linalg.matrix_power
    left = MIXED.C @ power(MIXED.A, 4)
    left = left - sum(F @ MIXED.C @ power(MIXED.A, 3 - k) for k, F in enumerate(predictor.weights))
    np.testing.assert_allclose(left @ U, 0, atol=1e-13)
    assert np.abs(left).max() > 1e-3


def test_a_stable_system_needs_no_filter_and_long_filters_reach_the_kalman_filter():
    stable = lds.LinearSystem([[0.9, 0.2], [0.0, 0.5]], FIRST_OF_2, np.eye(2), 1.0)
    assert lds.min_filter_length(stable.A, stable.C) == 0
    excesses = [lds.fir_predictor(stable, h).excess for h in (1, 2, 4, 8, 16, 400)]
    assert all(a > b > 0 for a, b in itertools.pairwise(excesses))
    truncated = lds.truncated_kalman(stable, 400)
    np.testing.assert_allclose(
        lds.fir_predictor(stable, 400).weights, truncated.weights, atol=1e-15
    )


def test_memoryless_states_have_no_excess():
    noise = lds.LinearSystem(np.zeros((2, 2)), np.eye(2), np.eye(2), np.eye(2))
    predictor = lds.fir_predictor(noise, 2)
    assert predictor.excess == 0
    assert not predictor.weights.any()
    np.testing.assert_allclose(predictor.innovation_cov, 2 * np.eye(2))


# ---- boundedness, and where float64 fails


@pytest.mark.parametrize(
    ("system", "index"), [(WALK, 1), (INTEGRATOR, 2), (TURNING, 2), (CHAIN, 4), (MIXED, 1)]
)
def test_bounded_at_the_index_and_divergent_below(system, index):
    assert lds.min_filter_length(system.A, system.C) == index
    horizon = 300 if system is MIXED else 10**6
    bounded = [lds.fir_predictor(system, index, horizon=t).excess for t in (horizon, 10 * horizon)]
    limit = lds.fir_predictor(system, index).excess
    assert bounded[0] <= bounded[1] <= limit * (1 + 1e-12)
    assert bounded[1] > 0.9 * limit
    if index > 1:
        below = [
            lds.fir_predictor(system, index - 1, horizon=t).excess for t in (horizon, 10 * horizon)
        ]
        assert below[1] / below[0] == pytest.approx(10, rel=0.03)  # grows like T
        with pytest.raises(ValueError, match=f"^length: got {index - 1}, want at least {index}"):
            lds.fir_predictor(system, index - 1)


@pytest.mark.parametrize(
    ("system", "length", "horizon", "expected", "digit"),
    [
        (INTEGRATOR, 2, 10**4, 3.96, 0.005),
        (INTEGRATOR, 2, 10**6, 4.44, 0.005),
        (TURNING, 1, 10**4, 22.5, 0.05),
        (TURNING, 1, 10**6, 2184, 0.5),
        (TURNING, 2, 10**4, 4.03, 0.005),
        (TURNING, 2, 10**6, 4.39, 0.005),
        (CHAIN, 3, 10**4, 20.6, 0.05),
        (CHAIN, 3, 10**6, 516, 0.5),
        (CHAIN, 4, 10**6, 63.4, 0.05),
        (CHAIN, 4, None, 65.74, 0.005),
    ],
)
def test_values_that_float64_loses(system, length, horizon, expected, digit):
    # The plain formula in float64 makes CHAIN's excess at length 3 negative.
    excess = lds.fir_predictor(system, length, horizon=horizon).excess
    assert excess == pytest.approx(expected, abs=digit)


def test_the_double_integrator_below_its_index_grows_as_its_covariances_say():
    # x has E x^2 ~ q T^3/12, E x v ~ q T^2/6, E v^2 ~ q T/2 on average: q T/2 - q T/3 remains.
    excess = lds.fir_predictor(INTEGRATOR, 1, horizon=10**9).excess
    assert excess == pytest.approx(0.01 * 10**9 / 6, rel=1e-5)


# ---- min_filter_length


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("eigenvalue", [1.0, 1.1, -1.0])
def test_index_of_a_jordan_block_in_any_basis(size, eigenvalue):
    # Rounding spreads the eigenvalues by eps^(1/size): some fall inside the circle.
    A = scipy.linalg.block_diag(truth.jordan(size, eigenvalue), 0.4 * np.eye(2))
    C = np.zeros((1, size + 2))
    C[0, 0] = C[0, -1] = 1.0
    assert lds.min_filter_length(A, C) == size
    for seed in range(5):
        turned, V = change_basis(A, seed)
        assert lds.min_filter_length(turned, C @ V) == size
        assert lds.min_filter_length(turned, 1e-9 * C @ V) == size


@pytest.mark.parametrize(
    ("A", "C", "index"),
    [
        (np.eye(3), np.ones((1, 3)), 1),  # what the output does not tell apart does not count
        (np.diag([1.0, 2.0, 3.0]), np.ones((1, 3)), 3),
        (np.diag([1.0, 2.0, 3.0]), np.eye(3), 1),
        (np.diag([1.0, 0.9, 0.8]), np.ones((1, 3)), 1),
        (np.diag([1.0, 0.9999, 0.9998, 0.9997]), np.ones((1, 4)), 1),
        (truth.jordan(4, 1.0), [[1.0, 0, 0, 0], [0, 0, 1.0, 0]], 2),
        (truth.jordan(4, 1.0), [[0, 0, 0, 1.0]], 1),
        (np.diag([2.0, 0.5]), [[0.0, 1.0]], 0),
        (scipy.linalg.block_diag(ROTATION, ROTATION.T @ ROTATION.T), np.ones((1, 4)), 4),
        ([[0.5]], [[1.0]], 0),
        (np.zeros((0, 0)), np.zeros((1, 0)), 0),
    ],
)
def test_index_of_small_systems(A, C, index):
    assert lds.min_filter_length(A, C) == index


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 4), p=st.integers(1, 2), extra=st.integers(0, 2), seed=st.integers(0, 10**6)
)
def test_index_of_random_systems_is_the_generic_one(n, p, extra, seed):
    rng = np.random.default_rng(seed)
    unstable = np.linalg.qr(rng.standard_normal((n, n)))[0] * rng.uniform(1.02, 1.3)
    A = scipy.linalg.block_diag(unstable, 0.3 * np.eye(extra))
    C = rng.standard_normal((p, n + extra))
    rank = [
        np.linalg.matrix_rank(
            np.concatenate([C[:, :n] @ np.linalg.matrix_power(unstable, j) for j in range(h)]), 1e-9
        )
        for h in range(1, n + 2)
    ]
    expected = next(h for h in range(1, n + 2) if rank[h - 1] == rank[-1])
    assert lds.min_filter_length(A, C) == expected


# ---- truncated Kalman


def test_truncated_weights_are_the_first_of_the_kalman_filter():
    rho = lds.truncated_kalman(WALK, 6).decay
    assert rho + 1 / rho == pytest.approx(2 + 1 / 4, rel=1e-14)
    expected = (1 - rho) * rho ** np.arange(6)
    np.testing.assert_allclose(lds.truncated_kalman(WALK, 6).weights.ravel(), expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("A", "base", "power"),
    [
        (truth.jordan(1, 1.0), 1.0, 1),
        (truth.jordan(3, 1.0), 1.0, 5),
        (truth.jordan(2, -1.1), 1.21, 2),
        (np.diag([1.1, 1.0]), 1.21, 0),
        (np.diag([0.3]), 1.0, 0),
    ],
)
def test_growth_of_the_truncation_error(A, base, power):
    n = len(A)
    system = lds.LinearSystem(A, np.ones((1, n)), np.eye(n), 1.0)
    truncated = lds.truncated_kalman(system, 2)
    assert (truncated.growth_base, truncated.growth_power) == (pytest.approx(base), power)
    late = [lds.risk(system, truncated, t) for t in (2000, 2100)]
    each = late[1].log_total - late[0].log_total  # of the sum, one power more on the circle
    on_circle = truncated.growth_base == 1
    expected = 100 * math.log(base) + (power + on_circle) * math.log(2100 / 2000)
    assert each == pytest.approx(expected, abs=0.01)


# ---- properties


@pytest.mark.parametrize("seed", range(3))
def test_the_limit_does_not_depend_on_the_basis(seed):
    # Rounding in the change of basis splits the chain's eigenvalue 1 by up to about 1e-3.
    A, V = change_basis(CHAIN.A, seed)
    Q = np.linalg.solve(V, np.linalg.solve(V, CHAIN.Q).T)
    turned = lds.LinearSystem(A, CHAIN.C @ V, Q, CHAIN.R)
    limit = lds.fir_predictor(turned, 5)
    assert limit.excess == pytest.approx(lds.fir_predictor(CHAIN, 5).excess, rel=1e-6)
    np.testing.assert_allclose(limit.weights, lds.fir_predictor(CHAIN, 5).weights, atol=1e-6)
    with pytest.raises(ValueError, match=r"^length: got 3, want at least 4"):
        lds.fir_predictor(turned, 3)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 3),
    p=st.integers(1, 2),
    radius=st.floats(0.3, 1.2),
    seed=st.integers(0, 10**6),
)
def test_random_systems(n, p, radius, seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    A *= radius / np.abs(np.linalg.eigvals(A)).max()
    noise = rng.standard_normal((n, n))
    system = lds.LinearSystem(
        A, rng.standard_normal((p, n)), noise @ noise.T + 0.1 * np.eye(n), np.eye(p)
    )
    excesses = [lds.fir_predictor(system, h, horizon=20).excess for h in (1, 2, 4)]
    # The mean is over T - h steps: the sums shrink with the length, the means need not.
    assert 19 * excesses[0] >= 18 * excesses[1] >= 16 * excesses[2] >= 0
    assert excesses[1] <= lds.fir_predictor(system, 2, horizon=40).excess * (1 + 1e-12)
    truncated = lds.truncated_kalman(system, 2)
    assert lds.risk(system, truncated, 20).mean >= excesses[1] * (1 - 1e-12)


# ---- what is refused


def test_units_do_not_matter():
    for scale in (1e-9, 1.0, 1e9):
        system = lds.LinearSystem(MIXED.A, scale * MIXED.C, MIXED.Q, scale**2 * np.asarray(MIXED.R))
        predictor = lds.fir_predictor(system, 3, horizon=40)
        np.testing.assert_allclose(
            predictor.weights, lds.fir_predictor(MIXED, 3, horizon=40).weights, rtol=1e-9
        )
        assert predictor.excess / predictor.mse == pytest.approx(
            lds.fir_predictor(MIXED, 3, horizon=40).excess
            / lds.fir_predictor(MIXED, 3, horizon=40).mse,
            rel=1e-8,
        )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((WALK, 0), ValueError, "^length: got 0, want at least 1"),
        ((WALK, 1.5), TypeError, "^length: got 1.5, want an integer"),
        ((WALK, True), TypeError, "^length: got True"),
    ],
)
def test_bad_lengths_are_refused(arguments, error, message):
    for function in (lds.fir_predictor, lds.truncated_kalman):
        with pytest.raises(error, match=message):
            function(*arguments)


def test_bad_systems_and_arguments_are_refused():
    with pytest.raises(ValueError, match=r"^horizon: got 3, want at least 4 \(more than"):
        lds.fir_predictor(WALK, 3, horizon=3)
    with pytest.raises(ValueError, match=r"^R: got a singular matrix"):
        lds.fir_predictor(lds.LinearSystem(1.0, 1.0, 1.0, 0.0), 1)
    unseen = lds.LinearSystem(np.diag([1.0, 0.5]), [[0.0, 1.0]], np.eye(2), 1.0)
    unexcited = lds.LinearSystem(1.0, 1.0, 0.0, 1.0)
    exploding_unexcited = lds.LinearSystem(1.5, 1.0, 0.0, 1.0)
    half_seen = lds.LinearSystem(np.diag([1.1, 1.1]), [[1.0, 2.0]], np.eye(2), 1.0)
    for system in (unseen, unexcited, exploding_unexcited, half_seen):
        with pytest.raises(ValueError, match=r"^system: got no steady filter.*; the mode with"):
            lds.truncated_kalman(system, 1)
    with pytest.raises(TypeError, match=r"^system: got tuple, want a LinearSystem"):
        lds.fir_predictor((1.0, 1.0, 1.0, 1.0), 1)
    with pytest.raises(ValueError, match=r"^tol: got 0"):
        lds.filter_length_for(WALK, 10, tol=0)
    with pytest.raises(ValueError, match=r"^tol: got nan"):
        lds.filter_length_for(WALK, 10, tol=math.nan)
    with pytest.raises(ValueError, match=r"^criterion: got 'max'"):
        lds.filter_length_for(WALK, 10, tol=1, criterion="max")
    with pytest.raises(ValueError, match=r"^C: got shape \(1, 3\), want 2 columns"):
        lds.min_filter_length(np.eye(2), np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"^A: got shape \(2, 3\), want a square matrix"):
        lds.min_filter_length(np.ones((2, 3)), np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"^A: got nan at position \(0, 1\)"):
        lds.min_filter_length([[1.0, math.nan], [0.0, 1.0]], FIRST_OF_2)
    with pytest.raises(ValueError, match=r"^weights: got shape"):
        lds.FirFilter(np.ones((2, 1, 3)))


def test_results_are_frozen_and_inputs_untouched():
    A = np.asfortranarray(truth.jordan(2, 1.0))
    C = np.array(FIRST_OF_2, dtype=">f8")
    lds.min_filter_length(A, C)
    np.testing.assert_array_equal(A, truth.jordan(2, 1.0))
    predictor = lds.fir_predictor(INTEGRATOR, 2)
    with pytest.raises(AttributeError):
        predictor.length = 3
    with pytest.raises(ValueError, match="read-only"):
        predictor.weights[0] = 0.0
