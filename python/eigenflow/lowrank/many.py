"""Decompositions of many matrices in one call."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, SupportsIndex

import numpy as np

from eigenflow._progress import progress_bar
from eigenflow._rng import RNGLike, key_from
from eigenflow._threads import single_blas_thread
from eigenflow.lowrank.decomposition import SVDResult, svd
from eigenflow.lowrank.operands import is_mapped


def svd_many(
    matrices: Sequence[Any],
    ranks: SupportsIndex | Sequence[SupportsIndex | None] | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    norm: str = "fro",
    oversampling: SupportsIndex = 10,
    power_iterations: SupportsIndex | None = None,
    progress: bool = False,
    rng: RNGLike = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> list[SVDResult]:
    """Leading singular triplets of each of several matrices, of any sizes and kinds.

    Parameters
    ----------
    matrices : sequence
        Each one is what `svd` takes: the layers of a network, for example.
    ranks : int or sequence, optional
        One rank for all matrices, at most the smaller side of each counts; or one for each, None
        where the tolerance alone decides.
    rtol, atol, norm, oversampling, power_iterations
        As in `svd`, for every matrix.
    progress : bool
        Show a bar (needs tqdm).
    rng : int or numpy.random.Generator, optional
        Each matrix draws its own numbers: a result does not depend on the sizes of the others.
    workers, check_finite
        As in `svd`.

    Returns
    -------
    list of SVDResult
        In the order of the matrices.

    Raises
    ------
    ValueError, TypeError
        As `svd`; the message starts with the position of the matrix.

    Notes
    -----
    Files, operators and arrays that are a large part of the whole are decomposed one after the
    other, each by all workers; then the other arrays, the largest first, each by one worker. The
    results are those of `svd` in either case. An error or Ctrl-C waits for the matrices that are
    being decomposed.

    Examples
    --------
    >>> import numpy as np
    >>> import eigenflow as ef
    >>> layers = [np.diag([3.0, 2.0, 1.0]), np.ones((4, 6))]
    >>> [result.rank for result in ef.lowrank.svd_many(layers, rtol=0.1)]
    [3, 1]
    """
    matrices = list(matrices)
    wanted = _ranks(matrices, ranks)
    seeds = np.random.default_rng(key_from(rng)).integers(0, 2**63, len(matrices))

    def decompose(i: int, threads: int) -> SVDResult:
        try:
            return svd(
                matrices[i],
                wanted[i],
                rtol=rtol,
                atol=atol,
                norm=norm,
                oversampling=oversampling,
                power_iterations=power_iterations,
                rng=int(seeds[i]),
                workers=threads,
                check_finite=check_finite,
            )
        except (TypeError, ValueError) as error:
            msg = f"matrices[{i}]: {error}"
            raise type(error)(msg) from error

    return _run(decompose, matrices, workers, progress=progress)


def _run(
    decompose: Callable[[int, int], SVDResult],
    matrices: list[Any],
    workers: int | None,
    *,
    progress: bool,
) -> list[SVDResult]:
    results: dict[int, SVDResult] = {}
    with single_blas_thread(workers) as count, _bar(len(matrices), progress=progress) as step:
        one_each = _for_one_worker(matrices, count)
        for i in sorted(set(range(len(matrices))) - set(one_each)):
            results[i] = decompose(i, count)
            step()
        pool = ThreadPoolExecutor(count)
        try:
            running = {i: pool.submit(decompose, i, 1) for i in one_each}
            for i, future in running.items():
                results[i] = future.result()
                step()
        finally:
            pool.shutdown(cancel_futures=True)
    return [results[i] for i in range(len(matrices))]


def _for_one_worker(matrices: list[Any], workers: int) -> list[int]:
    """Choose the matrices that get one worker each, the largest first.

    Those are arrays in memory that take one thread less than about a second, each of them a small
    part of the whole: else the last one would keep the other workers waiting.
    """
    work = {i: _work(matrix) for i, matrix in enumerate(matrices)}
    part = sum(w for w in work.values() if w < np.inf) / (4 * workers)
    chosen = [i for i, w in work.items() if w <= min(5e10, max(part, 5e8))]
    return sorted(chosen, key=lambda i: -work[i])


def _work(matrix: Any) -> float:
    """Return about how many operations a matrix takes; infinity for what is no array in memory."""
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or is_mapped(matrix):
        return np.inf
    return float(matrix.size * min(matrix.shape))


def _ranks(matrices: list[Any], ranks: Any) -> list[SupportsIndex | None]:
    if ranks is None:
        return [None] * len(matrices)
    if isinstance(ranks, Iterable):
        each = list(ranks)
        if len(each) != len(matrices):
            msg = f"ranks: got {len(each)} for {len(matrices)} matrices, want one for each"
            raise ValueError(msg)
        return each
    return [_at_most(ranks, matrix) for matrix in matrices]


def _at_most(rank: SupportsIndex, matrix: Any) -> SupportsIndex:
    """Cut one rank for all to what a matrix has; `svd` says what is wrong with anything else."""
    try:
        shape = np.shape(matrix) if not hasattr(matrix, "shape") else tuple(matrix.shape)
        return min(rank.__index__(), *shape) if len(shape) == 2 else rank
    except (AttributeError, ValueError):  # no integer, no rectangular matrix
        return rank


@contextlib.contextmanager
def _bar(total: int, *, progress: bool) -> Iterator[Callable[[], object]]:
    """Yield what to call after each matrix."""
    if not progress:
        yield lambda: None
        return
    with progress_bar(total=total, desc="svd", unit="matrix") as bar:
        yield bar.update
