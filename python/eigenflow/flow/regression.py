"""Regression by over-parameterised gradient flow: a design matrix couples the coordinates."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from eigenflow._arrays import Array, as_float_array, like
from eigenflow._flow_problem import as_times, flow_problem, host_only, require_known
from eigenflow._threads import blas_limit
from eigenflow.flow._coupled import CoupledPath, CoupledProblem
from eigenflow.flow._dual import SMALL, Report, integrate
from eigenflow.flow._features import FeatureMap, as_feature_map
from eigenflow.flow.designs import OrthogonalDesign
from eigenflow.flow.path import Coupling, learned_eigenvalues, solve

__all__ = ["FlowFit", "FlowWarning", "fit"]

Method = Literal["auto", "orthogonal", "dual", "primal"]
_LARGEST_MATRIX = 2**25  # numbers, 256 MiB
_METHODS = ("auto", "orthogonal", "dual", "primal")


class FlowWarning(RuntimeWarning):
    """The flow was not followed to all the times that were asked for."""


@dataclass(frozen=True, eq=False)
class FlowFit:
    """The flow of a regression at given times.

    Attributes
    ----------
    times : ndarray
        As given.
    coefficients : ndarray
        theta, of shape times.shape + (P,).
    fitted_values : ndarray
        E theta, of shape times.shape + y.shape.
    residual_norm : ndarray
        Euclidean norm of y - E theta, of shape times.shape.
    learned_eigenvalues : ndarray
        (a b^depth)^2, of shape times.shape + (P,).
    dual : ndarray or None
        With method "dual", alpha of shape times.shape + (n,): the integral of y - E theta over
        time. It determines theta, by the link function at E^T alpha / n.
    method : str
        "orthogonal", "dual" or "primal".
    n_steps : int
        Steps of the integrator; 0 for "orthogonal".
    error_estimate : ndarray
        Estimated relative error of the vector of coefficients, of shape times.shape: the steps' own
        errors, which the flow damps as it goes on, doubled, and half of `rtol`. In tests it is
        above the error, and below 6 `rtol`; with the exponential steps, which estimate the error of
        an order below theirs, below 200 `rtol`. An estimate, not a bound. 0 for "orthogonal":
        rounding only.
    reached : ndarray
        The time whose state is given for each wanted time; less than it only where the integrator
        stopped early.
    converged : bool
        Whether all times were reached.
    """

    times: Array
    coefficients: Array
    fitted_values: Array
    residual_norm: Array
    learned_eigenvalues: Array
    dual: Array | None
    method: str
    n_steps: int
    error_estimate: Array
    reached: Array
    converged: bool

    def predict(self, features: Any, *, workers: int | None = None) -> Array:
        """Predictions E theta for other samples of the same features.

        Parameters
        ----------
        features : array_like, sparse matrix, LinearOperator or design
            m samples by P features.
        workers : int, optional
            Limits BLAS and scipy.fft while it runs.

        Returns
        -------
        ndarray
            Of shape times.shape + (m,).
        """
        p = self.coefficients.shape[-1]
        made = as_feature_map(features, n_samples=None, n_features=None, workers=workers)
        if made.n_features != p:
            msg = f"features: got {made.n_features} columns, want {p}"
            raise ValueError(msg)
        with blas_limit(workers):
            values = made.predict(np.asarray(self.coefficients, np.float64))
        return values.astype(np.result_type(self.coefficients.dtype, made.dtype))


def fit(
    features: Any,
    y: Any,
    eigenvalues: Any,
    times: Any,
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    method: Method = "auto",
    rtol: float = 1e-6,
    max_steps: int = 10_000,
    workers: int | None = None,
    check_finite: bool = True,
    progress: bool = False,
) -> FlowFit:
    """Regression by gradient flow on ``|y - E theta|^2 / 2n`` in the factors of theta.

    Each coefficient is theta_j = a_j b_j^depth beta_j, from a_j = sqrt(eigenvalues_j), b_j = b0,
    beta_j = 0. With the gradient g = E^T (y - E theta) / n,

        a' = b^depth beta g,    b' = depth a b^(depth - 1) beta g,    beta' = a b^depth g.

    A column whose coefficient is needed grows its eigenvalue (a b^depth)^2, the others keep theirs.

    Parameters
    ----------
    features : array_like, sparse matrix, LinearOperator, design or pair of callables
        E, n samples by P features; real. Any object with matvec, rmatvec and shape is an operator;
        a pair is (theta -> E theta, r -> E^T r). Designs are `CosineDesign` and the like.
    y : array_like
        n targets; for a design also of the shape of its grid.
    eigenvalues : array_like
        Initial eigenvalues, non-negative: one, or one a feature. A feature with 0 stays at 0.
    times : array_like
        Times, non-negative, any shape and order; infinity gives the limit.
    depth, b0, coupling
        As in `solve`; `b0` is one number or one a feature.
    method : {"auto", "orthogonal", "dual", "primal"}
        "orthogonal": E^T E = n I decouples the coordinates, so that the closed form of `solve`
        applies; found for every form of E up to 1e-12 (for float32 matrices 2e-6). "dual":
        integrates alpha' = y - E theta, n numbers, of which theta is an explicit function.
        "primal": first a QR decomposition of a matrix E, then the same with P numbers. "auto":
        the first that applies, and primal for a dense matrix with n > P.
    rtol : float
        Relative accuracy of the coefficients, 1e-12 to 0.1. The step adapts to it.
    max_steps : int
        Steps after which to stop with a `FlowWarning`.
    workers : int, optional
        Threads of the link function, BLAS and scipy.fft.
    check_finite : bool
        Refuse NaN and infinity in the arrays.
    progress : bool
        Show a tqdm bar.

    Returns
    -------
    FlowFit

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name.

    Warns
    -----
    FlowWarning
        If `max_steps` were not enough. The result then holds the last state for the later times,
        and says with `reached` which time that is.

    Notes
    -----
    Arithmetic is float64. The state is alpha, as a rule n numbers (P after the QR decomposition),
    and the Jacobian -E diag(K) E^T / n is symmetric. Up to 2000 numbers SciPy's BDF follows it
    with this Jacobian; E is then made a matrix if it has at most 2^25 entries. Beyond, exponential
    Rosenbrock steps of order 4 (Hochbruck, Ostermann, Schweitzer, 2009) need products with E only,
    some 20 to 40 a step. Stiffness does not limit either step, only how fast the eigenvalues
    change: long times cost little more than short ones, and a path of many times little more than
    its last. Some 200 to 700 steps at rtol 1e-6. The relative error of the coefficients' vector
    stays below about rtol; single coefficients near 0 have fewer digits.

    Infinite times stop when the gradient is at round-off or when every mode that rounding can
    resolve has settled. Rounding of y - E theta, eps times what does not fit, adds up over time t
    and shows where t times it exceeds rtol. BLAS may round differently for another number of
    `workers`.

    Source: Li and Lin, arXiv 2409.00894; the dual form follows from the conserved quantities
    a^2 - beta^2 and b^2 - depth beta^2 of each coordinate.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> E = rng.normal(size=(50, 200))
    >>> y = E[:, 3] - 0.5 * E[:, 70]
    >>> path = ef.flow.fit(E, y, 1e-4, [10.0, 50.0])
    >>> path.method, path.coefficients.shape
    ('dual', (2, 200))
    >>> path.coefficients[-1, [3, 70, 71]].round(2)
    array([ 1. , -0.5, -0. ])
    """
    host_only(features=features, y=y, eigenvalues=eigenvalues, b0=b0)
    require_known(depth, coupling, None, b0)
    _require_options(method, rtol, max_steps)
    observed = _targets(features, y, check_finite)
    target = np.asarray(observed.ravel(), np.float64)
    given = as_float_array(eigenvalues, "eigenvalues", check_finite=check_finite)
    made = as_feature_map(
        features,
        n_samples=target.size,
        n_features=given.size if given.ndim == 1 else None,
        workers=workers,
        check_finite=check_finite,
    )
    if made.n_samples != target.size:
        msg = f"y: got {target.size} samples, want {made.n_samples}, one a row of features"
        raise ValueError(msg)
    start, start_b = _starts(made.n_features, eigenvalues, b0, check_finite)
    when = as_times(times)
    with blas_limit(workers) as n_workers:
        chosen = _choose(method, made)
        dense = chosen != "orthogonal" and _has_matrix(made)
        solvable = made.materialised() if dense else made
        if chosen == "primal" and solvable.matrix is None:
            msg = "method: got 'primal' with features that are no array and too large for one"
            raise ValueError(msg)
        flow = CoupledProblem(
            solvable.forward,
            solvable.adjoint,
            target,
            target.size,
            start,
            start_b,
            depth,
            coupling == "separate",
            n_workers,
            solvable.matrix,
        )
        path = _followed(chosen, flow, when, rtol, max_steps, progress)
        fitted = made.predict(path.theta)
    learned = learned_eigenvalues(
        path.theta, start, depth=depth, b0=start_b, coupling=coupling, workers=workers
    )
    dtype = np.result_type(observed.dtype, made.dtype)

    def shaped(x: Array, *rest: int) -> Any:
        return like(x.reshape(when.shape + rest).astype(dtype), y)

    return FlowFit(
        when,
        shaped(path.theta, made.n_features),
        shaped(fitted, *observed.shape),
        shaped(np.linalg.norm(target - fitted, axis=-1)),
        shaped(learned, made.n_features),
        shaped(path.alpha, target.size) if chosen == "dual" else None,
        chosen,
        path.n_steps,
        path.error.reshape(when.shape),
        path.reached.reshape(when.shape),
        path.converged,
    )


def _followed(
    method: str, flow: CoupledProblem, times: Array, rtol: float, max_steps: int, progress: bool
) -> CoupledPath:
    if method == "orthogonal" or times.size == 0:
        return _decoupled(flow, times)
    with _reporting(progress) as report:
        path = integrate(flow, times, rtol, max_steps, report, compress=method == "primal")
    if not path.converged:
        msg = (
            f"fit stopped after {path.n_steps} steps at time {np.max(path.reached):.6g}; later "
            f"times hold that state (max_steps = {max_steps})"
        )
        warnings.warn(msg, FlowWarning, stacklevel=3)
    return path


def _has_matrix(made: FeatureMap) -> bool:
    """Whether E is a matrix, or small enough to become one.

    Products with unit vectors are then fewer than those of an integration.
    """
    least = min(made.n_samples, made.n_features)
    small = least <= SMALL and made.n_samples * made.n_features <= _LARGEST_MATRIX
    return small or made.matrix is not None


def _decoupled(flow: CoupledProblem, times: Array) -> CoupledPath:
    """E^T E = n I: each coordinate has its own observation E^T y / n."""
    z = flow.adjoint(flow.y) / flow.n
    theta = solve(
        z,
        flow.eigenvalues,
        times.ravel(),
        depth=flow.depth,
        b0=flow.b0,
        coupling="separate" if flow.separate else "shared",
        workers=flow.workers,
    )
    none, exact = np.empty((times.size, 0)), np.zeros(times.size)
    return CoupledPath(theta, none, times.ravel(), exact, 0, True)


def _choose(method: str, made: FeatureMap) -> str:
    if method in ("dual", "primal"):
        return method
    if _is_orthogonal(made):
        return "orthogonal"
    if method == "orthogonal":
        msg = "method: got 'orthogonal', but E^T E is not n I; want 'auto', 'dual' or 'primal'"
        raise ValueError(msg)
    tall = made.n_samples > made.n_features
    return "primal" if tall and _has_matrix(made) else "dual"


def _is_orthogonal(made: FeatureMap) -> bool:
    """Whether E^T E = n I up to rounding, by its product with a Gaussian vector.

    The difference M has a product as large as its Frobenius norm, but for a chance of about d that
    it is d times smaller.
    """
    if made.n_features > made.n_samples:
        return False
    x = np.random.default_rng(0).normal(size=made.n_features)
    with np.errstate(over="ignore", invalid="ignore"):
        product = made.adjoint(made.forward(x)) / made.n_samples
        limit = 1e-12 if made.dtype == np.float64 or made.matrix is None else 2e-6
        return bool(np.max(np.abs(product - x)) <= limit * np.max(np.abs(x)))


def _require_options(method: Any, rtol: Any, max_steps: Any) -> None:
    if method not in _METHODS:
        msg = f"method: got {method!r}, want 'auto', 'orthogonal', 'dual' or 'primal'"
        raise ValueError(msg)
    if not (np.isscalar(rtol) and 1e-12 <= rtol <= 0.1):  # type: ignore[operator]
        msg = f"rtol: got {rtol!r}, want 1e-12 to 0.1"
        raise ValueError(msg)
    if not (isinstance(max_steps, int | np.integer) and max_steps >= 1):
        msg = f"max_steps: got {max_steps!r}, want a positive integer"
        raise ValueError(msg)


def _targets(features: Any, y: Any, check_finite: bool) -> Array:
    observed = as_float_array(y, "y", check_finite=check_finite)
    if isinstance(features, OrthogonalDesign) and observed.shape == features.shape:
        return observed
    if observed.ndim != 1:
        msg = (
            f"y: got {observed.ndim} dimensions (shape {observed.shape}), want 1; "
            "several outputs are several fits"
        )
        raise ValueError(msg)
    if observed.size == 0:
        msg = "y: got no samples, want at least one"
        raise ValueError(msg)
    return observed


def _starts(p: int, eigenvalues: Any, b0: Any, check_finite: bool) -> tuple[Array, Array | None]:
    """Eigenvalues and b0 of all coordinates, checked."""
    problem = flow_problem(np.zeros(p), eigenvalues, b0, check_finite, name="coefficients")
    if problem.shape != (p,):
        msg = f"eigenvalues: got shape {problem.shape} with b0, want one or {p}, one a feature"
        raise ValueError(msg)
    given = [np.ascontiguousarray(a, np.float64) for a in problem.arrays[1:]]
    return given[0], given[1] if b0 is not None else None


@contextmanager
def _reporting(progress: bool) -> Iterator[Report]:
    if not progress:
        yield lambda n_steps, time: None
        return
    from tqdm import tqdm

    with tqdm(unit=" steps") as bar:

        def report(n_steps: int, time: float) -> None:
            bar.update(n_steps - bar.n)
            bar.set_postfix_str(f"time {time:.4g}")

        yield report
