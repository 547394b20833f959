"""Filtering of a series that stays in its file: time and memory at 10^9 steps.

    python bench/lds_file.py /folder/with/room --steps 1000000000 --task log-likelihood
    python bench/lds_file.py /folder/with/room --steps 100000000 --task smoother

Writes one observed number a step (8 bytes) and maps the file into memory; the smoother's results
(32 bytes a step for n = 4) go to a second mapped file. Prints the time of one read of the file
beside that of the task, and the most anonymous memory that the task took.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from bench_lds import system_of
from eigenflow import lds
from svd_file import Watch

BLOCK = 10_000_000  # steps that are drawn, or read, at once


def write_series(path, system, n_steps):
    """Independent stretches of the system, drawn once and written again with other scales."""
    block = lds.simulate(system, min(BLOCK, n_steps), rng=1).observations
    scales = np.random.default_rng(2).uniform(0.9, 1.1, -(-n_steps // BLOCK))
    with path.open("wb") as out:
        for k, scale in enumerate(scales):
            (scale * block[: n_steps - k * BLOCK]).tofile(out)


def time_of_read(y):
    """One pass over the file, a block at a time."""
    begin = time.perf_counter()
    total = sum(float(np.sum(y[at : at + BLOCK])) for at in range(0, len(y), BLOCK))
    return time.perf_counter() - begin, total


def run(task, system, y, folder):
    """The task, with results in a file where it has some."""
    if task == "log-likelihood":
        return lds.log_likelihood(system, y)
    shape = (len(y), system.state_dim)
    out = np.lib.format.open_memmap(folder / "smoothed.npy", "w+", np.float64, shape)
    result = lds.smooth(system, y, store=(), out={"smoothed_mean": out})
    out.flush()
    return result.log_likelihood


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=1_000_000_000)
    parser.add_argument("--task", choices=("log-likelihood", "smoother"), default="log-likelihood")
    options = parser.parse_args()
    system, path = system_of(4, 1), options.folder / "series.f64"
    if not path.exists() or path.stat().st_size != 8 * options.steps:
        write_series(path, system, options.steps)
    y = np.memmap(path, np.float64, "r")
    read, _ = time_of_read(y)
    with Watch() as watch:
        begin = time.perf_counter()
        value = run(options.task, system, y, options.folder)
        taken = time.perf_counter() - begin
    print(
        f"{options.task}, {options.steps:.0e} steps, n=4, p=1: {taken:.2f} s, one read of y "
        f"{read:.2f} s, anonymous memory {watch.peak - watch.before:.0f} MiB, "
        f"log-likelihood {value:.12g}"
    )


if __name__ == "__main__":
    main()
