"""Matrices by some of their own columns: pivoted QR and interpolative decompositions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex

from numpy.typing import ArrayLike

from eigenflow import _core
from eigenflow._arrays import like
from eigenflow._blas import ensure_bound
from eigenflow._rng import RNGLike, key_from
from eigenflow._threads import single_blas_thread
from eigenflow.lowrank.operands import as_operand, as_weights
from eigenflow.lowrank.requests import (
    as_integer,
    as_tolerances,
    failure_probability,
    require_room,
    tolerance_as_atol,
)


@dataclass(frozen=True, eq=False)
class PivotedQRResult:
    """A truncated QR with column pivoting; iterating it yields Q, R, pivots.

    Attributes
    ----------
    Q : (m, rank) array
        Orthonormal columns, in Fortran order.
    R : (rank, n) array
        Upper trapezoidal; its diagonal is real, not negative and descends.
    pivots : (n,) integer array
        ``A[:, pivots]`` is about ``Q @ R``; the first `rank` of them are the chosen columns.
    rank : int
        The number of chosen columns.
    error : float
        The Frobenius norm of ``A[:, pivots] - Q @ R``.
    relative_error : float
        ``error`` over the Frobenius norm of A; 0 for a zero matrix.
    error_kind : {"tail-energy", "hold-out"}
        How the error was found, as in `SVDResult`.
    failure_probability : float
        A bound on the probability that the true error is more than twice ``error``: 0 for
        "tail-energy", 2e-6 for each look at a "hold-out".
    method : {"sketch", "exact"}
        Where the pivots come from: a sketch of the rows, or LAPACK's pivoted QR of A itself.
    passes : int
        How often A was read from end to end; see `SVDResult`.
    """

    Q: Any
    R: Any
    pivots: Any
    rank: int
    error: float
    relative_error: float
    error_kind: Literal["tail-energy", "hold-out"]
    failure_probability: float
    method: Literal["sketch", "exact"]
    passes: int

    def __iter__(self) -> Iterator[Any]:
        yield from (self.Q, self.R, self.pivots)


@dataclass(frozen=True, eq=False)
class InterpolativeResult:
    """An interpolative decomposition; iterating it yields indices, coefficients.

    Attributes
    ----------
    indices : (rank,) integer array
        The chosen columns, in the order of their pivots.
    coefficients : (rank, n) array
        ``A`` is about ``A[:, indices] @ coefficients``; ``coefficients[:, indices]`` is the
        identity.
    rank, error, relative_error, error_kind, failure_probability, method, passes
        As in `PivotedQRResult`; the error is the Frobenius norm of
        ``A - A[:, indices] @ coefficients``.
    """

    indices: Any
    coefficients: Any
    rank: int
    error: float
    relative_error: float
    error_kind: Literal["tail-energy", "hold-out"]
    failure_probability: float
    method: Literal["sketch", "exact"]
    passes: int

    def __iter__(self) -> Iterator[Any]:
        yield from (self.indices, self.coefficients)


def pivoted_qr(
    A: ArrayLike,
    rank: SupportsIndex | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    oversampling: SupportsIndex = 10,
    rng: RNGLike = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> PivotedQRResult:
    """QR with column pivoting, cut at a rank or at a tolerance.

    The pivots are those of a small sketch ``G^H A`` with a Gaussian matrix G, whose columns have
    nearly the lengths and angles of the columns of A [1]_. The chosen columns are then
    orthonormalised and ``R = Q^H A`` is computed from A itself, so that the error is that of these
    columns, not of the sketch. Where the rank comes near half of the smaller side, LAPACK's pivoted
    QR of A is used.

    Parameters
    ----------
    A : (m, n) array_like, sparse matrix or operator
        As in `svd`.
    rank : int, optional
        Number of columns to choose, 0 to min(m, n). With a tolerance it is the most.
    rtol, atol : float, optional
        Choose the least number of columns, in the order of the pivots, with
        ``||A[:, pivots] - Q R|| <= max(atol, rtol * ||A||)`` in the Frobenius norm.
    oversampling : int
        The sketch has this many rows more than `rank`.
    rng : int or numpy.random.Generator, optional
        Equal seeds give equal results.
    workers, check_finite
        As in `svd`.

    Returns
    -------
    PivotedQRResult
        Iterates as Q (m, rank), R (rank, n), pivots (n,); carries the error and how it was found.

    Raises
    ------
    ValueError
        For NaN or infinity, a rank outside 0 to min(m, n), or a tolerance that the precision of A
        cannot resolve.
    TypeError
        For arrays that hold no numbers, and for arrays in GPU memory.

    Notes
    -----
    Costs about ``4 m n rank`` operations in three reads of A, and ``(m + 2 n) rank`` numbers of
    memory; with a tolerance, twice that at most, for the sketch doubles until it is met. The error
    exceeds the best one for this rank by a small factor (`svd` reaches the best one).

    References
    ----------
    .. [1] S. Voronin, P.-G. Martinsson, "Efficient algorithms for CUR and interpolative matrix
       decompositions", Advances in Computational Mathematics 43 (2017).

    Examples
    --------
    >>> import numpy as np
    >>> import eigenflow as ef
    >>> A = np.array([[1.0, 4.0, 2.0], [0.0, 3.0, 1.5]])
    >>> Q, R, pivots = ef.lowrank.pivoted_qr(A, rank=1)
    >>> pivots[0], R[0, 0].round(6)
    (np.int64(1), np.float64(5.0))
    """
    fields = _choose(A, rank, rtol, atol, oversampling, False, rng, workers, check_finite)
    return PivotedQRResult(**fields)


def interpolative(
    A: ArrayLike,
    rank: SupportsIndex | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    oversampling: SupportsIndex = 10,
    rng: RNGLike = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> InterpolativeResult:
    """Write a matrix as some of its own columns times coefficients.

    The columns are those of `pivoted_qr`, and the coefficients solve the least squares problem, so
    that the error is that of the QR. For rows instead of columns, decompose ``A.T``.

    Parameters
    ----------
    A : (m, n) array_like, sparse matrix or operator
        As in `svd`.
    rank, rtol, atol, oversampling, rng, workers, check_finite
        As in `pivoted_qr`.

    Returns
    -------
    InterpolativeResult
        Iterates as indices (rank,), coefficients (rank, n); carries the error and how it was found.

    Raises
    ------
    ValueError, TypeError
        As `pivoted_qr`.

    Notes
    -----
    Costs what `pivoted_qr` costs. A chosen column that depends on those before it, to the precision
    of A, stands for itself only: with a rank above that of A the result stays exact and finite.

    Examples
    --------
    >>> import numpy as np
    >>> import eigenflow as ef
    >>> A = np.array([[1.0, 4.0, 2.0], [0.0, 3.0, 1.5]])
    >>> indices, coefficients = ef.lowrank.interpolative(A, rank=2)
    >>> indices
    array([1, 0])
    >>> bool(np.allclose(A[:, indices] @ coefficients, A))
    True
    """
    fields = _choose(A, rank, rtol, atol, oversampling, True, rng, workers, check_finite)
    indices = fields.pop("pivots")[: fields["rank"]]
    return InterpolativeResult(indices=indices, **fields)


def _choose(
    A: ArrayLike,
    rank: SupportsIndex | None,
    rtol: float | None,
    atol: float | None,
    oversampling: SupportsIndex,
    interpolate: bool,
    rng: RNGLike,
    workers: int | None,
    check_finite: bool,
) -> dict[str, Any]:
    a = as_operand(A)
    wanted = -1 if rank is None else as_integer(rank, "rank", 0, min(a.shape))
    extra = as_integer(oversampling, "oversampling", 0)
    key = key_from(rng)
    plain = as_weights(a.shape, False, None, None)
    require_room(a, None if rank is None else wanted, rtol, atol)
    with single_blas_thread(workers) as count, tolerance_as_atol():
        ensure_bound()
        matrix = a.open(count, plain, check_finite=check_finite, once=False)
        limits = as_tolerances(a, matrix.norm, rtol, atol)
        fields = _core.svd.pivoted_qr(matrix.core, wanted, *limits, extra, interpolate, key, count)
    norm, looks = fields.pop("norm"), fields.pop("looks")
    for name in ("Q", "R", "pivots", "coefficients"):
        if name in fields:
            fields[name] = like(fields[name], A)
    fields["relative_error"] = fields["error"] / norm if norm > 0 else 0.0
    fields["failure_probability"] = failure_probability(fields["error_kind"], looks)
    return fields
