"""The filter of one long series in blocks of time on Dask, on one and two workers of one thread.

The rival is the ordinary function on one thread in this process, with the series in one piece. The
blocks lie in the workers' memory. Filtered means are made there and summed: no block is moved.
"""

import sys

import cloudpickle
import dask.array as da
import numpy as np
import pytest
from distributed import wait

import eigenflow as ef
from support.cluster import local_client

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.filterwarnings("ignore")  # distributed looks for a port by trying

N_BLOCKS = 8
SYSTEM = ef.lds.LinearSystem(
    [[0.95, 0.1], [0.0, 0.9]], [[1.0, 0.0]], [[0.1, 0.0], [0.0, 0.1]], [[1.0]]
)
SERIES = {"1e8 steps": (10**8, 0.0), "5e6 steps, 5 % missing": (5 * 10**6, 0.05)}
CONTESTANTS = {
    "eigenflow, one call": 0,
    "eigenflow.dask, one worker": 1,
    "eigenflow.dask, two workers": 2,
}


def block(n_steps, missing, block_id=None):
    """Make the steps of one block."""
    rng = np.random.default_rng(block_id[0])
    y = rng.standard_normal((n_steps, 1))
    y[rng.random(n_steps) < missing] = np.nan
    return y


def log_likelihood(y, **options):
    return ef.lds.log_likelihood(SYSTEM, y, **options)


def filtered_means(y, **options):
    total = ef.lds.filter(SYSTEM, y, **options).filtered_mean.sum()
    return float(total.compute() if isinstance(total, da.Array) else total)


TASKS = {"log-likelihood": log_likelihood, "all filtered means": filtered_means}


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("who", CONTESTANTS)
def test_series(contest, who, task, series):
    (n_steps, missing), n_workers, run = SERIES[series], CONTESTANTS[who], TASKS[task]
    cell = f"lds in {N_BLOCKS} blocks of time, 2 states, {series}: {task}"
    size = n_steps // N_BLOCKS
    if not n_workers:
        y = np.concatenate([block(size, missing, (i,)) for i in range(N_BLOCKS)])
        contest(cell, who, lambda: run(y, workers=1), rounds=5)
        return
    chunks = ((size,) * N_BLOCKS, (1,))
    with local_client(n_workers, memory_limit="4GB") as client, client.as_current():
        y = da.map_blocks(block, size, missing, chunks=chunks, dtype=float, meta=np.empty((0, 0)))
        y = y.persist()
        wait(y)
        contest(cell, who, lambda: run(y), rounds=5)
