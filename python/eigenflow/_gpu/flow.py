"""The loops of `eigenflow.flow` on the device: what `eigenflow._core.flow` has, for CuPy arrays.

Arguments were checked and broadcast (`eigenflow._flow_problem`); times, fractions and recorded
steps are host arrays. Each call queues kernels of cuda/entry/flow_*.cu on the current stream.
`workers` has no meaning here.
"""

from typing import Any

import numpy as np

from eigenflow._gpu.compile import kernel, launch_shape, suffix

_STATE = ("theta", "residual", "a", "b", "beta", "learned_eigenvalues")
_DERIVATIVES = ("theta", "d_z", "d_eigenvalues", "d_b0", "d_times")

# A march takes 130 registers a thread: blocks of 64 fill a multiprocessor better than larger ones.
_THREADS = 64
# Steps of one launch. Between launches the host waits, so that Ctrl-C is noticed.
_STEPS = 10_000
# Sums of the risk: a tile of 128 coordinates, doubled until there are at most 2^18 lanes, by the
# number of coordinates alone; eight lanes a tile, and 64 numbers a step of the tree.
_LANES, _TILE, _MOST_LANES, _PARTS = 8, 128, 2**18, 64


def evolve(
    z: Any,
    eigenvalues: Any,
    b0: Any,
    times: Any,
    depth: int,
    separate: bool,
    out: dict[str, Any],
    workers: int,
    check: str = "none",
) -> bool:
    """See `eigenflow::flow::evolve`: theta alone, the fields of a state, or the derivatives.

    Values are checked before they come here, so they are always valid.
    """
    del workers, check
    if z.size == 0 or times.size == 0:
        return True
    shared = (*_coordinates(z, eigenvalues, b0), *_levels(depth, separate), *_sorted(times))
    if list(out) == ["theta"]:
        if depth == 0:
            shared = (*_coordinates(z, eigenvalues), *_sorted(times))
        _launch("flow_march" if depth else "flow_closed", z.dtype, z.size, *shared, out["theta"])
    elif set(out) <= set(_STATE):
        _launch("flow_state", z.dtype, z.size, *shared, *_fields(out, _STATE))
    else:
        _launch("flow_derivatives", z.dtype, z.size, *shared, *_fields(out, _DERIVATIVES))
    return True


def vanilla(z: Any, eigenvalues: Any, times: Any, out: Any, workers: int) -> None:
    """See `eigenflow::flow::vanilla`."""
    del workers
    if out.size:
        shared = _coordinates(z, eigenvalues)
        _launch("flow_vanilla", z.dtype, z.size, *shared, *_sorted(times), out)


def learned_eigenvalues(
    theta: Any,
    eigenvalues: Any,
    b0: Any,
    depth: int,
    separate: bool,
    out: Any,
    workers: int,
) -> None:
    """See `eigenflow::flow::learned_eigenvalues`."""
    del workers
    if out.size:
        shared = (*_coordinates(theta, eigenvalues, b0), *_levels(depth, separate))
        _launch("flow_eigenvalue", theta.dtype, theta.size, *shared, out)


def hitting_time(
    z: Any,
    eigenvalues: Any,
    b0: Any,
    fractions: Any,
    depth: int,
    separate: bool,
    out: Any,
    workers: int,
) -> None:
    """See `eigenflow::flow::hitting_time`."""
    import cupy

    del workers
    if out.size:
        shared = (*_coordinates(z, eigenvalues, b0), *_levels(depth, separate))
        parts = (np.int64(fractions.size), cupy.asarray(fractions))
        _launch("flow_hitting", z.dtype, out.size, *shared, *parts, out)


def sure(
    z: Any,
    eigenvalues: Any,
    b0: Any,
    noise_variance: Any,
    times: Any,
    depth: int,
    separate: bool,
    out: Any,
    workers: int,
) -> None:
    """See `eigenflow::flow::sure`: each lane sums its coordinates, and a tree sums the lanes."""
    import cupy

    del workers
    rows, cols = z.shape
    if z.size == 0 or times.size == 0:
        out[...] = 0
        return
    tile = _TILE
    while z.size * _LANES // tile > _MOST_LANES:
        tile *= 2
    length = -(-cols // tile) * _LANES
    lanes = cupy.empty((times.size * rows, length))
    _launch(
        "flow_sure",
        z.dtype,
        rows * length,
        *_coordinates(z, eigenvalues, b0),
        *_levels(depth, separate),
        *_entries(noise_variance),
        np.int64(cols),
        np.int64(tile),
        *_sorted(times),
        lanes,
    )
    while lanes.shape[1] > 1:
        sums = cupy.empty((lanes.shape[0], -(-lanes.shape[1] // _PARTS)))
        sizes = (np.int64(lanes.shape[0]), np.int64(lanes.shape[1]))
        grid, block = launch_shape(sums.size)
        kernel("flow_sure", "sum_parts")(grid, block, (*sizes, lanes, sums))
        lanes = sums
    out[...] = lanes.reshape(out.shape)


def descend(
    z: Any,
    eigenvalues: Any,
    b0: Any,
    step_size: float,
    n_steps: int,
    record: list[int],
    depth: int,
    separate: bool,
    out: dict[str, Any],
    workers: int,
) -> None:
    """See `eigenflow::flow::descend`; one launch takes at most 10,000 steps."""
    import cupy

    del workers
    if z.size == 0:
        return
    n = int(z.size)
    shared = (*_coordinates(z, eigenvalues, b0), *_levels(depth, separate), np.float64(step_size))
    memory = [cupy.empty(n) for _ in range(3)]
    never = np.iinfo(np.int64).max
    diverged = cupy.full(n, never, np.int64)
    steps = np.asarray(record, np.int64)
    order = np.argsort(steps, kind="stable")
    rows, steps = cupy.asarray(order), steps[order]
    on_device = cupy.asarray(steps)
    for begin in range(0, max(n_steps, 1), _STEPS):
        end = min(begin + _STEPS, n_steps)
        # A step between two launches is recorded by the first of them.
        first = np.searchsorted(steps, begin, "right") if begin else 0
        here = slice(int(first), int(np.searchsorted(steps, end, "right")))
        _launch(
            "flow_descend",
            z.dtype,
            n,
            *shared,
            np.int64(begin),
            np.int64(end),
            np.int64(here.stop - here.start),
            on_device[here],
            rows[here],
            *memory,
            diverged,
            *_fields(out, _STATE),
        )
        step = int(diverged.min())
        if step < never:
            msg = (
                f"step_size: got {step_size:f}, with which the descent diverges at step {step} in "
                f"coordinate {int(diverged.argmin())}; want a smaller step"
            )
            raise ValueError(msg)


def _coordinates(*arrays: Any) -> tuple[Any, ...]:
    """Return the number of coordinates, and each array with its stride; a missing one is null."""
    return np.int64(arrays[0].size), *(x for a in arrays for x in _entries(a))


def _entries(a: Any) -> tuple[Any, Any]:
    import cupy

    if a is None:
        return 0, np.int64(0)
    if all(stride == 0 or n == 1 for stride, n in zip(a.strides, a.shape, strict=True)):
        return a, np.int64(0)
    return cupy.ascontiguousarray(a), np.int64(1)


def _levels(depth: int, separate: bool) -> tuple[Any, Any]:
    return np.int32(depth), np.float64(1 if separate else depth)


def _sorted(times: Any) -> tuple[Any, Any, Any]:
    """Return the number of times, the times in rising order, and the row of each."""
    import cupy

    order = np.argsort(times, kind="stable")
    return np.int64(times.size), cupy.asarray(times[order]), cupy.asarray(order.astype(np.int64))


def _fields(out: dict[str, Any], names: tuple[str, ...]) -> list[Any]:
    return [out.get(name, 0) for name in names]


def _launch(name: str, dtype: Any, n_threads: int, *arguments: Any) -> None:
    grid, block = launch_shape(int(n_threads), _THREADS)
    kernel(name, f"{name}_{suffix(dtype)}")(grid, block, arguments)
