"""Filter and smoother on CuPy arrays: CuPy in, CuPy out, on the current stream.

Many series are filtered side by side, one a thread. One long series without gaps goes through its
first steps on the host until the covariance is steady; then its chunks of time run side by side.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._core import lds as _kernels
from eigenflow._gpu.arrays import as_float_array
from eigenflow._gpu.compile import kernel, launch_shape
from eigenflow.lds.series import PROPER, FilterState, require_one
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]

_MOST = 16  # cuda/lds.cuh: lds_most
_START = 2048  # steps on the host, in which a covariance usually settles
_CHUNK = 512
_MEANS = ("filtered_mean", "predicted_mean")


def filter_series(
    system: LinearSystem, y: Any, state: FilterState | None, fields: frozenset[str], method: str
) -> dict[str, Any]:
    """Fields of a FilterResult."""
    rows, batch = _read(system, y, state)
    if not fields <= set(_MEANS):
        msg = f"store: got {sorted(fields)}, want names among {', '.join(_MEANS)} for CuPy arrays"
        raise ValueError(msg)
    if not batch and method == "auto" and "predicted_mean" not in fields:
        found = _long_series(system, rows, state, fields)
        if found is not None:
            return found
    return _many(system, rows, batch, state, fields)


def smooth_series(system: LinearSystem, y: Any) -> tuple[Any, Any]:
    """Smoothed means, and the log-likelihood."""
    rows, batch = _read(system, y, None)
    import cupy

    n, p = system.state_dim, system.obs_dim
    flat, T, S = _by_step(rows, batch)
    means, covs = cupy.empty((T, n, S)), cupy.empty((T, n * (n + 1) // 2, S))
    parts = _matrices(system)
    out = _run_filter(system, parts, flat, T, S, None, predicted=means, predicted_cov=covs)
    grid, block = launch_shape(S, 64)
    arguments = (np.int32(n), np.int32(p), *parts, np.int64(T), np.int64(S), flat, means, covs)
    if T and S:
        kernel("lds", "lds_smooth")(grid, block, arguments)
    return _by_series(means, batch), _numbers(out["log_likelihood"], batch)


def _read(system: LinearSystem, y: Any, state: FilterState | None) -> tuple[Any, tuple[int, ...]]:
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
    return a.astype(np.float64, copy=False), a.shape[:-2]


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


def _matrices(system: LinearSystem) -> tuple[Any, ...]:
    import cupy

    host = (system.A, system.C, system.Q, np.diag(system.R), system.state_offset, system.obs_offset)
    return tuple(cupy.asarray(np.ascontiguousarray(a)) for a in host)


def _by_step(rows: Any, batch: tuple[int, ...]) -> tuple[Any, int, int]:
    """(T, p, series), so that neighbouring threads read neighbouring numbers."""
    import cupy

    T, p = rows.shape[-2:]
    S = math.prod(batch)
    return cupy.ascontiguousarray(rows.reshape(S, T, p).transpose(1, 2, 0)), T, S


def _by_series(a: Any, batch: tuple[int, ...]) -> Any:
    import cupy

    T, width, _ = a.shape
    return cupy.ascontiguousarray(a.transpose(2, 0, 1)).reshape(*batch, T, width)


def _numbers(a: Any, batch: tuple[int, ...]) -> Any:
    return float(a[0]) if not batch else a.reshape(batch)


def _run_filter(
    system: LinearSystem,
    parts: tuple[Any, ...],
    flat: Any,
    T: int,
    S: int,
    state: FilterState | None,
    **wanted: Any,
) -> dict[str, Any]:
    import cupy

    n, p = system.state_dim, system.obs_dim
    mean, cov = (system.mean0, system.cov0) if state is None else (state.mean, state.cov)
    start = [cupy.asarray(np.ascontiguousarray(a, np.float64)) for a in (mean, cov)]
    if start[0].shape != (n,) or start[1].shape != (n, n):
        msg = f"state.mean: got shape {start[0].shape}, want one law for all series for CuPy arrays"
        raise ValueError(msg)
    out = {
        "log_likelihood": cupy.zeros(S),
        "mean": cupy.zeros((n, S)),
        "cov": cupy.zeros((n * n, S)),
    }
    fields = [wanted.get(name, 0) for name in ("filtered", "predicted", "predicted_cov")]
    grid, block = launch_shape(S, 64)
    arguments = (np.int32(n), np.int32(p), *parts, np.int64(T), np.int64(S), flat, *start, *fields)
    kernel("lds", "lds_filter")(grid, block, (*arguments, *out.values()))
    return out


def _many(
    system: LinearSystem,
    rows: Any,
    batch: tuple[int, ...],
    state: FilterState | None,
    fields: frozenset[str],
) -> dict[str, Any]:
    import cupy

    n = system.state_dim
    flat, T, S = _by_step(rows, batch)
    arrays = {name: cupy.empty((T, n, S)) for name in _MEANS if name in fields}
    wanted = {name.removesuffix("_mean"): a for name, a in arrays.items()}
    out = _run_filter(system, _matrices(system), flat, T, S, state, **wanted)
    final = FilterState(
        cupy.ascontiguousarray(out["mean"].transpose(1, 0)).reshape(*batch, n),
        cupy.ascontiguousarray(out["cov"].transpose(1, 0)).reshape(*batch, n, n),
        np.zeros((n, 0)),
    )
    return {
        **{name: _by_series(a, batch) for name, a in arrays.items()},
        "log_likelihood": _numbers(out["log_likelihood"], batch),
        "n_diffuse": 0,
        "diffuse_convention": PROPER,
        "steady_from": None,
        "error_bound": 0.0,
        "final_state": final,
    }


class _Steady:
    """The steady filter of a system, and its matrices on the device."""

    def __init__(self, system: LinearSystem) -> None:
        import cupy

        from eigenflow.lds.steady import steady_state

        law = steady_state(system)
        self.K, S = law.gain, law.innovation_cov
        self.F = system.A @ (np.eye(system.state_dim) - self.K @ system.C)
        self.L = system.A @ self.K
        self.whiten = np.linalg.inv(np.linalg.cholesky(S))
        self.constant = len(S) * math.log(2 * math.pi) + float(np.linalg.slogdet(S)[1])
        host = (self.F, self.L, system.state_offset, system.C, self.K, self.whiten)
        self.arguments = (
            np.int32(system.state_dim),
            np.int32(system.obs_dim),
            *(cupy.asarray(np.ascontiguousarray(a)) for a in host),
        )

    def starts(self, ends: Array, mean: Array) -> Array:
        """Where chunks start, (n_chunks + 1, n): each end is F^length its start and its own."""
        power = np.linalg.matrix_power(self.F, _CHUNK)
        states = np.vstack([mean, ends])
        zero = np.zeros((1, 1, *self.F.shape))
        row = np.zeros((1, 1, 1, len(self.F)))
        arrays = (
            power[None, None],
            row,
            zero,
            np.zeros((1, 1, 1, 1)),
            None,
            None,
            None,
            row,
            row[..., :1],
        )
        _kernels.propagate(arrays, None, states[None])
        return states


def _long_series(
    system: LinearSystem, rows: Any, state: FilterState | None, fields: frozenset[str]
) -> dict[str, Any] | None:
    """One series in chunks of time; None where it has gaps or its covariance does not settle."""
    import cupy

    from eigenflow.lds.filtering import filter as on_host

    T, n, p = len(rows), system.state_dim, system.obs_dim
    n_chunks = (T - _START) // _CHUNK
    if n_chunks < 2 or not bool(cupy.isfinite(rows[_START:]).all()):
        return None
    store = tuple(fields)
    first = on_host(system, rows[:_START].get(), state=state, store=store)
    if first.steady_from is None:
        return None
    end = _START + n_chunks * _CHUNK
    steady = _Steady(system)
    y = rows[_START:end] - cupy.asarray(system.obs_offset)
    tiles = cupy.ascontiguousarray(y.reshape(n_chunks, _CHUNK, p).transpose(1, 2, 0))
    ends = cupy.zeros((n, n_chunks))
    grid, block = launch_shape(n_chunks, 64)
    sizes = (np.int64(_CHUNK), np.int64(n_chunks))
    kernel("lds", "lds_steady_ends")(
        grid, block, (*steady.arguments, *sizes, np.int64(0), tiles, ends)
    )
    states = steady.starts(ends.get().T, first.final_state.mean)
    begin = cupy.asarray(np.ascontiguousarray(states[:-1].T))
    filtered: Any = cupy.empty((_CHUNK, n, n_chunks)) if fields else 0
    squares = cupy.zeros(n_chunks)
    kernel("lds", "lds_steady_filter")(
        grid, block, (*steady.arguments, *sizes, tiles, begin, filtered, squares)
    )
    middle = FilterState(states[-1], first.final_state.cov, np.zeros((n, 0)))
    last = on_host(system, rows[end:].get(), state=middle, store=store)
    found: dict[str, Any] = {
        "log_likelihood": first.log_likelihood
        + last.log_likelihood
        - 0.5 * (n_chunks * _CHUNK * steady.constant + float(squares.sum())),
        "n_diffuse": 0,
        "diffuse_convention": PROPER,
        "steady_from": first.steady_from,
        "error_bound": first.error_bound,
        "final_state": last.final_state,
    }
    if fields:
        out = cupy.empty((T, n))
        out[:_START] = cupy.asarray(first.filtered_mean)
        out[_START:end] = filtered.transpose(2, 0, 1).reshape(n_chunks * _CHUNK, n)
        out[end:] = cupy.asarray(last.filtered_mean)
        found["filtered_mean"] = out
    return found
