"""New weights as scaled old weights plus low rank."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from eigenflow._arrays import (
    Array,
    as_float_array,
    common_float_dtype,
    common_kind,
    kind_of,
    namespace,
)
from eigenflow._rng import RNGLike
from eigenflow.lowrank.allocation import _whole
from eigenflow.lowrank.decomposition import SVDResult, svd

Conv = Literal["kernel-mean", "reshape"]
_FLOOR = 1e-20  # of the squared norms that are divided by; largest entry 1


@dataclass(frozen=True, eq=False)
class Perturbation:
    r"""``W = diag(row_scale) W_base diag(col_scale) + left @ right``.

    Attributes
    ----------
    row_scale : ndarray, shape (m,)
    col_scale : ndarray, shape (n,)
        One factor for each input (channel).
    left : ndarray, shape (m, k)
        :math:`U \Sigma^{1/2}`.
    right : ndarray, shape (k, n), or (k, n a b) for reshaped kernels
        :math:`\Sigma^{1/2} V^T`.
    s : ndarray, shape (k,)
        Singular values, in descending order.
    residual_squared : float
        Sum of all squared singular values, those beyond `s` included: the squared norm of the
        matrix that `left` and `right` approximate. It is the layer's entry of `totals` in
        `allocate_ranks`.
    kernel_area : int
        What one unit of squared singular value is worth in the weights: a b when `left` and `right`
        act on every kernel tap, else 1. Multiply the layer's importance by it in `allocate_ranks`.
    unreachable_squared : float
        Squared norm of the change that no rank can represent (zero but for kernel means).
    base : ndarray, shape (m, n) or (m, n, a, b)
        The base weights; not a copy.
    """

    row_scale: Array
    col_scale: Array
    left: Array
    right: Array
    s: Array
    residual_squared: float
    kernel_area: int
    unreachable_squared: float
    base: Array

    @property
    def rank(self) -> int:
        """Number of singular values kept."""
        return int(self.s.size)

    @property
    def n_parameters(self) -> int:
        """How many numbers this adds to the base: both scales and both factors."""
        return self.row_scale.size + self.col_scale.size + self.left.size + self.right.size

    @property
    def error_squared(self) -> float:
        """Squared Frobenius distance from the free weights."""
        kept = _squared(self.s)
        dropped = max(0.0, self.residual_squared - kept)
        return self.kernel_area * dropped + self.unreachable_squared

    def truncate(self, rank: int) -> "Perturbation":
        """Keep the first `rank` singular values: the best approximation of that rank."""
        k = _whole(rank, "rank", 0)
        if k > self.rank:
            msg = f"rank: got {k}, want at most the {self.rank} singular values there are"
            raise ValueError(msg)
        return dataclasses.replace(self, left=self.left[:, :k], right=self.right[:k], s=self.s[:k])

    def to_dense(self) -> Array:
        """Return the weights as one array of the shape of `base`."""
        taps = _as_taps(self.base)
        scaled = self.row_scale[:, None, None] * taps * self.col_scale[:, None]
        product = self.left @ self.right
        per_tap = product.shape[1] != taps.shape[1]
        added = product.reshape(taps.shape) if per_tap else product[:, :, None]
        whole: Array = (scaled + added).reshape(self.base.shape)
        return whole.astype(self.base.dtype, copy=False)


def perturb(
    W_base: ArrayLike,
    W_free: ArrayLike,
    *,
    max_rank: int | None = None,
    conv: Conv = "kernel-mean",
    passes: int = 1,
    rng: RNGLike = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> Perturbation:
    r"""Write freely trained weights as scaled base weights plus low rank.

    The scales are fitted by alternating least squares from :math:`S = 1` [1]_:
    :math:`R_j = \langle W_j, B_j \rangle / \|B_j\|^2` for each row of the base B, then
    :math:`S_i = \langle (R B)_{:i}, W_{:i} \rangle / \|(R B)_{:i}\|^2` for each column. The
    singular value decomposition of :math:`W - R B S` gives the rest.

    Parameters
    ----------
    W_base, W_free : array_like, shape (m, n), or (m, n, a, b) for convolutions
        Base weights and freely trained weights; outputs, inputs, kernel. CuPy arrays stay on the
        device.
    max_rank : int, optional
        Keep at most so many singular values; by default all.
    conv : {"kernel-mean", "reshape"}
        What low rank means for a convolution. ``"kernel-mean"`` (the paper): one m x n matrix added
        at every kernel tap, so only the mean of the change over the kernel can be represented.
        ``"reshape"``: a matrix of shape (m, n a b), which can represent everything.
    passes : int
        Rounds of least squares. One is the paper; two are within a few thousandths of the limit.
    rng : int, Generator or None
        For the randomized decomposition when `max_rank` is small.
    workers : int, optional
        Threads for BLAS.
    check_finite : bool
        Refuse NaN and infinity.

    Returns
    -------
    Perturbation
        ``row_scale``, ``col_scale``, ``left``, ``right``, ``s``, ``residual_squared``, and
        ``.truncate(rank)``, ``.to_dense()``.

    Raises
    ------
    ValueError
        If the shapes differ or are not 2-D or 4-D, or a scale does not fit the dtype.

    Notes
    -----
    A row or column of zeros gets scale 1 (any scale fits it; the published code gives 0).
    Costs one SVD of an m x n (or m x n a b) matrix and O(m n a b) for each pass.

    References
    ----------
    .. [1] J. Li et al., "Hessian Aware Low-Rank Perturbation for Order-Robust Continual Learning",
       IEEE Transactions on Knowledge and Data Engineering 36 (2024), arXiv:2311.15161; formulas
       from the authors' code.

    Examples
    --------
    >>> import numpy as np
    >>> import eigenflow as ef
    >>> base = np.arange(1.0, 7.0).reshape(2, 3)
    >>> free = 2 * base + np.outer([1.0, -1.0], [1.0, 0.0, 2.0])
    >>> p = ef.lowrank.perturb(base, free)
    >>> p.rank, bool(np.allclose(p.to_dense(), free))
    (2, True)
    """
    change = fit_change(W_base, W_free, conv=conv, passes=passes, check_finite=check_finite)
    limit = None if max_rank is None else _whole(max_rank, "max_rank", 0)
    return change.perturbation(leading(change.matrix, limit, rng=rng, workers=workers))


@dataclass(frozen=True, eq=False)
class Change:
    """What the scales leave of W_free, as one matrix with entries near one.

    `perturbation` turns any number of its leading triplets into the result, so that more of them
    can be computed later.
    """

    base: Array
    row_scale: Array
    col_scale: Array
    matrix: Array
    unreachable_squared: float
    kernel_area: int
    exponent: int  # the matrix times 2^exponent has the scale of W_free

    @property
    def residual_squared(self) -> float:
        """Squared norm of the matrix, in the scale of W_free."""
        return _scaled_back(_squared(self.matrix), self.exponent)

    def perturbation(self, triplets: SVDResult) -> Perturbation:
        """Scale triplets back and share their values between the two factors."""
        xp = _library(self.base)
        values = xp.ldexp(triplets.s, self.exponent)
        root = xp.sqrt(values)
        return Perturbation(
            row_scale=self.row_scale,
            col_scale=self.col_scale,
            left=triplets.U * root,
            right=root[:, None] * triplets.Vh,
            s=values,
            residual_squared=self.residual_squared,
            kernel_area=self.kernel_area,
            unreachable_squared=self.unreachable_squared,
            base=self.base,
        )


def fit_change(
    W_base: ArrayLike, W_free: ArrayLike, *, conv: Conv, passes: int, check_finite: bool
) -> Change:
    """Fit the scales, and return what is left."""
    base, free = _weights(W_base, W_free, check_finite)
    if conv not in ("kernel-mean", "reshape"):
        msg = f"conv: got {conv!r}, want 'kernel-mean' or 'reshape'"
        raise ValueError(msg)
    rounds = _whole(passes, "passes", 1)
    taps = _as_taps(base)
    base_exponent, free_exponent = _exponent(base), _exponent(free)
    xp = _library(base)
    unit_base = xp.ldexp(taps, -base_exponent)
    unit_free = xp.ldexp(free.reshape(taps.shape), -free_exponent)
    rows, cols = _fit_scales(unit_base, unit_free, rounds)
    change = unit_free - (rows[:, None, None] * unit_base * cols[:, None]).astype(base.dtype)
    if conv == "kernel-mean":
        matrix, area = _mean(change), taps.shape[2]
    else:
        matrix, area = change.reshape(base.shape[0], math.prod(base.shape[1:])), 1
    unreachable = _squared(change - matrix[:, :, None]) if area > 1 else 0.0
    scales = _fitting(rows, free_exponent - base_exponent, base.dtype)
    return Change(
        base=base,
        row_scale=xp.where(unit_base.any(axis=(1, 2)), scales, base.dtype.type(1)),
        col_scale=cols.astype(base.dtype),
        matrix=matrix,
        unreachable_squared=_scaled_back(unreachable, free_exponent),
        kernel_area=area,
        exponent=free_exponent,
    )


def leading(matrix: Array, count: int | None, *, rng: RNGLike, workers: int | None) -> SVDResult:
    """Return the leading triplets, at most as many as there are."""
    kept = min(matrix.shape) if count is None else min(count, *matrix.shape)
    return svd(matrix, kept, rng=rng, workers=workers, check_finite=False)


def _weights(W_base: ArrayLike, W_free: ArrayLike, check_finite: bool) -> tuple[Array, Array]:
    read: Any = as_float_array
    if common_kind(W_base=W_base, W_free=W_free) == "cupy":
        from eigenflow._gpu import arrays

        read = arrays.as_float_array
    base = read(W_base, "W_base", ndim=(2, 4), check_finite=check_finite)
    free = read(W_free, "W_free", ndim=(2, 4), check_finite=check_finite)
    if base.shape != free.shape:
        msg = f"W_free: got shape {free.shape}, want {base.shape}, the shape of W_base"
        raise ValueError(msg)
    dtype = common_float_dtype(base, free)
    return base.astype(dtype, copy=False), free.astype(dtype, copy=False)


def _library(a: Array) -> Any:
    return namespace(kind_of(a))


def _as_taps(weights: Array) -> Array:
    """Outputs, inputs, kernel taps."""
    m, n, *kernel = weights.shape
    return weights.reshape(m, n, math.prod(kernel))


def _exponent(a: Array) -> int:
    """Power of two that brings the largest entry into [1/2, 1): exact, and no square overflows."""
    largest = float(abs(a).max()) if a.size else 0.0
    return int(np.frexp(largest)[1]) if largest > 0 else 0


def _fit_scales(base: Array, free: Array, passes: int) -> tuple[Array, Array]:
    xp = _library(base)
    cols = xp.ones(base.shape[1])
    rows = xp.ones(base.shape[0])
    cross = xp.einsum("ijt,ijt->ij", base, free, dtype=np.float64)
    square = xp.einsum("ijt,ijt->ij", base, base, dtype=np.float64)
    for _ in range(passes):
        rows = _ratio(cross @ cols, square @ cols**2)
        cols = _ratio(rows @ cross, rows**2 @ square)
    return rows, cols


def _ratio(numerator: Array, denominator: Array) -> Array:
    xp = _library(numerator)
    ratio: Array = xp.where(denominator > 0, numerator / xp.maximum(denominator, _FLOOR), 1.0)
    return ratio


def _mean(change: Array) -> Array:
    if change.shape[2] == 0:
        nothing: Array = _library(change).zeros(change.shape[:2], change.dtype)
        return nothing
    mean: Array = change.mean(axis=2, dtype=np.float64)
    return mean.astype(change.dtype)


def _squared(a: Array) -> float:
    return float(_library(a).square(a, dtype=np.float64).sum())


def _scaled_back(squared: float, exponent: int) -> float:
    """Return squared times 4^exponent; the largest float stands in for what is too large."""
    with np.errstate(over="ignore", under="ignore"):
        return float(min(np.ldexp(squared, 2 * exponent), np.finfo(np.float64).max))


def _fitting(scale: Array, exponent: int, dtype: np.dtype[np.generic]) -> Array:
    xp = _library(scale)
    with np.errstate(over="ignore", under="ignore"):
        result: Array = xp.ldexp(scale, exponent).astype(dtype)
    if not xp.isfinite(result).all():
        msg = f"W_base: so much smaller than W_free that the row scale does not fit {dtype}"
        raise ValueError(msg)
    return result
