"""Factors of one to five bits an entry, used without being decoded in full.

SineLoRA-Delta (arXiv 2505.21895): after training, the entries of U and of V are replaced by the
nearest of ``2 ** bits`` values that k-means finds for each factor.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow import _arrays
from eigenflow._core import sine as _core
from eigenflow._threads import resolve_workers
from eigenflow.sine._phases import gain_of
from eigenflow.sine.operator import SineLowRank

MAX_BITS = 5
_MAX_ROUNDS = 300
_CELLS = 512


@dataclass(frozen=True, eq=False)
class QuantizedFactor(_arrays.Movable):
    """A matrix of few different values.

    Parameters
    ----------
    codes : ndarray of uint8, shape (ceil(m k bits / 8),)
        Indices into the table, row by row, `bits` bits each, lowest bit of a byte first.
    table : ndarray of float32, shape (2 ** bits,)
        The values, finite.
    shape : (int, int)
        (m, k).
    bits : int
        1 to 5.

    Raises
    ------
    ValueError, TypeError
        If the parts do not fit together: files can lie.

    Examples
    --------
    >>> import numpy as np, eigenflow as ef
    >>> factor = ef.sine.QuantizedFactor(
    ...     np.array([0b0110], np.uint8), np.array([-1, 2], np.float32), (2, 2), 1)
    >>> factor.toarray()
    array([[-1.,  2.],
           [ 2., -1.]], dtype=float32)
    """

    codes: NDArray[np.uint8]
    table: NDArray[np.float32]
    shape: tuple[int, int]
    bits: int

    def __post_init__(self) -> None:
        check_bits(self.bits)
        whole = [isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in self.shape]
        if len(whole) != 2 or not all(whole):
            msg = f"shape: got {self.shape!r}, want two integers of at least 0"
            raise ValueError(msg)
        wanted: dict[str, tuple[NDArray[Any], type, int]] = {
            "codes": (self.codes, np.uint8, -(-math.prod(self.shape) * self.bits // 8)),
            "table": (self.table, np.float32, 2**self.bits),
        }
        for name, (array, dtype, size) in wanted.items():
            if array.dtype != dtype or array.shape != (size,):
                msg = f"{name}: got {array.dtype} of shape {array.shape}, want {np.dtype(dtype)} "
                raise ValueError(msg + f"of shape ({size},)")
        if not np.isfinite(self.table).all():
            msg = "table: got NaN or infinity, want finite values"
            raise ValueError(msg)

    @property
    def nbytes(self) -> int:
        """Bytes of codes and table."""
        return self.codes.nbytes + self.table.nbytes

    def toarray(self) -> NDArray[np.float32]:
        """Return the matrix in full."""
        n_bits = math.prod(self.shape) * self.bits
        flags = np.unpackbits(self.codes, count=n_bits, bitorder="little").reshape(-1, self.bits)
        places = flags @ (1 << np.arange(self.bits, dtype=np.uint8))
        return self.table[places].reshape(self.shape)

    def _packed(self) -> tuple[Any, Any, int, int, int]:
        codes, table = (np.ascontiguousarray(a) for a in (self.codes, self.table))
        return codes, table, *self.shape, self.bits


def quantize(factor: Any, bits: int, *, check_finite: bool = True) -> QuantizedFactor:
    """Replace the entries of a factor by ``2 ** bits`` values, so that squares of errors are small.

    Parameters
    ----------
    factor : array_like, shape (m, k)
        Real.
    bits : int
        1 to 5 for each entry. The table takes ``4 * 2 ** bits`` bytes more.
    check_finite : bool
        Refuse NaN and infinity with an error that names the place; without it the error comes
        from the table.

    Returns
    -------
    QuantizedFactor
        The same for the same input on every machine.

    Raises
    ------
    ValueError, TypeError
        For NaN or infinity, values beyond float32, wrong shapes, and other numbers of bits.

    Notes
    -----
    k-means in one dimension: groups are intervals of the sorted entries. The best intervals that
    are made of at most about 600 cells are found by dynamic programming and refined by Lloyd's
    iteration over all entries. Up to 128 entries it is the best table there is. Sorting and about
    0.1 s for five bits: O(m k log(m k)).

    Examples
    --------
    >>> import numpy as np, eigenflow as ef
    >>> factor = ef.sine.quantize(np.array([[0.9, -1.1], [1.1, -0.9]]), bits=1)
    >>> factor.toarray()
    array([[ 1., -1.],
           [ 1., -1.]], dtype=float32)
    >>> factor.nbytes
    9
    """
    check_bits(bits)
    array = _arrays.as_float_array(factor, "factor", ndim=2, check_finite=check_finite)
    ordered = np.sort(array.ravel().astype(np.float64))
    if ordered.size and max(-ordered[0], ordered[-1]) > np.finfo(np.float32).max:
        msg = f"factor: got values up to {max(-ordered[0], ordered[-1]):g}, want those of float32"
        raise ValueError(msg)
    table = _best_table(ordered, 2**bits).astype(np.float32)
    middles = (table[1:].astype(np.float64) + table[:-1]) / 2
    places = np.searchsorted(middles, array.ravel()).astype(np.uint8)
    flags = (places[:, None] >> np.arange(bits, dtype=np.uint8)) & 1
    codes = np.packbits(flags.ravel(), bitorder="little")
    return QuantizedFactor(codes, table, (int(array.shape[0]), int(array.shape[1])), bits)


def check_bits(bits: Any) -> None:
    """Raise an error unless bits is an integer from 1 to 5."""
    if isinstance(bits, bool) or not isinstance(bits, int):
        msg = f"bits: got {bits!r}, want an integer"
        raise TypeError(msg)
    if not 1 <= bits <= MAX_BITS:
        msg = f"bits: got {bits}, want 1 to {MAX_BITS}"
        raise ValueError(msg)


def _best_table(ordered: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    if ordered.size == 0:
        return np.zeros(size)
    distinct = np.unique(ordered)
    if distinct.size <= size:  # nothing is lost
        return np.concatenate([distinct, np.full(size - distinct.size, distinct[-1])])
    scale = max(-ordered[0], ordered[-1])  # squares neither overflow nor vanish
    values = ordered / scale
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(_lloyd(values, sums, _start(values, sums, size)) * scale)


def _start(
    values: NDArray[np.float64], sums: NDArray[np.float64], size: int
) -> NDArray[np.float64]:
    """Best means of `size` groups that are made of at most 600 cells, by dynamic programming."""
    n = values.size
    ends = np.arange(_CELLS // 8 + 1)
    steps = np.linspace(values[0], values[-1], _CELLS // 2)
    shares = np.linspace(0, n, _CELLS // 2).astype(np.intp)
    # Small steps and small shares, and each of the outermost values for itself.
    cells = np.concatenate([ends, n - ends, shares, np.searchsorted(values, steps)])
    edges = np.unique(np.clip(cells, 0, n))
    squares = np.concatenate([[0.0], np.cumsum(values**2)])[edges]
    s, count = sums[edges], edges[None, :] - edges[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = squares[None, :] - squares[:, None] - (s[None, :] - s[:, None]) ** 2 / count
    cost[count <= 0] = np.inf
    least, cuts = cost[0], []
    for _ in range(size - 1):
        through = least[:, None] + cost
        through[0] = cost[0]  # fewer groups are groups too
        cuts.append(through.argmin(axis=0))
        least = through.min(axis=0)
    path = [edges.size - 1]
    for cut in reversed(cuts):
        path.append(int(cut[path[-1]]))
    bounds = edges[np.unique([0, *path])]
    means = np.diff(sums[bounds]) / np.diff(bounds)
    return np.concatenate([means, np.full(size - means.size, means[-1])])


def _bounds(values: NDArray[Any], table: NDArray[Any]) -> NDArray[np.intp]:
    inner = np.searchsorted(values, (table[1:] + table[:-1]) / 2)
    return np.concatenate([[0], inner, [values.size]])


def _lloyd(
    values: NDArray[np.float64], sums: NDArray[np.float64], table: NDArray[np.float64]
) -> NDArray[np.float64]:
    bounds = _bounds(values, table)
    for _ in range(_MAX_ROUNDS):
        counts = np.diff(bounds)
        means = np.diff(sums[bounds]) / np.maximum(counts, 1)
        table = np.sort(np.where(counts > 0, means, table))
        after = _bounds(values, table)
        if np.array_equal(after, bounds):
            break
        bounds = after
    return table


class QuantizedSine:
    """``sin(omega U V^T) / gain`` of quantised factors, applied without decoding them in full.

    Parameters
    ----------
    U : QuantizedFactor, shape (m, k)
    V : QuantizedFactor, shape (n, k)
    omega : float
        Frequency.
    gain : float, optional
        Divisor; ``sqrt(n)`` by default.
    workers : int, optional
        Threads of the products.

    Attributes
    ----------
    shape, U, V, omega, gain, nbytes
        `nbytes` counts both factors as they are stored.

    Notes
    -----
    Products are those of `decoded()`, the fused tiles of `SineLowRank`, to the bit, in float32, or
    in float64 for an X of float64. Entries are decoded where a tile of sines needs them.

    Examples
    --------
    >>> import numpy as np, eigenflow as ef
    >>> rng = np.random.default_rng(0)
    >>> U, V = rng.normal(size=(512, 8)), rng.normal(size=(256, 8)) / 16
    >>> op = ef.sine.QuantizedSine(ef.sine.quantize(U, 3), ef.sine.quantize(V, 3), 5.0)
    >>> (op @ np.ones(256)).shape
    (512,)
    >>> op.nbytes, 4 * (U.size + V.size)
    (2368, 24576)
    """

    __array_ufunc__ = None

    def __init__(
        self,
        U: QuantizedFactor,
        V: QuantizedFactor,
        omega: float,
        *,
        gain: float | None = None,
        workers: int | None = None,
    ) -> None:
        given: tuple[tuple[str, Any], ...] = (("U", U), ("V", V))
        for name, factor in given:
            if not isinstance(factor, QuantizedFactor):
                msg = f"{name}: got {type(factor).__name__}, want a QuantizedFactor"
                raise TypeError(msg)
        # The operator of one row of tables checks what it checks for all operators.
        left, right = (np.full((1, f.shape[1]), np.abs(f.table).max()) for f in (U, V))
        like = SineLowRank(left, right, omega, gain=gain_of(gain, V.shape[0]), workers=workers)
        self.U, self.V, self.omega, self.gain = U, V, like.omega, like.gain
        self._workers = workers

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return self.U.shape[0], self.V.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of both factors as they are stored."""
        return self.U.nbytes + self.V.nbytes

    def matmat(self, X: Any, *, check_finite: bool = True) -> NDArray[Any]:
        """Return ``op @ X`` for X of shape (n, T) or (n,)."""
        return self._product(X, "X", False, check_finite)

    def rmatmat(self, Y: Any, *, check_finite: bool = True) -> NDArray[Any]:
        """Return ``op.T @ Y`` for Y of shape (m, T) or (m,)."""
        return self._product(Y, "Y", True, check_finite)

    matvec = matmat
    rmatvec = rmatmat

    def __matmul__(self, X: Any) -> NDArray[Any]:
        return self.matmat(X)

    def decoded(self) -> SineLowRank:
        """Return the operator of the factors in full."""
        U, V = self.U.toarray(), self.V.toarray()
        return SineLowRank(U, V, self.omega, gain=self.gain, method="fused", workers=self._workers)

    def _product(self, X: Any, name: str, transposed: bool, check_finite: bool) -> NDArray[Any]:
        rows, cols = self.shape[::-1] if transposed else self.shape
        x = _arrays.as_float_array(X, name, ndim=(1, 2), check_finite=check_finite)
        if x.shape[0] != cols:
            msg = f"{name}: got shape {x.shape}, want {cols} rows"
            raise ValueError(msg)
        result = np.empty((rows, *x.shape[1:]), x.dtype)
        columns, to = (x, result) if x.ndim == 2 else (x[:, None], result[:, None])
        _core.apply_packed(
            self.U._packed(),
            self.V._packed(),
            columns,
            to,
            self.omega,
            self.gain,
            transposed,
            resolve_workers(self._workers),
        )
        return result
