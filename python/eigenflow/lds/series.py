"""What filter and smoother share: laws, packed systems, memory for results, batches."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from operator import is_not
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import Movable, as_float_array, like
from eigenflow._core import lds as _kernels
from eigenflow._index import per_step, per_step_of
from eigenflow._progress import progress_bar
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]

PROPER = "proper start: no diffuse term"
EXACT_DIFFUSE = (
    "exact diffuse: every observed number counts -log(2 pi)/2, and -log(F_inf)/2 where a diffuse "
    "direction absorbs it (Durbin and Koopman 2012, 7.2.5)"
)


@dataclass(frozen=True, eq=False)
class CovarianceSequence:
    """One covariance for each step, stored once for each distinct value.

    Attributes
    ----------
    values : ndarray, shape (n_distinct, n, n)
        The distinct matrices.
    index : ndarray of int32, shape ``(*batch, T)``
        Which of them belongs to each step.
    """

    values: Array
    index: NDArray[np.int32]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `dense()`."""
        return (*self.index.shape, *self.values.shape[1:])

    def __len__(self) -> int:
        return int(self.index.shape[0])

    def __getitem__(self, position: Any) -> Array:
        return np.asarray(self.values[self.index[position]])

    def dense(self) -> Array:
        """All matrices, shape ``(*batch, T, n, n)``: 8 n^2 bytes a step."""
        return np.asarray(self.values[self.index])


@dataclass(frozen=True, eq=False)
class FilterState(Movable):
    """Law of the state before the next observation: hand it on as `state=` to go on filtering.

    Attributes
    ----------
    mean : ndarray, shape ``(*batch, n)``
    cov : ndarray, shape ``(*batch, n, n)``
        Finite part of the covariance.
    diffuse : ndarray, shape ``(*batch, n, k)``
        Directions that still have infinite variance; k = 0 once the start is forgotten.
    """

    mean: Array
    cov: Array
    diffuse: Array


Packed = tuple[Array | None, ...]
# What a system and its start are made of.
_PARTS = (
    *("A", "C", "Q", "R", "cross_cov", "B", "D", "state_offset", "obs_offset"),
    *("mean0", "cov0", "diffuse_directions"),
)
_MUCH = 4096  # numbers


def packed(system: LinearSystem, batch: tuple[int, ...] = (), n_steps: int = 1) -> Packed:
    """Arrays of a system in the order that the kernels want: (N or 1, T or 1, rows, cols)."""
    matrices = (system.A, system.C, system.Q, system.R, system.cross_cov, system.B, system.D)
    vectors = (system.state_offset, system.obs_offset)
    arrays = [None if a is None else _stack(a, 2, system, batch) for a in matrices]
    arrays += [_stack(a[..., np.newaxis, :], 2, system, batch) for a in vectors]
    return tuple(arrays)


Start = tuple[Array, Array, Array]


def kept(system: LinearSystem, batch: tuple[int, ...] = ()) -> tuple[_kernels.System, Start]:
    """`packed` and `starts` for kernels that keep the steady state of a system between calls.

    What they were made of is compared by identity, as an attribute may have been set since.
    """
    if system.batch_shape:
        return _kernels.System(packed(system, batch)), starts(system, None, batch)
    own = vars(system)
    parts = tuple(map(own.__getitem__, _PARTS))
    known = own.get("_kept")
    if known is None or any(map(is_not, known[0], parts)):
        known = own["_kept"] = (parts, _kernels.System(packed(system)), starts(system, None, ()))
    return known[1], known[2]


def _stack(a: Array, core: int, system: LinearSystem, batch: tuple[int, ...]) -> Array:
    """Broadcast batch axes to one; what all series share keeps a length of one."""
    entry = a.shape[-core:]
    steps = a.shape[-core - 1] if system.time_varying and a.ndim > core else 1
    lead = a.shape[: max(0, a.ndim - core - (1 if system.time_varying else 0))]
    if not lead or all(length == 1 for length in lead):
        return a.reshape(1, steps, *entry)
    full = np.broadcast_to(a.reshape(*lead, steps, *entry), (*batch, steps, *entry))
    return full.reshape(math.prod(batch), steps, *entry)


def outputs(
    fields: frozenset[str],
    shapes: dict[str, tuple[int, ...]],
    out: Mapping[str, Any] | None,
) -> dict[str, Array]:
    """Arrays for the fields that have a shape: those of `out` are used as they are."""
    given = dict(out or {})
    for name, array in given.items():
        if name not in shapes:
            msg = f"out: got {name!r}, want names among {', '.join(shapes)}"
            raise ValueError(msg)
        ok = isinstance(array, np.ndarray) and array.dtype == np.float64
        if not ok or array.shape != shapes[name] or not array.flags.writeable:
            got = getattr(array, "shape", None), getattr(array, "dtype", type(array).__name__)
            msg = (
                f"out[{name!r}]: got shape {got[0]}, dtype {got[1]}, want a writeable float64 "
                f"array of shape {shapes[name]}"
            )
            raise ValueError(msg)
    return {
        name: given[name] if name in given else aligned(shape)
        for name, shape in shapes.items()
        if name in fields or name in given
    }


def joined_rows(a: Array | None, batch: tuple[int, ...]) -> Array | None:
    """Output as the kernels want it: (N, T, width), a view of the same memory."""
    if a is None:
        return None
    wide = a if a.ndim == len(batch) + 2 else a[..., np.newaxis]
    view = wide.reshape((math.prod(batch), *wide.shape[-2:]))
    if view.size and not np.may_share_memory(view, wide):
        msg = f"out: got strides {a.strides}, want batch axes that can be seen as one"
        raise ValueError(msg)
    return view


def as_given(a: Array | None, dtype: Any, y: Any, as_it_is: bool, observed: bool = False) -> Any:
    """A result in the precision and the library of `y`, with its index.

    `observed` says that its columns are those of `y`.
    """
    if a is None or as_it_is:
        return a
    own = like(a.astype(dtype, copy=False), y)
    return per_step_of(own, y) if observed else per_step(own, y)


def aligned(shape: tuple[int, ...]) -> Array:
    """Uninitialised memory; much of it starts at a cache line: kernels may write whole lines."""
    size = math.prod(shape)
    if size < _MUCH:
        return np.empty(shape)
    room = np.empty(size + 8)
    offset = -room.ctypes.data // 8 % 8
    return room[offset : offset + size].reshape(shape)


def reporting(
    progress: bool | Callable[[int], None], n_steps: int | None, unit: str = " steps"
) -> AbstractContextManager[Callable[[int], None] | None]:
    """A tqdm bar over the steps, as a function of the number done; None without progress.

    Without a number of steps it counts. A function that belongs to somebody else's bar stays it.
    """
    if callable(progress):
        return nullcontext(progress)
    return _bar(n_steps, unit) if progress else nullcontext()


@contextmanager
def _bar(n_steps: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    with progress_bar(total=n_steps, unit=unit, unit_scale=True) as bar:
        yield lambda done: bar.update(done - bar.n)
        if n_steps is not None:
            bar.update(n_steps - bar.n)


def starts(system: LinearSystem, state: Any, batch: tuple[int, ...]) -> Start:
    """(mean, cov, diffuse) of all series: (N or 1, 1, n), (N or 1, n, n), (N or 1, n, k)."""
    n = system.state_dim
    if state is None:
        mean, cov, diffuse = system.mean0, system.cov0, system.diffuse_directions
    else:
        if not isinstance(state, FilterState):
            msg = f"state: got {type(state).__name__}, want the final_state of an earlier result"
            raise TypeError(msg)
        mean = _part(state, "mean", (*batch, n))
        cov = _part(state, "cov", (*batch, n, n))
        diffuse = _part(state, "diffuse", (*batch, n, *np.shape(state.diffuse)[-1:]))
        _require_semidefinite(cov)
    return (
        _flat(mean[..., np.newaxis, :], batch),
        _flat(cov, batch),
        _flat(diffuse, batch),
    )


def _flat(a: Array, batch: tuple[int, ...]) -> Array:
    """One batch axis; a single law for all series stays single."""
    if a.ndim == 2:
        return a[np.newaxis]
    full = np.broadcast_to(a, (*batch, *a.shape[-2:]))
    return full.reshape(math.prod(batch), *a.shape[-2:])


def _part(state: FilterState, name: str, shape: tuple[Any, ...]) -> Array:
    a = as_float_array(getattr(state, name), f"state.{name}", dtype=np.float64)
    try:
        return np.broadcast_to(a, shape)
    except ValueError:
        msg = f"state.{name}: got shape {a.shape}, want one that fits {shape}"
        raise ValueError(msg) from None


def _require_semidefinite(covs: Array) -> None:
    scale = np.max(np.abs(covs), axis=(-2, -1), keepdims=True, initial=0.0)
    unit = covs / np.where(scale > 0, scale, 1.0)
    if np.min(np.linalg.eigvalsh(unit), initial=0.0) < -1e-12 * covs.shape[-1]:
        msg = "state.cov: got a negative eigenvalue, want positive semidefinite matrices"
        raise ValueError(msg)


def steady_steps(values: NDArray[np.int64], batch: tuple[int, ...]) -> Any:
    """First steady step of each series: None, or -1 in a batch, where there is none."""
    first = per_series(values, batch)
    return None if not batch and first < 0 else first


def joined_state(parts: tuple[Array, Array, Array], batch: tuple[int, ...]) -> FilterState:
    """The laws of all series with the axes of the batch."""
    return FilterState(*(a.reshape(*batch, *a.shape[1:]) for a in parts))


def joined_covs(
    stored: list[tuple[Array, NDArray[np.int32]]] | None,
    batch: tuple[int, ...],
    n_steps: int,
    size: int,
) -> CovarianceSequence | None:
    """One sequence for a batch; None where the covariances were not stored."""
    if stored is None:
        return None
    if not stored:
        empty = np.empty((*batch, n_steps), np.int32)
        return CovarianceSequence(np.empty((0, size, size)), empty)
    if len(stored) == 1:
        values, places = stored[0]
        return CovarianceSequence(values, places.reshape(*batch, n_steps))
    offsets = np.cumsum([0, *(len(values) for values, _ in stored)])
    if offsets[-1] >= 2**31:
        msg = "store: too many distinct covariances for one result, want fewer series at a time"
        raise ValueError(msg)
    index = [
        places + np.int32(offset) for (_, places), offset in zip(stored, offsets, strict=False)
    ]
    values = np.concatenate([values for values, _ in stored])
    return CovarianceSequence(values, np.array(index, np.int32).reshape(*batch, n_steps))


def per_series(values: Any, batch: tuple[int, ...]) -> Any:
    """A plain number without a batch, else an array of the batch's shape."""
    return values[0].item() if not batch else np.asarray(values).reshape(batch)
