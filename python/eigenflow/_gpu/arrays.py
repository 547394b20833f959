"""Array intake on the device, with the rules and the errors of `eigenflow._arrays`."""

from collections.abc import Sequence
from typing import Any

from eigenflow import _arrays


def as_float_array(
    x: Any, name: str, *, ndim: int | Sequence[int] | None = None, check_finite: bool = True
) -> Any:
    """Return `x` as a CuPy array, without copying if it is one of float32 or float64.

    Numbers and lists are checked on the host and copied to the device. Looking for NaN and
    infinity waits for the device.
    """
    import cupy

    if _arrays.kind_of(x) != "cupy":
        return cupy.asarray(_arrays.as_float_array(x, name, ndim=ndim, check_finite=check_finite))
    a = x.astype(_arrays.float_dtype(x, name), copy=False)
    _arrays.require_ndim(a, name, ndim)
    if check_finite:
        _arrays.require_finite(a, name)
    return a
