"""A cluster of two processes: the same bytes whatever happens to the workers, and named errors."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import eigenflow as ef
from support.cluster import local_client

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.filterwarnings("ignore")  # distributed tells of each worker it loses


def make_block(block_id=None, pause=0.0):
    time.sleep(pause)
    return np.random.default_rng(block_id[0]).standard_normal((2000, 120)) / np.arange(1, 121)


def matrix(n_blocks=12, pause=0.0):
    chunks = ((2000,) * n_blocks, (120,))
    return da.map_blocks(make_block, pause=pause, chunks=chunks, dtype=float, meta=np.empty((0, 0)))


@pytest.fixture(scope="module")
def client():
    with local_client(2, memory_limit="1GB") as connected:
        yield connected


def kill_one(client):
    pids = list(client.run(os.getpid).values())
    os.kill(pids[0], signal.SIGKILL)
    return pids


def test_the_same_bytes_on_the_cluster_and_through_a_killed_worker(client):
    calm = ef.dask.svd(matrix(), rank=5, passes=4, method="krylov", rng=1, client=client)
    slow = matrix(pause=0.1)
    killer = threading.Timer(1.0, kill_one, [client])
    killer.start()
    began = time.monotonic()
    result = ef.dask.svd(slow, rank=5, passes=4, method="krylov", rng=1, client=client)
    killer.join()
    assert time.monotonic() - began > 1.0
    assert result.s.tobytes() == calm.s.tobytes()
    assert result.Vh.tobytes() == calm.Vh.tobytes()
    with dask.config.set(scheduler="threads", num_workers=3):
        threads = ef.dask.svd(matrix(), rank=5, passes=4, method="krylov", rng=1)
    assert threads.s.tobytes() == calm.s.tobytes()
    U = calm.U.compute(scheduler=client)
    assert np.abs(U.T @ U - np.eye(5)).max() < 1e-12


def test_ordinary_functions_use_the_active_client(client):
    y = np.random.default_rng(0).normal(size=400)
    system = ef.lds.LinearSystem(0.9, 1.0, 1.0, 2.0)
    with client.as_current():
        result = ef.lds.filter(system, da.from_array(y, chunks=130))
        theta = ef.flow.solve(da.from_array(y, chunks=100), 0.1, [1.0, 2.0])
        means, theta = dask.compute(result.filtered_mean, theta)
        found = ef.lowrank.svd(matrix(3), rank=2, rng=0)
    np.testing.assert_allclose(means, ef.lds.filter(system, y).filtered_mean, atol=1e-12)
    assert theta.tobytes() == ef.flow.solve(y, 0.1, [1.0, 2.0]).tobytes()
    assert found.passes == 1


def test_flows_have_the_same_bytes_on_a_cluster(client):
    rng = np.random.default_rng(0)
    z, E = rng.normal(size=400), rng.normal(size=(10, 30))
    lazy, columns = da.from_array(z, chunks=130), da.from_array(E, chunks=(10, 11))

    system = ef.lds.LinearSystem(0.9, 1.0, 1.0, 2.0)
    y = da.from_array(np.where(rng.random(2000) < 0.05, np.nan, 1.0), chunks=300)

    def run():
        series = ef.lds.filter(system, y)
        risk = ef.flow.sure(lazy, 0.1, [1.0, 2.0], 0.05)
        path = ef.flow.fit(columns, z[:10], 0.01, [3.0], rtol=0.1)
        likelihood = np.array(series.log_likelihood)
        lazy_results = dask.compute(path.coefficients, series.filtered_mean)
        return risk, path.dual, likelihood, *lazy_results

    with client.as_current():
        ours = run()
    with dask.config.set(scheduler="threads", num_workers=3):
        want = run()
    assert [a.tobytes() for a in ours] == [a.tobytes() for a in want]


def test_bad_entries_and_large_blocks_on_a_worker(client):
    A = matrix(4)
    bad = da.where(da.arange(8000, chunks=2000)[:, None] == 5432, np.nan, A)
    with pytest.raises(ValueError, match=r"^A: got nan at position \(5432, 0\), want finite"):
        ef.dask.svd(bad, rank=2, client=client)
    z = da.zeros(10_000_000, chunks=10_000_000)
    system = ef.lds.LinearSystem(0.9 * np.eye(4), np.ones((1, 4)), np.eye(4), 1.0)
    with client.as_current():
        with pytest.raises(MemoryError, match=r"^z: got blocks of 10000000 .* at most \d+ coord"):
            ef.flow.solve(z, 0.1, np.arange(40.0))
        with pytest.raises(MemoryError, match=r"^y: got blocks of 10000000 steps.* at most \d+ st"):
            ef.lds.filter(system, z, store="filtered_cov")
        assert ef.flow.solve(z, 0.1, [1.0, 2.0]).shape == (2, 10_000_000)
    large = da.zeros((400_000, 400), chunks=(400_000, 400))
    with pytest.raises(MemoryError, match=r"A: got blocks of 400000 x 400 .* want chunks of at mo"):
        ef.dask.svd(large, rank=2, client=client)


def die(block_id=None):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_block_that_kills_every_worker_is_a_named_error(client):
    chunks = ((100,) * 2, (120,))
    A = da.map_blocks(die, chunks=chunks, dtype=float, meta=np.empty((0, 0)))
    began = time.monotonic()
    with pytest.raises(distributed.KilledWorker):
        ef.dask.svd(A, rank=2, client=client)
    assert time.monotonic() - began < 30


def test_no_worker_at_all_is_a_named_error_in_bounded_time(monkeypatch):
    from eigenflow.dask import running

    monkeypatch.setattr(running, "_PATIENCE", 1.0)
    with local_client(0, memory_limit="1GB") as client:
        began = time.monotonic()
        with pytest.raises(ef.dask.WorkersLost, match="client: no worker for 1 seconds"):
            ef.dask.svd(matrix(2), rank=2, client=client)
        assert time.monotonic() - began < 10
