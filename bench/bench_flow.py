"""The closed form: against NumPy's expression and against what memory allows.

The floors are NumPy's own loops on the same arrays, in as many threads as eigenflow has: `np.add`
is the plain three-array stream, and writes with ordinary stores.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import eigenflow as ef

N = 10_000_000
N_ROW, N_TIMES = 1_000_000, 75
PART = 1 << 16  # a part of an array for one thread: 512 KiB stay in its second cache
CELL = "flow depth 0, 1e7 float64, all cores"
PATH = f"flow depth 0, path of {N_TIMES} times, 1e6 float64, all cores"


def on_all_cores(loop, n):
    """Return a function that runs `loop(slice)` over all parts of n entries, in threads."""
    workers = len(os.sched_getaffinity(0))
    pool = ThreadPoolExecutor(workers)
    parts = [slice(i, min(i + PART, n)) for i in range(0, n, PART)]

    def work(first):
        for part in parts[first::workers]:
            loop(part)

    return lambda: list(pool.map(work, range(workers)))


def observations(n):
    rng = np.random.default_rng(0)
    return rng.standard_normal(n) / 10, np.arange(1.0, n + 1) ** -0.5


@pytest.fixture(scope="module")
def many():
    return *observations(N), np.ones(N)


@pytest.fixture(scope="module")
def path():
    times = np.linspace(0, 60, N_TIMES + 1)[1:]
    return *observations(N_ROW), times, np.ones((N_TIMES, N_ROW))


def numpy_closed_form(z, eigenvalues, t):
    """The all-positive closed form, as one writes it in NumPy."""
    r = np.hypot(2 * z, eigenvalues)
    rho = eigenvalues / r
    x = r * t
    q = np.exp(-x)
    m = -np.expm1(-x)
    n = rho * m * ((1 + q) + rho * m)
    return z * n / (n + 2 * q)


def test_closed_form_eigenflow(contest, many):
    z, eigenvalues, out = many
    got = ef.flow.solve(z, eigenvalues, 30.0, out=out)
    error = np.max(np.abs(got / numpy_closed_form(z, eigenvalues, 30.0) - 1))
    contest(
        CELL,
        "eigenflow, into out=",
        lambda: ef.flow.solve(z, eigenvalues, 30.0, out=out),
        rounds=21,
        difference=float(error),
    )


def test_closed_form_eigenflow_new_result(contest, many):
    z, eigenvalues, _ = many
    contest(CELL, "eigenflow, new result", lambda: ef.flow.solve(z, eigenvalues, 30.0), rounds=21)


def test_closed_form_numpy(contest, many):
    z, eigenvalues, _ = many
    contest(CELL, "NumPy expression", lambda: numpy_closed_form(z, eigenvalues, 30.0), rounds=3)


def test_closed_form_stream(contest, many):
    z, eigenvalues, out = many
    add = on_all_cores(lambda part: np.add(z[part], eigenvalues[part], out=out[part]), N)
    contest(CELL, "floor: np.add of the same three arrays", add, rounds=21)


def test_path_eigenflow(contest, path):
    z, eigenvalues, times, out = path
    contest(PATH, "eigenflow, into out=", lambda: ef.flow.solve(z, eigenvalues, times, out=out))


def test_path_numpy(contest, path):
    z, eigenvalues, times, out = path

    def row_by_row():
        for row, t in zip(out, times, strict=True):
            row[:] = numpy_closed_form(z, eigenvalues, t)

    contest(PATH, "NumPy expression, time by time", row_by_row, rounds=1)


def test_path_stream(contest, path):
    z, _, times, out = path

    def scale(part):
        for row, t in zip(out, times, strict=True):
            np.multiply(z[part], t, out=row[part])

    contest(PATH, "floor: np.multiply of z by each time", on_all_cores(scale, N_ROW))


def test_path_fill(contest, path):
    out = path[3].reshape(-1)
    fill = on_all_cores(lambda part: out[part].fill(1.0), out.size)
    contest(PATH, "floor: fill, which reads nothing", fill)


@pytest.mark.parametrize("exponent", [5, 6, 7, 8, 8.6])
def test_cost_is_linear(contest, exponent):
    """A new result each time, as large as the memory of a small machine allows."""
    n = round(10**exponent)
    if 24 * n > 0.6 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        pytest.skip(f"{24 * n / 2**30:.0f} GiB are too much for this machine")
    z, eigenvalues = observations(n)
    contest(
        "flow depth 0 by number of coordinates (not rivals)",
        f"eigenflow, {n:.0e} coordinates, new result",
        lambda: ef.flow.solve(z, eigenvalues, 30.0),
        rounds=15 if n < 1e8 else 3,
        per=n,
    )


def anonymous_mebibytes():
    """Memory of this process that no file backs."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def test_larger_than_memory(contest, tmp_path):
    """A memory-mapped input of 1.2 times the machine's memory, a part at a time.

    The file is sparse: its holes are read as zeros from the page cache, not from the disk.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    n = int(1.2 * physical / 8) // PART * PART
    z = np.memmap(tmp_path / "z", np.float64, "w+", shape=(n,))
    z[-1] = 1.0
    part = 1 << 20
    out = np.ones(part)
    peak = []

    def stream():
        total = 0.0
        before = anonymous_mebibytes()
        for i in range(0, n, part):
            here = z[i : i + part]
            total += ef.flow.solve(here, 0.1, 30.0, out=out[: here.size]).sum()
            if i // part % 100 == 0:
                peak.append(anonymous_mebibytes() - before)
        assert total > 0.9

    done = contest(
        "flow depth 0 by number of coordinates (not rivals)",
        f"eigenflow, {n:.1e} coordinates of a memory-mapped file, {8 * n / 2**30:.0f} GiB",
        stream,
        rounds=1,
        warmup=False,
        per=n,
    )
    done.extra_info["growth_MiB"] = max(peak)
