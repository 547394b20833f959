"""`flow.solve` and `flow.vanilla` on CuPy arrays."""

from typing import Any

import numpy as np

from eigenflow._flow_problem import as_times
from eigenflow._gpu.compile import kernel, launch_shape


def solve(
    z: Any,
    eigenvalues: Any,
    times: Any,
    depth: int,
    b0: Any,
    coupling: str,
    out: Any,
    check_finite: bool,
) -> Any:
    """See `eigenflow.flow.solve`; arguments were checked for kind, depth and coupling."""
    given = {"z": z, "eigenvalues": eigenvalues, **({"b0": b0} if depth else {})}
    if depth == 0:
        return _run("flow_closed", given, times, (), out, check_finite)
    b_rate = np.float64(depth if coupling == "shared" else 1)
    return _run("flow_march", given, times, (np.int32(depth), b_rate), out, check_finite)


def vanilla(z: Any, eigenvalues: Any, times: Any, out: Any, check_finite: bool) -> Any:
    """See `eigenflow.flow.vanilla`."""
    given = {"z": z, "eigenvalues": eigenvalues}
    return _run("flow_vanilla", given, times, (), out, check_finite)


def _run(
    name: str,
    given: dict[str, Any],
    times: Any,
    options: tuple[Any, ...],
    out: Any,
    check_finite: bool,
) -> Any:
    import cupy

    when = as_times(cupy.asnumpy(times))
    arrays = [_checked(cupy, x, key, check_finite) for key, x in given.items()]
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    dtype = np.result_type(*(a.dtype for a in arrays if a.ndim), arrays[0].dtype)
    packed = [cupy.ascontiguousarray(cupy.broadcast_to(a, shape), dtype=dtype) for a in arrays]
    theta = _result(cupy, out, when.shape + shape, dtype)
    order = np.argsort(when, axis=None, kind="stable")
    n = int(np.prod(shape))
    if n and when.size:
        suffix = "f32" if dtype == np.float32 else "f64"
        grid, block = launch_shape(n)
        arguments = (
            np.int64(n),
            *packed,
            *options,
            np.int64(when.size),
            cupy.asarray(when.ravel()[order]),
            cupy.asarray(order.astype(np.int64)),
            theta,
        )
        kernel("flow", f"{name}_{suffix}")(grid, block, arguments)
    return theta


def _checked(cupy: Any, x: Any, name: str, check_finite: bool) -> Any:
    a = cupy.asarray(x)
    if a.dtype.kind not in "biuf":
        msg = f"{name}: got dtype {a.dtype}, want real numbers (float32 or float64)"
        raise TypeError(msg)
    if a.dtype not in (np.float32, np.float64):
        a = a.astype(np.float64)
    if check_finite and not bool(cupy.isfinite(a).all()):
        position = int(cupy.flatnonzero(~cupy.isfinite(a))[0])
        msg = f"{name}: got {float(a.ravel()[position])} at flat position {position}, want finite"
        raise ValueError(msg)
    if name != "z" and bool((a < 0).any()):
        position = int(cupy.flatnonzero(a < 0)[0])
        msg = f"{name}: got {float(a.ravel()[position])} at flat position {position}, want >= 0"
        raise ValueError(msg)
    return a


def _result(cupy: Any, out: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    if out is None:
        return cupy.empty(shape, dtype)
    if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous:
        msg = f"out: got {out.dtype} {out.shape}, want C-contiguous {np.dtype(dtype)} {shape}"
        raise ValueError(msg)
    return out
