"""Filter and smoother on CuPy arrays: CuPy in, CuPy out, on the current stream.

Series without gaps share their gains, which the host finds from the system alone: then only means
are left for the device, one series a thread, or one chunk of a long series. Series with gaps are
filtered one a thread with their own covariances; a long one goes through the host.
"""

import math
from typing import Any

import numpy as np

from eigenflow._gpu import lds_gains
from eigenflow._gpu.arrays import as_float_array
from eigenflow._gpu.compile import kernel, launch_shape
from eigenflow._gpu.lds_gains import host_state, start_law
from eigenflow.lds.arguments import refuse_infinite, require_one
from eigenflow.lds.series import PROPER, FilterState
from eigenflow.lds.system import LinearSystem

MEANS = ("filtered_mean", "predicted_mean")
_MOST = 16  # cuda/lds.cuh: lds_most
_THREADS = 64


def filter_series(
    system: LinearSystem, y: Any, state: FilterState | None, fields: frozenset[str], method: str
) -> dict[str, Any]:
    """Fields of a FilterResult."""
    import cupy

    rows, batch = _read(system, y, state)
    if not fields <= set(MEANS):
        msg = f"store: got {sorted(fields)}, want names among {', '.join(MEANS)} for CuPy arrays"
        raise ValueError(msg)
    found = None
    if method == "auto":
        found = lds_gains.filter_series(system, rows, state, fields)
        if found is None and not batch and rows.shape[1] > lds_gains.START:
            return _through_the_host(system, rows[0], state, fields)
    if found is None:
        _refuse_infinite(rows, batch)
        found = _each_by_itself(system, rows, state, fields)
    for name in (*fields, "log_likelihood"):
        found[name] = _with_batch(found[name], batch)
    found["log_likelihood"] = _number(found["log_likelihood"])
    mean, cov = found.pop("law")
    if len(cov) < len(mean):
        cov = cupy.ascontiguousarray(cupy.broadcast_to(cov, (len(mean), *cov.shape[1:])))
    law = FilterState(
        _with_batch(mean, batch), _with_batch(cov, batch), np.zeros((system.state_dim, 0))
    )
    found["final_state"] = law
    return {"n_diffuse": 0, "diffuse_convention": PROPER, **found}


def smooth_series(system: LinearSystem, y: Any) -> tuple[Any, Any]:
    """Smoothed means, and the log-likelihood."""
    rows, batch = _read(system, y, None)
    found = lds_gains.smooth_series(system, rows)
    if found is None:
        _refuse_infinite(rows, batch)
        found = _smooth_each(system, rows)
    means, total = (_with_batch(a, batch) for a in found)
    return means, _number(total)


def _read(system: LinearSystem, y: Any, state: FilterState | None) -> tuple[Any, tuple[int, ...]]:
    """Observations as (series, T, p), and the user's axes of series."""
    import cupy

    require_one(system)
    _require_plain(system, state)
    p = system.obs_dim
    a = as_float_array(y, "y", check_finite=False)
    if a.ndim == 1 and p == 1:
        a = a.reshape(-1, 1)
    if a.ndim < 2 or a.shape[-1] != p:
        want = "(*batch, T, 1) or (T,)" if p == 1 else f"(*batch, T, {p})"
        msg = f"y: got shape {a.shape}, want {want}"
        raise ValueError(msg)
    batch = a.shape[:-2]
    a = cupy.ascontiguousarray(a.astype(np.float64, copy=False))
    return a.reshape(math.prod(batch), *a.shape[-2:]), batch


def _refuse_infinite(rows: Any, batch: tuple[int, ...]) -> None:
    if bool((abs(rows) == np.inf).any()):
        refuse_infinite(rows.get().reshape((*batch, *rows.shape[1:])))


def _require_plain(system: LinearSystem, state: FilterState | None) -> None:
    """What the kernels do not know is refused by name."""
    diffuse = system.diffuse_directions if state is None else np.asarray(state.diffuse)
    missing = {
        "inputs": system.input_dim > 0,
        "cross_cov": system.cross_cov is not None,
        "a diffuse start": diffuse.size > 0,
        "correlated observation noises": bool(np.any(system.R - np.diag(np.diag(system.R)))),
        f"more than {_MOST} states or series": max(system.state_dim, system.obs_dim) > _MOST,
    }
    for what, there in missing.items():
        if there:
            msg = f"system: got {what}, want none for CuPy arrays: filter a NumPy array instead"
            raise ValueError(msg)


def _with_batch(a: Any, batch: tuple[int, ...]) -> Any:
    return a.reshape((*batch, *a.shape[1:]))


def _number(a: Any) -> Any:
    return a if a.ndim else float(a)


def _each_by_itself(
    system: LinearSystem, rows: Any, state: FilterState | None, fields: frozenset[str]
) -> dict[str, Any]:
    """Every series with covariances of its own."""
    import cupy

    shape = (*rows.shape[:2], system.state_dim)
    arrays = {name: cupy.empty(shape) for name in MEANS if name in fields}
    wanted = [arrays.get(name, 0) for name in MEANS]
    start = start_law(system, state, len(rows))
    total, *law = _run_filter(system, _matrices(system), rows, start, *wanted, 0)
    return {
        **arrays,
        "log_likelihood": total,
        "steady_from": None,
        "error_bound": 0.0,
        "law": law,
    }


def _smooth_each(system: LinearSystem, rows: Any) -> tuple[Any, Any]:
    import cupy

    n, parts = system.state_dim, _matrices(system)
    S, T, _ = rows.shape
    means, covs = cupy.empty((S, T, n)), cupy.empty((S, T, n * (n + 1) // 2))
    total, *_ = _run_filter(system, parts, rows, start_law(system, None, S), 0, means, covs)
    if S and T:
        grid, block = launch_shape(S, _THREADS)
        kernel("lds", "lds_smooth")(
            grid, block, (*_sizes(system), *parts, np.int64(T), np.int64(S), rows, means, covs)
        )
    return means, total


def _run_filter(
    system: LinearSystem, parts: tuple[Any, ...], rows: Any, law: tuple[Any, Any], *fields: Any
) -> tuple[Any, Any, Any]:
    """Log-likelihoods, and the laws after the last step."""
    import cupy

    n = system.state_dim
    S, T, _ = rows.shape
    out = cupy.zeros(S), cupy.zeros((S, n)), cupy.zeros((S, n, n))
    mean, cov = law
    strides = (np.int64(n * (len(mean) > 1)), np.int64(n * n * (len(cov) > 1)))
    grid, block = launch_shape(S, _THREADS)
    start = (mean, strides[0], cov, strides[1])
    arguments = (*_sizes(system), *parts, np.int64(T), np.int64(S), rows, *start, *fields, *out)
    kernel("lds", "lds_filter")(grid, block, arguments)
    return out


def _sizes(system: LinearSystem) -> tuple[Any, Any]:
    return np.int32(system.state_dim), np.int32(system.obs_dim)


def _matrices(system: LinearSystem) -> tuple[Any, ...]:
    import cupy

    host = (system.A, system.C, system.Q, np.diag(system.R), system.state_offset, system.obs_offset)
    return tuple(cupy.asarray(np.ascontiguousarray(a)) for a in host)


def _through_the_host(
    system: LinearSystem, rows: Any, state: FilterState | None, fields: frozenset[str]
) -> dict[str, Any]:
    """One long series with gaps: one thread of a device is slower than the host."""
    import cupy

    from eigenflow.lds.filtering import filter as on_host

    found = vars(on_host(system, rows.get(), state=host_state(state), store=tuple(fields)))
    return {
        name: cupy.asarray(a) if name in fields else a
        for name, a in found.items()
        if a is not None or name == "steady_from"
    }
