"""How much of the truncated SVD's time is its products: wall time over their sum, timed alone.

    python bench/svd_products.py products.jsonl --seconds 80   # until it says "complete"
    python bench/svd_products.py products.jsonl --report

Each cell of `svd_grid.py` is decomposed; the products that its run asked for (with A, with the
basis, Gram matrices) are then run again, one kind and size after the other, on matrices of the same
sizes and order. Both take turns, and the ratio is the median of those of the turns: what else the
machine does changes from second to second. The report also lists where the rest goes: seconds
inside LAPACK, BLAS's triangular solves and eigenproblems, as they were in a run, and what neither
these nor its products explain.
"""

import argparse
import json
import time
from collections import Counter, defaultdict
from itertools import product
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from eigenflow._core import call_log
from svd_grid import DTYPES, RANKS, SHAPES, SPECTRA, eigenflow, geometric_mean, read, stored

ROUNDS = 9
FLOOR = 1.25  # what is asked for


def logged(A, rank, threads):
    """The calls of one decomposition."""
    call_log.start()
    try:
        eigenflow(A, rank, threads)
    finally:
        calls = call_log.stop()
    return calls


def alone(calls, threads):
    """Seconds of the products of a run, each size timed on its own."""
    seconds = 0.0
    with threadpool_limits(1, user_api="blas"):  # as the driver has it
        for key, count in Counter(call[:6] for call in calls).items():
            times = call_log.repeat(*key, 3, threads)[1:]  # the first one warms up
            seconds += count * float(np.mean(times)) if times else 0.0
    return seconds


def measure(A, rank, threads):
    """Wall time, the sum of its products, and what else was logged within."""
    eigenflow(A, rank, threads)
    calls = logged(A, rank, threads)
    walls, products = [], []
    for _ in range(ROUNDS):
        eigenflow(A, rank, threads)
        begin = time.perf_counter()
        eigenflow(A, rank, threads)
        walls.append(time.perf_counter() - begin)
        products.append(alone(calls, threads))
    rest = defaultdict(float)
    for name, _, _, _, inner, _, seconds in calls:
        if inner == 0:
            rest[name] += seconds
    return {
        "wall": float(np.median(walls)),
        "products": float(np.median(products)),
        "ratio": float(np.median(np.divide(walls, products))),
        "inside": sum(call[6] for call in calls if call[4]),
        "rest": dict(rest),
    }


def cells():
    for shape, spectrum, dtype in product(SHAPES, SPECTRA, DTYPES):
        for rank, threads in product(RANKS, (1, 2)):
            yield {
                "shape": list(shape),
                "spectrum": spectrum,
                "dtype": dtype,
                "rank": rank,
                "threads": threads,
            }


def run(path, seconds, folder, only):
    """Run what is missing for at most `seconds`; True when nothing is."""
    names = next(cells()).keys()
    known = [{name: record[name] for name in names} for record in read(path)]
    begin = time.perf_counter()
    with path.open("a") as out:
        for cell in cells():
            if cell in known or any(str(cell[k]) != v for k, v in only.items()):
                continue
            if time.perf_counter() - begin > seconds:
                return False
            A = stored(folder, tuple(cell["shape"]), cell["spectrum"], cell["dtype"])
            out.write(json.dumps(cell | measure(A, cell["rank"], cell["threads"])) + "\n")
            out.flush()
    return True


def report(path):
    """Print a row for each cell, and the means."""
    print(
        "| matrix | threads | wall, ms | products, ms | ratio | LAPACK and solves, ms | other, ms |"
    )
    print("|" + "---|" * 7)
    for r in read(path):
        rest = ", ".join(f"{name} {1e3 * s:.1f}" for name, s in r["rest"].items())
        name = f"{r['shape'][0]} x {r['shape'][1]}, {r['dtype']}, {r['spectrum']}, rank {r['rank']}"
        times = f"{1e3 * r['wall']:.1f} | {1e3 * r['products']:.1f} | {r['ratio']:.2f}"
        other = 1e3 * (r["wall"] - r["inside"] - sum(r["rest"].values()))
        print(f"| {name} | {r['threads']} | {times} | {rest} | {other:.1f} |")
    summary(read(path))


def summary(records):
    """Print means over the spectra with the largest ratio, and how many are within the floor."""
    cells, shapes = defaultdict(list), defaultdict(list)
    for r in records:
        name = f"{r['shape'][0]} x {r['shape'][1]}"
        cells[name, r["dtype"], r["threads"], r["rank"]].append(r["ratio"])
        shapes[name, r["threads"]].append(r["ratio"])
    print("\n| matrix | threads | " + " | ".join(f"rank {rank}" for rank in RANKS) + " |")
    print("|" + "---|" * (2 + len(RANKS)))
    for name, dtype, threads in sorted({key[:3] for key in cells}, reverse=True):
        values = [cells[name, dtype, threads, rank] for rank in RANKS]
        row = [f"{geometric_mean(v):.2f} ({max(v):.2f})" if v else "" for v in values]
        print(f"| {name}, {dtype} | {threads} | " + " | ".join(row) + " |")
    print(f"\n| matrix | threads | geometric mean | within {FLOOR} |\n|---|---|---|---|")
    for (name, threads), values in shapes.items():
        within = sum(round(value, 2) <= FLOOR for value in values)
        mean = geometric_mean(values)
        print(f"| {name} | {threads} | {mean:.2f} | {within} of {len(values)} |")


def main():
    """Run a slice, or print what is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--seconds", type=float, default=180, help="start no cell after this long")
    parser.add_argument("--matrices", type=Path, help="keep the matrices in this folder")
    parser.add_argument("--only", nargs="*", default=[], help="for example rank=20 threads=1")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if options.report:
        report(options.results)
        return
    only = dict(item.split("=", 1) for item in options.only)
    done = run(options.results, options.seconds, options.matrices, only)
    print("complete" if done else "more to do")


if __name__ == "__main__":
    main()
