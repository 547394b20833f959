"""Tasks of Dask that nobody wants any more end soon, whatever they do; none is left running.

Each task below would work for 20 seconds and more on its one block.
"""

import os
import signal
import threading
import time

import numpy as np
import pytest

import eigenflow as ef
from eigenflow._map_reduce import stop
from support.cluster import local_client

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.filterwarnings("ignore")  # distributed looks for a port by trying

SOON = 10.0  # seconds, on a machine where others work; 0.1 on a quiet one


@pytest.fixture(scope="module")
def client():
    with local_client(1, memory_limit="4GB") as connected:
        yield connected


def coordinates():
    return da.ones(3_000_000, chunks=-1) / 2


def expected_risk(run):
    from eigenflow.dask import coordinates as engine

    given = {
        "signal": coordinates(),
        "eigenvalues": 1.0,
        "times": [3.0, 5.0],
        "depth": 1,
        "b0": 0.1,
    }
    rest = {"noise_variance": 0.1, "axis": (0,)}
    blocks = engine._Blocks(ef.flow.expected_risk, {**given, **rest}, "times")
    return engine._summaries(blocks, blocks.task)[0].ravel()[0]


def stopping_times(run):
    return ef.flow.stopping_time(coordinates()[:, None], 1.0, 0.1, depth=1, b0=0.1, axis=0)


SYSTEM = ef.lds.LinearSystem(0.9 * np.eye(16), np.ones((1, 16)), np.eye(16), 1.0)
START = ef.lds.FilterState(SYSTEM.mean0, SYSTEM.cov0, SYSTEM.diffuse_directions)


def one_series(run):
    from eigenflow.dask import series
    from eigenflow.dask.rows import DaskRows

    task = series._Task(SYSTEM, "full", {0: START})
    return DaskRows(run, da.ones((4_000_000, 1), chunks=-1)).summaries(series._filtered, task)[0]


def many_series(run):
    y = da.ones((1, 4_000_000, 1), chunks=-1)
    return ef.lds.filter(SYSTEM, y, store=(), method="full").log_likelihood


def rows_of_an_operator(run):
    op = ef.dask.SineLowRank(da.ones((200_000, 8), chunks=-1), np.ones((20_000, 8)), 9.0)
    return op @ np.ones((20_000, 100))


def operator_times_columns(run):
    op = ef.sine.SineLowRank(np.ones((20_000, 8)), np.ones((20_000, 8)), 9.0, method="fused")
    return op @ da.ones((20_000, 1_000), chunks=-1)


def read_of_a_matrix(run):
    from eigenflow._map_reduce import lowrank
    from eigenflow.dask.rows import DaskRows

    def block():
        return np.broadcast_to(np.ones(400), (6_000_000, 400))

    A = da.map_blocks(block, chunks=((6_000_000,), (400,)), dtype=float, meta=np.empty((0, 0)))
    return DaskRows(run, A).summaries(lowrank.fused, np.ones((400, 300), order="F"), 1.0)[0]


def started(client):
    return any(client.run(lambda dask_worker: len(dask_worker.state.executing)).values())


def wait_until(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def require_free(client):
    """The worker's only thread has time for something else."""
    assert client.submit(lambda: 1, pure=False).result(timeout=SOON) == 1


@pytest.mark.parametrize(
    "task",
    [
        expected_risk,
        stopping_times,
        one_series,
        many_series,
        rows_of_an_operator,
        operator_times_columns,
        read_of_a_matrix,
    ],
    ids=lambda task: task.__name__,
)
def test_a_cancelled_task_ends_soon(client, task):
    from eigenflow.dask.running import Runner

    future = client.compute(task(Runner(client)), optimize_graph=False)
    wait_until(lambda: started(client))
    time.sleep(0.3)
    assert not future.done()
    future.cancel()
    require_free(client)


def interrupted_risk():
    """A long sum at the client, with Ctrl-C on the way."""
    threading.Timer(1.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        ef.flow.expected_risk(coordinates(), 1.0, [3.0, 5.0], 0.1, depth=1, b0=0.1)


def test_after_ctrl_c_at_the_client_no_worker_works(client):
    with client.as_current():
        interrupted_risk()
    require_free(client)
    wait_until(lambda: not any(client.processing().values()))


def test_after_ctrl_c_no_thread_works():
    from dask.threaded import ContextAwareThreadPoolExecutor

    pool = ContextAwareThreadPoolExecutor(2)
    with dask.config.set(scheduler="threads", pool=pool):
        interrupted_risk()
    began = time.monotonic()
    pool.shutdown(wait=True)
    assert time.monotonic() - began < SOON


def test_a_task_that_stopped_and_is_wanted_is_run_again(client, tmp_path):
    def work(flag):
        from eigenflow._map_reduce import stop
        from eigenflow.dask.running import watched

        @watched
        def stops_once():
            if not flag.exists():
                flag.touch()
                raise stop.Stopped
            return "done"

        return stops_once()

    assert client.submit(work, tmp_path / "flag").result(timeout=SOON) == "done"


def test_the_flag_is_that_of_a_context():
    stop.check()
    with stop.watching(lambda: False), stop.watching(lambda: False):
        ef.flow.solve(np.ones(3), 1.0, 1.0)
        with pytest.raises(stop.Stopped), stop.watching(lambda: True):
            pytest.fail("began")
    stop.check()
    asked = iter([False])
    with pytest.raises(stop.Stopped), stop.watching(lambda: next(asked, True)):
        ef.flow.expected_risk(np.ones(10**6), 1.0, 3.0, 0.1, depth=1, b0=0.1)
