"""What a task needs is known before anything runs, for every function that takes a Dask array."""

import re
import tracemalloc

import numpy as np
import pytest

import eigenflow as ef
from support.array_kinds import column

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

from eigenflow.dask.memory import Need  # noqa: E402
from eigenflow.dask.running import Runner  # noqa: E402

ROWS, COLS = 1000, 100
VALUES = np.linspace(0.1, 1.0, COLS)
TIMES = [0.5, 1.0, 2.0]
SYSTEM = ef.lds.LinearSystem([[0.9, 0.1], [0.0, 0.8]], [[1.0, 0.0]], np.eye(2), 1.0)
STATES = ("filtered_mean", "filtered_cov", "innovations")
V, X = np.ones((50, COLS)), np.ones((50, 40))


def series(z):
    """One series with as many steps as the array has numbers."""
    return z.reshape(-1)


def operator(U):
    return ef.dask.SineLowRank(U, V, 1.0)


# By the name in the table of docs/guide/arrays, and what of it: a call with blocks of rows.
CALLS = {
    "flow.solve": lambda z: ef.flow.solve(z, VALUES, TIMES),
    "flow.state": lambda z: ef.flow.state(z, VALUES, TIMES).theta,
    "flow.vanilla": lambda z: ef.flow.vanilla(z, VALUES, TIMES),
    "flow.derivatives": lambda z: ef.flow.derivatives(z, VALUES, TIMES).z,
    "flow.learned_eigenvalues": lambda z: ef.flow.learned_eigenvalues(z, VALUES),
    "flow.hitting_time": lambda z: ef.flow.hitting_time([0.2, 0.5], z, VALUES),
    "flow.sure": lambda z: ef.flow.sure(z, VALUES, TIMES, 0.1),
    "flow.sure; by axis": lambda z: ef.flow.sure(z, VALUES, TIMES, 0.1, axis=1),
    "flow.expected_risk": lambda z: ef.flow.expected_risk(z, VALUES, 1.0, 0.1, rtol=0.1),
    "flow.stopping_time": lambda z: ef.flow.stopping_time(z, VALUES, 0.1, "universal"),
    "flow.stopping_time; by axis": lambda z: ef.flow.stopping_time(
        z, VALUES, 0.1, "universal", axis=0
    ),
    "flow.fit": lambda z: ef.flow.fit(z.T, np.ones(COLS), 0.1, [1e-4], rtol=0.1).coefficients,
    "dask.fit": lambda z: ef.dask.fit(z.T, np.ones(COLS), 0.1, [1e-4], rtol=0.1).coefficients,
    "lowrank.svd": lambda z: ef.lowrank.svd(z, 3).U,
    "lowrank.svd_many": lambda z: ef.lowrank.svd_many([z], 3)[0].U,
    "dask.svd": lambda z: ef.dask.svd(z, 3, passes=3).U,
    "lds.filter": lambda z: ef.lds.filter(SYSTEM, series(z), store=STATES).filtered_cov,
    "lds.filter; many": lambda z: ef.lds.filter(SYSTEM, z[..., None], store=STATES).filtered_cov,
    "lds.log_likelihood": lambda z: ef.lds.log_likelihood(SYSTEM, series(z)),
    "lds.forecast": lambda z: ef.lds.forecast(SYSTEM, series(z), 3).mean,
    "dask.filter": lambda z: ef.dask.filter(SYSTEM, series(z)).filtered_mean,
    "the same, X alone": lambda z: ef.sine.SineLowRank(VALUES[:, None], VALUES[:, None], 1.0) @ z.T,
    "dask.SineLowRank; S X": lambda z: operator(z) @ X,
    "dask.SineLowRank; S'Y": lambda z: operator(z).rmatmat(z[:, :40]),
    "dask.SineLowRank; vjp": lambda z: operator(z).vjp(X, z[:, :40]).U,
    "dask.SineLowRank; entries": lambda z: operator(z).toarray(),
}


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def needs(monkeypatch):
    """What the calls of a test say that they need."""
    found = []
    monkeypatch.setattr(Runner, "require_memory", lambda self, need: found.append(need))
    return found


def block(block_id=None, rows=ROWS):
    return np.random.default_rng(block_id[0]).normal(size=(rows, COLS))


def array(n_blocks=1, make=block):
    chunks = ((ROWS,) * n_blocks, (COLS,))
    return da.map_blocks(make, chunks=chunks, dtype=float, meta=np.empty((0, 0)))


def unread(block_id):
    raise AssertionError


def test_every_function_that_takes_dask_arrays_is_here():
    takes = {name for name, said in column("Dask").items() if said != "—"}
    takes |= {f"dask.{name}" for name in ef.dask.__all__ if name != "WorkersLost"}
    assert takes == {name.split("; ")[0] for name in CALLS}


@pytest.mark.parametrize("name", CALLS)
def test_blocks_that_do_not_fit_are_refused_unread(name, monkeypatch):
    monkeypatch.setattr(Runner, "task_memory", lambda self: 1e3)
    with pytest.raises(MemoryError, match=r"^\w+: got blocks of .*; want (chunks|workers)"):
        CALLS[name](array(2, unread))


@pytest.mark.parametrize("name", CALLS)
def test_the_size_that_is_named_fits(name, needs, monkeypatch):
    CALLS[name](array())
    need = needs[0]
    limit = need.beside + 0.6 * (need.total - need.beside)
    with pytest.raises(MemoryError, match=rf"{need.unit}|A\.rechunk") as refused:
        need.require(limit)
    fits = int(re.search(r"at most (\d+)", str(refused.value))[1])
    assert 0 < fits < need.size
    need._replace(size=fits).require(limit)
    with pytest.raises(MemoryError):
        need._replace(size=fits + 1).require(limit)


@pytest.mark.parametrize("name", CALLS)
def test_a_task_needs_what_was_said(name, needs):
    call = CALLS[name]
    call(array())  # imports, plans and what else is kept
    said = needs[0].total
    needs.clear()
    tracemalloc.start()
    try:
        lazy = call(array())
        small = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        parts = lazy.to_delayed().ravel().tolist() if isinstance(lazy, da.Array) else []
        for part in parts:
            part.compute()
        peak = max(small, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert peak < 1.1 * said + 2**18, (peak, said)
    assert said < 2.5 * peak + 2**18, (peak, said)


def test_no_block_and_no_limit_need_nothing():
    need = Need("A", 10, "rows", 8.0, rechunk="A.rechunk({0: %d})")
    need.require(None)
    need.require(80)
    need._replace(size=0).require(1)
    with pytest.raises(MemoryError, match=r"at most 9 rows: A\.rechunk\(\{0: 9\}\)$"):
        need.require(79)
    with pytest.raises(MemoryError, match=r"^A: got blocks of 10 rows, which with their results n"):
        need.require(7)


def test_a_limit_of_ones_own():
    z = array(2, unread)
    for call in (
        lambda limit: ef.dask.svd(z, 3, max_memory=limit),
        lambda limit: ef.dask.fit(z, np.ones(2 * ROWS), 0.1, [1.0], max_memory=limit),
        lambda limit: ef.dask.filter(SYSTEM, z[:, 0], max_memory=limit),
        lambda limit: ef.dask.SineLowRank(z, V, 1.0, max_memory=limit) @ X,
    ):
        with pytest.raises(MemoryError, match=r"where a task may use 0\.98 kiB"):
            call("1 kB")
        with pytest.raises(TypeError, match=r"^max_memory: got 'much'"):
            call("much")


def test_progress_of_a_filter_counts_blocks(capsys):
    pytest.importorskip("tqdm")
    y = da.ones(900, chunks=300)
    ef.dask.filter(SYSTEM, y, progress=True)
    assert "\r5 blocks [" in capsys.readouterr().err  # two of the three once more, from their laws
    level = ef.lds.LinearSystem(1.0, 1.0, 0.3, 2.0)  # of infinite variance before the first block
    ef.dask.filter(level, y, progress=True)
    assert "\r5 blocks [" in capsys.readouterr().err
