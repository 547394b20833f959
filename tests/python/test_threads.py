import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import eigenflow as ef
from eigenflow import __version__, _rng, _threads
from eigenflow._core import runtime
from support.interrupts import check_stopped


def test_workers_as_in_scipy_fft():
    assert _threads.resolve_workers(None) == runtime.default_workers()
    assert _threads.resolve_workers(3) == 3
    assert _threads.resolve_workers(-1) == len(os.sched_getaffinity(0))
    assert _threads.resolve_workers(-10_000) == 1


@pytest.mark.parametrize(
    ("workers", "error"), [(0, ValueError), (2**40, ValueError), (1.5, TypeError), ("2", TypeError)]
)
def test_bad_workers_are_named(workers, error):
    with pytest.raises(error, match=r"^workers: got"):
        _threads.resolve_workers(workers)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"EIGENFLOW_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3"),
        ({"OMP_NUM_THREADS": "5"}, "5"),
        ({"EIGENFLOW_NUM_THREADS": "nonsense", "OMP_NUM_THREADS": "5"}, "5"),
    ],
)
def test_the_environment_sets_the_default(variables, expected):
    code = "from eigenflow._core import runtime; print(runtime.default_workers())"
    kept = {k: v for k, v in os.environ.items() if not k.endswith("NUM_THREADS")}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == expected


def test_the_environment_is_read_once():
    # getenv does not survive a thread that changes the environment meanwhile.
    code = """
import os
from eigenflow._core import runtime
before = runtime.default_workers()
os.environ["EIGENFLOW_NUM_THREADS"] = str(before + 3)
assert runtime.default_workers() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_blas_is_limited_only_inside_the_block():
    from threadpoolctl import threadpool_info

    def blas_threads():
        return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]

    _threads._controller()  # loads BLAS
    before = blas_threads()
    with _threads.blas_limit(1):
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before


def test_calls_from_many_threads_agree():
    expected = _rng.random_words(3, (200, 500), workers=1)
    results = [None] * 8

    def call(i):
        results[i] = _rng.random_words(3, (200, 500), workers=2)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((result == expected).all() for result in results)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_can_use_its_own_threads():
    _rng.random_words(3, (200, 5000), workers=4)
    child = os.fork()
    if child == 0:
        _rng.random_words(3, (200, 5000), workers=4)
        os._exit(0)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            return
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the forked child hangs")


def test_ctrl_c_stops_a_long_loop():
    code = """
import numpy, threading, signal, os, time
from eigenflow._core import rng
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs inherit "ignore"
out = numpy.lib.stride_tricks.as_strided(numpy.empty(1, numpy.uint32), (1 << 40, 4), (0, 0))
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    rng.fill_words(1, 0, 0, out, 2)
except KeyboardInterrupt:
    print("stopped")
"""
    check_stopped(code, timeout=120)


def limits(code):
    """Run this alone: the limit is of the process, and others may be at work in this one."""
    begin = """
import os, threading
from threadpoolctl import threadpool_info, threadpool_limits
from eigenflow import _threads

def blas_threads():
    return {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}

_threads._controller()  # loads BLAS
inside, over = threading.Event(), threading.Event()
"""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", begin + code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_limits_that_overlap_are_shared_until_the_last_one_leaves():
    limits("""
with threadpool_limits(4, user_api="blas"):
    entered = [_threads.blas_limit(3), _threads.single_blas_thread(2), _threads.blas_limit(2)]
    assert [limit.__enter__() for limit in entered] == [3, 2, 2]
    assert blas_threads() == {1}
    entered[0].__exit__(None, None, None)
    assert blas_threads() == {1}
    entered[1].__exit__(None, None, None)
    assert blas_threads() == {2}
    entered[2].__exit__(None, None, None)
    assert blas_threads() == {4}
""")


def test_any_thread_sets_a_limit_and_takes_it_away():
    limits("""
def first():
    with _threads.single_blas_thread(1):
        inside.set()
        over.wait()
    left.set()
    end.wait()  # alive: threadpoolctl listens to the first thread that set a number only

left, end = threading.Event(), threading.Event()
_threads.set_blas_threads(4)
thread = threading.Thread(target=first, daemon=True)
thread.start()
inside.wait()
assert blas_threads() == {1}
with _threads.single_blas_thread(1):
    over.set()
    left.wait()
    assert blas_threads() == {1}
assert blas_threads() == {4}
with threadpool_limits(3, user_api="blas"):  # no thread of ours keeps others out
    assert blas_threads() == {3}
assert blas_threads() == {4}
""")


def test_a_library_is_set_by_one_thread_at_a_time():
    # Between its three steps another thread would take the right to set the number away.
    steps, inside = [], threading.Event()

    class Library:
        def clear_controlling_thread(self, *, force=False):
            steps.append(threading.get_ident())

        def set_num_threads(self, count):
            steps.append(threading.get_ident())
            if not inside.is_set():
                inside.set()
                time.sleep(0.2)  # the other one would come in here

    library = Library()
    first = threading.Thread(target=_threads._shared.set, args=(library, 1))
    first.start()
    inside.wait()
    _threads._shared.set(library, 2)
    first.join()
    assert steps == [first.ident] * 3 + [threading.get_ident()] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_none_of_the_limits_of_other_threads():
    limits("""
def other():
    with _threads.single_blas_thread(1):
        inside.set()
        over.wait()

with threadpool_limits(4, user_api="blas"), _threads.blas_limit(3):
    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if blas_threads() == {3} else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert blas_threads() == {1}
    over.set()
    thread.join()
    assert blas_threads() == {3}
""")


def test_threadpoolctl_sets_the_default_and_puts_it_back():
    from threadpoolctl import threadpool_info, threadpool_limits

    def own():
        return [p for p in threadpool_info() if p["user_api"] == "eigenflow"]

    assert [p["version"] for p in own()] == [__version__]
    before = _threads.resolve_workers(None)
    assert own()[0]["num_threads"] == before
    with threadpool_limits({"eigenflow": before + 3}):
        assert _threads.resolve_workers(None) == before + 3
        assert _threads.resolve_workers(1) == 1
    with threadpool_limits(1):
        assert _threads.resolve_workers(None) == 1
    assert _threads.resolve_workers(None) == before


@pytest.fixture
def asked():
    """What the core asks of BLAS while a test runs."""
    counts = []
    with _threads.single_blas_thread(None):  # the hook is set with the first limit

        def listen(count):
            counts.append(count)
            _threads.set_blas_threads(count)

        runtime.set_blas_thread_hook(listen)
        yield counts
        runtime.set_blas_thread_hook(_threads.set_blas_threads)


FULL = {
    "svd": lambda A, workers: ef.lowrank.svd(A, rng=0, workers=workers),
    "a Krylov run that gives up": lambda A, workers: ef.lowrank.svd(
        A, rtol=0.01, rng=0, workers=workers
    ),
    "eigh": lambda A, workers: ef.lowrank.eigh(A + A.T, rng=0, workers=workers),
    "pivoted QR": lambda A, workers: ef.lowrank.pivoted_qr(A, rng=0, workers=workers),
}


@pytest.mark.parametrize("way", FULL)
def test_full_decompositions_give_lapack_the_workers(asked, way):
    A = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    got = FULL[way](A, 2)
    assert got.method == "exact"
    # One thread while the workers turn vectors: of A's Gram matrix, and of a small factor's.
    turns = {"svd": 1, "a Krylov run that gives up": 2}.get(way, 0)
    assert asked == [2, 1] * (turns + 1)
    alone = FULL[way](A, 1)
    assert asked == [2, 1] * (turns + 1)
    values = {"eigh": "eigenvalues", "pivoted QR": "R"}.get(way, "s")
    np.testing.assert_allclose(getattr(got, values), getattr(alone, values), rtol=1e-3, atol=1e-3)


def test_small_and_iterative_decompositions_keep_one_blas_thread(asked):
    rng = np.random.default_rng(0)
    ef.lowrank.svd(rng.standard_normal((500, 500)), rng=0, workers=2)
    ef.lowrank.svd(rng.standard_normal((800, 700)) / np.arange(1, 701), 3, rng=0, workers=2)
    assert asked == []


def test_a_hook_that_fails_is_reported_and_no_more(asked, monkeypatch):
    def fail(count):
        raise RuntimeError(count)

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_value.args))
    runtime.set_blas_thread_hook(fail)
    assert ef.lowrank.svd(np.eye(512), workers=2).rank == 512
    assert reported == [(2,), (1,), (2,), (1,)]
