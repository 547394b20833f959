"""Restricted classes of matrices: least squares on data, risk in the population, dimensions."""

import math

import mpmath as mp
import numpy as np
import pytest
import scipy.linalg

from eigenflow import lds
from reference import horizon as truth

FIGURE_1 = scipy.linalg.block_diag(truth.jordan(4, 1.0), 0.4 * np.eye(3))
SHEARED = np.array([[1.1, 0.3, 0.2, 0.0], [0.0, 1.0, 0.5, 0.1], [0, 0, 0.5, 0.2], [0, 0, 0.1, 0.3]])
NOISE = np.array([[1.0, 0.2, 0, 0], [0.2, 0.5, 0.1, 0], [0, 0.1, 0.7, 0], [0, 0, 0, 0.3]])


def observed(A, Q=None, **start):
    n = len(A)
    Q = np.eye(n) if Q is None else Q
    return lds.LinearSystem(A, np.eye(n), Q, np.zeros((n, n)), **start)


def mean_cov(A, Q, horizon):
    """Covariance averaged over t = 1, ..., T - 1 from x_1 = w_0, summed step by step."""
    cov, total = mp.matrix(Q), mp.zeros(len(A))
    A, Q = mp.matrix(A), mp.matrix(Q)
    for _ in range(horizon - 1):
        total += cov
        cov = A * cov * A.T + Q
    return total / (horizon - 1)


def spread(matrices, cov, A):
    """Least tr (B - A) M (B - A)' over the span, by solving the normal equations."""
    q = len(matrices)
    images = [mp.matrix(b) * cov for b in matrices]

    def inner(image, b):
        return sum(image[i, j] * b[i, j] for i in range(len(A)) for j in range(len(A)))

    gram = mp.matrix([[inner(images[i], matrices[j]) for j in range(q)] for i in range(q)])
    right = mp.matrix([inner(images[i], A) for i in range(q)])
    theta = mp.lu_solve(gram, right)
    error = sum((mp.matrix(b) * theta[i] for i, b in enumerate(matrices)), -mp.matrix(A))
    product = error * cov * error.T
    return float(sum(product[i, i] for i in range(len(A))))


def unit(i, j, n=4):
    out = np.zeros((n, n))
    out[i, j] = 1.0
    return out


MASK = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 0, 1]], bool)
CLASSES = {
    "block": (lds.TopLeftBlock(2), [(0, 0), (0, 1), (1, 0), (1, 1)]),
    "columns": (lds.FirstColumns(3), [(i, j) for i in range(4) for j in range(3)]),
    "pattern": (lds.SparsePattern(MASK), list(zip(*np.nonzero(MASK), strict=True))),
    "all": (lds.full_matrix(4), [(i, j) for i in range(4) for j in range(4)]),
}


@pytest.mark.parametrize("name", CLASSES)
def test_pattern_classes_against_normal_equations(name):
    learner, entries = CLASSES[name]
    with mp.workdps(60):
        matrices = [unit(i, j) for i, j in entries]
        expected = spread(matrices, mean_cov(SHEARED, NOISE, 25), SHEARED)
    found = lds.risk(observed(SHEARED, NOISE), learner, 25)
    assert found.mean == pytest.approx(expected, rel=1e-12, abs=1e-40)
    same = lds.risk(observed(SHEARED, NOISE), lds.LinearSpan(matrices), 25)
    assert same.mean == pytest.approx(found.mean, rel=1e-12, abs=1e-100)
    assert learner.n_parameters(4) == learner.dimension(4) == len(entries)


def test_a_span_with_an_offset_and_its_dimension():
    offset = np.diag([1.0, 1.0, 0.0, 0.0])
    matrices = np.array([np.eye(4), np.eye(4, k=1), np.eye(4) + np.eye(4, k=1)])
    learner = lds.LinearSpan(matrices, offset)
    assert (learner.n_parameters(4), learner.dimension(4)) == (3, 2)
    two = lds.LinearSpan(matrices[:2], offset)
    with mp.workdps(60):
        expected = spread(matrices[:2], mean_cov(SHEARED, NOISE, 12), SHEARED - offset)
    assert lds.risk(observed(SHEARED, NOISE), two, 12).mean == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rank", range(5))
def test_reduced_rank_keeps_the_leading_directions_of_the_prediction(rank):
    with mp.workdps(60):
        A, cov = mp.matrix(SHEARED), mean_cov(SHEARED, NOISE, 20)
        values = sorted(mp.eigsy(A * cov * A.T, eigvals_only=True))
        expected = float(sum(values[: 4 - rank]))
    learner = lds.ReducedRank(rank)
    found = lds.risk(observed(SHEARED, NOISE), learner, 20)
    assert found.mean == pytest.approx(expected, rel=1e-12, abs=0)
    assert learner.dimension(4) == rank * (8 - rank)


def test_full_rank_is_no_restriction_and_counts_no_more_than_the_matrix():
    assert [lds.ReducedRank(r).n_parameters(4) for r in range(5)] == [0, 8, 16, 16, 16]


# ---- the smallest class


@pytest.mark.parametrize(
    ("n", "k", "dimension"),
    [(2, 1, 1), (3, 2, 5), (4, 2, 6), (5, 2, 7), (4, 3, 11), (7, 4, 25), (4, 4, 16)],
)
def test_the_smallest_class_has_the_least_dimension(n, k, dimension):
    """The rank of its Jacobian, over all perturbations of A, is n k - (n - k)."""
    rng = np.random.default_rng(7)
    A = np.diag(np.concatenate([1.2 + 0.25 * np.arange(k), 0.1 * np.arange(1, n - k + 1)]))
    A += 0.1 * rng.standard_normal((n, n))
    learner = lds.RepeatedEigenvalue(k, np.linalg.qr(rng.standard_normal((n, n - k)))[0])
    assert learner.n_parameters(n) == learner.dimension(n) == dimension
    step = 1e-5
    slopes = [
        (
            learner.member(A + step * unit(i, j, n)) - learner.member(A - step * unit(i, j, n))
        ).ravel()
        / (2 * step)
        for i in range(n)
        for j in range(n)
    ]
    s = np.linalg.svd(np.array(slopes), compute_uv=False)
    assert int(np.sum(s > 1e-6 * s[0])) == dimension
    assert lds.min_parameters(A).any_perturbation == dimension


@pytest.mark.parametrize("seed", range(4))
def test_the_smallest_class_repeats_a_on_the_unstable_subspace(seed):
    rng = np.random.default_rng(seed)
    A = np.diag([1.4, 1.2, 0.5, 0.2]) + 0.05 * rng.standard_normal((4, 4))
    B = lds.RepeatedEigenvalue(2).member(A)
    U = lds.unstable_structure(A).basis
    np.testing.assert_allclose(B @ U, A @ U, atol=1e-13)
    repeated = np.sort(np.abs(np.linalg.eigvals(B)))[-3:]
    assert np.ptp(repeated) < 1e-6  # lambda on n - k + 1 = 3 dimensions


def test_one_parameter_keeps_a_unit_root_bounded_for_ever():
    A = np.array([[1.0, 0.3, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, -0.3]])
    means = [
        lds.risk(observed(A), lds.RepeatedEigenvalue(1), t).mean for t in (10**2, 10**6, 10**12)
    ]
    assert lds.RepeatedEigenvalue(1).n_parameters(3) == 1
    assert means[0] < means[1] < means[2] < 1.001 * means[1]


def test_complex_eigenvalues_alone_cannot_be_repeated():
    c, s = math.cos(0.3), math.sin(0.3)
    A = scipy.linalg.block_diag([[c, -s], [s, c]], 0.4)
    with pytest.raises(ValueError, match=r"^system: got no real simple eigenvalue"):
        lds.RepeatedEigenvalue(2).member(A)
    with pytest.raises(ValueError, match=r"^learner: got unstable_dim 1, want 2 as"):
        lds.RepeatedEigenvalue(1).member(A)


# ---- on data


def trajectories(A, horizon, n_series, seed):
    system = observed(A, cov0=np.eye(len(A)))
    return lds.simulate(system, horizon, n_series=n_series, rng=seed).states


@pytest.mark.parametrize(
    "learner",
    [
        lds.TopLeftBlock(2),
        lds.FirstColumns(3),
        lds.SparsePattern(MASK),
        lds.LinearSpan([np.eye(4), np.eye(4, k=1)]),
        lds.ReducedRank(2),
    ],
)
def test_no_member_nearby_fits_the_data_better(learner):
    states = trajectories(SHEARED, 12, 5, 3)
    fitted = learner.fit(states)
    before, after = states[:, :-1].reshape(-1, 4), states[:, 1:].reshape(-1, 4)

    def loss(B):
        return float(np.sum((after - before @ B.T) ** 2))

    best = loss(fitted.matrix)
    assert np.trace(fitted.residual_cov) * len(before) == pytest.approx(best, rel=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(20):
        other = learner.fit(states * (1 + 0.1 * rng.standard_normal(states.shape))).matrix
        assert loss(other) >= best * (1 - 1e-12)
        if not isinstance(learner, lds.ReducedRank):  # the others are linear
            assert loss(fitted.matrix + 0.01 * (other - fitted.matrix)) >= best * (1 - 1e-9)


def test_full_least_squares_is_the_ordinary_solution():
    states = trajectories(SHEARED, 30, 1, 0)[0]
    fitted = lds.full_matrix(4).fit(states)
    expected = np.linalg.lstsq(states[:-1], states[1:])[0].T
    np.testing.assert_allclose(fitted.matrix, expected, rtol=1e-9)
    assert (fitted.parameter_count, fitted.manifold_dim) == (16, 16)


def test_figure_1_from_data_is_close_to_the_population():
    """The paper's experiment: the block is estimated from many trajectories."""
    states = trajectories(FIGURE_1, 10, 4000, 1)
    for size in (1, 3, 4, 6):
        fitted = lds.TopLeftBlock(size).fit(states)
        data = lds.risk(observed(FIGURE_1), fitted, 10).log1p_mean
        exact = lds.risk(observed(FIGURE_1), lds.TopLeftBlock(size), 10).log1p_mean
        assert data == pytest.approx(exact, abs=0.02)
        assert data >= exact - 1e-12
        assert fitted.parameter_count == size**2


def test_the_smallest_class_learns_from_data():
    A = np.array([[1.0, 0.3, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, -0.3]])
    fitted = lds.RepeatedEigenvalue(1).fit(trajectories(A * 1.02, 100, 1, 2)[0])
    np.testing.assert_allclose(fitted.matrix, fitted.matrix[0, 0] * np.eye(3), atol=1e-12)
    assert fitted.matrix[0, 0] == pytest.approx(1.02, abs=0.02)


def test_bad_learners_and_states_are_refused():
    with pytest.raises(ValueError, match=r"^mask: got shape \(2, 3\)"):
        lds.SparsePattern(np.ones((2, 3), bool))
    with pytest.raises(ValueError, match=r"^mask: got shape \(2, 2\), float64"):
        lds.SparsePattern(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"^matrices: got shape \(1, 2, 3\)"):
        lds.LinearSpan(np.ones((1, 2, 3)))
    with pytest.raises(ValueError, match=r"^rank: got -1"):
        lds.ReducedRank(-1)
    with pytest.raises(ValueError, match=r"^unstable_dim: got 0"):
        lds.RepeatedEigenvalue(0)
    with pytest.raises(ValueError, match=r"^fixed: got shape \(3, 1\), want \(4, 2\)"):
        lds.RepeatedEigenvalue(2, np.ones((3, 1))).member(np.eye(4))
    with pytest.raises(ValueError, match=r"^states: got 1 steps, want at least 2"):
        lds.TopLeftBlock(1).fit(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"^states: got nan"):
        lds.TopLeftBlock(1).fit(np.full((5, 3), math.nan))
    with pytest.raises(ValueError, match=r"^learner: got size 5, want at most 4"):
        lds.FirstColumns(5).fit(np.ones((5, 4)))
    with pytest.raises(ValueError, match=r"^learner: got size 4, want 3 as"):
        lds.SparsePattern(MASK).fit(np.ones((5, 3)))
