"""R12: calls from many threads, and in forked children, give the bits of a quiet process."""

import itertools
import os
import pickle
import signal
import sys
import threading
import time
from fnmatch import fnmatchcase

import numpy as np
import pytest

import eigenflow as ef
from battery.calls import CALLS, grid, same_bits
from eigenflow import _rng, _threads

THREADS, ROUNDS, FORKS = 8, 1000, 20
# Those that take more than a few milliseconds.
SLOW = (
    "flow.misalignment_report",
    "sine.fit",
    "lds.best_filter_length",
    "lds.filter_length_for",
    "lds.fir_predictor",
    "lds.fit*",
    "lds.kl_divergence",
    "lds.phase_sweep",
    "lds.*risk",
    "lds.stability_margins",
    "lds.truncated_kalman",
)
QUICK = [call for call in CALLS if not any(fnmatchcase(call.name, slow) for slow in SLOW)]
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
]


def test_mixed_calls_from_eight_threads_give_the_same_bits():
    expected = [call() for call in QUICK]
    wrong = []

    def work(first):
        for i in range(first, first + ROUNDS):
            at = i % len(QUICK)
            try:
                if not same_bits(QUICK[at](), expected[at]):
                    wrong.append(QUICK[at].name)
            except Exception as error:
                wrong.append(f"{QUICK[at].name}: {error!r}")

    threads = [threading.Thread(target=work, args=(7 * i,), daemon=True) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    assert not wrong, sorted(set(wrong))


RNG = np.random.default_rng(5)
LEFT, RIGHT = RNG.uniform(-1, 1, (2, 600, 2))  # enough for every method to be looked at
POINTS, VALUES, SIGNAL = grid(40, 2), grid(40), grid(64)


def design(made):
    return lambda: made, lambda d: (d.synthesis(d.analysis(SIGNAL)), d.frequencies)


def system():
    return ef.lds.LinearSystem([[0.9, 0.1], [0.0, 0.5]], [[1.0, 0.5]], np.eye(2), 1.0)


def moved(thing):
    return pickle.loads(pickle.dumps(thing))


# How to make an object, and what threads do with one that nobody has used before: it may keep
# something at its first use.
SHARED = {
    "SineLowRank": (
        lambda: ef.sine.SineLowRank(LEFT, RIGHT, 3.0),
        lambda op: (op @ RIGHT, op.T @ LEFT, op.info.method, moved(op).U, op[3]),
    ),
    "LinearSystem": (
        system,
        lambda s: (ef.lds.filter(s, SIGNAL).filtered_mean, ef.lds.smooth(s, SIGNAL), moved(s).A),
    ),
    "CosineDesign": design(ef.flow.CosineDesign(64)),
    "FourierDesign": design(ef.flow.FourierDesign(64)),
    "HaarDesign": design(ef.flow.HaarDesign(64)),
    "FlowRegressor": (
        lambda: ef.estimators.FlowRegressor(stopping="sure", noise_std=0.1).fit(POINTS, VALUES),
        lambda model: (model.predict(POINTS), moved(model).predict(POINTS)),
    ),
    "RandomizedSVD": (
        lambda: ef.estimators.RandomizedSVD(2, random_state=0).fit(POINTS),
        lambda model: model.inverse_transform(model.transform(POINTS)),
    ),
}


def at_once(work):
    """Run `work(thread)` on all threads, as nearly at once as can be; return what they gave."""
    start, results = threading.Barrier(THREADS), [None] * THREADS

    def run(i):
        start.wait()
        try:
            results[i] = work(i)
        except Exception as error:
            results[i] = repr(error)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return results


@pytest.fixture
def restless():
    """Take the GIL, where there is one, from a thread 1,000 times as often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("name", SHARED)
def test_threads_share_an_object_from_its_first_use(name):
    make, use = SHARED[name]
    expected = use(make())
    for _ in range(5):
        shared = make()
        for got in at_once(lambda i, shared=shared: use(shared)):
            assert same_bits(got, expected), got


@pytest.mark.usefixtures("restless")
def test_threads_share_a_generator():
    shared = np.random.default_rng(3)
    keys = at_once(lambda i: [_rng.key_from(shared) for _ in range(200)])
    alone = np.random.default_rng(3)
    assert sorted(itertools.chain(*keys)) == sorted(
        _rng.key_from(alone) for _ in range(200 * THREADS)
    )


@pytest.mark.usefixtures("restless")
def test_threads_that_limit_blas_leave_its_threads_as_they_were():
    def blas():
        shared = _threads._blas(per_thread=False)
        return [library.get_num_threads() for library in shared]

    def work(i):
        for turn in range(50):
            with _threads.blas_limit(1 + (i + turn) % 3), _threads.single_blas_thread(2):
                _threads.set_blas_threads(2)

    before = blas()
    assert at_once(work) == [None] * THREADS
    assert blas() == before


def child_of(calls, expected):
    """Fork; the child ends with 0 if its results are the expected ones."""
    child = os.fork()
    if child == 0:
        same = all(same_bits(call(), want) for call, want in zip(calls, expected, strict=True))
        os._exit(0 if same else 1)
    return child


def ended(child, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


def test_forked_children_compute_after_the_parent_has():
    names = ("flow.solve", "lowrank.svd", "sine.SineLowRank.matmat", "lds.filter")
    calls = [call for call in QUICK if call.name in names]
    expected = [call(workers=4) for call in calls]
    assert {ended(child_of(calls, expected)) for _ in range(FORKS)} == {0}


def test_children_forked_while_other_threads_compute():
    calls = [call for call in QUICK if call.name in ("flow.solve", "sine.SineLowRank.matmat")]
    expected = [call() for call in calls]
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            for call in calls:
                call(workers=3)

    threads = [threading.Thread(target=busy, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert {ended(child_of(calls, expected)) for _ in range(FORKS)} == {0}
    finally:
        stop.set()
        for thread in threads:
            thread.join()
