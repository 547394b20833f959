"""One rank of test_mpi_processes.py: each check, on mpi4py's world; rank 0 prints the outcomes."""

import json
import sys
import traceback

import numpy as np
import pytest
from mpi4py import MPI

import eigenflow as ef
from eigenflow.mpi.communicators import MPI4Py

world = MPI.COMM_WORLD


def mine(a):
    """Uneven blocks; with three ranks or more, rank 1 has none."""
    weights = [0 if world.size > 2 and r == 1 else r + 1 for r in range(world.size)]
    ends = [0, *(len(a) * np.cumsum(weights) // sum(weights))]
    return a[ends[world.rank] : ends[world.rank + 1]]


def check_svd():
    A = np.random.default_rng(0).standard_normal((900, 300)) * 0.97 ** np.arange(300)
    want = ef.lowrank.svd(A, 10, rng=0)
    got = ef.mpi.svd(mine(A), 10, rng=0)
    np.testing.assert_allclose(got.s, want.s, rtol=1e-12)
    np.testing.assert_allclose(got.Vh, want.Vh, atol=1e-8)
    np.testing.assert_allclose(got.U, mine(want.U), atol=1e-8)
    assert (got.method, got.passes) == (want.method, want.passes)
    assert world.allgather(got.Vh.tobytes()) == [got.Vh.tobytes()] * world.size


def check_flow():
    z = np.random.default_rng(1).standard_normal(1000)
    got = ef.mpi.flow(mine(z), 0.5, [1.0, 4.0], depth=2, b0=0.2)
    want = ef.flow.solve(z, 0.5, [1.0, 4.0], depth=2, b0=0.2)
    assert got.theta.tobytes() == np.ascontiguousarray(mine(want.T).T).tobytes()
    np.testing.assert_allclose(got.loss, ((want - z) ** 2).sum(axis=1) / 2, rtol=1e-12)


def check_risk():
    z = np.random.default_rng(1).standard_normal(1000)
    flow = {"depth": 1, "b0": 0.2}
    for name, times in (("sure", [1.0, np.inf]), ("expected_risk", [1.0])):
        want = getattr(ef.flow, name)(z, 0.5, times, 0.1, **flow)
        got = getattr(ef.mpi, name)(mine(z), 0.5, times, 0.1, **flow)
        np.testing.assert_allclose(got, want, rtol=1e-7)
    want = ef.flow.stopping_time(z, 0.5, 0.1, **flow)
    got = ef.mpi.stopping_time(mine(z), 0.5, 0.1, **flow)
    assert abs(got / want - 1) < 1e-5
    assert world.allgather(got) == [got] * world.size


def check_fit():
    rng = np.random.default_rng(5)
    E, y, values = rng.standard_normal((20, 60)), rng.standard_normal(20), np.full(60, 0.05)
    want = ef.flow.fit(E, y, values, [0.5, 3.0], rtol=1e-2)
    got = ef.mpi.fit(mine(E.T).T, y, mine(values), [0.5, 3.0], rtol=1e-2)
    np.testing.assert_allclose(got.coefficients, mine(want.coefficients.T).T, atol=1e-9)
    np.testing.assert_allclose(got.residual_norm, want.residual_norm, rtol=1e-9)
    assert world.allgather(got.dual.tobytes()) == [got.dual.tobytes()] * world.size


def check_sine():
    rng = np.random.default_rng(2)
    U, V, Y = rng.uniform(-1, 1, (300, 3)), rng.uniform(-1, 1, (80, 3)), rng.standard_normal(300)
    whole = ef.sine.SineLowRank(U, V, 15.0)
    op = ef.mpi.SineLowRank(mine(U), V, 15.0)
    np.testing.assert_allclose(op @ np.ones(80), mine(whole @ np.ones(80)), atol=1e-12)
    np.testing.assert_allclose(op.rmatmat(mine(Y)), whole.T @ Y, atol=1e-11)


def check_filter():
    system = ef.lds.LinearSystem([[0.9, 0.3], [0.0, 0.8]], [[1.0, 0.0]], np.eye(2), [[0.5]])
    y = np.random.default_rng(3).standard_normal((5000, 1))
    want = ef.lds.filter(system, y)
    got = ef.mpi.filter(system, mine(y))
    np.testing.assert_allclose(got.filtered_mean, mine(want.filtered_mean), atol=1e-11)
    assert abs(got.log_likelihood / want.log_likelihood - 1) < 1e-12


def check_an_error_on_the_last_rank():
    A = np.ones((20, 3))
    if world.rank == world.size - 1:
        A[4, 1] = np.inf
    with pytest.raises(ValueError, match=r"^A_local: got inf at position \(4, 1\)") as raised:
        ef.mpi.svd(A, 2)
    assert len(set(world.allgather(str(raised.value)))) == 1


def check_dtypes_that_differ():
    A = np.ones((20, 3), np.float32 if world.rank == 0 else np.float64)
    if world.size == 1:
        return
    with pytest.raises(TypeError, match=r"^A_local: got float") as raised:
        ef.mpi.svd(A, 2)
    assert len(set(world.allgather(str(raised.value)))) == 1


def check_a_freed_communicator():
    own = world.Dup()
    own.Free()
    with pytest.raises(ValueError, match=r"^comm: got a communicator that was freed"):
        ef.mpi.svd(np.eye(3), 1, comm=own)
    with pytest.raises(ValueError, match=r"^comm: got a communicator that was freed"):
        ef.mpi.flow(1.0, 1.0, 1.0, comm=own)


def check_a_communicator_of_some_ranks():
    half = world.Split(world.rank % 2)
    A = np.random.default_rng(5).standard_normal((30, 4))
    got = ef.mpi.svd(A, 2, comm=half)
    want = np.linalg.svd(np.vstack([A] * half.size), compute_uv=False)
    np.testing.assert_allclose(got.s, want[:2], rtol=1e-12)
    half.Free()


def check_messages_in_pieces():
    whole, pieces = MPI4Py(world), MPI4Py(world, most=7)
    for dtype in (np.float64, np.float32, np.int64):
        a = np.arange(100, dtype=dtype) + world.rank
        b = a.copy()
        whole.allreduce(a, "sum")
        pieces.allreduce(b, "sum")
        np.testing.assert_array_equal(a, b)
    a = np.full(50, world.rank, np.uint8)
    pieces.bcast(a, world.size - 1)
    assert (a == world.size - 1).all()


def check_a_scan_keeps_the_order_of_ranks():
    def join(first, second):
        second[...] = (first.reshape(2, 2) @ second.reshape(2, 2)).reshape(-1)

    def of_rank(r):
        return np.array([1.0, r + 1.0, 0.5, 2.0 * r])

    a = of_rank(world.rank)
    MPI4Py(world).exscan(a, join)
    if world.rank > 0:
        want = of_rank(0).reshape(2, 2)
        for r in range(1, world.rank):
            want = want @ of_rank(r).reshape(2, 2)
        np.testing.assert_array_equal(a.reshape(2, 2), want)


CHECKS = [name for name in globals() if name.startswith("check_")]


def main():
    """Run all checks; the outcome of one is what the ranks had to say, empty when all is well."""
    outcomes = {}
    for name in CHECKS:
        try:
            globals()[name]()
            said = ""
        except Exception:
            said = f"rank {world.rank}: {traceback.format_exc()}"
        outcomes[name] = "".join(world.allgather(said))
    if world.rank == 0:
        json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
