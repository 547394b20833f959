"""Dask's own cluster on this machine, without a dashboard and without a look at the network."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def local_client(n_workers: int, memory_limit: str) -> Iterator[Any]:
    """Yield a client of worker processes of one thread, which a nanny starts again.

    It is not the active one. `memory_limit` is that of a worker.
    """
    import distributed  # those who call have asked whether it is there

    with (
        distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=memory_limit,
            host="127.0.0.1",
            dashboard_address=None,
        ) as workers,
        distributed.Client(workers, set_as_default=False) as client,
    ):
        yield client
