"""Series without gaps: the host finds the gains from the system, the device filters the means.

Many series have one set of gains for each step. One long series is filtered on the host until its
covariance is steady; then chunks of time run side by side. First each chunk starts from zero; what
it adds to its end, and the power of the filter's matrix that leads over a chunk, give all starts;
then the chunks run again from these.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import on_host
from eigenflow._gpu.compile import kernel, launch_shape
from eigenflow.lds.series import FilterState
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]

START = 2048  # steps on the host, in which a covariance usually settles
_THREADS = 64  # cuda/lds_gains.cuh: lds_block
_CHUNKS = 2**17  # enough threads for a device; chunks have 32 to 512 steps
_GROUP = 256  # chunks that one thread walks over
_CONDITION = 1e12  # of an innovation covariance that is inverted here


@dataclass(frozen=True, eq=False)
class _Gains:
    """Gains of the first steps, of which the last stays, for the kernels of cuda/lds_gains.cuh."""

    arguments: tuple[Any, ...]  # sizes, system, gains
    cov: Any  # predicted covariances, (n_gains, n, n)
    transition: Array  # of the predicted mean under the last gain, A - A K C
    normaliser: Array  # log det S + p log 2 pi of each set of gains
    last_cov: Array  # predicted, after all steps
    steady_from: int | None
    error_bound: float

    def sized(self, name: str) -> str:
        """Name of the kernel for these sizes."""
        n, p = self.arguments[:2]
        return f"{name}_more" if 5 <= n <= 8 and p <= 2 else name

    def constant(self, n_steps: int) -> float:
        """Sum of the normalisers over all steps."""
        each = self.normaliser
        head = float(np.sum(each[:n_steps]))
        return head + max(0, n_steps - len(each)) * float(each[-1])


def _gains(system: LinearSystem, n_steps: int, cov: Array) -> _Gains | None:
    """Gains of `n_steps` steps from `cov`; None where they do not settle or are no plain ones."""
    from eigenflow.lds.filtering import filter as filter_on_host

    state = FilterState(np.zeros(system.state_dim), cov, np.zeros((system.state_dim, 0)))
    some = np.zeros((min(n_steps, START), system.obs_dim))
    law = filter_on_host(system, some, state=state, store=("predicted_cov",))
    assert law.predicted_cov is not None
    covs = law.predicted_cov.values[: int(law.predicted_cov.index[-1]) + 1]
    if len(some) < n_steps and law.steady_from is None:
        return None
    return _gains_of(system, covs, law.final_state.cov, law.steady_from, law.error_bound)


def _gains_of(
    system: LinearSystem, covs: Array, last_cov: Array, steady_from: int | None, error_bound: float
) -> _Gains | None:
    import cupy

    crossed = covs @ system.C.T
    S = system.C @ crossed + system.R
    values = np.linalg.eigvalsh(S)
    if not np.all(values[:, 0] * _CONDITION > values[:, -1]):
        return None
    whiten = np.linalg.inv(np.linalg.cholesky(S))
    K = crossed @ whiten.transpose(0, 2, 1) @ whiten
    host = (system.A, system.C, system.state_offset, system.obs_offset, K, np.tril(whiten), covs)
    parts = [cupy.asarray(np.ascontiguousarray(a)) for a in host]
    sizes = (np.int32(system.state_dim), np.int32(system.obs_dim))
    return _Gains(
        (*sizes, *parts[:4], np.int64(len(covs)), *parts[4:6]),
        parts[6],
        system.A @ (np.eye(system.state_dim) - K[-1] @ system.C),
        np.log(values).sum(axis=1) + system.obs_dim * math.log(2 * math.pi),
        last_cov,
        steady_from,
        error_bound,
    )


def start_law(system: LinearSystem, state: FilterState | None, n_series: int) -> tuple[Any, Any]:
    """Mean (1 or series, n) and covariance (1 or series, n, n) before the first step."""
    import cupy

    n = system.state_dim
    given = (system.mean0, system.cov0) if state is None else (state.mean, state.cov)
    found = []
    for name, a, one in zip(("mean", "cov"), given, ((n,), (n, n)), strict=True):
        law = cupy.ascontiguousarray(cupy.asarray(a, np.float64))
        lead = law.ndim - len(one)
        # The kernels trust this: they read the laws of as many series as there are.
        if law.shape[max(lead, 0) :] != one or math.prod(law.shape[:lead]) not in (1, n_series):
            msg = f"state.{name}: got shape {law.shape}, want {one}, or one for each series of y"
            raise ValueError(msg)
        found.append(law.reshape((-1, *one)) if law.size else law.reshape((n_series, *one)))
    return found[0], found[1]


def host_state(state: FilterState | None) -> FilterState | None:
    """The same state in CPU memory."""
    if state is None:
        return None
    return FilterState(*(on_host(a) for a in (state.mean, state.cov, state.diffuse)))


def filter_series(
    system: LinearSystem, rows: Any, state: FilterState | None, fields: frozenset[str]
) -> dict[str, Any] | None:
    """Filtered series, (series, T, p); None where there are gaps, or the gains differ."""
    import cupy

    S, T, _ = rows.shape
    if not S or not T:
        return None
    if S == 1 and T >= START + 1024:
        return _long_series(system, rows, state, fields)
    mean, cov = start_law(system, state, S)
    if len(cov) > 1 and not bool((cov == cov[:1]).all()):
        return None
    gains = _gains(system, T, on_host(cov[0]))
    if gains is None:
        return None
    arrays = {name: cupy.empty((S, T, system.state_dim)) for name in fields}
    squares, last = cupy.empty(S), cupy.empty((S, system.state_dim))
    _run(gains, rows, mean, squares, last, **arrays)
    total = (squares + gains.constant(T)) * -0.5
    if not bool(cupy.isfinite(total).all()):
        return None
    return {
        **arrays,
        "log_likelihood": total,
        "steady_from": gains.steady_from,
        "error_bound": gains.error_bound,
        "law": (last, cupy.asarray(gains.last_cov)[None]),
    }


def smooth_series(system: LinearSystem, rows: Any) -> tuple[Any, Any] | None:
    """Smoothed means and log-likelihoods; None where there are gaps."""
    import cupy

    S, T, _ = rows.shape
    if not S or not T:
        return None
    mean, cov = start_law(system, None, S)
    gains = _gains(system, T, on_host(cov[0]))
    if gains is None:
        return None
    means, squares = cupy.empty((S, T, system.state_dim)), cupy.empty(S)
    _run(gains, rows, mean, squares, 0, predicted_mean=means)
    total = (squares + gains.constant(T)) * -0.5
    if not bool(cupy.isfinite(total).all()):
        return None
    grid, block = launch_shape(S, _THREADS)
    arguments = (*gains.arguments, gains.cov, np.int64(T), np.int64(S), rows, means)
    kernel("lds_gains", gains.sized("lds_gain_smooth"))(grid, block, arguments)
    return means, total


def _run(gains: _Gains, rows: Any, starts: Any, squares: Any, last: Any, **means: Any) -> None:
    """Filter (series, T, p) from `starts`, one for all or one each; 0 stands for none or zero."""
    S, T, _ = rows.shape
    stride = 0 if isinstance(starts, int) or len(starts) == 1 else starts.shape[1]
    fields = [means.get(name, 0) for name in ("filtered_mean", "predicted_mean")]
    grid, block = launch_shape(S, _THREADS)
    kernel("lds_gains", gains.sized("lds_gain_filter"))(
        grid,
        block,
        (
            *gains.arguments,
            np.int64(T),
            np.int64(S),
            rows,
            starts,
            np.int64(stride),
            *fields,
            squares,
            last,
        ),
    )


def _long_series(
    system: LinearSystem, rows: Any, state: FilterState | None, fields: frozenset[str]
) -> dict[str, Any] | None:
    """One series in chunks of time; None where it has gaps or its covariance does not settle."""
    import cupy

    from eigenflow.lds.filtering import filter as filter_on_host

    n, T, store = system.state_dim, rows.shape[1], tuple(fields)
    first = filter_on_host(system, rows[0, :START].get(), state=host_state(state), store=store)
    if first.steady_from is None:
        return None
    gains = _gains_of(system, first.final_state.cov[None], first.final_state.cov, 0, 0.0)
    if gains is None:
        return None
    length = 2 ** max(5, min(9, int(math.log2((T - START) / _CHUNKS + 1))))
    n_chunks = (T - START) // length
    end = START + n_chunks * length
    chunks = rows[0, START:end].reshape(n_chunks, length, system.obs_dim)
    ends = cupy.empty((n_chunks, n))
    _run(gains, chunks, 0, 0, ends)
    start = cupy.asarray(first.final_state.mean)[None]
    starts = _walk(np.linalg.matrix_power(gains.transition, length), ends, start)
    arrays = {name: cupy.empty((1, T, n)) for name in fields}
    middle = {name: a[0, START:end].reshape(n_chunks, length, n) for name, a in arrays.items()}
    squares = cupy.empty(n_chunks)
    _run(gains, chunks, starts, squares, ends, **middle)
    total = float(squares.sum())
    if not math.isfinite(total):
        return None
    after = FilterState(on_host(ends[-1]), first.final_state.cov, np.zeros((n, 0)))
    last = filter_on_host(system, rows[0, end:].get(), state=after, store=store)
    for name, a in arrays.items():
        a[0, :START], a[0, end:] = (cupy.asarray(getattr(r, name)) for r in (first, last))
    total = -0.5 * (total + gains.constant(n_chunks * length))
    return {
        **arrays,
        "log_likelihood": np.array([first.log_likelihood + total + last.log_likelihood]),
        "steady_from": first.steady_from,
        "error_bound": first.error_bound,
        "law": (last.final_state.mean[None], last.final_state.cov[None]),
    }


def _walk(F: Array, ends: Any, start: Any) -> Any:
    """Where each chunk starts: x <- F x + end. Groups of chunks start as chunks do."""
    import cupy

    n_chunks, n = ends.shape
    walked = cupy.empty((n_chunks, n))
    starts, length = start, n_chunks
    if n_chunks > 4 * _GROUP:
        length, groups = _GROUP, -(-n_chunks // _GROUP)
        group_ends = cupy.empty((groups, n))
        _launch_walk(F, length, ends, 0, 0, group_ends)
        starts = _walk(np.linalg.matrix_power(F, length), group_ends, start)
    _launch_walk(F, length, ends, starts, walked, 0)
    return walked


def _launch_walk(F: Array, length: int, ends: Any, starts: Any, walked: Any, last: Any) -> None:
    import cupy

    n_chunks, n = ends.shape
    grid, block = launch_shape(-(-n_chunks // length), _THREADS)
    sizes = (np.int64(length), np.int64(n_chunks))
    arguments = (np.int32(n), cupy.asarray(F), *sizes, ends, starts, walked, last)
    kernel("lds_gains", "lds_walk")(grid, block, arguments)
