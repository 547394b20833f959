"""The log-likelihood alone takes faster ways than the filter: modes, or several steps at once."""

import numpy as np
import pytest

from eigenflow import lds
from eigenflow.lds import LinearSystem

N_STEPS = 60_000


def random_system(rng, n, p, **options):
    A = np.diag(np.linspace(0.95, -0.4, n)) + 0.1 * np.triu(rng.standard_normal((n, n)), 1)
    return LinearSystem(A, rng.standard_normal((p, n)), np.eye(n), np.eye(p), **options)


def turning(rng, angles, radius=0.97):
    """A system whose modes come in pairs."""
    n = 2 * len(angles)
    A = np.zeros((n, n))
    for k, angle in enumerate(angles):
        c, s = radius * np.cos(angle), radius * np.sin(angle)
        A[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = [[c, -s], [s, c]]
    return LinearSystem(A, rng.standard_normal((1, n)), np.eye(n), 4.0)


def by_rows(system, y):
    """The same number from a filter that writes the term of each step, in long double."""
    terms = lds.filter(system, y, store=("log_likelihood_terms",)).log_likelihood_terms
    return float(terms.astype(np.longdouble).sum())


def agrees(system, y, rtol=2e-13):
    expected = by_rows(system, y)
    assert lds.log_likelihood(system, y) == pytest.approx(expected, rel=rtol)


@pytest.mark.parametrize("p", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 9, 16])
def test_sum_of_terms(n, p):
    system = random_system(np.random.default_rng(n + 100 * p), n, p)
    y = lds.simulate(system, N_STEPS + 37 * n + p, rng=n).observations
    agrees(system, y)


@pytest.mark.parametrize("angles", [[0.3], [0.01, 2.0], [0.3, 0.31, 0.32], [0.1, 0.7, 1.5, 3.0]])
def test_pairs_of_modes(angles):
    system = turning(np.random.default_rng(5), angles)
    agrees(system, lds.simulate(system, N_STEPS, rng=1).observations)


def test_one_mode_and_pairs():
    rng = np.random.default_rng(3)
    pair = turning(rng, [0.4, 1.0]).A
    A = np.zeros((5, 5))
    A[:4, :4], A[4, 4], A[0, 4] = pair, 0.8, 0.5
    system = LinearSystem(A, rng.standard_normal((1, 5)), np.eye(5), 1.0)
    agrees(system, lds.simulate(system, N_STEPS, rng=1).observations)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_equal_modes(n):
    """A chain of equal modes has no coordinates of modes."""
    A = 0.7 * np.eye(n) + 0.5 * np.eye(n, k=1)
    C = np.zeros((1, n))
    C[0, 0] = 1
    system = LinearSystem(A, C, 1e-9 * np.eye(n), 1.0)
    agrees(system, lds.simulate(system, N_STEPS, rng=2).observations)


def test_modes_that_no_observation_reaches():
    system = LinearSystem(np.diag([0.9, 0.5]), [[1.0, 0.0]], np.eye(2), 1.0)
    agrees(system, lds.simulate(system, N_STEPS, rng=2).observations)


@pytest.mark.parametrize("scale", [1e-108, 1e-60, 1e60, 1e108])
def test_units(scale):
    base = random_system(np.random.default_rng(0), 3, 1)
    y = lds.simulate(base, N_STEPS, rng=1).observations
    system = LinearSystem(base.A, base.C, base.Q * scale**2, base.R * scale**2)
    shift = N_STEPS * np.log(scale)
    expected = lds.log_likelihood(base, y) - shift
    assert lds.log_likelihood(system, y * scale) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("p", [1, 2])
def test_offsets_and_inputs(p):
    rng = np.random.default_rng(8)
    offsets = {"state_offset": [0.5, -1.0, 0.2], "obs_offset": np.full(p, 30.0)}
    system = random_system(rng, 3, p, **offsets)
    y = lds.simulate(system, N_STEPS, rng=1).observations
    agrees(system, y)
    known = random_system(rng, 3, p, B=rng.standard_normal((3, 1)), D=np.ones((p, 1)))
    u = rng.standard_normal((N_STEPS, 1))
    terms = lds.filter(known, y, inputs=u, store=("log_likelihood_terms",)).log_likelihood_terms
    expected = float(terms.astype(np.longdouble).sum())
    assert lds.log_likelihood(known, y, inputs=u) == pytest.approx(expected, rel=2e-13)


@pytest.mark.parametrize(("n", "p"), [(4, 1), (3, 2), (12, 1)])
def test_bytes_do_not_depend_on_workers(n, p):
    system = random_system(np.random.default_rng(n), n, p)
    y = lds.simulate(system, 300_000, rng=1).observations
    found = {lds.log_likelihood(system, y, workers=w) for w in (1, 2, 3, 7)}
    assert len(found) == 1


def test_state_carried_over():
    """Where a stretch ends, the mean is that of the recursion in the system's own coordinates."""
    system = random_system(np.random.default_rng(4), 4, 1)
    y = lds.simulate(system, N_STEPS, rng=1).observations
    bare = lds.filter(system, y, store=()).final_state
    full = lds.filter(system, y).final_state
    np.testing.assert_allclose(bare.mean, full.mean, rtol=1e-13, atol=1e-13)


def test_far_start_is_forgotten_as_by_rows():
    system = random_system(np.random.default_rng(4), 2, 1, mean0=[1e9, -1e9], cov0=np.eye(2))
    y = lds.simulate(system, N_STEPS, rng=1).observations
    agrees(system, y, rtol=1e-12)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 30_000, N_STEPS - 1])
def test_infinity_is_refused(value, where):
    system = random_system(np.random.default_rng(4), 2, 1)
    y = lds.simulate(system, N_STEPS, rng=1).observations
    y[where] = value
    with pytest.raises(ValueError, match=rf"y: got -?inf at position \({where}, 0\)"):
        lds.log_likelihood(system, y)


@pytest.mark.parametrize("where", [20_000, N_STEPS - 1])
def test_gaps(where):
    system = random_system(np.random.default_rng(4), 4, 1)
    y = lds.simulate(system, N_STEPS, rng=1).observations
    y[where] = np.nan
    agrees(system, y)
