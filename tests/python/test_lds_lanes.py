"""Series of a batch side by side, and runs of full steps: both against one series step by step."""

import numpy as np
import pytest

from eigenflow import lds
from eigenflow.lds import LinearSystem

MEANS = ("filtered_mean", "predicted_mean", "innovations")


def random_system(rng, n, p, **options):
    A = np.diag(np.linspace(0.95, -0.4, n)) + 0.1 * np.triu(rng.standard_normal((n, n)), 1)
    return LinearSystem(A, rng.standard_normal((p, n)), np.eye(n), np.eye(p), **options)


def compare(got, expected, places=slice(None), atol=1e-12):
    for name in MEANS:
        a, b = getattr(got, name), getattr(expected, name)
        if a is not None:
            np.testing.assert_allclose(a[places], b, atol=atol)
    np.testing.assert_allclose(got.log_likelihood[places], expected.log_likelihood, rtol=1e-12)
    np.testing.assert_array_equal(got.steady_from[places], expected.steady_from)
    np.testing.assert_allclose(got.error_bound[places], expected.error_bound, atol=1e-13)
    np.testing.assert_allclose(got.final_state.mean[places], expected.final_state.mean, atol=atol)
    np.testing.assert_allclose(got.final_state.cov[places], expected.final_state.cov, atol=atol)


def one_by_one(system, y, store, check):
    """`check(i, result)` for each series alone."""
    for i in range(len(y)):
        result = lds.filter(system, y[i], store=store)
        if result.steady_from is None:
            result.__dict__["steady_from"] = -1
        check(i, result)


@pytest.mark.parametrize("n_steps", [1, 5, 63, 64, 65, 300])
@pytest.mark.parametrize(("n", "p"), [(1, 1), (2, 1), (3, 2), (4, 4), (9, 1)])
def test_batch_is_each_series(n, p, n_steps):
    rng = np.random.default_rng(n)
    system = random_system(rng, n, p, state_offset=rng.standard_normal(n), obs_offset=np.ones(p))
    y = lds.simulate(system, n_steps, n_series=19, rng=1).observations
    got = lds.filter(system, y, store=MEANS)
    one_by_one(system, y, MEANS, lambda i, alone: compare(got, alone, i))


@pytest.mark.parametrize("store", [(), ("filtered_mean",), ("innovations", "predicted_mean")])
def test_what_is_stored(store):
    system = random_system(np.random.default_rng(3), 3, 1)
    y = lds.simulate(system, 200, n_series=16, rng=1).observations
    got = lds.filter(system, y, store=store)
    one_by_one(system, y, store, lambda i, alone: compare(got, alone, i))
    assert all((getattr(got, name) is not None) == (name in store) for name in MEANS)


def test_gaps_send_a_series_its_own_way():
    system = random_system(np.random.default_rng(3), 3, 2)
    y = lds.simulate(system, 200, n_series=24, rng=1).observations
    y[3, 0] = y[9, 100, 1] = y[17] = np.nan
    got = lds.filter(system, y, store=MEANS)
    one_by_one(system, y, MEANS, lambda i, alone: compare(got, alone, i))


def test_starts_of_their_own():
    rng = np.random.default_rng(3)
    system = random_system(rng, 2, 1)
    y = lds.simulate(system, 100, n_series=16, rng=1).observations
    first = lds.filter(system, y[:, :50])
    cov = first.final_state.cov.copy()
    cov[5] *= 2
    state = lds.FilterState(first.final_state.mean, cov, first.final_state.diffuse)
    got = lds.filter(system, y[:, 50:], state=state, store=MEANS)
    for i in range(16):
        own = lds.FilterState(state.mean[i], state.cov[i], state.diffuse[i])
        alone = lds.filter(system, y[i, 50:], state=own, store=MEANS)
        np.testing.assert_allclose(got.filtered_mean[i], alone.filtered_mean, atol=1e-12)
        assert got.log_likelihood[i] == pytest.approx(alone.log_likelihood, rel=1e-12)


def test_strided_batches():
    system = random_system(np.random.default_rng(3), 2, 2)
    y = lds.simulate(system, 90, n_series=18, rng=1).observations
    expected = lds.filter(system, y).filtered_mean
    wide = np.zeros((18, 180, 4))
    wide[:, ::2, ::2] = y
    np.testing.assert_allclose(lds.filter(system, wide[:, ::2, ::2]).filtered_mean, expected)
    fortran = np.asfortranarray(y)
    np.testing.assert_allclose(lds.filter(system, fortran).filtered_mean, expected)


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_bytes_of_a_batch_do_not_depend_on_workers(workers):
    system = random_system(np.random.default_rng(3), 4, 1)
    y = lds.simulate(system, 500, n_series=100, rng=1).observations
    y[20, 30] = np.nan
    one, many = (lds.filter(system, y, workers=w) for w in (1, workers))
    assert one.filtered_mean.tobytes() == many.filtered_mean.tobytes()
    assert one.log_likelihood.tobytes() == many.log_likelihood.tobytes()


def test_infinity_names_its_series():
    system = random_system(np.random.default_rng(3), 2, 1)
    y = lds.simulate(system, 50, n_series=16, rng=1).observations
    y[11, 7] = np.inf
    with pytest.raises(ValueError, match=r"got inf at position \(7, 0\).*series \(11,\)"):
        lds.filter(system, y)


def changing(rng, n, n_steps, **options):
    """One observed number; every matrix changes."""
    A = 0.5 * rng.standard_normal((n_steps, n, n)) / np.sqrt(n)
    half = rng.standard_normal((n_steps, n, n))
    return LinearSystem(
        A,
        rng.standard_normal((n_steps, 1, n)),
        half @ np.swapaxes(half, 1, 2),
        rng.uniform(0.5, 2, (n_steps, 1, 1)),
        mean0=np.ones(n),
        cov0=np.eye(n),
        time_varying=True,
        **options,
    )


FULL = (*MEANS, "log_likelihood_terms")


def same_as_by_steps(system, y):
    got, expected = (lds.filter(system, y, store=FULL, method=m) for m in ("joseph", "standard"))
    for name in FULL:
        np.testing.assert_allclose(getattr(got, name), getattr(expected, name), atol=1e-10)
    np.testing.assert_allclose(got.final_state.cov, expected.final_state.cov, atol=1e-10)
    assert got.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-11)


@pytest.mark.parametrize("n_steps", [1, 64, 333])
@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_runs_of_full_steps(n, n_steps):
    rng = np.random.default_rng(n)
    offsets = {
        "state_offset": rng.standard_normal((n_steps, n)),
        "obs_offset": rng.standard_normal((n_steps, 1)),
    }
    system = changing(rng, n, n_steps, **offsets)
    same_as_by_steps(system, lds.simulate(system, n_steps, rng=1).observations)


def test_runs_of_full_steps_around_gaps_and_exact_numbers():
    rng = np.random.default_rng(0)
    system = changing(rng, 4, 300)
    y = lds.simulate(system, 300, rng=1).observations
    y[[0, 70, 71, 200]] = np.nan
    same_as_by_steps(system, y)
    R = system.R.copy()
    R[100] = R[150] = 0
    exact = LinearSystem(
        system.A, system.C, system.Q, R, mean0=np.ones(4), cov0=np.eye(4), time_varying=True
    )
    same_as_by_steps(exact, y)


def test_runs_of_full_steps_write_into_strided_rows():
    system = changing(np.random.default_rng(0), 4, 200)
    y = lds.simulate(system, 200, rng=1).observations
    wide = np.zeros((400, 8))
    out = {"filtered_mean": wide[::2, :4], "innovations": wide[::2, 5:6]}
    lds.filter(system, y, store=(), out=out)
    result = lds.filter(system, y, store=MEANS)
    np.testing.assert_array_equal(wide[::2, :4], result.filtered_mean)
    np.testing.assert_array_equal(wide[::2, 5:6], result.innovations)
    assert not wide[1::2].any()
    columns = np.asfortranarray(np.zeros((200, 4)))
    lds.filter(system, y, store=(), out={"filtered_mean": columns})
    np.testing.assert_allclose(columns, result.filtered_mean, atol=1e-12)


def test_a_variance_out_of_range_is_named():
    A = np.full((400, 2, 2), 0.0)
    A[:] = 1e3 * np.eye(2)
    C = np.tile([[[1.0, 0.0]]], (400, 1, 1))
    system = LinearSystem(
        A, C, np.eye(2), np.eye(1), mean0=np.zeros(2), cov0=np.eye(2), time_varying=True
    )
    with pytest.raises(ValueError, match="leaves the range of double at step"):
        lds.filter(system, np.zeros((400, 1)))


@pytest.mark.parametrize("n_steps", [1500, 20_001, 2_200_000])  # the last goes around the cache
def test_states_alone_agree_with_states_beside_others(n_steps):
    rng = np.random.default_rng(0)
    A = np.diag([0.9, 0.5, 0.1, -0.3]) + 0.1 * np.triu(rng.standard_normal((4, 4)), 1)
    offsets = {"state_offset": rng.standard_normal(4), "obs_offset": [3.0]}
    system = LinearSystem(A, rng.standard_normal((1, 4)), np.eye(4), 1.0, **offsets)
    y = rng.standard_normal(n_steps) + 3
    alone = lds.filter(system, y)
    beside = lds.filter(system, y, store=("filtered_mean", "innovations"))
    np.testing.assert_allclose(alone.filtered_mean, beside.filtered_mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(alone.log_likelihood, beside.log_likelihood, rtol=1e-13)
    np.testing.assert_allclose(alone.final_state.mean, beside.final_state.mean, rtol=1e-12)
    odd = np.empty(4 * n_steps + 1)[1:].reshape(n_steps, 4)
    one = lds.filter(system, y, out={"filtered_mean": odd}, workers=1)
    np.testing.assert_allclose(one.filtered_mean, alone.filtered_mean, rtol=1e-12, atol=1e-12)
