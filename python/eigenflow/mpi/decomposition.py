"""Singular values of a matrix whose rows are spread over ranks."""

import math
from dataclasses import replace
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from eigenflow import _core
from eigenflow._arrays import as_float_array, refuse_first
from eigenflow._blas import ensure_bound
from eigenflow._map_reduce import lowrank as pieces
from eigenflow._rng import RNGLike, key_from
from eigenflow._threads import single_blas_thread
from eigenflow.lowrank.decomposition import SVDResult
from eigenflow.lowrank.operands import as_weights
from eigenflow.lowrank.requests import as_integer, failure_probability, tolerance_as_atol
from eigenflow.lowrank.rows import as_result, decompose
from eigenflow.lowrank.sweeps import Request
from eigenflow.mpi.communicators import (
    Communicator,
    as_communicator,
    on_all_ranks,
    require_one_dtype,
    require_same,
)
from eigenflow.mpi.rows import RankRows


def svd(
    A_local: ArrayLike,
    rank: SupportsIndex | None = None,
    *,
    comm: Any = None,
    rtol: float | None = None,
    atol: float | None = None,
    norm: str = "fro",
    oversampling: SupportsIndex = 10,
    power_iterations: SupportsIndex | None = None,
    center: bool = False,
    row_weights_local: ArrayLike | None = None,
    column_weights: ArrayLike | None = None,
    rng: RNGLike = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> SVDResult:
    """Leading singular triplets of a matrix whose rows are spread over ranks.

    The algorithm of `eigenflow.lowrank.svd`: the short side is the same on every rank, and what is
    summed over rows is summed over ranks.

    Parameters
    ----------
    A_local : (m_r, n) array_like
        The rows of this rank, real or complex; m_r may differ from rank to rank, and may be 0.
        Row i of rank r is row ``m_0 + ... + m_{r-1} + i`` of A.
    rank, rtol, atol, norm, oversampling
        As in `eigenflow.lowrank.svd`, the same on every rank.
    comm : communicator, optional
        Of mpi4py, or a `Communicator`. Default: ``MPI.COMM_WORLD``.
    power_iterations : int, optional
        Steps of subspace iteration that make the image of A orthonormal in between, by rank only,
        as in `eigenflow.dask.svd`.
    center, column_weights
        As in `eigenflow.lowrank.svd`, the same on every rank.
    row_weights_local : array_like, optional
        Weights of this rank's rows; on all ranks or on none.
    rng : int or numpy.random.Generator, optional
        That of rank 0 counts.
    workers : int, optional
        Threads of this rank.
    check_finite : bool
        False skips the search for the position of a NaN or infinity; such input is refused anyway.

    Returns
    -------
    SVDResult
        `U` holds the rows of this rank; everything else is the same on every rank.

    Raises
    ------
    ValueError
        For what `eigenflow.lowrank.svd` refuses on any rank, and for different numbers of columns.
    TypeError
        For arrays that hold no numbers, and for different dtypes.
    CommunicationError
        If a message fails.

    Notes
    -----
    Messages: one sum of ``n x 32`` numbers for each sweep over A and a few small matrices; the
    sweeps are those of one process. A matrix with fewer rows than columns goes to every rank
    whole: give the rows of its transpose instead. Results agree with those of one process to a
    small multiple of ``eps ||A||``, and are the same bytes for the same blocks. All ranks must run
    on the same kind of processor, since each takes the same decisions from the same numbers.

    With `power_iterations`, means or weights the sweeps are those of `eigenflow.dask.svd`, on one
    thread a rank: ``A^H (A W)`` in one read, panels centred and weighted as they are read.
    """
    ranks, (steps, (a, wanted, spectral, extra, limits, key)) = on_all_ranks(
        comm,
        lambda: (
            _steps(power_iterations),
            _read(A_local, rank, oversampling, norm, rtol, atol, rng, check_finite),
        ),
    )
    framing = center or None, row_weights_local, column_weights
    names = "center", "row_weights_local", "column_weights"
    framed = {name: x is not None for name, x in zip(names, framing, strict=True)}
    require_one_dtype(comm, "A_local", a.dtype)
    require_same(
        comm,
        A_local=(a.shape[1], "as many columns on every rank"),
        rank=(wanted, "the same on every rank"),
        oversampling=(extra, "the same on every rank"),
        power_iterations=(steps, "the same on every rank"),
        **{name: (int(flag), "it on all ranks or on none") for name, flag in framed.items()},
    )
    as_communicator(comm).bcast(key.view(np.uint8), 0)
    if steps >= 0 or any(framed.values()):
        request = Request(
            rank=None if rank is None else wanted,
            rtol=rtol,
            atol=atol,
            oversampling=extra,
            spectral=spectral,
            residuals=True,
            key=int(key[0]),
        )
        request = _with_steps(request, steps)
        return _by_pieces(as_communicator(comm), a, request, *framing)
    with single_blas_thread(workers) as count, tolerance_as_atol():
        fields = _core.svd.decompose_rows(
            ranks, a, wanted, *limits, spectral, extra, int(key[0]), count
        )
    total, looks = fields.pop("norm"), fields.pop("looks")
    return SVDResult(
        **fields,
        relative_error=fields["error"] / total if total > 0 else 0.0,
        failure_probability=failure_probability(fields["error_kind"], looks),
    )


def _steps(power_iterations: Any) -> int:
    return -1 if power_iterations is None else as_integer(power_iterations, "power_iterations", 0)


def _with_steps(request: Request, steps: int) -> Request:
    """Add steps of subspace iteration, which want a rank; the same on every rank."""
    if steps < 0:
        return request
    if request.rank is None or not request.by_rank:
        msg = f"power_iterations: got {steps}, which wants a rank and goes with no tolerance"
        raise ValueError(msg)
    return replace(request, steps=steps)


def _by_pieces(
    group: Communicator,
    A: Any,
    request: Request,
    center: bool | None,
    row_weights: Any,
    column_weights: Any,
) -> SVDResult:
    """Decompose by the pieces of `eigenflow.dask.svd`, with ranks as the engine."""

    def read() -> tuple[Any, Any]:
        weights = as_weights((1, A.shape[1]), bool(center), None, column_weights)
        return weights, None if row_weights is None else _roots(row_weights, len(A))

    _, (weights, roots) = on_all_ranks(group, read)
    with single_blas_thread(1):
        blocks = (A,) if roots is None else (A, roots[:, None])
        rows = RankRows(group, *blocks)
        squares = np.array([len(A) if roots is None else float(roots @ roots)])
        group.allreduce(squares, "sum")
        if not 0 < squares[0] < math.inf and rows.count:
            msg = f"row_weights_local: got a sum of {squares[0]}, want a positive finite one"
            raise ValueError(msg)
        mean = None
        if weights.center and rows.count:
            found = rows.reduce(pieces.means, pieces.add, math.sqrt(squares[0]))
            if found.refused is not None:
                position, value = found.refused
                msg = f"A: got {value} at position {position}, want finite values"
                raise ValueError(msg)
            mean = found.product[:, 0]
        columns = weights.col_factors if weights.col_factors.size else None
        frame = pieces.Frame(mean, columns, roots is not None)
        framed = pieces.FramedRows(rows, frame) if weights or roots is not None else rows
        shape = (rows.count, A.shape[1])
        found = decompose(framed, shape, A.dtype, request)
        return as_result(found, framed, A.dtype, mean)


def _roots(weights: Any, rows: int) -> Any:
    given = as_float_array(weights, "row_weights_local", ndim=1, dtype=np.float64)
    if given.size != rows:
        msg = f"row_weights_local: got {given.size} weights, want {rows}, one for each row"
        raise ValueError(msg)
    refuse_first(given < 0, given, "row_weights_local", "weights >= 0")
    return np.sqrt(given)


def _read(
    A_local: ArrayLike,
    rank: SupportsIndex | None,
    oversampling: SupportsIndex,
    norm: str,
    rtol: float | None,
    atol: float | None,
    rng: RNGLike,
    check_finite: bool,
) -> tuple[Any, int, bool, int, tuple[float, float], Any]:
    a = as_float_array(A_local, "A_local", ndim=2, check_finite=check_finite, allow_complex=True)
    wanted = -1 if rank is None else as_integer(rank, "rank", 0)
    if norm not in ("fro", "spectral"):
        msg = f"norm: got {norm!r}, want 'fro' or 'spectral'"
        raise ValueError(msg)
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            msg = f"{name}: got {value!r}, want a finite number >= 0"
            raise ValueError(msg)
    limits = (-1.0 if atol is None else float(atol), -1.0 if rtol is None else float(rtol))
    extra = as_integer(oversampling, "oversampling", 0)
    key = np.array([key_from(rng)], np.uint64)
    ensure_bound()
    return a, wanted, norm == "spectral", extra, limits, key
