"""`eigenflow.lowrank.svd` on CuPy arrays: products and factorisations on the device."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np

from eigenflow import _arrays
from eigenflow._gpu.compile import kernel, launch_shape, suffix
from eigenflow._gpu.rng import random_normals
from eigenflow._threads import single_blas_thread
from eigenflow.lowrank.decomposition import require_range
from eigenflow.lowrank.namespace import Target, decompose
from eigenflow.lowrank.namespace.blocks import gaussian, wide_dtype
from eigenflow.lowrank.namespace.krylov import SpectralLimits
from eigenflow.lowrank.operands import Weights

_ROWS = 2**16
# A norm is summed by threads that take so many entries at least, and by so many threads at most.
_ENTRIES, _PARTIAL_SUMS = 64, 2**18
# Up to this rank the matrices on the host are so small that more BLAS threads only wait.
_SMALL_RANK = 256


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
        self._given, self._check_finite = a, check_finite
        self._measure(a)

    def weighted(self, weights: Weights) -> Any:
        """Turn into the centred, weighted matrix, which is formed; returns the means, if any."""
        if not weights:
            return None
        mean, a = _weighted(self._given, weights)
        self._measure(a)
        return mean

    def _measure(self, a: Any) -> None:
        self._scaled, self.scale = a, 1.0
        norm = _norm(a)
        single = np.finfo(self.dtype).bits == 32
        low, high = (1e-12, 1e15) if single else (1e-70, 1e70)
        if not low < norm < high and a.size:
            largest = float(abs(a).max())
            if not math.isfinite(largest):
                if self._check_finite:
                    _arrays.require_finite(self._given, "A")
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
        *,
        spectral: bool,
        once: bool,
    ) -> dict[str, Any]:
        """Return the fields of a result, in the units of the user's matrix."""
        absolute, norm = absolute * self.scale, self._scaled_norm
        by_energy = not spectral and (absolute >= 0 or relative >= 0)
        target = Target(
            rank=min(self.shape) if rank < 0 else rank,
            tolerance=max(0.0, absolute, relative * norm) if by_energy else -1.0,
            oversampling=oversampling,
            norm_squared=norm**2,
            eps=float(np.finfo(self.dtype).eps),
            spectral=SpectralLimits(absolute, relative, min(self.shape)) if spectral else None,
        )
        steps = power_iterations if power_iterations >= 0 else None
        with single_blas_thread(None) if target.rank <= _SMALL_RANK else nullcontext():
            fields = decompose(self._scaled, target, Device(), steps, key, once=once)
        if self.scale != 1:
            for name in ("s", "residuals"):
                wide = fields[name].astype(np.float64) / self.scale
                fields[name] = wide.astype(fields[name].dtype)
            for name in ("error", "norm", "largest"):
                fields[name] /= self.scale
        with np.errstate(over="ignore"):
            largest = np.array([fields.pop("largest")]).astype(fields["s"].dtype)
        require_range(largest, fields["error"])  # here: a look at s would wait for the device
        return fields


def _wide_blocks(a: Any) -> Iterator[tuple[slice, Any]]:
    """Rows in double precision, a block at a time."""
    for begin in range(0, a.shape[0], _ROWS):
        rows = slice(begin, begin + _ROWS)
        yield rows, a[rows].astype(wide_dtype(a.dtype))


def _weighted(a: Any, weights: Weights) -> tuple[Any, Any]:
    """The means and diag(row_factors) (A - 1 mean) diag(col_factors), subtracted in double."""
    import cupy

    ones = [cupy.ones(n, np.float64) for n in a.shape]
    given = (weights.row_factors, weights.col_factors)
    rows, cols = (
        cupy.asarray(factors) if factors.size else one
        for factors, one in zip(given, ones, strict=True)
    )
    mean = None
    if weights.center:
        mean = cupy.zeros(a.shape[1], wide_dtype(a.dtype))
        for part, block in _wide_blocks(a):
            mean = mean + (rows[part, None] ** 2 * block).sum(axis=0)
        mean = mean / max(float((rows**2).sum()), np.finfo(np.float64).tiny)
    out = cupy.empty_like(a)
    for part, block in _wide_blocks(a):
        shifted = block if mean is None else block - mean
        out[part] = (shifted * (rows[part, None] * cols)).astype(a.dtype)
    return mean, out


def _norm(a: Any) -> float:
    """The Frobenius norm, summed in double precision; not finite where an entry is not."""
    import cupy

    if not a.size:
        return 0.0
    flat = a if a.flags.c_contiguous else a.T
    if not flat.flags.c_contiguous:
        flat = cupy.ascontiguousarray(a)
    flat = flat.view(np.zeros(0, a.dtype).real.dtype)
    grid, block = launch_shape(min(_PARTIAL_SUMS, -(-flat.size // _ENTRIES)))
    sums = cupy.empty(grid[0] * block[0], np.float64)
    name = f"sums_of_squares_{suffix(flat.dtype)}"
    kernel("norm", name)(grid, block, (flat, np.int64(flat.size), sums))
    return math.sqrt(float(sums.sum()))
