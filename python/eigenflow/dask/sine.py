"""Products with ``sin(omega U V^T) / gain`` whose rows of U are blocks of a Dask array."""

import math
from typing import Any

import dask.array as da
import numpy as np
from dask import delayed

from eigenflow._arrays import (
    Array,
    as_float_array,
    common_float_dtype,
    finite_number,
    float_dtype,
    places_in,
    require_finite,
)
from eigenflow._map_reduce import sine as pieces
from eigenflow._map_reduce.tree import FAN_IN
from eigenflow.dask.arrays import as_dask, whole_rows
from eigenflow.dask.memory import Need
from eigenflow.dask.rows import DaskRows, same_rows
from eigenflow.dask.running import Runner, watched
from eigenflow.sine import SineGradients
from eigenflow.sine._phases import gain_of


def product(op: Any, X: Any, out: Any) -> Any:
    """Return ``op @ X`` for an ordinary operator and a Dask array, by blocks of its columns."""
    if out is not None:
        msg = "out: got a value, want None with Dask arrays: the result is lazy"
        raise ValueError(msg)
    x = as_dask(X, "X", (1, 2))
    if x.shape[0] != op.shape[1]:
        msg = f"X: got shape {x.shape}, want {op.shape[1]} rows, as the operator has columns"
        raise ValueError(msg)
    dtype = np.result_type(op.dtype, float_dtype(x, "X"))
    columns = math.prod(max(sizes) for sizes in x.chunks[1:])
    each = op.shape[1] * x.dtype.itemsize + op.shape[0] * dtype.itemsize
    factors = op.U.nbytes + op.V.nbytes
    Runner().require_memory(Need("X", columns, "columns", each, factors))
    return da.map_blocks(
        _times,
        x.rechunk({0: -1}),
        held=delayed(op, pure=True, traverse=False),
        dtype=dtype,
        chunks=((op.shape[0],), *x.chunks[1:]),
        meta=np.empty((0,) * x.ndim, dtype),
    )


@watched
def _times(X: Array, held: Any, block_info: Any = None) -> Array:
    first = tuple(begin for begin, _ in block_info[0]["array-location"])
    require_finite(np.asarray(X), "X", first=first)
    return held.matmat(X, workers=1, check_finite=False)  # type: ignore[no-any-return]


class SineLowRank:
    """The matrix ``sin(omega U V^T) / gain`` with more rows than one machine holds.

    Parameters
    ----------
    U : dask.array.Array, shape (m, k)
        Left factor, in blocks of rows.
    V : array_like, shape (n, k)
        Right factor, which every task gets.
    omega, gain, exact_phase
        As in `eigenflow.sine.SineLowRank`.
    client : distributed.Client, optional
        Where sums over rows are computed. Default: the active client, else Dask's local scheduler.
    max_memory : float or str, optional
        Bytes that one task may use. Default: a worker's memory limit over its threads. Products
        whose blocks do not fit are a MemoryError, which names a chunk size that does.

    Notes
    -----
    Products are the fused tiles of `eigenflow.sine.SineLowRank`, a row at a time the same bytes.
    ``op @ X`` is lazy, with the rows of U; sums over rows (`rmatmat`, `vjp`) are computed, in one
    read of U.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> import eigenflow as ef
    >>> U = da.from_array(np.linspace(-1, 1, 6)[:, None], chunks=(4, 1))
    >>> op = ef.dask.SineLowRank(U, np.ones((3, 1)), omega=2.0)
    >>> (op @ np.ones(3)).chunks, op.rmatmat(np.ones(6)).round(6)
    (((4, 2),), array([0., 0., 0.]))
    """

    ndim = 2

    def __init__(
        self,
        U: Any,
        V: Any,
        omega: float,
        *,
        gain: float | None = None,
        exact_phase: bool = False,
        client: Any = None,
        max_memory: Any = None,
    ) -> None:
        self.U = whole_rows(as_dask(U, "U", 2))
        self.V = as_float_array(V, "V", ndim=2)
        if self.U.shape[1] != self.V.shape[1]:
            msg = f"V: got {self.V.shape[1]} columns, want {self.U.shape[1]} as in U"
            raise ValueError(msg)
        self.omega = finite_number(omega, "omega")
        self.gain = gain_of(gain, len(self.V))
        self._settings = pieces.Settings(self.omega, self.gain, bool(exact_phase))
        self._run = Runner(client, max_memory)
        own = np.empty(0, float_dtype(self.U, "U"))
        self.dtype = common_float_dtype(own, self.V)

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.U.shape[0], len(self.V)

    def __repr__(self) -> str:
        m, n = self.shape
        return f"<{m}x{n} dask.SineLowRank of {self.dtype}, k={self.U.shape[1]}>"

    def matmat(self, X: Any) -> Any:
        """``op @ X`` for `X` of shape (n, T) or (n,); lazy."""
        x = as_float_array(X, "X", ndim=(1, 2))
        if len(x) != self.shape[1]:
            msg = f"X: got shape {x.shape}, want {self.shape[1]} rows"
            raise ValueError(msg)
        dtype = np.result_type(self.dtype, x.dtype)
        self._require_memory(x.size // max(1, len(x)), x)
        rows = DaskRows(self._run, self.U)
        return rows.map(pieces.product, x.shape[1:], dtype, self.V, x, self._settings)

    __matmul__ = matvec = dot = matmat

    def rmatmat(self, Y: Any) -> Array:
        """``op.T @ Y`` for `Y` of shape (m, T) or (m,), a Dask array or not; computed."""
        y, single = self._beside(Y, "Y")
        self._require_memory(y.shape[1], sums=y.shape[1])
        rows = DaskRows(self._run, *same_rows(self.U, y))
        with places_in("Y", Y):
            total = rows.reduce(pieces.adjoint, pieces.add, self.V, self._settings)
        return total[:, 0] if single else total

    rmatvec = rmatmat

    def vjp(self, X: Any, grad_output: Any) -> SineGradients:
        """Gradients of ``sum(grad_output * (op @ X))``: that of U lazy, all others computed."""
        x = as_float_array(X, "X", ndim=(1, 2))
        g, _ = self._beside(grad_output, "grad_output")
        x2 = x if x.ndim == 2 else x[:, None]
        k = self.U.shape[1]
        self._require_memory(x2.shape[1] + k, x, sums=x2.shape[1] + k)
        rows = DaskRows(self._run, *same_rows(self.U, g))
        shared = (self.V, x2, self._settings)
        with places_in("grad_output", grad_output):
            sums = rows.reduce(pieces.gradient_sums, pieces.add_sums, *shared)
        dtype = np.result_type(self.dtype, x.dtype, float_dtype(g, "grad_output"))
        lazy = rows.map(pieces.gradient_rows, (self.U.shape[1],), dtype, *shared)
        return SineGradients(lazy, sums.V, sums.omega, sums.gain, sums.X.reshape(x.shape))

    def toarray(self) -> Any:
        """Return the matrix itself as a lazy array."""
        self._require_memory(self.shape[1])
        rows = DaskRows(self._run, self.U)
        return rows.map(pieces.entries, (self.shape[1],), self.dtype, self.V, self._settings)

    def _require_memory(self, columns: int, *held: Array, sums: int = 0) -> None:
        """Count rows of U with so many columns beside them, V, what each task holds, and sums."""
        n, item = self.shape[1], self.dtype.itemsize
        each = self.U.shape[1] * self.U.dtype.itemsize + columns * item
        beside = self.V.nbytes + sum(a.nbytes for a in held) + (FAN_IN + 2) * n * sums * item
        need = Need("U", max(self.U.chunks[0]), "rows", each, beside)
        self._run.require_memory(need._replace(rechunk="U.rechunk({0: %d, 1: -1})"))

    def _beside(self, Y: Any, name: str) -> tuple[Any, bool]:
        """Return rows beside those of U, with a second axis."""
        given = Y if isinstance(Y, da.Array) else da.from_array(as_float_array(Y, name))
        y = as_dask(given, name, (1, 2))
        if y.shape[0] != self.shape[0]:
            msg = f"{name}: got shape {y.shape}, want {self.shape[0]} rows"
            raise ValueError(msg)
        return (y[:, None], True) if y.ndim == 1 else (whole_rows(y), False)
