"""Filter and smoother on CuPy arrays are those on NumPy arrays."""

import numpy as np
import pytest

from eigenflow import lds
from eigenflow.lds import FilterState, LinearSystem


def system_of(n, p, seed=0):
    rng = np.random.default_rng(seed)
    A = 0.8 * rng.standard_normal((n, n)) / np.sqrt(n)
    root = rng.standard_normal((n, n))
    return LinearSystem(
        A,
        rng.standard_normal((p, n)),
        root @ root.T,
        np.diag(rng.uniform(0.5, 2, p)),
        state_offset=rng.standard_normal(n),
        obs_offset=rng.standard_normal(p),
        mean0=rng.standard_normal(n),
        cov0=np.eye(n),
    )


def observations(system, n_steps, n_series=None):
    y = lds.simulate(system, n_steps, n_series=n_series, rng=1).observations
    y[np.random.default_rng(0).random(y.shape) < 0.1] = np.nan
    return y


def close(cupy, got, want, digits=1e-11):
    assert isinstance(got, cupy.ndarray)
    np.testing.assert_allclose(got.get(), want, rtol=digits, atol=digits)


def agree(cupy, system, y):
    """Filter and smooth many series on the device and on the host."""
    store = ("filtered_mean", "predicted_mean")
    want = lds.filter(system, y, store=store)
    got = lds.filter(system, cupy.asarray(y), store=store)
    for name in store:
        close(cupy, getattr(got, name), getattr(want, name))
    close(cupy, got.log_likelihood, want.log_likelihood)
    close(cupy, got.final_state.mean, want.final_state.mean)
    close(cupy, got.final_state.cov, want.final_state.cov)
    assert "proper" in got.diffuse_convention
    smoothed = lds.smooth(system, cupy.asarray(y))
    close(cupy, smoothed.smoothed_mean, lds.smooth(system, y).smoothed_mean, 1e-9)
    close(cupy, smoothed.log_likelihood, want.log_likelihood)


@pytest.mark.parametrize(("n", "p"), [(1, 1), (2, 3), (3, 1), (4, 2), (7, 2)])
def test_many_series(cupy, n, p):
    system = system_of(n, p)
    y = observations(system, 30, 70).reshape(7, 10, 30, p)
    agree(cupy, system, y)


@pytest.mark.parametrize("n_steps", [1, 3, 40])
@pytest.mark.parametrize(("n", "p"), [(1, 1), (2, 2), (4, 1), (5, 1), (8, 2), (2, 3), (9, 1)])
def test_series_without_gaps_share_their_gains(cupy, n, p, n_steps):
    system = system_of(n, p)
    y = lds.simulate(system, n_steps, n_series=35, rng=1).observations.reshape(5, 7, n_steps, p)
    agree(cupy, system, y)


@pytest.mark.parametrize("gaps", [False, True])
def test_the_state_of_one_call_starts_the_next(cupy, gaps):
    system = system_of(3, 1)
    y = lds.simulate(system, 60, n_series=8, rng=1).observations
    if gaps:
        y[np.random.default_rng(0).random(y.shape) < 0.2] = np.nan
    whole = lds.filter(system, y)
    total, state = 0.0, None
    for rows in (slice(0, 25), slice(25, 26), slice(26, 60)):
        part = lds.filter(system, cupy.asarray(y[:, rows]), state=state)
        close(cupy, part.filtered_mean, whole.filtered_mean[:, rows])
        state, total = part.final_state, total + part.log_likelihood.get()
    np.testing.assert_allclose(total, whole.log_likelihood, rtol=1e-11)
    close(cupy, state.cov, whole.final_state.cov)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("shape", [(3,), (1, 2), (3, 3), (7, 2), (4,)])
def test_a_state_of_other_series_is_refused(cupy, shape, gaps):
    y = np.zeros((5, 9, 1))
    if gaps:
        y[2, 5] = np.nan
    mean, system = np.zeros(shape), system_of(2, 1)
    state = FilterState(mean, np.eye(2), np.zeros((2, 0)))
    if shape == (1, 2):
        assert lds.filter(system, cupy.asarray(y), state=state).filtered_mean.shape == (5, 9, 2)
        return
    with pytest.raises(ValueError, match=r"^state.mean: got shape .*, want \(2,\), or one for"):
        lds.filter(system, cupy.asarray(y), state=state)


def test_infinite_observations_are_named(cupy):
    y = np.zeros((4, 9, 1))
    y[2, 5] = -np.inf
    with pytest.raises(ValueError, match=r"^y: got -inf at position \(2, 5, 0\)"):
        lds.filter(system_of(2, 1), cupy.asarray(y))


def test_one_series_float32_and_strides(cupy):
    system = system_of(2, 1)
    y = observations(system, 50).astype(np.float32)
    got = lds.filter(system, cupy.asarray(y))
    assert got.filtered_mean.dtype == np.float32
    np.testing.assert_allclose(got.filtered_mean.get(), lds.filter(system, y).filtered_mean, 1e-5)
    assert isinstance(got.log_likelihood, float)
    wide = cupy.asarray(np.repeat(y, 2, axis=0))[::2]
    np.testing.assert_array_equal(
        lds.filter(system, wide[:, 0]).filtered_mean.get(), got.filtered_mean.get()
    )


@pytest.mark.parametrize("n_steps", [2048 + 1024, 20_011])
@pytest.mark.parametrize(("n", "p"), [(1, 1), (4, 1), (3, 2)])
def test_a_long_series_goes_in_chunks_of_time(cupy, n, p, n_steps):
    system = system_of(n, p)
    y = lds.simulate(system, n_steps, rng=0).observations
    want, got = lds.filter(system, y), lds.filter(system, cupy.asarray(y))
    assert got.steady_from == want.steady_from
    close(cupy, got.filtered_mean, want.filtered_mean)
    np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(got.final_state.mean, want.final_state.mean, rtol=1e-10)
    gap = y.copy()
    gap[2500] = np.nan
    close(
        cupy,
        lds.filter(system, cupy.asarray(gap)).filtered_mean,
        lds.filter(system, gap).filtered_mean,
    )
    total = lds.log_likelihood(system, cupy.asarray(y))
    np.testing.assert_allclose(total, want.log_likelihood, rtol=1e-12)


def test_starts_of_many_chunks_are_found_in_groups(cupy, monkeypatch):
    system = system_of(3, 1)
    y = lds.simulate(system, 9_000, rng=0).observations
    want = lds.filter(system, y, store=("filtered_mean", "predicted_mean"))
    monkeypatch.setattr("eigenflow._gpu.lds_gains._GROUP", 5)
    got = lds.filter(system, cupy.asarray(y), store=("filtered_mean", "predicted_mean"))
    close(cupy, got.filtered_mean, want.filtered_mean)
    close(cupy, got.predicted_mean, want.predicted_mean)
    halves = [lds.filter(system, cupy.asarray(y[:4_500]))]
    halves.append(lds.filter(system, cupy.asarray(y[4_500:]), state=halves[0].final_state))
    np.testing.assert_allclose(
        sum(half.log_likelihood for half in halves), want.log_likelihood, rtol=1e-12
    )


def test_no_series_and_no_steps(cupy):
    system = system_of(2, 1)
    assert lds.filter(system, cupy.asarray(np.zeros((0, 5, 1)))).filtered_mean.shape == (0, 5, 2)
    empty = lds.filter(system, cupy.asarray(np.zeros((3, 0, 1))))
    assert empty.filtered_mean.shape == (3, 0, 2)
    np.testing.assert_array_equal(empty.log_likelihood.get(), np.zeros(3))


@pytest.mark.parametrize(
    ("system", "options", "message"),
    [
        (LinearSystem(1, 1, 1, 1), {}, r"^system: got a diffuse start, want none for CuPy"),
        (LinearSystem(0.5, 1, 1, 1, cross_cov=0.5), {}, r"^system: got cross_cov"),
        (LinearSystem(0.5, 1, 1, 1, B=[[1.0]]), {"inputs": [1.0]}, r"^inputs: got a value"),
        (LinearSystem(0.5, 1, 1, 1), {"store": "filtered_cov"}, r"^store: got \['filtered_cov'\]"),
        (LinearSystem(0.5, 1, 1, 1), {"out": {"filtered_mean": 1}}, r"^out: got a value"),
        (LinearSystem([[[0.5]], [[0.6]]], 1, 1, 1), {}, r"^system: got .*want one system"),
        (system_of(2, 2), {}, r"^y: got shape \(1,\), want"),
    ],
)
def test_what_has_no_kernels_is_refused_by_name(cupy, system, options, message):
    with pytest.raises(ValueError, match=message):
        lds.filter(system, cupy.asarray([1.0]), **options)
