"""Dask arrays: matrices, series and coordinates that no one machine holds.

The ordinary functions take Dask arrays: `eigenflow.lowrank.svd`, `eigenflow.flow.solve` and its
like, `eigenflow.lds.filter`, ``SineLowRank @ X``. This module has what needs more words: a client,
the number of reads, memory, checkpoints, progress.

Nothing large is computed unasked. Results with a row (a coordinate, a step) for each of the input's
are lazy and have its chunks; small results are NumPy arrays. A function that must read the array
says so, and how often it did.

Blocks are worked on by pure functions, their summaries are combined in one fixed tree, and random
numbers are addressed by position: for one list of blocks results are the same bytes for any number
of workers, and when workers are killed on the way.
"""

try:
    import dask.array  # noqa: F401
except ImportError as error:
    msg = "eigenflow.dask needs Dask: pip install 'eigenflow[dask]'"
    raise ImportError(msg) from error

from eigenflow.dask.decomposition import svd
from eigenflow.dask.regression import fit
from eigenflow.dask.running import WorkersLost
from eigenflow.dask.series import filter  # noqa: A004
from eigenflow.dask.sine import SineLowRank

__all__ = ["SineLowRank", "WorkersLost", "filter", "fit", "svd"]
