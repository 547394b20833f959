"""From a regression to its dual form and back: units, range of E, order of the times."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigvalsh, qr, svd

from eigenflow._arrays import Array
from eigenflow.flow import _implicit
from eigenflow.flow._coupled import EPS, CoupledPath, CoupledProblem
from eigenflow.flow._krylov import Integrator

Report = Callable[[int, float], None]

# Up to this many samples in the dual form BDF is taken. Measured: against the exponential steps 3.7
# times as fast with 400 samples and 2.2 times with 1500; its factorisations cost n^3 operations.
SMALL = 2000


@dataclass(frozen=True)
class _Units:
    """Powers of two: lengths 2^length, features 2^feature, targets 2^target.

    With (beta, sqrt(lambda), b0) in units of u, y in those of e u^(D+2) and E in those of e, theta
    has the unit u^(D+2), alpha u^-D / e and time u^-(2D+2) / e^2: powers of two, so exact.
    """

    length: int
    feature: int
    depth: int

    @property
    def theta(self) -> int:
        return self.length * (self.depth + 2)

    @property
    def target(self) -> int:
        return self.theta + self.feature

    @property
    def alpha(self) -> int:
        return -self.length * self.depth - self.feature

    @property
    def time(self) -> int:
        return self.alpha - self.target


def integrate(
    problem: CoupledProblem,
    times: Array,
    rtol: float,
    max_steps: int,
    report: Report,
    *,
    compress: bool,
) -> CoupledPath:
    """Follow the flow to times of any order and shape.

    With `compress` the problem, which has a matrix, is first turned by an orthogonal matrix, after
    which P samples are left: theta stays the same, and `alpha` is that of the turned problem.
    """
    scaled, units = _scale(_compressed(problem) if compress else problem)
    order, where = np.unique(times.ravel(), return_inverse=True)
    wanted = np.ldexp(order, -units.time)

    def tell(n_steps: int, time: float) -> None:
        report(n_steps, float(np.ldexp(time, units.time)))

    if scaled.matrix is not None and scaled.y.size <= SMALL:
        turned, basis = _in_range(scaled)
        path = _implicit.follow(turned, wanted, rtol, max_steps, tell)
        alpha = path.alpha
        if basis is not None:  # outside the range of E the residual is y for ever
            outside = scaled.y - basis @ turned.y
            past = np.where(np.isfinite(path.reached), path.reached, 0)
            alpha = alpha @ basis.T + past[:, None] * outside
    else:
        path = Integrator(scaled, rtol).follow(wanted, max_steps, tell)
        alpha = path.alpha
    arrived = path.reached >= wanted
    return replace(
        path,
        theta=np.ldexp(path.theta, units.theta)[where],
        alpha=np.ldexp(alpha, units.alpha)[where],
        reached=np.where(arrived, order, np.ldexp(path.reached, units.time))[where],
        error=path.error[where],
    )


def _scale(problem: CoupledProblem) -> tuple[CoupledProblem, _Units]:
    """The problem in units in which targets and features are about 1."""
    matrix = problem.matrix
    size = 0.0 if matrix is None else float(np.max(np.abs(matrix)))
    # A matrix of a usual size is not copied.
    feature = 0 if 2.0**-20 < size < 2.0**20 else _exponent(size)
    length = round((_exponent(float(np.max(np.abs(problem.y)))) - feature) / (problem.depth + 2))
    units = _Units(length, feature, problem.depth)
    if matrix is not None and feature != 0:
        problem = _with_matrix(problem, np.ldexp(matrix, -feature), problem.y)
    positive = problem.eigenvalues > 0
    # What would underflow to a saddle stays a normal number.
    eigenvalues = np.maximum(np.ldexp(problem.eigenvalues, -2 * length), 1e-290)
    scaled = replace(
        problem,
        y=np.ldexp(problem.y, -units.target),
        eigenvalues=np.where(positive, eigenvalues, 0),
        b0=None if problem.b0 is None else np.ldexp(problem.b0, -length),
    )
    return scaled, units


def _exponent(size: float) -> int:
    return int(np.frexp(size)[1]) if size > 0 else 0


def _compressed(problem: CoupledProblem) -> CoupledProblem:
    """E = Q R: the flow sees R theta and Q^T y only; what of y is outside stays in the residual."""
    matrix = problem.matrix
    assert matrix is not None
    n, p = matrix.shape
    both = np.concatenate([matrix, problem.y[:, None]], axis=1)
    (triangle,) = qr(both, mode="r", overwrite_a=True, check_finite=True)
    kept = np.ascontiguousarray(triangle[: min(n, p)])
    rows, target = np.ascontiguousarray(kept[:, :p]), kept[:, p].copy()
    return _with_matrix(problem, rows, target)


def _in_range(problem: CoupledProblem) -> tuple[CoupledProblem, Array | None]:
    """The problem in an orthonormal basis of the range of E, where that is smaller.

    Outside of it alpha grows without bound and moves nothing; its rounding errors would.
    """
    matrix = problem.matrix
    assert matrix is not None
    squares = eigvalsh(matrix @ matrix.T)
    if squares[0] > 1e-12 * squares[-1]:
        return problem, None
    vectors, sizes, _ = svd(matrix, full_matrices=False)
    rank = max(1, int(np.sum(sizes > max(matrix.shape) * EPS * sizes[0])))
    basis = np.ascontiguousarray(vectors[:, :rank])
    return _with_matrix(problem, basis.T @ matrix, basis.T @ problem.y), basis


def _with_matrix(problem: CoupledProblem, matrix: Array, y: Array) -> CoupledProblem:
    turned = matrix.T
    return replace(
        problem, forward=lambda x: matrix @ x, adjoint=lambda r: turned @ r, y=y, matrix=matrix
    )
