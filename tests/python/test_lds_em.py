"""EM with correlated noises: against one large Gaussian, and never downhill."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eigenflow import lds
from reference.lds_em import expected_log_likelihood, moments

EVERYTHING = ("A", "C", "Q", "R", "cross_cov")
NAMES = (*EVERYTHING, "mean0", "cov0")
CHOICES = [
    EVERYTHING,
    ("Q", "R", "cross_cov"),
    ("A", "Q", "R", "cross_cov"),
    ("Q", "R"),
    ("Q",),
    ("R",),
    ("A",),
    ("C",),
    ("A", "C"),
    ("A", "Q"),
    ("C", "R"),
    ("A", "C", "Q", "R"),
]


def made(seed, n, p):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((n + p, n + p))
    noise = root @ root.T + 0.2 * np.eye(n + p)
    start = rng.standard_normal((n, n))
    return {
        "A": 0.6 * rng.standard_normal((n, n)) / np.sqrt(n),
        "C": rng.standard_normal((p, n)),
        "Q": noise[:n, :n],
        "R": noise[n:, n:],
        "cross_cov": noise[:n, n:],
        "mean0": rng.standard_normal(n),
        "cov0": start @ start.T + 0.1 * np.eye(n),
    }


def series(seed, n_steps, p, missing=0.2):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((n_steps, p))
    y[rng.random(y.shape) < missing] = np.nan
    return y


def one_step(parts, y, free):
    """Matrices after a step."""
    system = lds.LinearSystem(**parts)
    model = lds.free_matrices(system, free)
    params = model.em_step(model.start_params(y), lds.score(system, y), system)
    after = model.system(params)
    return {name: getattr(after, name) for name in NAMES}


@pytest.mark.parametrize(("n", "p"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_a_step_over_everything_is_the_regression_of_the_smoothed_moments(n, p):
    parts, y = made(n + p, n, p), series(0, 12, p)
    with_state, own, before = moments(parts, y)
    shift = np.linalg.solve(before, with_state.T).T
    noise = (own - shift @ with_state.T) / len(y)
    got = one_step(parts, y, EVERYTHING)
    close = {"rtol": 1e-9, "atol": 1e-10}
    np.testing.assert_allclose(got["A"], parts["A"] + shift[:n], **close)
    np.testing.assert_allclose(got["C"], parts["C"] + shift[n:], **close)
    np.testing.assert_allclose(got["Q"], noise[:n, :n], **close)
    np.testing.assert_allclose(got["R"], noise[n:, n:], **close)
    np.testing.assert_allclose(got["cross_cov"], noise[:n, n:], **close)


@pytest.mark.parametrize("free", ["A", "C", "Q", "R"])
def test_a_single_block_goes_to_its_maximum(free):
    parts, y = made(3, 2, 2), series(1, 10, 2)
    got = one_step(parts, y, (free,))
    top = expected_log_likelihood(parts, got, y)
    assert top > expected_log_likelihood(parts, parts, y)
    rng = np.random.default_rng(0)
    for _ in range(5):
        change = rng.standard_normal(got[free].shape)
        change = change + change.T if free in ("Q", "R") else change
        values = [
            expected_log_likelihood(parts, got | {free: got[free] + h * change}, y)
            for h in (-1e-4, 1e-4)
        ]
        assert max(values) < top
        assert abs(values[1] - values[0]) / 2e-4 < 1e-5


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 3),
    p=st.integers(1, 3),
    free=st.sampled_from(CHOICES),
)
def test_no_step_goes_down(seed, n, p, free):
    parts, y = made(seed, n, p), series(seed, 25, p)
    value = lds.log_likelihood(lds.LinearSystem(**parts), y)
    for _ in range(4):
        parts = one_step(parts, y, free)
        after = lds.log_likelihood(lds.LinearSystem(**parts), y)
        assert after >= value - 1e-9 * abs(value)
        value = after


@pytest.mark.parametrize(
    ("diffuse", "free"),
    [(False, ("Q", "R")), (True, ("Q", "R")), (True, ("Q", "R", "cross_cov"))],
)
def test_em_and_quasi_newton_find_one_maximum(diffuse, free):
    system = lds.LinearSystem(0.8, 1.0, 1.0, 1.0, cross_cov=0.4, cov0=3.0)
    y = np.stack([lds.simulate(system, 150, rng=i).observations for i in range(3)])
    start = {"diffuse": True} if diffuse else {"cov0": 3.0}
    fixed = lds.LinearSystem(0.8, 1.0, 2.0, 0.5, cross_cov=0.4, **start)
    model = lds.free_matrices(fixed, free)
    by_em = lds.fit(model, y, method="em", rtol=1e-11)
    by_newton = lds.fit(model, y)
    assert by_em.converged
    assert by_newton.converged
    assert by_em.log_likelihood == pytest.approx(by_newton.log_likelihood, rel=1e-6)
    np.testing.assert_allclose(by_em.score, 0, atol=0.1)
    np.testing.assert_allclose(by_newton.score, 0, atol=1e-2)


def test_the_cross_covariance_is_free_with_both_noises_only():
    system = lds.LinearSystem(0.5, 1.0, 1.0, 1.0, cross_cov=0.5)
    with pytest.raises(
        ValueError, match=r"^free: got cross_cov in \('Q', 'cross_cov'\), want Q an"
    ):
        lds.free_matrices(system, ("Q", "cross_cov"))
    with pytest.raises(ValueError, match=r"^free: got 'cross_cov', want names among A, C, Q, R"):
        lds.free_matrices(lds.LinearSystem(0.5, 1.0, 1.0, 1.0), ("Q", "R", "cross_cov"))
    with pytest.raises(ValueError, match=r"^method: got 'em', want 'lbfgs': the model has no EM"):
        lds.fit(lds.free_matrices(system, ("Q", "mean0")), np.ones(9), method="em")
