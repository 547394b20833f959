"""Validation and broadcasting for `eigenflow.flow`."""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from eigenflow import _core
from eigenflow._arrays import (
    Array,
    Kind,
    as_float_array,
    common_float_dtype,
    common_kind,
    distinct,
    empty,
    kind_of,
    namespace,
    on_host,
    refuse_first,
    require_finite,
)

MAX_DEPTH = 8
_MANY = 1 << 15  # a pass over more entries than these is worth saving
_COUPLINGS = ("shared", "separate")
_ANYWHERE = ("times", "fraction", "record")  # read on the host


@dataclass(frozen=True, eq=False)
class Problem:
    """Coordinates as matrices of one shape, broadcast by zero strides where memory allows it.

    On the device, arrays of any number of dimensions.
    """

    kind: Kind
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    arrays: tuple[Any, ...]  # the user's arrays, of the common dtype, broadcast to `shape`
    z: Any
    eigenvalues: Any
    b0: Any
    variance: Any
    given: dict[str, Any] = field(default_factory=dict)  # before broadcasting; z first
    check: str = "none"  # what the kernel still has to look for

    @property
    def xp(self) -> Any:
        """NumPy or CuPy."""
        return namespace(self.kind)

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Any:
        """Make a result that lives where the coordinates do."""
        return empty(shape, self.dtype if dtype is None else dtype, self.kind)

    @property
    def kernels(self) -> Any:
        """The loops for these coordinates: `_core.flow`, or its mirror on the device."""
        if self.kind == "cupy":
            from eigenflow._gpu import flow as gpu

            return gpu
        return _core.flow

    def refuse(self) -> None:
        """Raise the error for what the kernel found."""
        for name, array in self.given.items():
            _require_valid(array, name, next(iter(self.given)), self.check == "finite")
        msg = "z: some values were wrong while the flow was computed, and are no longer"
        raise ValueError(msg)


def require_known(depth: Any, coupling: Any, rtol: Any, b0: Any) -> None:
    """Check the options that say which flow it is."""
    try:
        levels = operator.index(depth)
    except TypeError:
        msg = f"depth: got {depth!r}, want an integer from 0 to {MAX_DEPTH}"
        raise TypeError(msg) from None
    if not 0 <= levels <= MAX_DEPTH:
        msg = f"depth: got {depth}, want 0 to {MAX_DEPTH}"
        raise ValueError(msg)
    if coupling not in _COUPLINGS:
        msg = f"coupling: got {coupling!r}, want 'shared' or 'separate'"
        raise ValueError(msg)
    if rtol is not None and not (np.isscalar(rtol) and 0 < rtol < np.inf):  # type: ignore[operator]
        msg = f"rtol: got {rtol!r}, want a positive number or None"
        raise ValueError(msg)
    if levels == 0 and b0 is not None:
        msg = "b0: got a value at depth 0, which has no factor b; want None"
        raise ValueError(msg)
    if levels > 0 and b0 is None:
        msg = f"b0: got None at depth {levels}, want the initial value of b"
        raise ValueError(msg)


def host_only(**arrays: Any) -> None:
    """Refuse CuPy arrays where no kernel for them exists."""
    for name, x in arrays.items():
        if kind_of(x) == "cupy":
            msg = f"{name}: got a CuPy array, want NumPy (this function does not run on the GPU)"
            raise TypeError(msg)


def as_times(times: Any) -> Array:
    """Times as float64 on the host, non-negative; infinity is a time."""
    a = as_float_array(on_host(times), "times", dtype=np.float64, check_finite=False)
    require_non_negative(a, "times")
    return np.ascontiguousarray(a) if a.ndim else a


def require_non_negative(a: Any, name: str, *, nan_too: bool = True) -> None:
    """Raise ValueError that names the first negative entry of `a`, and NaN if `nan_too`."""
    a = distinct(a)
    # One reduction without a temporary in the good case; NaN makes the comparison false.
    if a.size == 0 or a.min() >= 0:
        return
    refuse_first(~(a >= 0) if nan_too else a < 0, a, name, "non-negative values")


def flow_problem(
    z: Any,
    eigenvalues: Any,
    b0: Any,
    check_finite: bool,
    *,
    name: str = "z",
    variance: Any = None,
    defer: bool = False,
    **beside: Any,
) -> Problem:
    """Check and broadcast what describes the coordinates.

    `beside` names the call's other arrays, which must be of the same kind; times, fractions and
    steps may be NumPy's with any kind. With `defer`, a caller whose kernel looks at the values
    anyway, and then calls `refuse`, leaves large arrays unchecked here.
    """
    given = {name: z, "eigenvalues": eigenvalues, "b0": b0, "noise_variance": variance}
    bound = {k: x for k, x in beside.items() if k not in _ANYWHERE or kind_of(x) != "numpy"}
    kind = common_kind(**given, **bound)
    read = reader(kind)
    arrays = {
        key: read(value, key, check_finite=False)
        for key, value in given.items()
        if value is not None or key in (name, "eigenvalues")  # `read` refuses None by name
    }
    later = defer and kind != "cupy" and any(a.size > _MANY for a in arrays.values())
    for key, array in arrays.items():
        if not later:
            _require_valid(array, key, name, check_finite)
    dtype = common_float_dtype(*(a for a in arrays.values() if a.ndim), arrays[name])
    shape = broadcast_shape(arrays)
    xp = namespace(kind)
    full = {k: xp.broadcast_to(a.astype(dtype, copy=False), shape) for k, a in arrays.items()}
    # Kernels on the device pack their inputs themselves.
    views = list(full.values()) if kind == "cupy" else _as_matrices(list(full.values()))
    named = dict(zip(full, views, strict=True))
    return Problem(
        kind,
        shape,
        dtype,
        tuple(full.values()),
        named[name],
        named["eigenvalues"],
        named.get("b0"),
        named.get("noise_variance"),
        arrays,
        ("finite" if check_finite else "sign") if later else "none",
    )


def reader(kind: Kind) -> Callable[..., Any]:
    """Return the `as_float_array` of the problem's library."""
    if kind == "cupy":
        from eigenflow._gpu.arrays import as_float_array as read

        return read
    return as_float_array


def _require_valid(a: Any, name: str, observations: str, check_finite: bool) -> None:
    """Finite values if that is asked for; all but the observations non-negative."""
    if check_finite:
        require_finite(a, name)
    if name != observations:
        require_non_negative(a, name, nan_too=check_finite)


def broadcast_shape(arrays: dict[str, Any]) -> tuple[int, ...]:
    """Return the common shape; an error names the last array."""
    try:
        return np.broadcast_shapes(*(a.shape for a in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items())
        last = list(arrays)[-1]
        msg = f"{last}: got shapes that do not broadcast ({shapes}), want compatible ones"
        raise ValueError(msg) from None


def _as_matrices(arrays: list[Array]) -> list[Array]:
    """View arrays of one shape as matrices of one shape; what no such view fits is copied."""
    shape = arrays[0].shape
    size = int(np.prod(shape))
    if all(_is_uniform(a) for a in arrays):
        return [_flat(a)[None, :] for a in arrays]
    cols = shape[-1]  # not 0: empty arrays are uniform
    rows = size // cols
    out = []
    for a in arrays:
        strides = _matrix_strides(a)
        if strides is None:
            out.append(np.ascontiguousarray(a).reshape(rows, cols))
        else:
            out.append(np.lib.stride_tricks.as_strided(a, (rows, cols), strides, writeable=False))
    return out


def _is_uniform(a: Array) -> bool:
    """One stride reaches all entries: packed, a single vector, or one repeated value."""
    if a.flags.c_contiguous:  # as every empty array is
        return True
    wide = [s for s, n in zip(a.strides, a.shape, strict=True) if n > 1]
    return all(s == 0 for s in wide) or len(wide) == 1


def _flat(a: Array) -> Array:
    if a.flags.c_contiguous:
        return a.reshape(-1)
    wide = [s for s, n in zip(a.strides, a.shape, strict=True) if n > 1]
    return np.lib.stride_tricks.as_strided(a, (a.size,), (wide[0],), writeable=False)


def _matrix_strides(a: Array) -> tuple[int, int] | None:
    """Strides of `a` with its leading axes merged into one, if they can be."""
    leading = [(n, s) for n, s in zip(a.shape[:-1], a.strides[:-1], strict=True) if n > 1]
    for (_, outer), (n, inner) in pairwise(leading):
        if outer != n * inner:
            return None
    return (leading[-1][1] if leading else 0, a.strides[-1])


def move_axes_last(
    problem: Problem, axis: int | tuple[int, ...] | None
) -> tuple[Problem, tuple[int, ...]]:
    """Matrices whose rows are summed over `axis`, and the shape of what is left."""
    ndim = len(problem.shape)
    axes = tuple(range(ndim)) if axis is None else normal_axes(axis, ndim)
    kept = tuple(i for i in range(ndim) if i not in axes)
    rest = tuple(problem.shape[i] for i in kept)
    rows = int(np.prod(rest))
    cols = int(np.prod([problem.shape[i] for i in axes]))
    moved = [a.transpose(kept + axes).reshape(rows, cols) for a in problem.arrays]
    b0 = moved[2] if problem.b0 is not None else None
    return replace(problem, z=moved[0], eigenvalues=moved[1], b0=b0, variance=moved[-1]), rest


def normal_axes(axis: int | tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """Return axes as sorted numbers from 0; refuse what is none or comes twice."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    for i in axes:
        if not isinstance(i, int | np.integer) or not -ndim <= i < ndim:
            msg = f"axis: got {axis!r}, want axes of coordinates with {ndim} dimensions"
            raise ValueError(msg)
    normal = tuple(sorted({int(i) % ndim for i in axes}))
    if len(normal) != len(axes):
        msg = f"axis: got {axis!r}, want different axes"
        raise ValueError(msg)
    return normal
