"""R12: calls from many threads, and in forked children, give the bits of a quiet process."""

import os
import signal
import threading
import time
from fnmatch import fnmatchcase

import pytest

from battery.calls import CALLS, same_bits

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
