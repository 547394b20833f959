"""The sine-activated low-rank matrix nearest to a given one."""

import contextlib
import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow import _arrays
from eigenflow._arrays import Array
from eigenflow._core import sine as _core
from eigenflow._progress import progress_bar
from eigenflow._threads import resolve_workers
from eigenflow.sine.operator import SineLowRank

_START_PHASES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_TRIAL_ITERATIONS = 30


@dataclass(frozen=True, eq=False)
class SineFit:
    """What `fit` found.

    Attributes
    ----------
    operator : SineLowRank
        The fitted matrix; its factors, frequency and gain are `U`, `V`, `omega`, `gain`.
    U, V : ndarray, shapes (m, rank) and (n, rank)
    omega, gain : float
    relative_error : float
        ``||W - S||_F / ||W||_F``.
    svd_relative_error : float
        The same for the truncated SVD with the same rank, hence the same factors' parameters.
    n_iterations : int
        Steps of L-BFGS, those of the trials included.
    history : ndarray
        Relative error after each step of the last run.
    converged : bool
        Whether L-BFGS stopped by itself.
    """

    operator: SineLowRank
    U: Any
    V: Any
    omega: float
    gain: float
    relative_error: float
    svd_relative_error: float
    n_iterations: int
    history: Array
    converged: bool


def fit(
    W: Any,
    rank: int,
    *,
    omega: float | None = None,
    max_iterations: int = 300,
    tol: float = 1e-9,
    callback: Callable[[int, float], None] | None = None,
    progress: bool = False,
    rng: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> SineFit:
    r"""Fit U, V and the gain so that ``sin(omega U V^T) / gain`` is near W.

    Minimises ``||W - sin(omega U V^T) / gain||_F^2 / 2`` by L-BFGS from the truncated SVD: factors
    scaled so that the largest entry of ``U V^T`` is 1, and the gain for which a small frequency
    gives the truncated SVD itself.

    Parameters
    ----------
    W : array_like, shape (m, n)
        The matrix.
    rank : int
        Number of columns of U and V.
    omega : float, optional
        The frequency, which with this scaling is the largest phase of the start in radians. By
        default short runs at 0.25 to 8 choose it.
    max_iterations : int
        Most steps of L-BFGS of the last run.
    tol : float
        Stop when a step lowers the squared error by less than this share of it.
    callback : callable, optional
        Called as ``callback(iteration, relative_error)`` after each step.
    progress : bool
        Show a tqdm bar.
    rng : int or numpy.random.Generator, optional
        For the SVD.
    workers : int, optional
        Threads.
    check_finite : bool
        Refuse NaN and infinity in W.

    Returns
    -------
    SineFit

    Raises
    ------
    ValueError
        For a rank outside 1 to min(m, n), or W that is zero.

    Notes
    -----
    A step costs about ``m n (3 rank + 40)`` multiply-adds; sines, cosines and residuals are made
    tile by tile, and W is the only array of its size. The problem is not convex: the result is a
    local minimum, at least as good as its start.

    Examples
    --------
    >>> import numpy as np, eigenflow as ef
    >>> rng = np.random.default_rng(0)
    >>> W = np.sin(4 * rng.uniform(-1, 1, (60, 2)) @ rng.uniform(-1, 1, (2, 50)))
    >>> found = ef.sine.fit(W, 2, rng=0)
    >>> found.relative_error < found.svd_relative_error
    True
    """
    A = _arrays.as_float_array(W, "W", ndim=2, check_finite=check_finite)
    try:
        rank = operator.index(rank)
    except TypeError:
        msg = f"rank: got {rank!r}, want an integer"
        raise TypeError(msg) from None
    if not 1 <= rank <= min(A.shape):
        msg = f"rank: got {rank}, want 1 to {min(A.shape)} for a matrix of shape {A.shape}"
        raise ValueError(msg)
    norm = float(np.linalg.norm(A))
    if norm == 0:
        msg = "W: got a zero matrix, want one with entries to fit"
        raise ValueError(msg)
    start, svd_error = _warm_start(A, rank, norm, rng, workers)
    problem = _Problem(A, norm, resolve_workers(workers))
    steps = 0
    if omega is None:
        trials = [problem.descend(start, w, _TRIAL_ITERATIONS, tol, None) for w in _START_PHASES]
        steps = sum(run.n_iterations for run in trials)
        best = min(trials, key=lambda run: run.error)
        start, omega = best.point, best.omega
    else:
        omega = _arrays.finite_number(omega, "omega")
        if omega == 0:
            msg = "omega: got 0, want a frequency other than 0"
            raise ValueError(msg)
    with _reporter(callback, max_iterations, progress=progress) as report:
        run = problem.descend(start, omega, max_iterations, tol, report)
    U, V, gain = problem.unpack(run.point, run.omega)
    op = SineLowRank(U, V, run.omega, gain=gain, rtol=2, workers=workers)
    steps += run.n_iterations
    return SineFit(
        op, U, V, run.omega, gain, run.error, svd_error, steps, run.history, run.converged
    )


def _warm_start(
    A: Array, rank: int, norm: float, rng: Any, workers: int | None
) -> tuple[Array, float]:
    """Balanced factors whose product has the largest entry 1, its size, and the SVD's error."""
    from eigenflow import lowrank

    found = lowrank.svd(A, rank, rng=0 if rng is None else rng, workers=workers)
    root = np.sqrt(found.s)
    U, V = found.U * root, found.Vh.T * root
    product = U @ V.T
    largest = float(np.abs(product).max())
    error = float(np.linalg.norm(A - product)) / norm
    scale = math.sqrt(largest)
    return np.concatenate([(U / scale).ravel(), (V / scale).ravel(), [largest]], dtype=float), error


@dataclass(frozen=True, eq=False)
class _Run:
    point: Array
    omega: float
    error: float
    n_iterations: int
    history: Array
    converged: bool


class _Problem:
    """Half the squared distance, in variables of like size: U, V and ``omega / gain``."""

    def __init__(self, A: Array, norm: float, workers: int) -> None:
        self._A, self._norm, self._workers = A, norm, workers

    def unpack(self, point: Array, omega: float) -> tuple[Array, Array, float]:
        """Return U, V and the gain."""
        m, n = self._A.shape
        k = (len(point) - 1) // (m + n)
        U, V = point[: m * k].reshape(m, k), point[m * k : -1].reshape(n, k)
        amplitude = float(point[-1]) / omega
        smallest = 1e-30
        amplitude = math.copysign(max(abs(amplitude), smallest), amplitude)
        return U.astype(self._A.dtype), V.astype(self._A.dtype), 1 / amplitude

    def _loss(self, point: Array, omega: float) -> tuple[float, Array]:
        U, V, gain = self.unpack(point, omega)
        dU, dV = np.empty_like(U), np.empty_like(V)
        loss, _, dgain = _core.residual_gradients(U, V, self._A, dU, dV, omega, gain, self._workers)
        # gain = omega / point[-1]
        slope = -dgain * gain * gain / omega
        gradient = np.concatenate([dU.ravel(), dV.ravel(), [slope]], dtype=float)
        scale = 1 / self._norm**2
        return scale * loss, scale * gradient

    def descend(
        self,
        start: Array,
        omega: float,
        max_iterations: int,
        tol: float,
        report: Callable[[int, float], None] | None,
    ) -> _Run:
        """Run L-BFGS."""
        from scipy import optimize

        minimize: Any = optimize.minimize
        history: list[float] = []

        def after_step(intermediate_result: Any) -> None:
            history.append(math.sqrt(max(2 * float(intermediate_result.fun), 0.0)))
            if report is not None:
                report(len(history), history[-1])

        options = {"maxiter": max_iterations, "maxcor": 20, "ftol": tol, "gtol": 1e-12}
        found = minimize(
            self._loss,
            start,
            args=(omega,),
            jac=True,
            method="L-BFGS-B",
            callback=after_step,
            options=options,
        )
        error = math.sqrt(max(2 * float(found.fun), 0.0))
        converged = bool(found.success)
        return _Run(found.x, omega, error, int(found.nit), np.array(history), converged)


@contextlib.contextmanager
def _reporter(
    callback: Callable[[int, float], None] | None, total: int, *, progress: bool
) -> Iterator[Callable[[int, float], None] | None]:
    if not progress:
        yield callback
        return
    with progress_bar(total=total, unit=" steps") as bar:

        def report(iteration: int, error: float) -> None:
            bar.set_postfix_str(f"error {error:.4g}")
            bar.update(iteration - bar.n)
            if callback is not None:
                callback(iteration, error)

        yield report
