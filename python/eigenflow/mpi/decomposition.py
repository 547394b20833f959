"""Singular values of a matrix whose rows are spread over ranks."""

import math
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from eigenflow import _core
from eigenflow._arrays import as_float_array
from eigenflow._blas import ensure_bound
from eigenflow._rng import RNGLike, key_from
from eigenflow._threads import single_blas_thread
from eigenflow.lowrank.decomposition import SVDResult
from eigenflow.lowrank.requests import as_integer, failure_probability, tolerance_as_atol
from eigenflow.mpi.communicators import (
    as_communicator,
    on_all_ranks,
    require_one_dtype,
    require_same,
)


def svd(
    A_local: ArrayLike,
    rank: SupportsIndex | None = None,
    *,
    comm: Any = None,
    rtol: float | None = None,
    atol: float | None = None,
    norm: str = "fro",
    oversampling: SupportsIndex = 10,
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
    """
    ranks, (a, wanted, spectral, extra, limits, key) = on_all_ranks(
        comm, lambda: _read(A_local, rank, oversampling, norm, rtol, atol, rng, check_finite)
    )
    require_one_dtype(comm, "A_local", a.dtype)
    require_same(
        comm,
        A_local=(a.shape[1], "as many columns on every rank"),
        rank=(wanted, "the same on every rank"),
        oversampling=(extra, "the same on every rank"),
    )
    as_communicator(comm).bcast(key.view(np.uint8), 0)
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
