"""Regression by gradient flow with columns of the features that are spread over ranks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from eigenflow._arrays import Array
from eigenflow._map_reduce.regression import Columns, Summary
from eigenflow._threads import blas_limit
from eigenflow.flow import FlowFit
from eigenflow.flow._coupled import LocalColumns
from eigenflow.flow._dual import SMALL, integrate
from eigenflow.flow._features import rows_of
from eigenflow.flow._regression import Regression, regression, require_options, targets_of
from eigenflow.flow.path import Coupling
from eigenflow.flow.regression import LARGEST_MATRIX, as_fit, warn_unless_converged
from eigenflow.mpi.communicators import (
    Communicator,
    as_communicator,
    on_all_ranks,
    require_one_dtype,
    require_same,
)
from eigenflow.mpi.rows import stacked


def fit(
    features_local: Any,
    y: ArrayLike,
    eigenvalues_local: ArrayLike,
    times: ArrayLike,
    *,
    comm: Any = None,
    depth: int = 0,
    b0: ArrayLike | None = None,
    coupling: Coupling = "shared",
    rtol: float = 1e-6,
    max_steps: int = 10_000,
    workers: int | None = None,
    check_finite: bool = True,
) -> FlowFit:
    """Regression by gradient flow whose columns are spread over ranks.

    Parameters
    ----------
    features_local : array_like, sparse matrix, LinearOperator or pair of callables
        n samples by the P_r features of this rank, as in `eigenflow.flow.fit`; P_r may differ from
        rank to rank, and may be 0.
    y : array_like
        n targets. Those of rank 0 count.
    eigenvalues_local, b0 : array_like
        Of the features of this rank.
    times : array_like
        Of rank 0; as many on every rank.
    comm : communicator, optional
        Of mpi4py, or a `Communicator`. Default: ``MPI.COMM_WORLD``.
    depth, coupling, rtol, max_steps
        As in `eigenflow.flow.fit`, the same on every rank.
    workers : int, optional
        Threads of this rank.
    check_finite : bool
        Refuse NaN and infinity in the arrays.

    Returns
    -------
    FlowFit
        `coefficients` and `learned_eigenvalues` are those of this rank's features, everything else
        is the same on every rank. `method` is "dual".

    Raises
    ------
    ValueError, TypeError
        What `eigenflow.flow.fit` refuses on any rank; different numbers of samples or times.

    Warns
    -----
    FlowWarning
        As `eigenflow.flow.fit`.

    Notes
    -----
    Every rank follows the n numbers of the dual form, by the steps of one process: BDF up to 2000
    samples, exponential steps beyond. An evaluation is two products with the columns of the rank
    and one sum of n numbers over ranks; a Jacobian of BDF is a sum of n^2. The linear algebra of a
    step, up to n^3, is not shared out: what is spread are the columns. Coefficients agree with
    those of one process within `rtol`.
    """
    group = as_communicator(comm)

    def rows() -> tuple[int, int]:
        n_samples = targets_of(features_local, y, check_finite=False).size
        return n_samples, rows_of(features_local, "features_local") or n_samples

    names = {"features": "features_local", "eigenvalues": "eigenvalues_local"}
    _, (n_samples, n_rows) = on_all_ranks(group, rows, **names)
    require_same(
        group,
        y=(n_samples, "as many samples on every rank"),
        features_local=(n_rows, "as many rows on every rank"),
    )

    def prepare() -> Regression:
        require_options("dual", rtol, max_steps)
        return regression(
            features_local, y, eigenvalues_local, times, depth, b0, coupling, workers, check_finite,
            least_features=0,
        )  # fmt: skip

    _, given = on_all_ranks(group, prepare, **names)
    require_same(group, times=(given.times.size, "as many times on every rank"))
    require_one_dtype(group, "features_local", given.dtype)
    target, when = _of_rank_0(group, given.target), _of_rank_0(group, given.times)
    given = replace(given, observed=target.astype(given.observed.dtype), times=when)
    with blas_limit(workers) as n_workers:
        solvable = given.features
        small = target.size <= SMALL and target.size * solvable.n_features <= LARGEST_MATRIX
        all_dense = _on_all(group, solvable.matrix is not None or small)
        made = on_all_ranks(group, solvable.materialised)[1] if all_dense else solvable
        spread = RankColumns(given.columns(made, n_workers), group)
        spread.has_matrix = all_dense
        path = integrate(
            spread, target, depth, when, rtol, max_steps, lambda *_: None, with_fitted=True
        )
    warn_unless_converged(path, max_steps)
    assert path.fitted is not None
    return as_fit(given, path, path.fitted, "dual", workers)


class RankColumns(LocalColumns):
    """The columns of one rank; sums and maxima are those of all ranks."""

    def __init__(self, columns: Columns, group: Communicator) -> None:
        super().__init__(columns)
        self._group = group

    def reduce(self, piece: Callable[..., Summary], alpha: Array | None, *shared: Any) -> Summary:
        """See `Everywhere`; collective."""

        def local() -> Summary:
            return LocalColumns.reduce(self, piece, alpha, *shared)

        _, part = on_all_ranks(self._group, local)
        total, largest = np.array(part.total, order="C"), np.array(part.largest)
        if total.size:
            self._group.allreduce(total, "sum")
        if largest.size:
            self._group.allreduce(largest, "max")
        return Summary(total, largest)

    def triangle(self) -> Array:
        """See `Everywhere`; collective."""
        return stacked(self._group, LocalColumns.triangle(self))

    def _with(self, columns: Columns) -> Self:
        other = type(self)(columns, self._group)
        other.has_matrix = self.has_matrix
        return other


def _of_rank_0(group: Communicator, a: Array) -> Array:
    sent = np.array(a, np.float64, order="C")
    if sent.size:
        group.bcast(sent.reshape(-1).view(np.uint8), 0)
    return sent


def _on_all(group: Communicator, value: bool) -> bool:
    found = np.array([value], np.int64)
    group.allreduce(found, "min")
    return bool(found[0])
