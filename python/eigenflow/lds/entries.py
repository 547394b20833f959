"""What a system is given: matrices and vectors with optional axes for time and for a batch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import as_float_array

Array = NDArray[np.float64]
Given = list[tuple[str, Array | None, int]]  # name, array, axes of one entry


class Layout:
    """Which leading axes the arguments of one system have."""

    def __init__(self, time_varying: bool) -> None:
        self.time_varying = time_varying

    def n_steps(self, given: Given) -> int | None:
        """Common length of the time axes; None for a system that does not change."""
        if not self.time_varying:
            return None
        lengths = {
            name: a.shape[-core - 1] for name, a, core in given if a is not None and a.ndim > core
        }
        longest = max(lengths.values(), default=1)
        for name, length in lengths.items():
            if length not in (1, longest) or longest == 0:
                msg = f"{name}: got {length} steps, want {longest or 1}, or one for all"
                raise ValueError(msg)
        return longest

    def batch_shape(self, given: Given) -> tuple[int, ...]:
        """Common shape of the batch axes."""
        shape: tuple[int, ...] = ()
        skip = 1 if self.time_varying else 0
        for name, a, core in given:
            if a is None:
                continue
            own = a.shape[: max(0, a.ndim - core - skip)]
            try:
                shape = np.broadcast_shapes(shape, own)
            except ValueError:
                msg = f"{name}: got batch axes {own}, want some that fit {shape}"
                raise ValueError(msg) from None
        return shape


def read_entry(x: Any, name: str, layout: Layout, core: int = 2) -> Array:
    """Own, C-ordered float64 copy; numbers become 1 x 1 matrices or vectors of one number."""
    a = as_float_array(x, name, dtype=np.float64)
    if a.ndim == 0:
        a = a.reshape((1,) * core)
    if a.ndim < core:
        msg = f"{name}: got {a.ndim} dimensions (shape {a.shape}), want a matrix or a number"
        raise ValueError(msg)
    return np.array(a, order="C")
