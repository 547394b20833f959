"""Approximating methods against the fused tiles, and which method is chosen where.

`python bench/bench_sine_methods.py` prints the grid of choices: in brackets what the choice costs
against the fastest method, where that is another one and by 5 % or more. With a path it keeps the
times and their estimates there, from which the constants of `eigenflow.sine.methods` are set.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import eigenflow as ef

RTOL = 1e-5


def problem(n, k, t, phase, dtype=np.float32):
    """Factors in boxes, with phases up to about `phase` radians."""
    rng = np.random.default_rng(0)
    U, V = (rng.uniform(-1, 1, (n, k)).astype(dtype) for _ in range(2))
    return U, V, phase / k, rng.normal(size=(n, t)).astype(dtype)


@pytest.mark.parametrize("t", [1, 64])
@pytest.mark.parametrize(
    ("who", "method"),
    [
        ("eigenflow, anchors", "anchors"),
        ("eigenflow, nufft", "nufft"),
        ("eigenflow, auto", "auto"),
        ("fused tiles", "fused"),
    ],
)
def test_one_column_of_factors(contest, who, method, t):
    if method == "nufft":
        pytest.importorskip("finufft", reason="finufft is not installed")
    U, V, omega, X = problem(8192, 1, t, 20.0)
    op = ef.sine.SineLowRank(U, V, omega, method=method, rtol=RTOL)
    exact = ef.sine.SineLowRank(U.astype(float), V.astype(float), omega, method="fused") @ X
    call = lambda: op.matmat(X, workers=1)  # noqa: E731
    error = float(np.abs(call() - exact).max() / np.abs(exact).max())
    contest(f"sine @ 8192x{t}, n=8192 k=1 phases to 20, one thread", who, call, error=error)


def seconds(call):
    """Median of three, after a first call."""
    call()
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return sorted(times)[1]


def measured_methods(n, k, phase, t):
    """Seconds of each method that is not far from the cheapest, estimated and measured."""
    U, V, omega, X = problem(n, k, t, phase)
    planner = ef.sine.SineLowRank(U, V, omega, rtol=RTOL)._planner
    found = {name: planner.candidate(name, t) for name in ("fused", "anchors", "nufft", "taylor")}
    found = {name: c for name, c in found.items() if c is not None}
    least = min(c.cost for c in found.values())
    rows = {}
    for name, candidate in found.items():
        if candidate.cost <= 5 * least:
            op = ef.sine.SineLowRank(U, V, omega, rtol=RTOL, method=name)
            terms = 0 if candidate.expansion is None else candidate.expansion.n_terms
            time_taken = seconds(lambda op=op: op.matmat(X, workers=1))
            rows[name] = [1e-9 * candidate.cost, time_taken, terms]
    return rows


def print_choices(path=None):
    """The chosen method for each size, and its time over that of the fastest; one thread."""
    columns = [(n, t) for n in (512, 2048, 8192) for t in (1, 64)]
    cells = {}
    print("| k | phases to | " + " | ".join(f"n={n}, T={t}" for n, t in columns) + " |")
    print("|" + "---|" * (len(columns) + 2))
    for k in (1, 2, 3, 4, 8):
        for phase in (0.3, 10.0, 100.0):
            texts = []
            for n, t in columns:
                rows = cells[f"{n} {k} {phase} {t}"] = measured_methods(n, k, phase, t)
                U, V, omega, _ = problem(n, k, 1, phase)
                chosen = ef.sine.SineLowRank(U, V, omega, rtol=RTOL).plan(t).method
                fastest = min(rows, key=lambda name: rows[name][1])
                lost = rows[chosen][1] / rows[fastest][1]
                texts.append(chosen if lost < 1.05 else f"{chosen} ({lost:.2f} {fastest})")
            print(f"| {k} | {phase:g} | " + " | ".join(texts) + " |", flush=True)
    if path:
        Path(path).write_text(json.dumps(cells, indent=1))


if __name__ == "__main__":
    warnings.simplefilter("ignore", ef.sine.PhaseWarning)  # phases to 100 in float32
    print_choices(*sys.argv[1:])
