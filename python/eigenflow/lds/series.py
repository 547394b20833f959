"""What filter and smoother share: reading `y`, looping over a batch, storing covariances."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import as_float_array
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
class FilterState:
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


def packed(system: Any) -> tuple[Array, ...]:
    """Arrays of a system in the order that the kernels want."""
    if not isinstance(system, LinearSystem):
        msg = f"system: got {type(system).__name__}, want a LinearSystem"
        raise TypeError(msg)
    return (system.A, system.C, system.Q, system.R, system.state_offset, system.obs_offset)


def read_observations(system: LinearSystem, y: Any) -> tuple[Array, np.dtype[Any]]:
    """`y` as float64 of shape ``(*batch, T, p)``, and the dtype of means (that of `y`)."""
    p = system.obs_dim
    a = as_float_array(y, "y", check_finite=False)
    if a.ndim == 1 and p == 1:
        a = a[:, np.newaxis]
    if a.ndim < 2 or a.shape[-1] != p:
        want = "(*batch, T, 1) or (T,)" if p == 1 else f"(*batch, T, {p})"
        msg = f"y: got shape {a.shape}, want {want}"
        raise ValueError(msg)
    return a.astype(np.float64, copy=False), a.dtype


def refuse_inputs(inputs: Any) -> None:
    """Inputs need B and D, which are not there yet."""
    if inputs is not None:
        msg = "inputs: got a value, want None: not available yet"
        raise ValueError(msg)


def use_steady(method: str) -> bool:
    """Whether the covariance may be replaced by its limit."""
    if method not in ("auto", "full"):
        msg = f"method: got {method!r}, want 'auto' or 'full'"
        raise ValueError(msg)
    return method == "auto"


def wanted_fields(store: Iterable[str], known: tuple[str, ...]) -> frozenset[str]:
    """Check the names in `store`."""
    try:
        names = (store,) if isinstance(store, str) else tuple(store)
    except TypeError:
        msg = f"store: got {store!r}, want names among {', '.join(known)}"
        raise TypeError(msg) from None
    for name in names:
        if name not in known:
            msg = f"store: got {name!r}, want names among {', '.join(known)}"
            raise ValueError(msg)
    return frozenset(names)


def starts(
    system: LinearSystem, state: Any, batch: tuple[int, ...]
) -> Iterator[tuple[Array, Array, Array]]:
    """(mean, cov, diffuse) of each series of a batch."""
    if state is None:
        start = (system.mean0, system.cov0, system.diffuse_directions)
        for _ in np.ndindex(batch):
            yield start
        return
    if not isinstance(state, FilterState):
        msg = f"state: got {type(state).__name__}, want the final_state of an earlier result"
        raise TypeError(msg)
    n = system.state_dim
    mean = _part(state, "mean", (*batch, n))
    cov = _part(state, "cov", (*batch, n, n))
    diffuse = _part(state, "diffuse", (*batch, n, *np.shape(state.diffuse)[-1:]))
    _require_semidefinite(cov)
    for i in np.ndindex(batch):
        directions = diffuse[i]  # a batch pads with columns of zeros
        yield mean[i], cov[i], directions[:, np.any(directions != 0, axis=0)]


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


def of_series(error: ValueError, position: tuple[int, ...]) -> ValueError:
    """The error of one series of a batch, with its place in the batch."""
    return ValueError(f"{error} (series {position})") if position else error


def steady_steps(values: list[int], batch: tuple[int, ...]) -> Any:
    """First steady step of each series: None, or -1 in a batch, where there is none."""
    first = per_series(values, batch)
    return None if not batch and first < 0 else first


def joined_states(parts: list[tuple[Array, Array, Array]], batch: tuple[int, ...]) -> FilterState:
    """One FilterState for a batch; diffuse directions are padded with zeros."""
    if not batch:
        return FilterState(*parts[0])
    width = max((part[2].shape[1] for part in parts), default=0)
    n = parts[0][0].shape[0] if parts else 0
    diffuse = np.zeros((len(parts), n, width))
    for i, part in enumerate(parts):
        diffuse[i, :, : part[2].shape[1]] = part[2]
    mean = np.array([part[0] for part in parts]).reshape(*batch, n)
    cov = np.array([part[1] for part in parts]).reshape(*batch, n, n)
    return FilterState(mean, cov, diffuse.reshape(*batch, n, width))


def joined_covs(
    parts: list[tuple[Array, NDArray[np.int32]] | None], batch: tuple[int, ...], n_steps: int
) -> CovarianceSequence | None:
    """One sequence for a batch; None where the covariances were not stored."""
    stored = [part for part in parts if part is not None]
    if not stored:
        return None
    offsets = np.cumsum([0, *(len(values) for values, _ in stored)])
    if offsets[-1] >= 2**31:
        msg = "store: too many distinct covariances for one result, want fewer series at a time"
        raise ValueError(msg)
    index = [
        places + np.int32(offset) for (_, places), offset in zip(stored, offsets, strict=False)
    ]
    values = np.concatenate([values for values, _ in stored])
    return CovarianceSequence(values, np.array(index, np.int32).reshape(*batch, n_steps))


def per_series(values: list[Any], batch: tuple[int, ...]) -> Any:
    """A plain number without a batch, else an array of the batch's shape."""
    return values[0] if not batch else np.array(values).reshape(batch)
