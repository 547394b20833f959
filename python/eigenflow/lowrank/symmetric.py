"""Leading eigenpairs of symmetric and Hermitian matrices, with an error that can be trusted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex

from numpy.typing import ArrayLike

from eigenflow import _core
from eigenflow._arrays import like
from eigenflow._blas import ensure_bound
from eigenflow._rng import RNGLike, key_from
from eigenflow._threads import single_blas_thread
from eigenflow.lowrank.decomposition import require_range
from eigenflow.lowrank.operands import as_operand, as_weights, self_adjoint
from eigenflow.lowrank.requests import (
    as_integer,
    as_tolerances,
    failure_probability,
    reads_once,
    require_room,
    tolerance_as_atol,
)


@dataclass(frozen=True, eq=False)
class EighResult:
    """A truncated eigendecomposition; iterating it yields eigenvalues, eigenvectors.

    Attributes
    ----------
    eigenvalues : (rank,) array
        Real, in descending order of their modulus.
    eigenvectors : (n, rank) array
        Orthonormal columns, in Fortran order. In each the entry of largest modulus is real and
        positive (the first one on ties), which fixes the signs.
    rank : int
        The number of pairs.
    error : float
        The Frobenius norm of ``A - X @ diag(eigenvalues) @ X^H``.
    relative_error : float
        ``error`` over the Frobenius norm of A; 0 for a zero matrix.
    error_kind : {"tail-energy", "hold-out"}
        How the error was found, as in `SVDResult`. For a positive matrix off the exact way,
        "tail-energy" is an upper bound, since the approximation never exceeds A.
    failure_probability : float
        A bound on the probability that the true error is more than twice ``error``: 0 for
        "tail-energy", 2e-6 for each look at a "hold-out".
    residuals : (rank,) array
        ``||A x - eigenvalue x||``: an eigenvalue of A lies within this distance (Weyl). NaN for
        one pass.
    method : {"krylov", "nystrom", "exact"}
        The way that was taken.
    passes : int
        How often A was read from end to end; see `SVDResult`.
    """

    eigenvalues: Any
    eigenvectors: Any
    rank: int
    error: float
    relative_error: float
    error_kind: Literal["tail-energy", "hold-out"]
    failure_probability: float
    residuals: Any
    method: Literal["krylov", "nystrom", "exact"]
    passes: int

    def __iter__(self) -> Iterator[Any]:
        yield from (self.eigenvalues, self.eigenvectors)


def eigh(
    A: ArrayLike,
    rank: SupportsIndex | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    positive: bool = False,
    oversampling: SupportsIndex = 10,
    passes: SupportsIndex | None = None,
    rng: RNGLike = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> EighResult:
    """Leading eigenpairs of a symmetric or Hermitian matrix, by rank or by tolerance.

    The block Krylov iteration of `svd` finds the subspace, and a Rayleigh-Ritz step in it the
    pairs. Positive semidefinite matrices get Nystrom's approximation [1]_ from the same products.
    Where the full decomposition is the cheaper way, that one is computed instead.

    Parameters
    ----------
    A : (n, n) array_like, sparse matrix or operator
        As in `svd`. Of an operator only ``matmat`` or ``matvec`` is used. Both triangles of an
        array are read.
    rank : int, optional
        Number of pairs, 0 to n, those of largest modulus. With a tolerance it is the most that may
        be returned. Without rank and tolerance, all n pairs are computed.
    rtol, atol : float, optional
        Return the least rank with ``||A - X diag(eigenvalues) X^H|| <= max(atol, rtol * ||A||)`` in
        the Frobenius norm.
    positive : bool
        A is positive semidefinite. Then the eigenvalues are not negative, and the approximation
        lies below A in the order of quadratic forms.
    oversampling : int
        The basis has at least this many columns more than `rank`.
    passes : {1}, optional
        1 reads A a single time, by Nystrom's approximation on ``2 rank + oversampling`` random
        columns: for positive matrices, and by rank only. The error is larger, and single residuals
        are not known (NaN).
    rng : int or numpy.random.Generator, optional
        Equal seeds give equal results.
    workers, check_finite
        As in `svd`.

    Returns
    -------
    EighResult
        Iterates as eigenvalues (rank,), eigenvectors (n, rank); carries the error and how it was
        found.

    Raises
    ------
    ValueError
        For NaN or infinity, a matrix that is not square, a rank outside 0 to n, or a tolerance
        that the precision of A cannot resolve. For a matrix that is not Hermitian, or not positive
        where that is claimed, as far as the products that are needed anyway show it: on the exact
        way every entry counts, elsewhere the part that the basis sees.
    TypeError
        For arrays that hold no numbers, and for arrays in GPU memory.

    Notes
    -----
    Costs what `svd` costs; the exact way about ``9 n^3`` operations and ``2 n^2`` numbers of
    memory in double precision. Reproducible as `svd` is.

    References
    ----------
    .. [1] J. A. Tropp, A. Yurtsever, M. Udell, V. Cevher, "Fixed-rank approximation of a
       positive-semidefinite matrix from streaming data", NeurIPS 2017.

    Examples
    --------
    >>> import numpy as np
    >>> import eigenflow as ef
    >>> A = np.array([[0.0, 2.0], [2.0, -3.0]])
    >>> ef.lowrank.eigh(A).eigenvalues.round(6)
    array([-4.,  1.])
    """
    a = as_operand(self_adjoint(A))
    if a.shape[0] != a.shape[1]:
        msg = f"A: got shape {a.shape}, want a square matrix"
        raise ValueError(msg)
    wanted = -1 if rank is None else as_integer(rank, "rank", 0, a.shape[0])
    extra = as_integer(oversampling, "oversampling", 0)
    once = reads_once(
        passes, "a rank, and goes with no tolerance", wants=(rank,), refuses=(rtol, atol)
    )
    if once and not positive:
        msg = "passes: got 1, which wants positive=True (a positive semidefinite matrix)"
        raise ValueError(msg)
    key = key_from(rng)
    plain = as_weights(a.shape, False, None, None)
    require_room(a, None if rank is None else wanted, rtol, atol)
    with single_blas_thread(workers) as count, tolerance_as_atol():
        ensure_bound()
        matrix = a.open(count, plain, check_finite=check_finite, once=once)
        limits = as_tolerances(a, matrix.norm, rtol, atol)
        fields = _core.svd.eigh(
            matrix.core, wanted, *limits, bool(positive), once, extra, key, count
        )
    require_range(fields["eigenvalues"], fields["error"])
    norm, looks = fields.pop("norm"), fields.pop("looks")
    for name in ("eigenvalues", "eigenvectors", "residuals"):
        fields[name] = like(fields[name], A)
    return EighResult(
        **fields,
        relative_error=fields["error"] / norm if norm > 0 else 0.0,
        failure_probability=failure_probability(fields["error_kind"], looks),
    )
