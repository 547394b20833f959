"""What filter, smoother and score are given: systems, observations, inputs, names."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import as_float_array, refuse_first
from eigenflow._index import plain_values, require_same_index
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]

METHODS = ("auto", "full", "standard", "joseph", "array")


def require_system(system: Any) -> LinearSystem:
    """Refuse what is no LinearSystem."""
    if not isinstance(system, LinearSystem):
        msg = f"system: got {type(system).__name__}, want a LinearSystem"
        raise TypeError(msg)
    return system


def require_one(given: Any) -> LinearSystem:
    """Refuse a batch, and matrices that change."""
    system = require_system(given)
    if system.batch_shape or system.time_varying:
        msg = f"system: got {system!r}, want one system that does not change"
        raise ValueError(msg)
    return system


def refuse_infinite(y: Array) -> None:
    """Raise ValueError that names the first infinity; NaN is a missing number."""
    refuse_first(np.isinf(y), y, "y", "finite values, or NaN for a missing one")


def read_observations(system: LinearSystem, y: Any) -> tuple[Array, np.dtype[Any]]:
    """`y` as float64 of shape ``(*batch, T, p)``, and the dtype of means (that of `y`)."""
    p = system.obs_dim
    a = as_float_array(plain_values(y), "y", check_finite=False)
    if a.ndim == 1 and p == 1:
        a = a[:, np.newaxis]
    if a.ndim < 2 or a.shape[-1] != p:
        want = "(*batch, T, 1) or (T,)" if p == 1 else f"(*batch, T, {p})"
        msg = f"y: got shape {a.shape}, want {want}"
        raise ValueError(msg)
    if system.n_steps not in (None, a.shape[-2]):
        msg = f"y: got {a.shape[-2]} steps, want {system.n_steps}, as the system has"
        raise ValueError(msg)
    wide = a.astype(np.float64, copy=False)
    if not system.batch_shape:
        return wide, a.dtype
    try:
        batch = np.broadcast_shapes(a.shape[:-2], system.batch_shape)
    except ValueError:
        msg = f"y: got batch axes {a.shape[:-2]}, want some that fit those of the system "
        raise ValueError(msg + f"({system.batch_shape})") from None
    return np.broadcast_to(wide, (*batch, *a.shape[-2:])), a.dtype


def one_axis(a: Array, batch: tuple[int, ...]) -> Array:
    """(*batch, rows, cols) as (N, rows, cols), without a copy of what all series share."""
    n_series, entry = math.prod(batch), a.shape[-2:]
    if a.ndim > 2 and n_series and not any(a.strides[:-2]):
        return np.broadcast_to(a[(0,) * (a.ndim - 2)], (n_series, *entry))
    return a.reshape(n_series, *entry)


def read_inputs(
    system: LinearSystem, inputs: Any, batch: tuple[int, ...], n_steps: int, y: Any = None
) -> Array | None:
    """`inputs` as float64 of shape (N or 1, T, m); None for a system without inputs.

    The index of pandas inputs must be that of `y`.
    """
    m = system.input_dim
    if inputs is None:
        if m:
            msg = f"inputs: got None, want shape (*batch, {n_steps}, {m}), as the system has inputs"
            raise ValueError(msg)
        return None
    if not m:
        msg = "inputs: got a value, want None, as the system has neither B nor D"
        raise ValueError(msg)
    require_same_index(y, inputs, "inputs")
    a = as_float_array(plain_values(inputs), "inputs", dtype=np.float64)
    if a.ndim == 1 and m == 1:
        a = a[:, np.newaxis]
    if a.ndim < 2 or a.shape[-2:] != (n_steps, m):
        msg = f"inputs: got shape {a.shape}, want (*batch, {n_steps}, {m})"
        raise ValueError(msg)
    if a.ndim == 2:
        return a[np.newaxis]
    try:
        full = np.broadcast_to(a, (*batch, n_steps, m))
    except ValueError:
        msg = f"inputs: got shape {a.shape}, want one that fits {(*batch, n_steps, m)}"
        raise ValueError(msg) from None
    return full.reshape(math.prod(batch), n_steps, m)


def settings(
    method: str, check_finite: bool, workers: int, progress: Any = None
) -> tuple[bool, str, bool, int, Any]:
    """What the kernels want to know besides the data."""
    if method not in METHODS:
        msg = f"method: got {method!r}, want one of {', '.join(map(repr, METHODS))}"
        raise ValueError(msg)
    return method == "auto", method, check_finite, workers, progress


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


def refuse_unknown(library: str, **given: Any) -> None:
    """Arguments that go with NumPy arrays only."""
    for name, value in given.items():
        if value is not None:
            msg = f"{name}: got a value, want None for {library} arrays"
            raise ValueError(msg)
