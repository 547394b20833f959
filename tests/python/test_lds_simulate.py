import numpy as np
import pytest

from eigenflow import lds
from eigenflow.lds import LinearSystem


def test_paths_follow_the_recursion():
    system = LinearSystem(
        [[0.5, 0.1], [0, 0.3]],
        [[1, 2]],
        np.zeros((2, 2)),
        0,
        state_offset=[1, 2],
        obs_offset=3,
        mean0=[4, 5],
        cov0=np.zeros((2, 2)),
    )
    path = lds.simulate(system, 50, rng=0)
    x = np.array([4.0, 5.0])
    for t in range(50):
        np.testing.assert_allclose(path.states[t], x, rtol=1e-14)
        np.testing.assert_allclose(path.observations[t], system.C @ x + 3, rtol=1e-14)
        x = system.A @ x + [1, 2]


def test_moments_are_those_of_the_system():
    rng = np.random.default_rng(0)
    Q, R = (M @ M.T for M in (rng.standard_normal((2, 2)), rng.standard_normal((3, 3))))
    system = LinearSystem([[0.5, 0.2], [-0.1, 0.7]], rng.standard_normal((3, 2)), Q, R)
    sample = lds.simulate(system, 4, n_series=200_000, rng=1)
    states, y = sample.states, sample.observations
    for t in (0, 3):  # stationary from the first step on
        np.testing.assert_allclose(np.cov(states[:, t].T), system.cov0, rtol=0.03, atol=0.03)
    step = states[:, 1] - states[:, 0] @ system.A.T
    np.testing.assert_allclose(np.cov(step.T), Q, rtol=0.03, atol=0.03)
    np.testing.assert_allclose(step.T @ states[:, 0] / len(step), 0, atol=0.03)
    noise = (y - states @ system.C.T)[:, 2]
    np.testing.assert_allclose(np.cov(noise.T), R, rtol=0.03, atol=0.03)


def test_seeds_generators_and_shapes():
    system = LinearSystem(1, 1, 1, 1)
    one, two = (lds.simulate(system, 10, rng=5) for _ in range(2))
    np.testing.assert_array_equal(one.states, two.states)
    generator = np.random.default_rng(5)
    first, second = (lds.simulate(system, 10, rng=generator) for _ in range(2))
    np.testing.assert_array_equal(first.states, one.states)
    assert not np.array_equal(first.states, second.states)
    assert one.states.shape == one.observations.shape == (10, 1)
    assert lds.simulate(system, 0).states.shape == (0, 1)
    assert lds.simulate(system, 3, n_series=0).states.shape == (0, 3, 1)
    assert lds.simulate(system, 3, n_series=2).observations.shape == (2, 3, 1)


def test_a_diffuse_level_starts_at_its_mean():
    path = lds.simulate(LinearSystem(1, 1, 1, 0, mean0=7), 5, rng=0)
    assert path.states[0, 0] == 7
    np.testing.assert_array_equal(path.observations, path.states)


@pytest.mark.parametrize("Q", [np.zeros((2, 2)), np.ones((2, 2)), 1e300 * np.ones((2, 2))])
def test_singular_and_huge_noise(Q):
    path = lds.simulate(LinearSystem(0.5 * np.eye(2), [[1, 0]], Q, 0), 20, rng=0)
    assert np.isfinite(path.states).all()
    np.testing.assert_allclose(path.states[:, 0], path.states[:, 1], rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_steps": -1}, ValueError, r"^n_steps: got -1"),
        ({"n_steps": 1.5}, TypeError, r"^n_steps: got 1\.5"),
        ({"n_steps": 1, "n_series": -2}, ValueError, r"^n_series: got -2"),
        ({"n_steps": 1, "inputs": 1}, ValueError, r"^inputs: .*not available yet"),
        ({"n_steps": 1, "given": 1}, ValueError, r"^given: .*not available yet"),
        ({"n_steps": 1, "rng": "x"}, TypeError, r"^rng: "),
    ],
)
def test_bad_input_is_refused_by_name(options, error, message):
    with pytest.raises(error, match=message):
        lds.simulate(LinearSystem(1, 1, 1, 1), **options)


def test_blocks_of_drawing_leave_no_seam(monkeypatch):
    system = LinearSystem([[0.9, 0.1], [0, 0.5]], [[1, 2]], [[2, 1], [1, 3]], 0.5)
    whole = lds.simulate(system, 50, n_series=3, rng=4)
    monkeypatch.setattr("eigenflow.lds.simulation._BLOCK", 14)
    parts = lds.simulate(system, 50, n_series=3, rng=4)
    np.testing.assert_allclose(parts.states, whole.states, rtol=1e-13)
    np.testing.assert_allclose(parts.observations, whole.observations, rtol=1e-13)
