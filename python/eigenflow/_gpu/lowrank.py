"""`eigenflow.lowrank.svd` on CuPy arrays: products and factorisations on the device."""

import math
from typing import Any

import numpy as np

from eigenflow import _arrays
from eigenflow._gpu.rng import random_normals
from eigenflow.lowrank.namespace import Target, decompose
from eigenflow.lowrank.namespace.blocks import gaussian

_ROWS = 2**16


class Device:
    """CuPy, as `eigenflow.lowrank.namespace` wants it."""

    def __init__(self) -> None:
        import cupy

        self.xp = cupy

    def normals(self, key: int, rows: int, first_col: int, cols: int, dtype: Any) -> Any:
        """See `Library`."""
        return gaussian(random_normals, key, rows, first_col, cols, dtype)

    def to_host(self, x: Any) -> Any:
        """Copy a small array to the host."""
        return _arrays.on_host(x)

    def to_device(self, x: Any) -> Any:
        """Copy a small array to the device."""
        return self.xp.asarray(x)


class Operand:
    """A CuPy matrix that was checked and measured; large or small ones are scaled to the middle."""

    def __init__(self, A: Any, *, check_finite: bool) -> None:
        a = A.astype(_arrays.float_dtype(A, "A", allow_complex=True), copy=False)
        _arrays.require_ndim(a, "A", 2)
        self.shape, self.dtype = a.shape, a.dtype
        self._scaled, self.scale = a, 1.0
        norm = _norm(a)
        single = np.finfo(self.dtype).bits == 32
        low, high = (1e-12, 1e15) if single else (1e-70, 1e70)
        if not low < norm < high and a.size:
            largest = float(abs(a).max())
            if not math.isfinite(largest):
                if check_finite:
                    _arrays.require_finite(a, "A")
                msg = "A: got NaN or infinity, want finite values"
                raise ValueError(msg)
            if largest > 0:
                exponent = max(-1020, min(1020, -math.frexp(largest)[1]))
                self.scale = math.ldexp(1.0, exponent)
                wide = np.complex128 if self.dtype.kind == "c" else np.float64
                self._scaled = (a.astype(wide) * self.scale).astype(self.dtype)
                norm = _norm(self._scaled)
        self._scaled_norm = norm
        self.norm = norm / self.scale

    def decompose(
        self,
        rank: int,
        absolute: float,
        relative: float,
        oversampling: int,
        power_iterations: int,
        key: int,
    ) -> dict[str, Any]:
        """Return the fields of a result, in the units of the user's matrix."""
        norm = self._scaled_norm
        by_rank = absolute < 0 and relative < 0
        target = Target(
            rank=min(self.shape) if rank < 0 else rank,
            tolerance=-1.0 if by_rank else max(0.0, absolute * self.scale, relative * norm),
            oversampling=oversampling,
            norm_squared=norm**2,
            eps=float(np.finfo(self.dtype).eps),
        )
        fields = decompose(
            self._scaled, target, Device(), power_iterations if power_iterations >= 0 else None, key
        )
        if self.scale != 1:
            for name in ("s", "residuals"):
                wide = fields[name].astype(np.float64) / self.scale
                fields[name] = wide.astype(fields[name].dtype)
            fields["error"] /= self.scale
            fields["norm"] /= self.scale
        return fields


def _norm(a: Any) -> float:
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    squares = (
        float((abs(a[begin : begin + _ROWS].astype(wide)) ** 2).sum())
        for begin in range(0, a.shape[0], _ROWS)
    )
    with np.errstate(over="ignore", invalid="ignore"):  # for the double that the tests use
        return math.sqrt(sum(squares))
