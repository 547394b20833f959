"""The exact score against differences in many digits, and its behaviour at the edges."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eigenflow import lds
from eigenflow.demo.nile import FLOW
from eigenflow.lds.estimation.scoring import FIELDS
from reference import lds_score as truth

SYMMETRIC = ("Q", "R", "cov0")


def spd(rng, n, scale=1.0):
    x = rng.standard_normal((n, n))
    return scale * (x @ x.T + 0.1 * np.eye(n))


def made(seed, n, p, diffuse):
    """Matrices of a random system whose last `diffuse` states start diffuse."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    A *= rng.uniform(0.5, 1.1) / np.abs(np.linalg.eigvals(A)).max()
    cov0 = spd(rng, n)
    cov0[n - diffuse :] = cov0[:, n - diffuse :] = 0
    return {
        "A": A,
        "C": rng.standard_normal((p, n)),
        "Q": spd(rng, n),
        "R": spd(rng, p),
        "state_offset": rng.standard_normal(n),
        "obs_offset": rng.standard_normal(p),
        "mean0": rng.standard_normal(n),
        "cov0": cov0,
        "diffuse_directions": np.eye(n)[:, n - diffuse :],
    }


def as_system(parts, diffuse):
    n = len(parts["A"])
    return lds.LinearSystem(
        **{name: value for name, value in parts.items() if name != "diffuse_directions"},
        diffuse=np.arange(n) >= n - diffuse,
    )


def series(seed, n_steps, p, missing):
    rng = np.random.default_rng(seed)
    y = 2 * rng.standard_normal((n_steps, p))
    y[rng.random((n_steps, p)) < missing] = np.nan
    return y


@pytest.mark.parametrize(
    ("n", "p", "diffuse", "missing", "n_steps"),
    [
        (1, 1, 0, 0.0, 8),
        (2, 2, 0, 0.3, 8),
        (2, 1, 1, 0.0, 8),
        (2, 2, 2, 0.3, 8),
        (3, 1, 2, 0.2, 8),
        (9, 1, 1, 0.2, 4),  # more than a cache line in a row
        (2, 9, 1, 0.2, 2),
    ],
)
def test_every_derivative_in_many_digits(n, p, diffuse, missing, n_steps):
    parts = made(n + p, n, p, diffuse)
    y = series(5, n_steps, p, missing)
    found = lds.score(as_system(parts, diffuse), y)
    rng = np.random.default_rng(1)
    for name in FIELDS:
        if name not in parts:
            continue
        change = rng.standard_normal(parts[name].shape)
        change = change + change.T if name in SYMMETRIC else change
        if not change.size:
            continue
        expected, value = truth.slope(parts, y, {name: change})
        assert found.log_likelihood == pytest.approx(value, rel=1e-12)
        assert found.along({name: change}) == pytest.approx(expected, rel=1e-9, abs=1e-11), name


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 4),
    p=st.integers(1, 3),
    diffuse=st.integers(0, 2),
    missing=st.floats(0, 0.5),
    seed=st.integers(0, 10**6),
)
def test_the_likelihood_is_that_of_the_filter(n, p, diffuse, missing, seed):
    diffuse = min(diffuse, n)
    system = as_system(made(seed, n, p, diffuse), diffuse)
    y = series(seed, 30, p, missing)
    found = lds.score(system, y)
    expected = lds.log_likelihood(system, y, method="full")
    assert found.log_likelihood == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert found.n_observed == np.isfinite(y).sum()


def test_a_long_series_shares_its_steady_steps():
    system = as_system(made(3, 3, 2, 1), 1)
    y = lds.simulate(as_system(made(3, 3, 2, 0), 0), 400, rng=0).observations
    y[150:153] = np.nan
    whole = lds.score(system, y)
    rng = np.random.default_rng(0)
    for name in ("A", "C", "Q", "R"):
        d = rng.standard_normal(getattr(system, name).shape)
        d = d + d.T if name in SYMMETRIC else d
        values = []
        for step in (-2, -1, 1, 2):
            parts = made(3, 3, 2, 1)
            parts[name] = parts[name] + step * 1e-4 * d
            values.append(lds.log_likelihood(as_system(parts, 1), y, method="full"))
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-4
        assert whole.along({name: d}) == pytest.approx(slope, rel=1e-6, abs=1e-5)


def test_second_moments_are_those_of_the_smoother():
    system = as_system(made(2, 3, 2, 1), 1)
    y = series(0, 25, 2, 0.2)
    found = lds.score(system, y)
    both = lds.smooth(system, y, store=("smoothed_mean", "smoothed_cov"))
    mean, cov = both.smoothed_mean, both.smoothed_cov.dense()
    np.testing.assert_allclose(
        found.second_moment, mean.T @ mean + cov.sum(axis=0), rtol=1e-9, atol=1e-9
    )
    last = np.outer(mean[-1], mean[-1]) + cov[-1]
    np.testing.assert_allclose(found.last_moment, last, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-100, 1e-12, 1e12, 1e100])
def test_units_change_nothing(scale):
    y = np.array(FLOW, float)
    system = lds.LinearSystem(1.0, 1.0, 1000.0, 20000.0)
    moved = lds.LinearSystem(1.0, 1.0, 1000.0 * scale**2, 20000.0 * scale**2)
    a, b = lds.score(system, y), lds.score(moved, y * scale)
    assert b.Q[0, 0] * scale**2 == pytest.approx(a.Q[0, 0], rel=1e-9)
    assert b.R[0, 0] * scale**2 == pytest.approx(a.R[0, 0], rel=1e-9)
    assert b.A[0, 0] == pytest.approx(a.A[0, 0], rel=1e-9, abs=1e-5)  # sums of about 1e3 cancel
    shift = 99 * np.log(scale)
    assert b.log_likelihood == pytest.approx(a.log_likelihood - shift, rel=1e-12)


def test_no_noise_in_the_observation_is_fine():
    walk = lds.LinearSystem(1.0, 1.0, 2.0, 0.0)
    y = np.array([1.0, 2.0, 4.0, 3.0])
    found = lds.score(walk, y)
    steps = np.diff(y)
    assert found.Q[0, 0] == pytest.approx(np.sum(steps**2) / 8 - 3 / 4, rel=1e-12)
    assert found.log_likelihood == pytest.approx(lds.log_likelihood(walk, y), rel=1e-13)


def test_what_has_no_score_is_refused():
    walk = lds.LinearSystem(1.0, 1.0, 1.0, 1.0)
    with pytest.raises(TypeError, match=r"^system: got int"):
        lds.score(1, FLOW)
    with pytest.raises(ValueError, match=r"^system: got a singular covariance of an innovation"):
        lds.score(lds.LinearSystem(0.5, 1.0, 0.0, 0.0), FLOW)
    with pytest.raises(ValueError, match=r"^y: got too few observations to determine the diffuse"):
        lds.score(walk, [np.nan, np.nan])
    with pytest.raises(ValueError, match=r"^y: got inf at position"):
        lds.score(walk, [1.0, np.inf])
    with pytest.raises(ValueError, match=r"^inputs: got None"):
        lds.score(lds.LinearSystem(0.5, 1.0, 1.0, 1.0, D=1.0), FLOW)
    unseen = lds.LinearSystem(np.eye(2), [[1.0, 0.0]], np.eye(2), 1.0)
    with pytest.raises(ValueError, match=r"^y: got too few observations"):
        lds.score(unseen, FLOW)


def test_inputs_are_untouched():
    y = np.array(FLOW)
    kept = y.copy()
    lds.score(lds.LinearSystem(1.0, 1.0, 1000.0, 20000.0), y)
    np.testing.assert_array_equal(y, kept)
    assert mp.mp.dps == 15
