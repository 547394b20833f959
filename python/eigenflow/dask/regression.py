"""Regression by gradient flow whose columns are blocks of a Dask array."""

import os
import uuid
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Self

import dask.array as da
import numpy as np
from dask import delayed
from dask.base import tokenize
from numpy.typing import ArrayLike

from eigenflow._arrays import Array, as_float_array, float_dtype
from eigenflow._flow_problem import as_times, require_known
from eigenflow._map_reduce import lowrank
from eigenflow._map_reduce import regression as pieces
from eigenflow._map_reduce.regression import Model, Summary
from eigenflow._map_reduce.tree import FAN_IN
from eigenflow._threads import single_blas_thread
from eigenflow.dask.arrays import as_dask, whole_rows
from eigenflow.dask.journal import Journal, journal
from eigenflow.dask.memory import Need
from eigenflow.dask.rows import DaskRows, combined_in_tree
from eigenflow.dask.running import Runner, watched
from eigenflow.flow import FlowFit, learned_eigenvalues
from eigenflow.flow._dual import SMALL, integrate
from eigenflow.flow._regression import reporting, require_options
from eigenflow.flow.path import Coupling
from eigenflow.flow.regression import warn_unless_converged


def fit(
    features: Any,
    y: Any,
    eigenvalues: Any,
    times: ArrayLike,
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    rtol: float = 1e-6,
    max_steps: int = 10_000,
    client: Any = None,
    max_memory: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> FlowFit:
    """Regression by gradient flow with columns in blocks.

    Parameters
    ----------
    features : dask.array.Array, shape (n, P)
        Real, in blocks of whole columns; an array that is cut along both axes is cut anew for each
        read. It is read some hundred times: `persist` it where it fits into the workers' memory.
    y : array_like, shape (n,)
        Targets; a Dask array of them is computed.
    eigenvalues, b0 : array_like
        One number, or one a feature, Dask arrays or not.
    times, depth, coupling, rtol, max_steps
        As in `eigenflow.flow.fit`.
    client : distributed.Client, optional
        Where to compute. Default: the active client, else Dask's local scheduler.
    max_memory : float or str, optional
        Bytes that one task may use. Default: a worker's memory limit over its threads.
    checkpoint : path, optional
        A file that holds what each read gave. If it is there when the call starts, nothing in it is
        read from the features again, and the result is the same bytes; it is removed at the end.
        Whether the features are the same is not looked at. It grows by n numbers a read, and by n^2
        with each Jacobian of BDF.
    progress : bool
        Show a bar of the steps.

    Returns
    -------
    FlowFit
        `coefficients` and `learned_eigenvalues` are lazy, with the blocks of the features, and one
        more read when they are wanted; everything else is computed. `method` is "dual".

    Raises
    ------
    ValueError, TypeError
        As in `eigenflow.flow.fit`; NaN and infinity are named by their position.
    MemoryError
        If a block does not fit; the message names a chunk size that does.
    WorkersLost
        If all workers are gone for 20 seconds.

    Warns
    -----
    FlowWarning
        As `eigenflow.flow.fit`.

    Notes
    -----
    The client follows the n numbers of the dual form, by the steps of one process: BDF up to 2000
    samples, exponential steps beyond. An evaluation is one read of the features: a task for each
    block, and a tree of sums of n numbers; a Jacobian of BDF sums n^2. So some thousand graphs of
    a task for each block run one after the other: it pays where a block is 0.1 s of work or more.
    The same bytes for one list of blocks, whatever the number of workers.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> import eigenflow as ef
    >>> E = np.random.default_rng(0).normal(size=(50, 200))
    >>> y = E[:, 3] - 0.5 * E[:, 70]
    >>> path = ef.dask.fit(da.from_array(E, chunks=(50, 80)), y, 1e-4, [50.0])
    >>> path.coefficients.chunks, path.coefficients[0, [3, 70]].compute().round(2)
    (((1,), (80, 80, 40)), array([ 1. , -0.5]))
    """
    require_known(depth, coupling, None, b0)
    require_options("dual", rtol, max_steps)
    when = as_times(times)
    E = as_dask(features, "features", 2)
    if np.dtype(E.dtype).kind == "c":
        msg = f"features: got dtype {E.dtype}, want real numbers"
        raise TypeError(msg)
    run = Runner(client, max_memory)
    target, dtype = _targets(y, E, run)
    rows = whole_rows(E.T)
    run.require_memory(_need(rows))
    start = _coordinates(eigenvalues, "eigenvalues", rows)
    start_b = _coordinates(b0, "b0", rows)
    model = Model(target.size, depth, coupling == "separate")
    wide = np.asarray(target, np.float64)
    known = [None if isinstance(x, da.Array) else x for x in (eigenvalues, b0)]
    settings = (rows.chunks, str(rows.dtype), when, model, rtol, max_steps)
    with (
        journal(checkpoint, tokenize(wide, *known, *settings)) as kept,
        reporting(progress) as report,
    ):
        columns = DaskColumns(run, (rows, start, start_b), model, kept)
        path = integrate(columns, wide, depth, when, rtol, max_steps, report, with_fitted=True)
    warn_unless_converged(path, max_steps)
    assert path.fitted is not None
    shape = when.shape
    theta = path.theta.reshape((*shape, E.shape[1]))
    learned = learned_eigenvalues(
        theta, start[:, 0], depth=depth, b0=start_b[:, 0] if depth else None, coupling=coupling
    )
    return FlowFit(
        when,
        theta.astype(dtype),
        path.fitted.reshape((*shape, target.size)).astype(dtype),
        np.linalg.norm(wide - path.fitted, axis=-1).reshape(shape).astype(dtype),
        learned.astype(dtype),
        path.alpha.reshape((*shape, target.size)).astype(dtype),
        "dual",
        path.n_steps,
        path.error.reshape(shape),
        path.reached.reshape(shape),
        path.converged,
    )


def _need(rows: Any) -> Need:
    """Count a block of columns, given as rows, the same in double precision, and a product.

    Beside it the sums of a group of tasks: of n^2 numbers each up to `SMALL` samples, and of n
    beyond.
    """
    n, widest = rows.shape[1], max(rows.chunks[0])
    return Need(
        "features",
        widest,
        "columns",
        n * (rows.dtype.itemsize + 16),
        8 * (FAN_IN + 2) * n * (n if n <= SMALL else 4),
        shape=f"{n} x {widest}",
        made="their products",
        rechunk="features.rechunk({0: -1, 1: %d})",
        other=", or fewer samples",
    )


def _targets(y: Any, E: Any, run: Runner) -> tuple[Array, np.dtype[Any]]:
    """Return the targets in memory, and the type of results."""
    if isinstance(y, da.Array):
        parts = as_dask(y, "y", 1).to_delayed().ravel().tolist()
        y = run(delayed(np.concatenate)(parts))
    target = as_float_array(y, "y", ndim=1)
    if target.size != E.shape[0] or not target.size:
        msg = f"y: got {target.size} samples, want {E.shape[0]}, one a row of features (at least 1)"
        raise ValueError(msg)
    return target, np.result_type(target.dtype, float_dtype(E, "features"))


def _coordinates(x: Any, name: str, rows: Any) -> Any:
    """Return a column of numbers with the blocks of the rows; 1 where there are none."""
    given = 1.0 if x is None else x
    lazy = as_dask(given, name) if isinstance(given, da.Array) else None
    if lazy is None:
        lazy = da.from_array(as_float_array(given, name, dtype=np.float64))
        if np.ndim(given) == 0 and not given >= 0:
            msg = f"{name}: got {given}, want non-negative values"
            raise ValueError(msg)
    if lazy.shape not in ((), (rows.shape[0],)):
        msg = f"{name}: got shape {lazy.shape}, want one number or {rows.shape[0]}, one a feature"
        raise ValueError(msg)
    full = da.broadcast_to(lazy.astype(np.float64), (rows.shape[0],))
    return full.rechunk((rows.chunks[0],))[:, None]


class DaskColumns:
    """Blocks of columns, as rows of the transposed features; see `flow._coupled.Everywhere`."""

    has_matrix = True

    def __init__(
        self,
        run: Runner,
        arrays: tuple[Any, Any, Any],
        model: Model,
        kept: Journal | None = None,
    ) -> None:
        self._run, self._arrays, self._model, self._kept = run, arrays, model, kept
        # Thousands of small graphs: the tasks of the blocks are looked up once.
        blocks = [array.to_delayed().ravel().tolist() for array in arrays]
        firsts = (0, *accumulate(arrays[0].chunks[0]))[:-1]
        self._blocks = list(zip(firsts, *blocks, strict=True))

    def reduce(self, piece: Callable[..., Summary], alpha: Array | None, *shared: Any) -> Summary:
        """See `Everywhere`; computes, in one read, what the journal does not have."""
        return self._once(
            lambda: self._summed(piece, alpha, shared), self._model, piece, alpha, shared
        )

    def _once(self, read: Callable[[], Summary], *call: Any) -> Summary:
        if self._kept is None:
            return read()
        token = tokenize(*call)
        found = self._kept.given(token)
        if found is None:
            found = read()
            self._kept.keep(token, found)
        return found

    def _summed(
        self, piece: Callable[..., Summary], alpha: Array | None, shared: tuple[Any, ...]
    ) -> Summary:
        name = f"{piece.__name__}-{uuid.uuid4().hex}"
        call = pieces.Call(self._model, piece, alpha, shared)
        held = delayed(call, name=f"shared-{name}", traverse=False)
        task = delayed(_on_block)
        summaries = [
            task(*block, held, dask_key_name=f"{name}-{i}") for i, block in enumerate(self._blocks)
        ]
        found: Summary = self._run(combined_in_tree(summaries, pieces.combine, name))
        return found

    def triangle(self) -> Array:
        """See `Everywhere`; computes, in one read."""

        def read() -> Summary:
            rows = DaskRows(self._run, self._arrays[0])
            factor = rows.reduce(lowrank.triangle, lowrank.stack, None, 1.0).factor
            return Summary(factor, np.zeros(0))

        return self._once(read, "triangle").total

    def thetas(self, alphas: Array, scale: int) -> Any:
        """See `Everywhere`; lazy."""
        rows = DaskRows(self._run, *self._arrays)
        given = (self._model, alphas, scale)
        return rows.map(pieces.thetas_of_block, (len(alphas),), np.float64, *given).T

    def scaled(self, length: int, feature: int) -> Self:
        """See `Everywhere`."""
        model = self._model._replace(length=length, feature=feature)
        return type(self)(self._run, self._arrays, model, self._kept)

    def turned(self, basis: Array) -> Self:
        """See `Everywhere`; lazy, so made again for each read."""
        rows, *start = self._arrays
        turned = rows.astype(np.float64).map_blocks(
            _times, basis, dtype=np.float64, chunks=(rows.chunks[0], (basis.shape[1],))
        )
        return type(self)(self._run, (turned, *start), self._model, self._kept)


@watched
def _on_block(*given: Any) -> Summary:
    with single_blas_thread(1):
        return pieces.of_block(*given)


@watched
def _times(rows: Array, basis: Array) -> Array:
    return np.asarray(rows @ basis)
