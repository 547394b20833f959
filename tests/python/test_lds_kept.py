"""What a system keeps between calls: its arrays as kernels want them, and its steady state."""

import copy
import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from eigenflow import lds
from eigenflow._map_reduce import stop
from eigenflow.lds import LinearSystem


def system_of(seed=0, n=3, p=1):
    rng = np.random.default_rng(seed)
    A = np.diag(np.linspace(0.9, 0.2, n))
    return LinearSystem(A, rng.standard_normal((p, n)), np.eye(n), np.eye(p))


def series(n_steps=2000):
    return np.random.default_rng(1).standard_normal((n_steps, 1))


def test_later_calls_give_the_same_bytes():
    system, y = system_of(), series()
    first, again = lds.filter(system, y), lds.filter(system, y)
    fresh = lds.filter(system_of(), y)
    assert first.filtered_mean.tobytes() == again.filtered_mean.tobytes()
    assert first.filtered_mean.tobytes() == fresh.filtered_mean.tobytes()
    assert first.log_likelihood == again.log_likelihood == lds.log_likelihood(system, y)
    smooth, fresh_smooth = lds.smooth(system, y), lds.smooth(system_of(), y)
    assert smooth.smoothed_mean.tobytes() == fresh_smooth.smoothed_mean.tobytes()


@pytest.mark.parametrize("name", ["A", "C", "Q", "R", "obs_offset", "mean0", "cov0"])
def test_an_attribute_that_is_set_later_counts(name):
    system, y = system_of(), series()
    before = lds.log_likelihood(system, y)
    changed = 0.5 * np.atleast_1d(getattr(system, name)) + 0.25 * (name in ("mean0", "obs_offset"))
    setattr(system, name, changed)
    options = {
        part: getattr(system, part) for part in ("A", "C", "Q", "R", "obs_offset", "mean0", "cov0")
    }
    fresh = LinearSystem(**options)
    assert lds.log_likelihood(system, y) == lds.log_likelihood(fresh, y) != before


def test_copies_and_pickles_leave_it_behind():
    system, y = system_of(), series()
    expected = lds.filter(system, y).filtered_mean.tobytes()
    for twin in (copy.copy(system), copy.deepcopy(system), pickle.loads(pickle.dumps(system))):
        assert not hasattr(twin, "_kept")
        assert lds.filter(twin, y).filtered_mean.tobytes() == expected


def test_lengths_in_any_order():
    # No noise reaches the second state: its steady state takes plain steps, as many as there are.
    def make():
        return LinearSystem(
            [[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.diag([1e-4, 0.0]), 1.0, cov0=np.eye(2)
        )

    one, y = make(), series(4000)
    for n_steps in (5, 3000, 40, 4000, 1):
        got, expected = lds.filter(one, y[:n_steps]), lds.filter(make(), y[:n_steps])
        assert got.filtered_mean.tobytes() == expected.filtered_mean.tobytes()
        assert got.steady_from == expected.steady_from


def test_threads_share_one_system():
    y = series(500)
    expected = lds.filter(system_of(), y).filtered_mean.tobytes()
    system = system_of()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: lds.filter(system, y, workers=1), range(40)))
    assert all(r.filtered_mean.tobytes() == expected for r in results)


def interrupted(system, y, act):
    """Filter on a new thread; call `act` once, while the steady state is being found.

    A new thread looks for Ctrl-C at the first chance, which is there.
    """
    found, armed = [], threading.Event()

    def asked():
        if armed.is_set():
            armed.clear()
            found.append(act())
        return False

    def work():
        with stop.watching(asked):
            armed.set()
            lds.filter(system, y, workers=1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found


def test_a_call_does_not_wait_for_one_that_finds_the_steady_state():
    system, y = system_of(), series(500)

    def act():
        other = threading.Thread(target=lds.filter, args=(system, y), daemon=True)
        other.start()
        other.join(timeout=20)
        return not other.is_alive()

    assert interrupted(system, y, act) == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_while_the_steady_state_is_found_finds_its_own():
    y = series(500)
    system, expected = system_of(), lds.filter(system_of(), y).filtered_mean.tobytes()

    def act():
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            same = lds.filter(system, y).filtered_mean.tobytes() == expected
            os._exit(0 if same else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert interrupted(system, y, act) == [0]


def test_batches_of_series_and_systems():
    y = np.stack([series(300), -series(300)])
    one = system_of()
    alone = [lds.filter(one, y[0]).filtered_mean, lds.filter(one, y[1]).filtered_mean]
    np.testing.assert_array_equal(lds.filter(one, y).filtered_mean, alone)
    pair = LinearSystem(np.stack([one.A, 0.5 * one.A]), one.C, one.Q, one.R)
    for _ in range(2):
        both = lds.filter(pair, y).filtered_mean
        np.testing.assert_array_equal(both[0], alone[0])
