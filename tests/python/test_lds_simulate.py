import warnings

import mpmath
import numpy as np
import pytest

from eigenflow import lds
from eigenflow.lds import LinearSystem
from reference.lds_joint import Joint, numbers


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
        ({"n_steps": 1, "inputs": 1}, ValueError, r"^inputs: got a value, want None"),
        ({"n_steps": 1, "given": [1, 2]}, ValueError, r"^given: got 2 steps, want n_steps = 1"),
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


def general(T, cross, batch=()):
    """Two states, two series, everything at once."""
    rng = np.random.default_rng(8)
    lead = (*batch, *(() if T is None else (T,)))
    root = rng.standard_normal((*lead, 4, 4))
    noise = root @ np.swapaxes(root, -2, -1)
    return LinearSystem(
        0.5 * rng.standard_normal((*lead, 2, 2)),
        rng.standard_normal((*lead, 2, 2)),
        noise[..., :2, :2],
        noise[..., 2:, 2:],
        B=[[1.0], [2.0]],
        D=[[3.0], [0.0]],
        state_offset=rng.standard_normal((*lead, 2)),
        obs_offset=rng.standard_normal((*lead, 2)),
        cross_cov=noise[..., :2, 2:] if cross else None,
        mean0=[1.0, 2.0],
        cov0=np.eye(2),
        time_varying=T is not None,
    )


def moments(samples):
    flat = samples.reshape(len(samples), -1)
    return flat.mean(0), np.cov(flat.T)


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("T", [None, 3])
def test_moments_of_general_systems(T, cross):
    system = general(T, cross)
    u = np.array([[1.0], [-2.0], [0.5]])
    joint = Joint(system, 3, u)
    sample = lds.simulate(system, 3, n_series=40_000, inputs=u, rng=0)
    for got, linear, mean in (
        (sample.states, joint.x, joint.mean_x),
        (sample.observations, joint.y, joint.mean_y),
    ):
        m, V = moments(got)
        want = numbers(linear * joint.noise * linear.T)
        error = 6 * np.sqrt(np.outer(np.diag(want), np.diag(want)) / 20_000)
        assert np.all(np.abs(V - want) < error)
        assert np.all(np.abs(m - numbers(mean).ravel()) < 6 * np.sqrt(np.diag(want) / 40_000))


def test_a_batch_of_systems_draws_for_each():
    system = general(None, True, (2, 3))
    u = np.ones((5, 1))
    path = lds.simulate(system, 5, n_series=4, inputs=u, rng=0)
    assert path.states.shape == path.observations.shape == (4, 2, 3, 5, 2)
    assert lds.simulate(system, 5, inputs=u, rng=0).states.shape == (2, 3, 5, 2)
    noise = (
        path.states[..., 1:, :] - np.einsum("abij,sabtj->sabti", system.A, path.states)[..., :-1, :]
    )
    noise -= system.state_offset[:, :, None] + [1.0, 2.0]
    assert np.abs(noise.mean()) < 1
    assert np.isfinite(path.observations).all()


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("T", [None, 3])
def test_draws_given_observations_have_the_smoothed_law(T, cross):
    system = general(T, cross)
    u = np.ones((3, 1))
    y = np.array([[0.3, np.nan], [np.nan, np.nan], [1.0, -2.0]])
    sample = lds.simulate(system, 3, n_series=1000, inputs=u, given=y, rng=1)
    with mpmath.workdps(40):
        joint = Joint(system, 3, u)
        for got, linear, mean in (
            (sample.states, joint.x, joint.mean_x),
            (sample.observations, joint.y, joint.mean_y),
        ):
            want_mean, want, _ = joint.given(y, linear, mean)
            m, V = moments(got)
            want = numbers(want)
            deviation = np.sqrt(np.maximum(np.diag(want), 0))
            assert np.all(np.abs(m - numbers(want_mean).ravel()) < 6 * deviation / 30 + 1e-9)
            assert np.all(np.abs(V - want) < 6 * np.outer(deviation, deviation) / 20 + 1e-9)
    seen = ~np.isnan(y)
    np.testing.assert_array_equal(sample.observations[:, seen], np.broadcast_to(y[seen], (1000, 3)))


def test_draws_given_a_diffuse_level_go_through_exact_observations():
    level = LinearSystem(1, 1, 1, 0)
    y = np.array([5.0, np.nan, np.nan, 8.0])
    draws = lds.simulate(level, 4, n_series=3000, given=y, rng=0).states[..., 0]
    np.testing.assert_allclose(draws[:, [0, 3]], np.broadcast_to([5.0, 8.0], (3000, 2)), atol=1e-12)
    np.testing.assert_allclose(draws[:, 1:3].mean(0), [6, 7], atol=0.1)  # a Brownian bridge
    np.testing.assert_allclose(draws[:, 1:3].var(0), [2 / 3, 2 / 3], rtol=0.15)


@pytest.mark.parametrize(
    ("A", "limit"),
    [(1.1, 378), ([[1.0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1]], 29_680)],
)
def test_a_path_longer_than_float64_can_follow_is_announced(A, limit):
    n = len(np.atleast_2d(A))
    system = lds.LinearSystem(A, np.ones((1, n)), np.eye(n), 1.0, cov0=np.eye(n))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lds.simulate(system, limit - 10, rng=0)
        lds.simulate(lds.LinearSystem(1.0, 1.0, 1.0, 1.0), 100_000, rng=0)
    with pytest.warns(RuntimeWarning, match=r"^simulate: the horizon \d+ is beyond the"):
        lds.simulate(system, limit + 100, rng=0)


@pytest.mark.parametrize("n_series", [None, 3])
@pytest.mark.parametrize("cross", [None, 0.3])
@pytest.mark.parametrize("given", [False, True])
def test_progress_goes_up_to_the_end(n_series, cross, given, capsys, monkeypatch):
    tqdm = pytest.importorskip("tqdm").tqdm
    told = []
    update = tqdm.update
    monkeypatch.setattr(tqdm, "update", lambda bar, n: told.append(n) or update(bar, n))
    system = lds.LinearSystem(0.9, 1.0, 1.0, 1.0, cross_cov=cross)
    options = {"n_series": n_series, "rng": 0, "given": np.zeros(300) if given else None}
    path = lds.simulate(system, 300, progress=True, **options)
    assert "300/300" in capsys.readouterr().err
    assert sum(told) == 300
    assert len(told) > 2
    assert all(n >= 0 for n in told)
    plain = lds.simulate(system, 300, **options)
    assert path.states.tobytes() == plain.states.tobytes()


@pytest.mark.parametrize("A", [1.1, [[1.1, -1.1], [0.0, 1.1]]])
def test_a_path_that_leaves_the_range_is_refused(A):
    n = len(np.atleast_2d(A))
    system = lds.LinearSystem(A, np.ones((1, n)), np.eye(n), 1.0, cov0=np.eye(n))
    with (
        pytest.warns(RuntimeWarning, match=r"^simulate: the horizon"),
        pytest.raises(
            ValueError, match=r"^n_steps: got 20000, and a path .* at step 7\d\d\d, want"
        ),
    ):
        lds.simulate(system, 20_000, rng=0)
