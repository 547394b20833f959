"""eigenflow.mpi.filter on threads that act as ranks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eigenflow as ef
from eigenflow.lds import LinearSystem
from support.ranks import cut, on_ranks, same_error, succeed


def random_system(n, p, seed=0, radius=0.9, **parts):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    A *= radius / np.abs(np.linalg.eigvals(A)).max()
    root = rng.standard_normal((n, n))
    noise = rng.standard_normal((p, p))
    return LinearSystem(
        A,
        rng.standard_normal((p, n)),
        root @ root.T + 0.1 * np.eye(n),
        noise @ noise.T + 0.1 * np.eye(p),
        **parts,
    )


def hold(system, y, sizes, rtol=1e-10, inputs=None, systems=None):
    """Filter in blocks, and compare every field with one call."""
    store = ("filtered_mean", "predicted_mean", "innovations", "log_likelihood_terms")
    covs = ("filtered_cov", "predicted_cov", "innovation_cov")
    want = ef.lds.filter(system, y, inputs=inputs, store=store + covs)
    blocks = cut(y, sizes)
    known = [None] * len(sizes) if inputs is None else cut(inputs, sizes)
    mine = [system] * len(sizes) if systems is None else systems

    def run(c):
        return ef.mpi.filter(
            mine[c.rank],
            blocks[c.rank],
            comm=c,
            inputs_local=known[c.rank],
            store=store + covs,
        )

    results = succeed(len(sizes), run)
    for name in store:
        got = np.concatenate([getattr(r, name) for r in results])
        expected = getattr(want, name)
        scale = np.nanmax(np.abs(expected), initial=1.0)
        np.testing.assert_allclose(got, expected, atol=rtol * scale, err_msg=name)
    for name in covs:
        got = np.concatenate([getattr(r, name).dense() for r in results])
        expected = getattr(want, name).dense()
        scale = np.abs(expected).max(initial=1.0)
        np.testing.assert_allclose(got, expected, atol=rtol * scale, err_msg=name)
    for r in results:
        assert r.log_likelihood == pytest.approx(want.log_likelihood, rel=1e-10)
        assert r.n_diffuse == want.n_diffuse
    np.testing.assert_allclose(results[-1].final_state.mean, want.final_state.mean, atol=rtol * 1e3)
    return results


@pytest.mark.parametrize("sizes", [[300, 300], [0, 500, 100], [1, 2, 3, 594], [598, 0, 2], [600]])
@pytest.mark.parametrize(("n", "p"), [(1, 1), (2, 1), (3, 2), (5, 3)])
def test_blocks_of_a_stationary_series(n, p, sizes):
    system = random_system(n, p)
    _, y = simulated(system, 600)
    hold(system, y, sizes)


def simulated(system, n_steps, inputs=None):
    found = ef.lds.simulate(system, n_steps, inputs=inputs, rng=1)
    return found.states, found.observations


def test_a_long_series_is_filtered_once():
    system = random_system(2, 1)
    _, y = simulated(system, 60_000)
    results = hold(system, y, [30_000, 30_000])
    assert results[1].steady_from is not None


def test_missing_numbers():
    system = random_system(3, 2)
    _, y = simulated(system, 400)
    y = y.copy()
    y[np.random.default_rng(0).random(y.shape) < 0.3] = np.nan
    y[190:230] = np.nan
    hold(system, y, [200, 10, 190])


@pytest.mark.parametrize("sizes", [[40, 60], [0, 40, 60], [100, 0]])
def test_a_diffuse_start(sizes):
    level = LinearSystem([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.diag([0.3, 0.01]), [[1.0]])
    y = np.cumsum(np.random.default_rng(0).standard_normal((100, 1)), axis=0)
    hold(level, y, sizes, rtol=1e-9)


def test_a_diffuse_start_with_a_first_block_that_sees_nothing():
    level = LinearSystem(1.0, 1.0, 0.5, 1.0)
    y = np.cumsum(np.random.default_rng(0).standard_normal((50, 1)), axis=0)
    y[:10] = np.nan
    hold(level, y, [10, 40], rtol=1e-9)


def test_a_diffuse_start_that_half_a_block_sees_is_refused():
    trend = LinearSystem([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.eye(2), [[1.0]])
    y = np.arange(10.0)[:, None]
    blocks = cut(y, [1, 9])
    results = on_ranks(2, lambda c: ef.mpi.filter(trend, blocks[c.rank], comm=c))
    same_error(results, ValueError, "y_local: the blocks before this one do not tell")


def test_a_system_that_does_not_forget():
    """No observation sees the second state, which is known at the start and stays."""
    system = LinearSystem(
        np.diag([0.9, 1.0]),
        [[1.0, 0.0]],
        np.diag([1.0, 0.0]),
        [[1.0]],
        mean0=[0.0, 2.0],
        cov0=np.diag([1.0, 0.5]),
    )
    y = np.random.default_rng(0).standard_normal((80, 1))
    hold(system, y, [30, 20, 30])


def test_inputs_offsets_and_correlated_noises():
    base = random_system(3, 2)
    rng = np.random.default_rng(5)
    joint = rng.standard_normal((5, 5))
    joint = joint @ joint.T + 0.1 * np.eye(5)
    system = LinearSystem(
        base.A,
        base.C,
        joint[:3, :3],
        joint[3:, 3:],
        cross_cov=joint[:3, 3:],
        B=rng.standard_normal((3, 2)),
        D=rng.standard_normal((2, 2)),
        state_offset=rng.standard_normal(3),
        obs_offset=rng.standard_normal(2),
    )
    inputs = rng.standard_normal((200, 2))
    _, y = simulated(system, 200, inputs)
    hold(system, y, [90, 110], inputs=inputs)


def test_a_system_that_changes():
    rng = np.random.default_rng(0)
    A = 0.8 + 0.1 * rng.standard_normal((60, 1, 1))
    start = {"mean0": [0.0], "cov0": [[1.0]]}

    def part(a):
        return LinearSystem(a, np.ones((1, 1)), np.eye(1), np.eye(1), time_varying=True, **start)

    y = rng.standard_normal((60, 1))
    hold(part(A), y, [25, 35], systems=[part(A[:25]), part(A[25:])])


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    n=st.integers(1, 4),
    p=st.integers(1, 3),
    radius=st.sampled_from([0.0, 0.5, 0.99, 1.2]),
    seed=st.integers(0, 1000),
)
def test_any_blocks(sizes, n, p, radius, seed):
    start = {"mean0": np.zeros(n), "cov0": np.eye(n)}
    system = random_system(n, p, seed, radius, **start)
    y = np.random.default_rng(seed).standard_normal((sum(sizes), p))
    hold(system, y, sizes, rtol=1e-8)


def test_log_likelihood():
    system = random_system(2, 2)
    _, y = simulated(system, 300)
    blocks = cut(y, [100, 200])
    got = succeed(2, lambda c: ef.mpi.log_likelihood(system, blocks[c.rank], comm=c))
    assert got[0] == got[1] == pytest.approx(ef.lds.log_likelihood(system, y), rel=1e-12)


def test_errors_reach_all_ranks():
    system = random_system(2, 1)
    y = np.zeros((10, 1))

    def infinite(comm):
        block = y.copy()
        if comm.rank == 2:
            block[3] = np.inf
        return ef.mpi.filter(system, block, comm=comm)

    text = same_error(on_ranks(3, infinite), ValueError, "y_local: got inf at position (3, 0)")
    assert text.endswith("(on rank 2 of 3)")
    long_one = np.zeros((5000, 1))

    def infinite_late(comm):
        block = long_one.copy()
        if comm.rank == 1:
            block[4000] = -np.inf
        return ef.mpi.filter(system, block, comm=comm)

    same_error(on_ranks(3, infinite_late), ValueError, "y_local: got -inf at position (4000, 0)")
    huge = LinearSystem(3.0, 1.0, 1.0, 1e300, mean0=0.0, cov0=1.0)
    results = on_ranks(3, lambda c: ef.mpi.filter(huge, np.full((700, 1), np.nan), comm=c))
    same_error(results, ValueError, "system: got a variance")
    exact = LinearSystem(0.5, 1.0, 1.0, 0.0)
    results = on_ranks(2, lambda c: ef.mpi.filter(exact, y, comm=c))
    same_error(results, ValueError, "system: got an observed number without noise")
    pair = random_system(2, 2)
    results = on_ranks(2, lambda c: ef.mpi.filter(pair if c.rank else system, y, comm=c))
    same_error(results, ValueError, "system: got 1 on rank 0 and 2 on rank 1, want one number")
    many = np.zeros((2, 10, 1))
    same_error(
        on_ranks(2, lambda c: ef.mpi.filter(system, many, comm=c)), ValueError, "y_local: got batch"
    )
