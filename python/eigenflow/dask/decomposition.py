"""The leading singular triplets of a Dask array."""

import os
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any, SupportsIndex

from dask.utils import format_bytes
from numpy.typing import ArrayLike

from eigenflow._arrays import float_dtype
from eigenflow._map_reduce import lowrank as pieces
from eigenflow._map_reduce.engine import Rows
from eigenflow._map_reduce.tree import FAN_IN
from eigenflow._rng import RNGLike, key_from
from eigenflow._threads import single_blas_thread
from eigenflow.dask.arrays import as_dask, whole_rows
from eigenflow.dask.checkpoint import Checkpoint
from eigenflow.dask.frame import in_frame
from eigenflow.dask.memory import Need
from eigenflow.dask.running import Runner, bar
from eigenflow.lowrank.decomposition import SVDResult
from eigenflow.lowrank.requests import as_integer, as_tolerances
from eigenflow.lowrank.rows import Found, as_result, decompose
from eigenflow.lowrank.sweeps import Request, Sweeps, krylov_width


def svd(
    A: Any,
    rank: SupportsIndex | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    norm: str = "fro",
    oversampling: SupportsIndex = 10,
    power_iterations: SupportsIndex | None = None,
    passes: SupportsIndex | None = None,
    method: str = "auto",
    center: bool = False,
    row_weights: Any = None,
    column_weights: ArrayLike | None = None,
    residuals: bool = False,
    client: Any = None,
    max_memory: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
    rng: RNGLike = None,
) -> SVDResult:
    """Leading singular triplets of a Dask array, by rank or by tolerance, in few reads of it.

    Each read of A is one task a block and a tree of sums: ``A^H (A W)`` for a block Krylov
    iteration whose basis of the short side is kept, all of it, and at the end the triangular factor
    of ``A V``. With a small short side, the triangular factor of A itself takes a single read.

    Parameters
    ----------
    A : (m, n) dask.array.Array
        Real or complex, with blocks of whole rows; the long side should be m. An array that is cut
        along both axes is cut anew for each read, which moves it between workers: `rechunk` and
        persist it where that is too slow. Ragged and empty blocks are fine.
    rank, rtol, atol, norm, oversampling, rng
        As in `eigenflow.lowrank.svd`. A tolerance or error in the spectral norm that is below 1e-8
        of the first value wants ``method="exact"``: a bound from sweeps ends there.
    power_iterations : int, optional
        For a matrix in the memory of the workers: steps of subspace iteration that make the image
        of A orthonormal before they multiply by its adjoint, so that directions down to 1e-13 of
        the first value are seen. Two or three reads a step instead of one; by rank only.
    passes : int, optional
        Reads of A: with 3, two sweeps and the final factor. More than one goes with a rank only.
        None: enough sweeps for the leading values to stop moving (a few), or for the tolerance.
    method : {"auto", "krylov", "exact"}
        "exact" is the factor of A: n^2 numbers for each block. "auto" takes it where n is a few
        hundred, or the rank near n.
    center, row_weights, column_weights
        As in `eigenflow.lowrank.svd`; `row_weights` may be a Dask array. Panels of a block are
        centred and weighted as they are read. The means are one more read, which is not counted.
    residuals : bool
        Compute those of each triplet too, by one more read; else they are NaN.
    client : distributed.Client, optional
        Where to compute. Default: the active client, else Dask's local scheduler.
    max_memory : float or str, optional
        Bytes that one task may use, such as ``"2 GB"``. Default: a worker's memory limit over its
        threads.
    checkpoint : path, optional
        An ``.npz`` file that holds the state after each read. If it is there when the call starts,
        the work goes on from it, with the random numbers of the first call; it is removed at the
        end. Whether the data are the same is not looked at.
    progress : bool
        Show a bar of the reads.

    Returns
    -------
    SVDResult
        s and Vh are NumPy arrays. U is lazy, with the row blocks of A: it is ``A @ V / s``, one
        more read when it is wanted. Its columns are orthonormal to about ``eps s[0] / s[j]``, and
        zero where s is rounding (below ``8 eps s[0]`` in double precision).

    Raises
    ------
    ValueError
        For NaN or infinity, with the position of the first one; for arguments out of range.
    MemoryError
        If a block does not fit; the message names a chunk size that does.
    WorkersLost
        If all workers are gone for 20 seconds.

    Notes
    -----
    All sums are in double precision, also for single-precision A, and directions down to 1e-8 of
    the first value are seen. For one list of blocks, one version of the libraries and one seed the
    result is the same bytes for any number of workers, lost workers included. A block is read once
    a pass; a task holds the block, four panels of 8 MiB and about twelve arrays of n x (rank +
    oversampling). W travels through the client: n x (rank + oversampling) numbers each pass.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> import eigenflow as ef
    >>> A = da.from_array(np.outer(np.arange(1.0, 7.0), [3.0, 4.0]), chunks=(2, 2))
    >>> U, s, Vh = ef.dask.svd(A, rank=1)
    >>> s.round(6), U.chunks
    (array([47.696960...]), ((2, 2, 2), (1,)))
    """
    given = as_dask(A, "A", 2)
    request = _request(given, rank, rtol, atol, oversampling, passes, method, residuals, rng)
    request = _more(request, norm, power_iterations, checkpoint)
    matrix = whole_rows(given)
    run = Runner(client, max_memory)
    with single_blas_thread(1):
        run.require_memory(_need(matrix, _columns(matrix.shape, request)))
        rows, mean, framed = in_frame(run, matrix, center, row_weights, column_weights)
        job = {**_job(matrix, request), **framed}
        found = _with_checkpoint(rows, matrix, request, checkpoint, job, progress)
    return as_result(found, rows, float_dtype(matrix, "A", allow_complex=True), mean)


def _more(request: Request, norm: str, power_iterations: Any, checkpoint: Any) -> Request:
    """Add what goes with some requests only."""
    if norm not in ("fro", "spectral"):
        msg = f"norm: got {norm!r}, want 'fro' or 'spectral'"
        raise ValueError(msg)
    spectral = replace(request, spectral=norm == "spectral")
    if power_iterations is None:
        return spectral
    steps = as_integer(power_iterations, "power_iterations", 0)
    usual = request.passes is None and request.method == "auto" and checkpoint is None
    if not (request.rank is not None and request.by_rank and usual):
        msg = (
            f"power_iterations: got {steps}, which wants a rank and goes with no tolerance, "
            "passes, method or checkpoint"
        )
        raise ValueError(msg)
    return replace(spectral, steps=steps)


def _request(
    A: Any,
    rank: Any,
    rtol: Any,
    atol: Any,
    oversampling: Any,
    passes: Any,
    method: str,
    residuals: bool,
    rng: RNGLike,
) -> Request:
    if method not in ("auto", "krylov", "exact"):
        msg = f"method: got {method!r}, want 'auto', 'krylov' or 'exact'"
        raise ValueError(msg)
    reads = None if passes is None else as_integer(passes, "passes", 1)
    if reads is not None and reads > 1 and (rank is None or rtol is not None or atol is not None):
        msg = f"passes: got {reads}, which wants a rank and goes with no tolerance"
        raise ValueError(msg)
    if reads == 1 and method == "krylov":
        msg = "passes: got 1 with method='krylov', want 2 or more"
        raise ValueError(msg)
    # Sums are in double precision, and so is what a tolerance can ask for; the norm is not known.
    wide = SimpleNamespace(shape=A.shape, dtype=pieces.wide_dtype(A.dtype))
    as_tolerances(wide, -1.0, rtol, atol)
    return Request(
        rank=None if rank is None else as_integer(rank, "rank", 0, min(A.shape)),
        rtol=rtol,
        atol=atol,
        oversampling=as_integer(oversampling, "oversampling", 0),
        passes=reads,
        method=method,
        residuals=bool(residuals),
        key=key_from(rng),
    )


def _need(A: Any, columns: int) -> Need:
    """Count a block, four panels of it, and products of so many columns in a group of tasks.

    A panel is copied when it is made double, scaled, put below a factor, and factored.
    """
    n, tallest = A.shape[1], max(A.chunks[0])
    wide = pieces.wide_dtype(A.dtype).itemsize
    return Need(
        "A",
        tallest if n else 0,
        "rows",
        n * A.dtype.itemsize,
        (FAN_IN + 4) * n * columns * wide,
        (4 * n * wide, 4 * pieces.PANEL),
        shape=f"{tallest} x {n} ({format_bytes(tallest * n * A.dtype.itemsize)})",
        made=f"products of {columns} columns",
        rechunk="A.rechunk({0: %d, 1: -1})",
        other=", or a smaller rank",
    )


def _columns(shape: tuple[int, int], request: Request) -> int:
    width = krylov_width(shape, request)
    return min(shape[1], (request.passes or 5) * width)


def _with_checkpoint(
    rows: Rows, A: Any, request: Request, path: Any, job: dict[str, Any], progress: bool
) -> Found:
    state, saved = None, None
    if path is not None:
        saved = Checkpoint(path, job)
        loaded = saved.load()
        if loaded is not None:
            request = replace(request, key=loaded[0])
            state = loaded[1]
    with bar(progress, request.passes, " reads") as show:

        def after_pass(sweeps: Sweeps) -> None:
            if saved is not None:
                saved.save(sweeps.state(), request.key)
            show(sweeps.passes)

        dtype = float_dtype(A, "A", allow_complex=True)
        found = decompose(rows, A.shape, dtype, request, after_pass, state)
        show(found.passes)
    if saved is not None:
        saved.remove()
    return found


def _job(A: Any, request: Request) -> dict[str, Any]:
    wanted = asdict(request)
    del wanted["key"]
    blocks = list(map(int, A.chunks[0]))
    wide = str(pieces.wide_dtype(A.dtype))
    return {"shape": list(A.shape), "dtype": str(A.dtype), "wide": wide, "blocks": blocks, **wanted}
