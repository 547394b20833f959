"""Risk along a flow whose coordinates are spread over ranks, and when to stop it."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eigenflow import flow
from eigenflow.flow.path import Coupling
from eigenflow.flow.stopping import RULES, Spread, bounds, search_of
from eigenflow.mpi.communicators import Communicator, as_communicator, on_all_ranks, require_same


def sure(
    z_local: ArrayLike,
    eigenvalues_local: ArrayLike,
    times: ArrayLike,
    noise_variance: ArrayLike,
    *,
    comm: Any = None,
    depth: int = 0,
    b0: ArrayLike | None = None,
    coupling: Coupling = "shared",
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Stein's unbiased estimate of the risk of coordinates that are spread over ranks.

    Parameters
    ----------
    z_local, eigenvalues_local, noise_variance, b0 : array_like
        The coordinates of this rank, as in `eigenflow.flow.sure`; their number may differ from rank
        to rank, and may be 0.
    times : array_like
        The same on every rank.
    comm : communicator, optional
        Of mpi4py, or a `Communicator`. Default: ``MPI.COMM_WORLD``.
    depth, coupling, workers, check_finite
        As in `eigenflow.flow.sure`.

    Returns
    -------
    ndarray or float
        Of shape ``times.shape``: the sum over the coordinates of all ranks, on every rank.

    Raises
    ------
    ValueError, TypeError
        What `eigenflow.flow.sure` refuses on any rank; different numbers of times.

    Notes
    -----
    One message, of a number for each time.
    """

    def local() -> Any:
        return flow.sure(
            z_local,
            eigenvalues_local,
            times,
            noise_variance,
            depth=depth,
            b0=b0,
            coupling=coupling,
            workers=workers,
            check_finite=check_finite,
        )

    return _number_or_array(_summed(as_communicator(comm), "z", local))


def expected_risk(
    signal_local: ArrayLike,
    eigenvalues_local: ArrayLike,
    times: ArrayLike,
    noise_variance: ArrayLike,
    *,
    comm: Any = None,
    depth: int = 0,
    b0: ArrayLike | None = None,
    coupling: Coupling = "shared",
    rtol: float = 1e-8,
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Mean risk over the noise of coordinates that are spread over ranks, by quadrature.

    Parameters
    ----------
    signal_local, eigenvalues_local, noise_variance, b0 : array_like
        The coordinates of this rank, as in `eigenflow.flow.expected_risk`; their number may differ
        from rank to rank, and may be 0.
    times, comm, depth, coupling, workers, check_finite
        As in `sure`.
    rtol : float
        As in `eigenflow.flow.expected_risk`, of the sum of this rank's coordinates, and so of all.

    Returns
    -------
    ndarray or float
        As `sure` returns.

    Raises
    ------
    ValueError, TypeError
        What `eigenflow.flow.expected_risk` refuses on any rank; different numbers of times.
    """

    def local() -> Any:
        return flow.expected_risk(
            signal_local,
            eigenvalues_local,
            times,
            noise_variance,
            depth=depth,
            b0=b0,
            coupling=coupling,
            rtol=rtol,
            workers=workers,
            check_finite=check_finite,
        )

    return _number_or_array(_summed(as_communicator(comm), "signal", local))


def stopping_time(
    z_local: ArrayLike,
    eigenvalues_local: ArrayLike,
    noise_variance: ArrayLike,
    rule: Literal["sure", "discrepancy", "universal"] = "sure",
    *,
    comm: Any = None,
    depth: int = 0,
    b0: ArrayLike | None = None,
    coupling: Coupling = "shared",
    points_per_decade: int = 16,
    tau: float = 1.0,
    workers: int | None = None,
    check_finite: bool = True,
) -> float:
    """Time at which to stop the flow of coordinates that are spread over ranks.

    Parameters
    ----------
    z_local, eigenvalues_local, noise_variance, comm, depth, b0, coupling, workers, check_finite
        As in `sure`.
    rule, points_per_decade, tau
        As in `eigenflow.flow.stopping_time`, the same on every rank.

    Returns
    -------
    float
        One time for the coordinates of all ranks, on every rank.

    Raises
    ------
    ValueError, TypeError
        What `eigenflow.flow.stopping_time` refuses on any rank; different rules.

    Notes
    -----
    One message for each time or set of times that the rule tries: some fifteen for "sure".
    """
    group = as_communicator(comm)
    settings: dict[str, Any] = {
        "depth": depth,
        "b0": b0,
        "coupling": coupling,
        "workers": workers,
        "check_finite": check_finite,
    }

    def prepare() -> tuple[Callable[[Spread], float], NDArray[np.float64]]:
        search = search_of(rule, points_per_decade, tau)
        return search, bounds(z_local, eigenvalues_local, noise_variance, **settings)

    _, (search, found) = on_all_ranks(group, prepare, z="z_local", eigenvalues="eigenvalues_local")
    require_same(group, rule=(list(RULES).index(rule), "one rule on every rank"))
    least, most, sums = found[:1], found[1:2], found[2:]
    group.allreduce(least, "min")
    group.allreduce(most, "max")
    group.allreduce(sums, "sum")

    def risk(times: Any, variance: Any = noise_variance) -> NDArray[np.float64]:
        def local() -> Any:
            return flow.sure(z_local, eigenvalues_local, times, variance, **settings)

        return _summed(group, "z", local)

    return search(Spread(depth, risk, (*least, *most, *sums)))


def _summed(group: Communicator, name: str, local: Callable[[], Any]) -> NDArray[np.float64]:
    """Return the sum over ranks; errors name the arguments as they are called here."""
    names = {name: f"{name}_local", "eigenvalues": "eigenvalues_local"}
    _, part = on_all_ranks(group, local, **names)
    total = np.array(part, np.float64, order="C")
    require_same(group, times=(total.size, "as many times on every rank"))
    group.allreduce(total, "sum")
    return total


def _number_or_array(total: NDArray[np.float64]) -> Any:
    return total if total.ndim else float(total)
