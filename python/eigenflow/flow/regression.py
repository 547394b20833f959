"""Regression by over-parameterised gradient flow: a design matrix couples the coordinates."""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from eigenflow._arrays import Array, is_dask, like
from eigenflow._map_reduce import regression as pieces
from eigenflow._map_reduce.regression import Columns
from eigenflow._threads import blas_limit
from eigenflow.flow._coupled import LocalColumns
from eigenflow.flow._dual import SMALL, Path, compressed, integrate
from eigenflow.flow._features import FeatureMap, as_feature_map
from eigenflow.flow._regression import Regression, regression, reporting, require_options
from eigenflow.flow.path import Coupling, learned_eigenvalues, solve

__all__ = ["FlowFit", "FlowWarning", "fit"]

Method = Literal["auto", "orthogonal", "dual", "primal"]
LARGEST_MATRIX = 2**25  # numbers, 256 MiB


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
        theta, of shape times.shape + (P,). Of Dask features lazy, as `learned_eigenvalues`.
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
        a pair is (theta -> E theta, r -> E^T r). Designs are `CosineDesign` and the like. A Dask
        array of columns goes to `eigenflow.dask.fit`.
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
    if is_dask(features):
        from eigenflow import dask

        if method not in ("auto", "dual"):
            require_options(method, rtol, max_steps)
            msg = f"method: got {method!r} with a Dask array, want 'auto' or 'dual'"
            raise ValueError(msg)
        return dask.fit(
            features, y, eigenvalues, times, depth=depth, b0=b0, coupling=coupling, rtol=rtol,
            max_steps=max_steps, progress=progress,
        )  # fmt: skip
    require_options(method, rtol, max_steps)
    given = regression(features, y, eigenvalues, times, depth, b0, coupling, workers, check_finite)
    made = given.features
    with blas_limit(workers) as n_workers:
        chosen = _choose(method, made)
        dense = chosen != "orthogonal" and _has_matrix(made)
        solvable = made.materialised() if dense else made
        if chosen == "primal" and solvable.matrix is None:
            msg = "method: got 'primal' with features that are no array and too large for one"
            raise ValueError(msg)
        columns = given.columns(solvable, n_workers)
        path = _followed(chosen, columns, given.target, given.times, rtol, max_steps, progress)
        fitted = made.predict(path.theta)
    return as_fit(given, path, fitted, chosen, workers)


def as_fit(given: Regression, path: Path, fitted: Array, method: str, workers: Any) -> FlowFit:
    """Return a path in the shapes and the type of the arguments."""
    learned = learned_eigenvalues(
        path.theta,
        given.eigenvalues,
        depth=given.depth,
        b0=given.b0,
        coupling=given.coupling,
        workers=workers,
    )
    times, p = given.times.shape, given.features.n_features

    def shaped(x: Array, *rest: int) -> Any:
        return like(x.reshape(times + rest).astype(given.dtype), given.y)

    return FlowFit(
        given.times,
        shaped(path.theta, p),
        shaped(fitted, *given.observed.shape),
        shaped(np.linalg.norm(given.target - fitted, axis=-1)),
        shaped(learned, p),
        shaped(path.alpha, given.target.size) if method == "dual" else None,
        method,
        path.n_steps,
        path.error.reshape(times),
        path.reached.reshape(times),
        path.converged,
    )


def _followed(
    method: str,
    columns: Columns,
    y: Array,
    times: Array,
    rtol: float,
    max_steps: int,
    progress: bool,
) -> Path:
    if method == "orthogonal" or times.size == 0:
        return _decoupled(columns, y, times)
    if method == "primal":
        assert columns.matrix is not None
        matrix, y = compressed(columns.matrix, y)
        columns = pieces.of_matrix(matrix, columns)
    with reporting(progress) as report:
        flow = LocalColumns(columns)
        path = integrate(flow, y, columns.depth, times, rtol, max_steps, report)
    warn_unless_converged(path, max_steps)
    return path


def warn_unless_converged(path: Path, max_steps: int) -> None:
    """Tell the caller of the caller's caller that the steps were not enough."""
    if not path.converged:
        msg = (
            f"fit stopped after {path.n_steps} steps at time {np.max(path.reached):.6g}; later "
            f"times hold that state (max_steps = {max_steps})"
        )
        warnings.warn(msg, FlowWarning, stacklevel=4)


def _has_matrix(made: FeatureMap) -> bool:
    """Whether E is a matrix, or small enough to become one.

    Products with unit vectors are then fewer than those of an integration.
    """
    least = min(made.n_samples, made.n_features)
    small = least <= SMALL and made.n_samples * made.n_features <= LARGEST_MATRIX
    return small or made.matrix is not None


def _decoupled(columns: Columns, y: Array, times: Array) -> Path:
    """E^T E = n I: each coordinate has its own observation E^T y / n."""
    theta = solve(
        columns.image(y),
        columns.eigenvalues,
        times.ravel(),
        depth=columns.depth,
        b0=columns.b0,
        coupling="separate" if columns.separate else "shared",
        workers=columns.workers,
    )
    none, exact = np.empty((times.size, 0)), np.zeros(times.size)
    return Path(theta, None, none, times.ravel(), exact, 0, True)


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
