"""Kalman filter of Dask arrays: many series, or one long one in blocks of time."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask import delayed
from dask.base import tokenize

from eigenflow._arrays import Array, float_dtype, places_in, refuse_first
from eigenflow._map_reduce import lds as pieces
from eigenflow.dask.arrays import as_dask, whole_rows
from eigenflow.dask.memory import Need
from eigenflow.dask.rows import DaskRows, same_rows
from eigenflow.dask.running import Runner, bar, watched
from eigenflow.lds import FilterState, LinearSystem
from eigenflow.lds.arguments import require_one, settings, wanted_fields
from eigenflow.lds.filter_call import FilterResult, convention
from eigenflow.lds.filtering import filter as filter_array

_COVS = ("filtered_cov", "predicted_cov", "innovation_cov")


def _widths(system: LinearSystem) -> dict[str, tuple[int, ...]]:
    """Shapes of what a result has for each step."""
    n, p = system.state_dim, system.obs_dim
    means = {"filtered_mean": (n,), "predicted_mean": (n,), "innovations": (p,)}
    covs = {"filtered_cov": (n, n), "predicted_cov": (n, n), "innovation_cov": (p, p)}
    return {**means, "log_likelihood_terms": (), **covs}


def filter(  # noqa: A001
    system: LinearSystem,
    y: Any,
    *,
    inputs: Any = None,
    state: FilterState | None = None,
    store: Iterable[str] = ("filtered_mean",),
    method: str = "auto",
    client: Any = None,
    max_memory: Any = None,
    progress: bool = False,
) -> FilterResult:
    """Kalman filter of a Dask array.

    Parameters
    ----------
    system : LinearSystem
        One system that does not change.
    y : dask.array.Array, shape (T, p), (T,) when p = 1, or ``(*batch, T, p)``
        One long series in blocks of time, or many series, each whole in its block. NaN marks a
        missing number.
    inputs : array_like, optional
        For one series: the known inputs, (T, m), a Dask array or not.
    state : FilterState, optional
        For one series: where to go on from.
    store : iterable of str
        As in `eigenflow.lds.filter`.
    method : str
        As in `eigenflow.lds.filter`.
    client : distributed.Client, optional
        Where to compute. Default: the active client, else Dask's local scheduler.
    max_memory : float or str, optional
        Bytes that one task may use. Default: a worker's memory limit over its threads.
    progress : bool
        For one series: show a bar of the blocks that were filtered. Each is filtered twice, and
        once more where it has to wait for the block before it.

    Returns
    -------
    FilterResult
        What has steps is lazy, with the blocks of `y`; covariances are arrays of shape
        ``(*batch, T, n, n)``, a matrix for each step. For many series nothing is computed: numbers
        for each series are lazy too, and `final_state` is None. For one series its numbers and
        `final_state` are computed, by two reads of `y`: one for the law before each block, one for
        the likelihood. `error_bound` is the sum of the blocks' bounds.

    Raises
    ------
    ValueError, TypeError
        As in `eigenflow.lds.filter`; an infinite observation is named by its position.
    MemoryError
        If a block does not fit; the message names a chunk size that does.
    WorkersLost
        If all workers are gone for 20 seconds.

    Notes
    -----
    Blocks of time run side by side: once for what each does to any law before it, an associative
    element of 3 n^2 + 2 n numbers (Särkkä and García-Fernández 2021) that the client combines, and
    again from the law that follows for its start. That is twice the work of one filter, whatever is
    missing; up to four times with a mode that is neither seen nor damped. One after the other are
    filtered only the first blocks while a variance is infinite, and blocks that begin with an
    observation without noise.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> import eigenflow as ef
    >>> system = ef.lds.LinearSystem(0.9, 1.0, 1.0, 2.0)
    >>> y = da.from_array(np.sin(np.arange(600.0)), chunks=200)
    >>> result = ef.dask.filter(system, y)
    >>> result.filtered_mean.chunks, round(result.log_likelihood, 6)
    (((200, 200, 200), (1,)), -919.1...)
    """
    require_one(system)
    series = as_dask(y, "y")
    fields = wanted_fields(store, tuple(_widths(system)))
    settings(method, True, 1)
    p = system.obs_dim
    if series.ndim == 1 and p == 1:
        series = series[:, None]
    if series.ndim < 2 or series.shape[-1] != p:
        want = "(*batch, T, 1) or (T,)" if p == 1 else f"(*batch, T, {p})"
        msg = f"y: got shape {series.shape}, want {want}"
        raise ValueError(msg)
    run = Runner(client, max_memory)
    run.require_memory(_need(system, series, fields))
    if series.ndim > 2:
        for name, value in (("inputs", inputs), ("state", state)):
            if value is not None:
                msg = f"{name}: got a value with many series in a Dask array, want None"
                raise ValueError(msg)
        return _many(system, series, fields, method)
    with places_in("y", y), bar(progress, None, " blocks") as show:
        return _one(system, series, inputs, state, fields, method, run, show)


def _need(system: LinearSystem, y: Any, fields: frozenset[str]) -> Need:
    """Count a block and its results, in double precision.

    Of one series, fields are made by tasks of their own; of many, one task makes all of them, and
    Dask puts the block into one array once more.
    """
    widths = [math.prod(_widths(system)[name]) for name in fields]
    if y.ndim > 2:
        steps, series = y.shape[-2], math.prod(max(sizes) for sizes in y.chunks[:-2])
        each = 8 * steps * (2 * system.obs_dim + sum(widths) + max(widths, default=0))
        return Need("y", series, f"series of {steps} steps", each)
    each = 8 * (system.obs_dim + system.input_dim + max(widths, default=0))
    return Need("y", max(y.chunks[0]), "steps", each)


def _many(system: LinearSystem, y: Any, fields: frozenset[str], method: str) -> FilterResult:
    y = y.rechunk({y.ndim - 2: -1, y.ndim - 1: -1})
    dtype = float_dtype(y, "y")
    batch = y.ndim - 2
    found = da.map_blocks(
        _block_of_series,
        y,
        held=_held(system, tuple(sorted(fields)), method),
        dtype=object,
        drop_axis=[batch, batch + 1],
        chunks=y.chunks[:-2],
        meta=np.empty((0,) * batch, object),
    )

    def part(name: str, widths: tuple[int, ...], kind: Any) -> Any:
        return da.map_blocks(
            _part,
            found,
            name_=name,
            dtype=kind,
            new_axis=list(range(batch, batch + len(widths))) or None,
            chunks=(*y.chunks[:-2], *((w,) for w in widths)),
            meta=np.empty((0,) * (batch + len(widths)), kind),
        )

    lazy = {
        name: part(name, (y.shape[-2], *width), _kind(name, dtype)) if name in fields else None
        for name, width in _widths(system).items()
    }
    return FilterResult(
        **lazy,
        log_likelihood=part("log_likelihood", (), np.dtype(float)),
        n_diffuse=part("n_diffuse", (), np.dtype(np.int64)),
        diffuse_convention=convention(system, None),
        steady_from=part("steady_from", (), np.dtype(np.int64)),
        error_bound=part("error_bound", (), np.dtype(float)),
        final_state=None,  # type: ignore[arg-type]
    )


def _held(*values: Any) -> Any:
    return delayed(values, name=f"held-{tokenize(values)}", pure=True, traverse=False)


@watched
def _block_of_series(y: Array, held: tuple[Any, ...], block_info: Any = None) -> FilterResult:
    system, fields, method = held
    with _series_from([begin for begin, _ in block_info[0]["array-location"][:-2]]):
        return filter_array(system, y, store=fields, method=method, workers=1)


@contextmanager
def _series_from(first: list[int]) -> Iterator[None]:
    """Let errors name a series by its place in all blocks; `first` is that of the block."""
    try:
        yield
    except ValueError as error:
        text, named, place = str(error).rpartition(" (series (")
        if not named:
            raise
        own = [int(i) for i in place.strip("(),").split(", ")]
        where = tuple(i + begin for i, begin in zip(own, first, strict=True))
        raise type(error)(f"{text} (series {where})") from error


def _part(found: FilterResult, name_: str) -> Any:
    value = getattr(found, name_)
    return value.dense() if name_ in _COVS else value


def _kind(name: str, dtype: Any) -> Any:
    """Covariances are in double precision whatever the observations are."""
    return np.dtype(np.float64) if name in _COVS else dtype


class Totals(NamedTuple):
    """What one long series sums to, by blocks."""

    log_likelihood: float
    n_diffuse: int
    steady_from: int  # of the whole series; -1 for none
    error_bound: float


def add_totals(a: Totals, b: Totals) -> Totals:
    """Combine those of two blocks."""
    known = [x.steady_from for x in (a, b) if x.steady_from >= 0]
    return Totals(
        a.log_likelihood + b.log_likelihood,
        a.n_diffuse + b.n_diffuse,
        min(known, default=-1),
        a.error_bound + b.error_bound,
    )


class _Task(NamedTuple):
    """What the tasks of one series share."""

    system: LinearSystem
    method: str
    laws: dict[int, FilterState]  # by the first step of a block that has some


def _one(
    system: LinearSystem,
    y: Any,
    inputs: Any,
    state: FilterState | None,
    fields: frozenset[str],
    method: str,
    run: Runner,
    show: Callable[[int], None],
) -> FilterResult:
    y = whole_rows(y)
    arrays = (y,) if inputs is None else same_rows(y, whole_rows(_inputs(system, inputs, y)))
    rows = DaskRows(run, *arrays)
    start = state or FilterState(system.mean0, system.cov0, system.diffuse_directions)
    task = _Task(system, method, {})
    sizes = y.chunks[0]
    firsts = np.cumsum((0, *sizes))[:-1].tolist()
    elements = rows.reduce(_elements, _join, task)
    done = len(sizes)
    show(done)

    def advance(i: int, law: FilterState) -> FilterState:
        if not sizes[i]:
            return law
        one = DaskRows(run, *(a.blocks[i] for a in arrays))
        end: FilterState = one.reduce(_final_state, _join, task._replace(laws={0: law}))
        nonlocal done
        done += 1
        show(done)
        return end

    laws = pieces.starts(elements, start, system, advance)
    known = {first: law for first, size, law in zip(firsts, sizes, laws, strict=False) if size}
    task = task._replace(laws=known)
    totals = rows.reduce(_totals, add_totals, task)
    show(done + len(sizes))
    dtype = float_dtype(y, "y")
    lazy = {
        name: rows.map(_field, width, _kind(name, dtype), task, name) if name in fields else None
        for name, width in _widths(system).items()
    }
    return FilterResult(
        **lazy,
        log_likelihood=totals.log_likelihood,
        n_diffuse=totals.n_diffuse,
        diffuse_convention=convention(system, state),
        steady_from=totals.steady_from if totals.steady_from >= 0 else None,
        error_bound=totals.error_bound,
        final_state=laws[-1],
    )


def _inputs(system: LinearSystem, inputs: Any, y: Any) -> Any:
    known = inputs if isinstance(inputs, da.Array) else da.from_array(np.asarray(inputs, float))
    if known.ndim == 1 and system.input_dim == 1:
        known = known[:, None]
    if not system.input_dim or known.shape != (y.shape[0], system.input_dim):
        msg = f"inputs: got shape {known.shape}, want {(y.shape[0], system.input_dim)}"
        raise ValueError(msg)
    return known


def _split(first: int, rest: tuple[Any, ...]) -> tuple[Array, Array | None, _Task, tuple[Any, ...]]:
    """Tell blocks from what is shared; refuse infinite observations by their position."""
    at = next(i for i, x in enumerate(rest) if isinstance(x, _Task))
    y, inputs = rest[0], rest[1] if at == 2 else None
    bad = np.isinf(y)
    if bad.any():
        refuse_first(bad, y, "y", "finite numbers, or NaN where missing", first=(first, 0))
    return y, inputs, rest[at], rest[at + 1 :]


def _elements(first: int, *rest: Any) -> tuple[Array | None]:
    y, inputs, task, _ = _split(first, rest)
    return (pieces.element(first, y, inputs, task.system, task.method),)


def _join(a: Any, b: Any) -> Any:
    return a + b


def _run(first: int, rest: tuple[Any, ...], *store: str) -> FilterResult:
    y, inputs, task, _ = _split(first, rest)
    law = task.laws[first]
    return filter_array(
        task.system, y, inputs=inputs, state=law, store=store, method=task.method, workers=1
    )


def _final_state(first: int, *rest: Any) -> FilterState:
    return _run(first, rest).final_state


def _totals(first: int, *rest: Any) -> Totals:
    if not len(rest[0]):
        return Totals(0.0, 0, -1, 0.0)
    found = _run(first, rest)
    steady = -1 if found.steady_from is None else first + found.steady_from
    return Totals(found.log_likelihood, found.n_diffuse, steady, found.error_bound)


def _field(first: int, *rest: Any) -> Array:
    name = rest[-1]
    if not len(rest[0]):
        return np.empty((0, *_widths(_split(first, rest)[2].system)[name]))
    return np.asarray(_part(_run(first, rest, name), name))
