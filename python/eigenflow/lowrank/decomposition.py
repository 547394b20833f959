"""The leading singular triplets of a matrix, with an error that can be trusted."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex

from numpy.typing import ArrayLike

from eigenflow import _core
from eigenflow._arrays import is_dask, kind_of, like, on_host
from eigenflow._blas import ensure_bound
from eigenflow._rng import RNGLike, key_from
from eigenflow._threads import single_blas_thread
from eigenflow.lowrank.operands import as_operand, as_weights
from eigenflow.lowrank.requests import (
    as_integer,
    as_tolerances,
    failure_probability,
    reads_once,
    require_room,
    tolerance_as_atol,
)


@dataclass(frozen=True, eq=False)
class SVDResult:
    """A truncated singular value decomposition; iterating it yields U, s, Vh.

    Attributes
    ----------
    U : (m, rank) array
        Orthonormal left vectors, in Fortran order.
    s : (rank,) array
        Singular values in descending order.
    Vh : (rank, n) array
        Orthonormal right vectors as rows. In each row the entry of largest modulus is real and
        positive (the first one on ties), which fixes the signs.
    rank : int
        The number of triplets.
    error : float
        The norm of ``A - U @ diag(s) @ Vh``: Frobenius, or spectral when that was asked.
    relative_error : float
        ``error`` over the same norm of A; 0 for a zero matrix.
    error_kind : {"tail-energy", "hold-out", "leave-one-out", "next-value", "power-bound"}
        How the error was found. "tail-energy": from the energy that the triplets leave,
        ``||A||^2 - sum(s^2)`` (with all values known: the sum of the discarded squares), in double
        precision. "hold-out": from products of the residual with 32 Gaussian vectors that the
        basis was not made of; this estimate is unbiased for the squared error. It is used where
        the energy is below rounding, and for operators, whose norm is not known.
        "leave-one-out": for operators with ``power_iterations=0``, from the sketch itself, each of
        its columns against the others (Epperly and Tropp, arXiv:2207.06342). In the spectral norm:
        "next-value", the first discarded singular value, where all of them are known; else
        "power-bound", an upper bound from power steps on 10 Gaussian vectors (Halko, Martinsson
        and Tropp 2011, lemma 4.1), at most ``(8 sqrt(min(m, n)))^(1/9)`` times the truth but for
        unlikely draws.
    failure_probability : float
        A bound on the probability that the true error is more than twice ``error``: 0 for
        "tail-energy" and "next-value", 2e-6 for each look at a "hold-out", 1e-10 for each
        "power-bound" (there: that the true error is more than ``error`` at all); NaN for
        "leave-one-out", for which no bound is known.
    residuals : (rank,) array
        ``sqrt((||A v - s u||^2 + ||A^H u - s v||^2) / 2)`` for each triplet: a singular value of A
        lies within this distance of s (Weyl).
    method : {"krylov", "subspace", "exact", "one-pass"}
        The way that was taken.
    passes : int
        How often A was read from end to end: for a product with A, with its adjoint, or for both
        at once, which arrays and files allow. The reads that find means and norm are not counted
        (with ``passes=1`` and a file there are none), nor the one vector by which the scale of an
        operator is found.
    mean : (n,) array or None
        The means of the columns where they were taken out (``center=True``), in double precision.
    """

    U: Any
    s: Any
    Vh: Any
    rank: int
    error: float
    relative_error: float
    error_kind: Literal["tail-energy", "hold-out", "leave-one-out", "next-value", "power-bound"]
    failure_probability: float
    residuals: Any
    method: Literal["krylov", "subspace", "exact", "one-pass"]
    passes: int
    mean: Any = None

    def __iter__(self) -> Iterator[Any]:
        yield from (self.U, self.s, self.Vh)


def svd(
    A: ArrayLike,
    rank: SupportsIndex | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    norm: str = "fro",
    oversampling: SupportsIndex = 10,
    power_iterations: SupportsIndex | None = None,
    passes: SupportsIndex | None = None,
    center: bool = False,
    row_weights: ArrayLike | None = None,
    column_weights: ArrayLike | None = None,
    rng: RNGLike = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> SVDResult:
    """Leading singular triplets of a matrix, by rank or by tolerance.

    By default a block Krylov iteration finds them: it multiplies small blocks by A and its
    transpose, and stops when the leading singular values have stopped moving. Where the full
    decomposition is the cheaper way (a small side below a few hundred, or a rank near it) that one
    is computed instead.

    Parameters
    ----------
    A : (m, n) array_like, sparse matrix or operator
        Real or complex: NumPy (C and Fortran order are read in place), CPU tensor with DLPack,
        lists; ``numpy.memmap``, read from the file in blocks of rows and never copied to memory;
        CuPy, of which centring and weights form a copy on the device; Dask arrays (U is lazy:
        `eigenflow.dask.svd`); scipy.sparse;
        ``scipy.sparse.linalg.LinearOperator`` or any object with ``shape``,
        ``dtype`` and ``matmat``, ``rmatmat`` (or ``matvec``, ``rmatvec``). Single precision stays
        single; everything else is computed in double.
    rank : int, optional
        Number of triplets, 0 to min(m, n). With a tolerance it is the most that may be returned.
        Without rank and tolerance, all min(m, n) triplets are computed.
    rtol, atol : float, optional
        Return the least rank with ``||A - U diag(s) Vh|| <= max(atol, rtol * ||A||)``. In the
        spectral norm a bound on the error, not an estimate, is held to this.
    norm : {"fro", "spectral"}
        The norm of `rtol`, `atol` and of the reported error.
    oversampling : int
        The basis has at least this many columns more than `rank`.
    power_iterations : int, optional
        None: block Krylov with early stop. An integer q >= 0 asks for the classical randomized SVD
        with exactly q steps of subspace iteration and ``rank + oversampling`` columns; with a
        tolerance the columns double until it is met.
    passes : {1}, optional
        1 reads A a single time, for streams and files too large to read again: sketches of the
        range, the co-range and a core with ``2 rank + oversampling`` columns [3]_. (Operators and
        CuPy arrays: once for a product with A, and once for one with its adjoint.) By rank and in
        the Frobenius norm only; the error is larger, and single residuals are not known (NaN).
        Of a Dask array any number of reads, as `eigenflow.dask.svd` explains.
    center : bool
        Decompose ``A - 1 mean`` with the means of the columns, which the result carries; nothing
        that is not sparse is formed.
    row_weights, column_weights : array_like, optional
        Non-negative weights: decompose ``diag(sqrt(row_weights)) (A - 1 mean)
        diag(sqrt(column_weights))``, whose Frobenius error is the weighted one. The means are the
        weighted ones of the rows.
    rng : int or numpy.random.Generator, optional
        Equal seeds give equal results.
    workers : int, optional
        Threads of the products with A. BLAS, which does the small rest, is limited to one for the
        whole process while the call runs. On the exact way, where LAPACK does most of the work, it
        has as many as the products for a small side of 512 or more.
    check_finite : bool
        False skips the search for the position of a NaN or infinity; such input is refused anyway.

    Returns
    -------
    SVDResult
        Iterates as U (m, rank), s (rank,), Vh (rank, n); carries the error and how it was found.

    Raises
    ------
    ValueError
        For NaN or infinity, a rank outside 0 to min(m, n), or a tolerance that the precision of A
        cannot resolve (below ``8 eps sqrt(min(m, n)) ||A||_F``).
    TypeError
        For arrays that hold no numbers.
    MemoryError
        If the singular vectors cannot fit; said before anything is computed.

    Notes
    -----
    The Krylov way costs about ``4 m n d`` operations with a basis of d columns, typically 1.4 rank
    + 100, and ``(m + n) d`` numbers of memory; the exact way costs about ``10 m n min(m, n)``. By
    rank, the basis grows until the leading values lack 2e-5 of the squared error at most, by a
    second-order bound: the error is the least possible one but for 1e-5 of it, 2e-5 in nearly flat
    spectra. In single precision the rounding of the products hides values below 3e-3 of the first:
    where the rank reaches such values, two steps of subspace iteration follow (four more reads),
    which find values down to 1e-5 of the first. With a tolerance such a matrix goes the exact way,
    or gets a few ranks more than the least. Of a mapped file they do not follow: convert it to
    double.
    Results are the same bytes for one BLAS build and any `workers` (on the exact way with a small
    side of 512 or more: for one number of `workers`); otherwise they agree within a small multiple
    of ``eps ||A||``. Of a mapped file, neither the matrix nor its
    image on the basis is kept: the memory is that of the results, and the image is computed again
    at the end (two more reads). A single LAPACK factorisation cannot be
    interrupted: on the exact way Ctrl-C may wait for it.

    References
    ----------
    .. [1] N. Halko, P.-G. Martinsson, J. A. Tropp, "Finding structure with randomness", SIAM
       Review 53 (2011).
    .. [2] C. Musco, C. Musco, "Randomized block Krylov methods for stronger and faster approximate
       singular value decomposition", NeurIPS 2015.
    .. [3] J. A. Tropp, A. Yurtsever, M. Udell, V. Cevher, "Streaming low-rank matrix approximation
       with an application to scientific simulation", SIAM Journal on Scientific Computing 41
       (2019).

    Examples
    --------
    >>> import numpy as np
    >>> import eigenflow as ef
    >>> A = np.outer(np.arange(1.0, 4.0), [3.0, 4.0])
    >>> U, s, Vh = ef.lowrank.svd(A, rank=1)
    >>> s.round(6)
    array([18.708287])
    >>> ef.lowrank.svd(A, rtol=1e-6).rank
    1
    """
    if is_dask(A):
        from eigenflow import dask

        return dask.svd(
            A, rank, rtol=rtol, atol=atol, norm=norm, oversampling=oversampling,
            power_iterations=power_iterations, passes=passes, center=center,
            row_weights=row_weights, column_weights=column_weights, rng=rng,
        )  # fmt: skip
    on_device = kind_of(A) == "cupy"
    a: Any = _device_operand(A, check_finite) if on_device else as_operand(A)
    wanted = -1 if rank is None else as_integer(rank, "rank", 0, min(a.shape))
    if norm not in ("fro", "spectral"):
        msg = f"norm: got {norm!r}, want 'fro' or 'spectral'"
        raise ValueError(msg)
    spectral = norm == "spectral"
    extra = as_integer(oversampling, "oversampling", 0)
    steps = -1 if power_iterations is None else as_integer(power_iterations, "power_iterations", 0)
    weights = as_weights(a.shape, center, on_host(row_weights), on_host(column_weights))
    usual_norm = True if norm == "fro" else None
    once = reads_once(
        passes,
        "a rank and the Frobenius norm, and goes with no tolerance and no power_iterations",
        wants=(rank, usual_norm),
        refuses=(rtol, atol, power_iterations),
    )
    key = key_from(rng)
    if on_device:
        mean = a.weighted(weights)
        limits = as_tolerances(a, _least_norm(a.norm, a.shape, spectral=spectral), rtol, atol)
        options = {"spectral": spectral, "once": once}
        return _result(a.decompose(wanted, *limits, extra, steps, key, **options), A, mean)
    require_room(a, None if rank is None else wanted, rtol, atol)
    with single_blas_thread(workers) as count, tolerance_as_atol():
        ensure_bound()
        matrix = a.open(count, weights, check_finite=check_finite, once=once)
        least = _least_norm(matrix.norm, a.shape, spectral=spectral)
        absolute, relative = as_tolerances(a, least, rtol, atol)
        fields = _core.svd.decompose(
            matrix.core, wanted, absolute, relative, spectral, once, extra, steps, key, count
        )
    require_range(fields["s"], fields["error"])
    return _result(fields, A, matrix.mean)


def range_finder(
    A: ArrayLike,
    size: SupportsIndex,
    *,
    power_iterations: SupportsIndex | None = None,
    rng: RNGLike = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Orthonormal columns that span most of the column space of a matrix.

    Subspace iteration: Q = orth((A A^T)^q A G) with a Gaussian matrix G, orthonormalised at each
    half step (Halko, Martinsson and Tropp 2011, algorithm 4.4).

    Parameters
    ----------
    A : (m, n) array_like, sparse matrix or operator
        As in `svd`.
    size : int
        Number of columns, 0 to min(m, n).
    power_iterations : int, optional
        The number of steps q; None is 2.
    rng : int or numpy.random.Generator, optional
        Equal seeds give equal results.
    workers, check_finite
        As in `svd`.

    Returns
    -------
    (m, size) array
        Q, in Fortran order. The cost is ``2 (2 q + 1) m n size`` operations.

    Raises
    ------
    ValueError
        For NaN or infinity, or a size outside 0 to min(m, n).
    TypeError
        For arrays that hold no numbers, and for arrays in GPU memory.

    Examples
    --------
    >>> import numpy as np
    >>> import eigenflow as ef
    >>> A = np.outer(np.arange(1.0, 4.0), [3.0, 4.0])
    >>> Q = ef.lowrank.range_finder(A, 1)
    >>> bool(np.allclose(Q @ (Q.T @ A), A))
    True
    """
    a = as_operand(A)
    columns = as_integer(size, "size", 0, min(a.shape))
    steps = 2 if power_iterations is None else as_integer(power_iterations, "power_iterations", 0)
    key = key_from(rng)
    require_room(a, columns)
    with single_blas_thread(workers) as count:
        ensure_bound()
        plain = as_weights(a.shape, False, None, None)
        matrix = a.open(count, plain, check_finite=check_finite, once=False)
        return like(_core.svd.range_finder(matrix.core, columns, steps, key, count), A)


def _device_operand(A: Any, check_finite: bool) -> Any:
    from eigenflow._gpu.lowrank import Operand

    return Operand(A, check_finite=check_finite)


def _least_norm(norm: float, shape: tuple[int, int], *, spectral: bool) -> float:
    """Return the Frobenius norm, or what the spectral one is at least.

    The sum of the squared singular values is at most min(m, n) times the first.
    """
    return norm / math.sqrt(max(1, min(shape))) if spectral else norm


def require_range(values: Any, error: float) -> None:
    """Refuse a result that overflowed: finite numbers may have a larger singular value."""
    if (len(values) and not math.isfinite(abs(values[0]))) or not math.isfinite(error):
        msg = f"A: got numbers whose norm is beyond {values.dtype}, want them scaled down"
        raise ValueError(msg)


def _result(fields: dict[str, Any], original: Any, mean: Any) -> SVDResult:
    norm, looks = fields.pop("norm"), fields.pop("looks")
    for name in ("U", "s", "Vh", "residuals"):
        fields[name] = like(fields[name], original)
    return SVDResult(
        **fields,
        mean=None if mean is None or mean.size == 0 else like(mean, original),
        relative_error=fields["error"] / norm if norm > 0 else 0.0,
        failure_probability=failure_probability(fields["error_kind"], looks),
    )
