"""Kalman filter of Dask arrays: many series, or one long one in blocks of time."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
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
        For one series: show a bar of the blocks that were filtered; some are filtered twice.

    Returns
    -------
    FilterResult
        What has steps is lazy, with the blocks of `y`; covariances are arrays of shape
        ``(*batch, T, n, n)``, a matrix for each step. For many series nothing is computed: numbers
        for each series are lazy too, and `final_state` is None. For one series its numbers and
        `final_state` are computed, by one read of `y`, and a second one of blocks that do not
        forget the law before them. `error_bound` is the sum of the blocks' bounds.

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
    Blocks of time run side by side, for what each does to any law before it: an associative element
    of 3 n^2 + 2 n numbers (Särkkä and García-Fernández 2021) that the client combines. It filters
    again only the steps of a block that remember the law before it, so that the numbers of the
    series cost one filter, whatever is missing; what has steps costs another when it is computed.
    Blocks that remember for longer (4096 steps, or a 64th of a block) are filtered again whole;
    with a mode that is neither seen nor damped that is up to four filters. One after the other are
    filtered only blocks at the start while a variance is infinite, and blocks that begin with an
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
    task = _Task(system, method, {0: start})
    sizes = y.chunks[0]
    firsts = np.cumsum((0, *sizes))[:-1].tolist()
    summaries = rows.reduce(_summaries, _join, task)
    done = len(sizes)
    show(done)

    def again(which: list[int], laws: Sequence[FilterState]) -> tuple[pieces.Filtered, ...]:
        """Filter blocks from their laws, side by side."""
        begins = np.cumsum([0, *(sizes[i] for i in which)]).tolist()
        known = dict(zip(begins, laws, strict=False))
        some = DaskRows(run, *(da.concatenate([a.blocks[i] for i in which]) for a in arrays))
        found: tuple[pieces.Filtered, ...] = some.reduce(
            _filtered, _join, task._replace(laws=known)
        )
        nonlocal done
        done += len(which)
        show(done)
        return found

    def advance(i: int, law: FilterState) -> pieces.Filtered:
        return again([i], [law])[0] if sizes[i] else pieces.Filtered(law, pieces.Totals())

    laws, totals = pieces.laws_and_totals(summaries, start, system, method, advance)
    if rest := [i for i, each in enumerate(totals) if each is None and sizes[i]]:
        found = again(rest, [laws[i] for i in rest])
        for i, each in zip(rest, found, strict=True):
            totals[i] = each.totals
    whole = pieces.Totals()
    for first, part in zip(firsts, totals, strict=True):
        whole = pieces.add_totals(whole, (part or pieces.Totals()).later(first))
    known = {first: law for first, size, law in zip(firsts, sizes, laws, strict=False) if size}
    task = task._replace(laws=known)
    dtype = float_dtype(y, "y")
    lazy = {
        name: rows.map(_field, width, _kind(name, dtype), task, name) if name in fields else None
        for name, width in _widths(system).items()
    }
    return FilterResult(
        **lazy,
        log_likelihood=whole.log_likelihood,
        n_diffuse=whole.n_diffuse,
        diffuse_convention=convention(system, state),
        steady_from=whole.steady_from if whole.steady_from >= 0 else None,
        error_bound=whole.error_bound,
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


def _summaries(first: int, *rest: Any) -> tuple[pieces.Summary | pieces.Filtered | None, ...]:
    """What a block says without its law; the first block has one."""
    y, inputs, task, _ = _split(first, rest)
    if first == 0 and len(y):
        return _filtered(first, *rest)
    return (pieces.summary(y, inputs, task.system, task.method),)


def _filtered(first: int, *rest: Any) -> tuple[pieces.Filtered, ...]:
    y, inputs, task, _ = _split(first, rest)
    return (pieces.filtered(task.system, task.laws[first], y, inputs, task.method),)


def _join(a: Any, b: Any) -> Any:
    return a + b


def _field(first: int, *rest: Any) -> Array:
    name = rest[-1]
    y, inputs, task, _ = _split(first, rest)
    if not len(y):
        return np.empty((0, *_widths(task.system)[name]))
    law = task.laws[first]
    found = filter_array(
        task.system, y, inputs=inputs, state=law, store=(name,), method=task.method, workers=1
    )
    return np.asarray(_part(found, name))
