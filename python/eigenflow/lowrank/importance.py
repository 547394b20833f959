"""What a change of a layer's weights costs: scalars for allocation, and weights for truncation."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from eigenflow._arrays import Array, as_float_array
from eigenflow._rng import RNGLike
from eigenflow.lowrank.decomposition import svd
from eigenflow.lowrank.selection import as_scalar

Norm = Literal["mean", "fro"]
_LEAST = 1e-12  # of the largest weight: keeps what has no weight from being divided by zero


def gradient_importance(
    gradients: Iterable[Sequence[ArrayLike]],
    *,
    batch_sizes: Iterable[float] | None = None,
    norm: Norm = "mean",
    check_finite: bool = True,
) -> Array:
    r"""Importance of each layer from gradients of the loss over batches.

    Parameters
    ----------
    gradients : iterable over batches of sequences over layers of array_like
        Gradients of each batch's mean loss with respect to each layer's weights. Read once, so a
        generator will do.
    batch_sizes : iterable of float, optional
        Weights of the batches; by default equal.
    norm : {"mean", "fro"}
        ``"mean"``: :math:`I_l = E[\|g_l\|_F^2] / N_l`, the mean square over the :math:`N_l` entries
        (the surrogate of the published code [1]_; an average curvature). ``"fro"``:
        :math:`E[\|g_l\|_F^2]`, which bounds the largest eigenvalue of the empirical Fisher matrix.
        In tests the mean orders true losses better.
    check_finite : bool
        Refuse NaN and infinity.

    Returns
    -------
    ndarray, shape (n_layers,)
        The published code divides by the number of batches instead of the sum of `batch_sizes`;
        only ratios between layers matter.

    Raises
    ------
    ValueError
        If there is no batch, the batches differ in their layers, or a size is negative.

    Notes
    -----
    The batch-mean gradient has about 1 / batch size of the variance of single ones, in every
    layer alike.

    References
    ----------
    .. [1] J. Li et al., "Hessian Aware Low-Rank Perturbation for Order-Robust Continual Learning",
       IEEE Transactions on Knowledge and Data Engineering 36 (2024), arXiv:2311.15161.

    Examples
    --------
    >>> import eigenflow as ef
    >>> batches = [[[[1.0, 1.0]], [[2.0]]], [[[1.0, -1.0]], [[0.0]]]]
    >>> ef.lowrank.gradient_importance(batches)
    array([1., 2.])
    """
    if norm not in ("mean", "fro"):
        msg = f"norm: got {norm!r}, want 'mean' or 'fro'"
        raise ValueError(msg)
    moments = gradient_moments(gradients, batch_sizes=batch_sizes, check_finite=check_finite)
    return np.array([float(m.sum()) / (max(m.size, 1) if norm == "mean" else 1) for m in moments])


def gradient_moments(
    gradients: Iterable[Sequence[ArrayLike]],
    *,
    batch_sizes: Iterable[float] | None = None,
    check_finite: bool = True,
) -> list[Array]:
    r"""Mean squares of gradient entries over batches: the diagonal of the empirical Fisher matrix.

    Parameters
    ----------
    gradients, batch_sizes, check_finite
        As in `gradient_importance`.

    Returns
    -------
    list of ndarray
        :math:`E[g_{l,ij}^2]` in each layer's shape, float64. Their means over all but the first
        axis are row weights for `weighted_factors` (Fisher-weighted SVD).

    Raises
    ------
    ValueError
        As `gradient_importance`.

    Examples
    --------
    >>> import eigenflow as ef
    >>> ef.lowrank.gradient_moments([[[[1.0, 3.0]]], [[[1.0, -1.0]]]])
    [array([[1., 5.]])]
    """
    moments: list[Array] | None = None
    total = 0.0
    sizes = iter(batch_sizes) if batch_sizes is not None else None
    for b, layers in enumerate(gradients):
        size = 1.0 if sizes is None else _size(next(sizes, None), b)
        squares = [
            np.square(
                as_float_array(g, f"gradients[{b}][{i}]", check_finite=check_finite),
                dtype=np.float64,
            )
            for i, g in enumerate(layers)
        ]
        if moments is None:
            moments = [np.zeros(s.shape) for s in squares]
        if [s.shape for s in squares] != [m.shape for m in moments]:
            msg = f"gradients[{b}]: got other layers or shapes than gradients[0]"
            raise ValueError(msg)
        total += size
        for moment, square in zip(moments, squares, strict=True):
            moment += size * square
    if moments is None or not total > 0:
        msg = "gradients: got no batch, want at least one of positive size"
        raise ValueError(msg)
    return [m / total for m in moments]


def _size(x: Any, b: int) -> float:
    if x is None:
        msg = f"batch_sizes: got {b} numbers, want one for each batch"
        raise ValueError(msg)
    return as_scalar(x, f"batch_sizes[{b}]", 0, np.finfo(float).max, "a number >= 0")


def activation_factor(
    inputs: ArrayLike | Iterator[ArrayLike], *, damping: float = 1e-6, check_finite: bool = True
) -> Array:
    r"""Cholesky factor of a layer's mean input product :math:`E[x x^T]`.

    With it the loss of a truncation is the loss of the layer's output:
    :math:`E \|\Delta W x\|^2 = \|\Delta W C\|_F^2` (SVD-LLM [1]_).

    Parameters
    ----------
    inputs : array_like of shape (n_samples, n), or iterator over such
        Inputs of the layer, in one array or batch by batch. For convolutions: unfolded patches with
        the reshaped weights, or their sums over the kernel with kernel means.
    damping : float
        This much of the mean diagonal entry is added to the diagonal, so that the factor can be
        inverted.
    check_finite : bool
        Refuse NaN and infinity.

    Returns
    -------
    ndarray, shape (n, n)
        Lower triangular C with :math:`C C^T = E[x x^T] + \delta I`.

    Raises
    ------
    ValueError
        If there is no sample, the batches differ in width, or `damping` is not positive.

    References
    ----------
    .. [1] X. Wang et al., "SVD-LLM: Truncation-aware singular value decomposition for large
       language model compression", ICLR 2025, arXiv:2403.07378.

    Examples
    --------
    >>> import eigenflow as ef
    >>> ef.lowrank.activation_factor([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]]).round(3)
    array([[1.155, 0.   ],
           [0.   , 0.816]])
    """
    extra = as_scalar(damping, "damping", 1e-300, 1e300, "a positive number")
    is_one = not hasattr(inputs, "__next__")
    batches: Iterable[Any] = iter([inputs]) if is_one else cast("Iterable[Any]", inputs)
    product, count = np.zeros((0, 0)), 0
    for b, batch in enumerate(batches):
        name = "inputs" if is_one else f"inputs[{b}]"
        x = as_float_array(batch, name, ndim=2, dtype=np.float64, check_finite=check_finite)
        if count and x.shape[1] != product.shape[0]:
            msg = f"{name}: got {x.shape[1]} columns, want {product.shape[0]}"
            raise ValueError(msg)
        product = x.T @ x + (product if count else 0)
        count += x.shape[0]
    if not count:
        msg = "inputs: got no sample, want at least one"
        raise ValueError(msg)
    return factor_of_mean(product / count, extra)


def factor_of_mean(product: Array, damping: float) -> Array:
    """Cholesky factor of a mean input product, with some of its mean diagonal added."""
    size = product.shape[0]
    mean = float(np.trace(product)) / max(size, 1) or 1.0
    return np.asarray(scipy.linalg.cholesky(product + damping * mean * np.eye(size), lower=True))


@dataclass(frozen=True, eq=False)
class WeightedFactors:
    """The best low-rank approximation in a weighted norm; iterating it yields left, right.

    Attributes
    ----------
    left : ndarray, shape (m, rank)
    right : ndarray, shape (rank, n)
    s : ndarray, shape (rank,)
        Singular values of the weighted matrix: squares of those dropped add up to the weighted
        error. They are the spectra for `allocate_ranks`.
    total_squared : float
        Sum of all squared singular values.
    """

    left: Array
    right: Array
    s: Array
    total_squared: float

    def __iter__(self) -> Any:
        yield from (self.left, self.right)


def weighted_factors(
    A: ArrayLike,
    rank: int | None = None,
    *,
    row_weights: ArrayLike | None = None,
    col_factor: ArrayLike | None = None,
    rng: RNGLike = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> WeightedFactors:
    r"""Low rank in the norm :math:`\|\mathrm{diag}(w)^{1/2} (A - L R) C\|_F`.

    Row weights from `gradient_moments` give the Fisher-weighted SVD [1]_, a factor from
    `activation_factor` the activation-whitened one. The singular value decomposition of the
    weighted matrix is truncated, and the weights are undone.

    Parameters
    ----------
    A : array_like, shape (m, n)
    rank : int, optional
        By default min(m, n).
    row_weights : array_like, shape (m,), optional
        Non-negative; raised to at least 1e-12 of the largest.
    col_factor : array_like, shape (n, n), optional
        Lower triangular with a nonzero diagonal.
    rng, workers
        As in `svd`.
    check_finite : bool
        Refuse NaN and infinity.

    Returns
    -------
    WeightedFactors
        ``left``, ``right``, ``s``, ``total_squared``.

    Raises
    ------
    ValueError
        If shapes do not fit, a weight is negative or a diagonal entry of `col_factor` is zero.

    References
    ----------
    .. [1] Y.-C. Hsu et al., "Language model compression with weighted low-rank factorization",
       ICLR 2022, arXiv:2207.00112.

    Examples
    --------
    >>> import numpy as np
    >>> import eigenflow as ef
    >>> left, right = ef.lowrank.weighted_factors(np.diag([1.0, 2.0]), 1, row_weights=[100.0, 1.0])
    >>> (left @ right).round(12) + 0.0
    array([[1., 0.],
           [0., 0.]])
    """
    a = as_float_array(A, "A", ndim=2, check_finite=check_finite)
    roots = _roots(row_weights, a.shape[0], check_finite)
    weighted = roots[:, None] * a
    factor = None
    if col_factor is not None:
        factor = _triangle(col_factor, a.shape[1], check_finite)
        weighted = weighted @ factor
    weighted = weighted.astype(a.dtype, copy=False)
    U, s, Vh = svd(weighted, rank, rng=rng, workers=workers)
    root = np.sqrt(s)
    right = root[:, None] * Vh
    if factor is not None:
        right = scipy.linalg.solve_triangular(factor.T, right.T, lower=False, check_finite=False).T
    return WeightedFactors(
        left=(U * root / roots[:, None]).astype(a.dtype),
        right=right.astype(a.dtype),
        s=s,
        total_squared=float(np.sum(np.square(weighted, dtype=np.float64))),
    )


def _roots(weights: ArrayLike | None, m: int, check_finite: bool) -> Array:
    if weights is None:
        return np.ones(m)
    w = as_float_array(weights, "row_weights", ndim=1, dtype=np.float64, check_finite=check_finite)
    if w.size != m:
        msg = f"row_weights: got {w.size} numbers, want {m}, the rows of A"
        raise ValueError(msg)
    if (w < 0).any():
        msg = f"row_weights: got {w.min()}, want non-negative weights"
        raise ValueError(msg)
    largest = w.max(initial=0.0)
    return np.sqrt(np.maximum(w, _LEAST * largest) if largest > 0 else np.ones(m))


def _triangle(factor: ArrayLike, n: int, check_finite: bool) -> Array:
    C = as_float_array(factor, "col_factor", ndim=2, dtype=np.float64, check_finite=check_finite)
    if C.shape != (n, n):
        msg = f"col_factor: got shape {C.shape}, want {(n, n)}, the columns of A"
        raise ValueError(msg)
    if np.triu(C, 1).any() or not np.diag(C).all():
        msg = "col_factor: want a lower triangular matrix with a nonzero diagonal"
        raise ValueError(msg)
    return C
