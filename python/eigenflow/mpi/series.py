"""Kalman filter of one long series whose steps are spread over ranks."""

from collections.abc import Iterable
from typing import Any

from numpy.typing import ArrayLike

from eigenflow._arrays import renamed
from eigenflow._threads import resolve_workers
from eigenflow.lds.arguments import require_system
from eigenflow.lds.filter_call import FilterResult, finish_filter, prepare_filter, run_filter
from eigenflow.lds.system import LinearSystem
from eigenflow.mpi.communicators import on_all_ranks, require_same


def filter(  # noqa: A001
    system: LinearSystem,
    y_local: ArrayLike,
    *,
    comm: Any = None,
    inputs_local: ArrayLike | None = None,
    store: Iterable[str] = ("filtered_mean",),
    method: str = "auto",
    workers: int | None = None,
    check_finite: bool = True,
) -> FilterResult:
    """Kalman filter of one series that is cut in time.

    Parameters
    ----------
    system : LinearSystem
        One system, the same on every rank; one that changes in time holds the steps of this rank,
        and the start of all.
    y_local : array_like, shape (T_r, p), or (T_r,) when p = 1
        The steps that follow those of the rank before; T_r may differ, and may be 0. NaN marks a
        missing number.
    comm : communicator, optional
        Of mpi4py, or a `Communicator`. Default: ``MPI.COMM_WORLD``.
    inputs_local : array_like, shape (T_r, m), optional
        The known inputs of these steps.
    store, method, workers, check_finite
        As in `eigenflow.lds.filter`.

    Returns
    -------
    FilterResult
        The steps of this rank. `log_likelihood` and `n_diffuse` are sums over all ranks;
        `final_state` is the law after this rank's last step.

    Raises
    ------
    ValueError
        What `eigenflow.lds.filter` refuses on any rank; R that is not positive definite where a
        block begins; blocks before another that do not tell a state of infinite variance.

    Notes
    -----
    What a block does to any law before it is one element of 3 n^2 + 2 n numbers; elements combine
    associatively (Särkkä and García-Fernández 2021), and one exclusive scan gives every rank its
    start. A rank filters its block before the scan from a known state, and again only the steps
    that remember it: those until the closed loop has decayed to 1e-30. With such a system the work
    is that of one filter; with one that does not forget, about three times as much.
    """

    def sizes() -> tuple[int, int]:
        known = require_system(system)
        if known.batch_shape:
            msg = f"system: got batch axes {known.batch_shape}, want one system"
            raise ValueError(msg)
        return known.state_dim, known.obs_dim

    _, (n_states, n_observed) = on_all_ranks(comm, sizes)
    for size, wanted in (n_states, "state dimension"), (n_observed, "number of observed series"):
        require_same(comm, system=(size, f"one {wanted} for all"))

    def prepare() -> Any:
        threads = resolve_workers(workers)
        call = prepare_filter(system, y_local, inputs_local, None, store, method, None)
        if call.batch:
            msg = f"y_local: got batch axes {call.batch}, want one series"
            raise ValueError(msg)
        return call, threads

    ranks, (call, threads) = on_all_ranks(comm, prepare, y="y_local", inputs="inputs_local")
    with renamed("y", "y_local"):
        parts = run_filter(call, method, check_finite, threads, None, ranks)
    return finish_filter(call, parts)


def log_likelihood(
    system: LinearSystem,
    y_local: ArrayLike,
    *,
    comm: Any = None,
    inputs_local: ArrayLike | None = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> float:
    """Log-likelihood of one series that is cut in time.

    Parameters
    ----------
    system, y_local, comm, inputs_local, workers, check_finite
        As in `filter`.

    Returns
    -------
    float
        Of the whole series, on every rank.
    """
    found = filter(
        system,
        y_local,
        comm=comm,
        inputs_local=inputs_local,
        store=(),
        workers=workers,
        check_finite=check_finite,
    )
    return float(found.log_likelihood)
