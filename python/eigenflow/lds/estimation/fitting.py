"""Maximum likelihood by quasi-Newton steps on the exact score, or by the EM algorithm."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.optimize

from eigenflow._arrays import Array, as_float_array
from eigenflow._index import plain_values, require_same_index
from eigenflow._threads import resolve_workers
from eigenflow.lds.arguments import refuse_infinite
from eigenflow.lds.estimation.model import StateSpaceModel
from eigenflow.lds.estimation.scoring import ScoreResult, score
from eigenflow.lds.series import reporting
from eigenflow.lds.structure import as_count
from eigenflow.lds.system import LinearSystem

Method = Literal["lbfgs", "em"]

_FLAT = 1e-9
_HESSIAN_STEP = 1e-4
_RESTARTS = 4
_LEVEL = 1e-6  # slope of the log-likelihood for each observed number
_SMALL = 1e-4  # the same where the value no longer changes


@dataclass(frozen=True, eq=False)
class FitResult:
    """A model at its maximum likelihood.

    Attributes
    ----------
    names : tuple of str
    params : ndarray
        The estimates, in the order of `names`.
    standard_errors : ndarray
        Square roots of the diagonal of `covariance`; inf for a variance that was estimated as 0,
        on the edge of its range, and where the likelihood is flat.
    covariance : ndarray
        Inverse of the observed information, from differences of the exact score.
    system : LinearSystem
        The system at `params`.
    log_likelihood : float
        By `diffuse_convention`.
    aic, bic : float
        -2 log-likelihood plus 2, or the logarithm of the number of observed numbers, for each
        parameter and each diffuse direction (Durbin and Koopman 2012, 7.4).
    score : ndarray
        Gradient of the log-likelihood at `params`.
    n_observed, n_iterations : int
    converged : bool
    message : str
        Why the search ended.
    method : str
    diffuse_convention : str
        Names the constant in the log-likelihood.
    model : StateSpaceModel
    """

    names: tuple[str, ...]
    params: Array
    standard_errors: Array
    covariance: Array
    system: LinearSystem
    log_likelihood: float
    aic: float
    bic: float
    score: Array
    n_observed: int
    n_iterations: int
    converged: bool
    message: str
    method: str
    diffuse_convention: str
    model: StateSpaceModel

    def __str__(self) -> str:
        width = max((len(name) for name in self.names), default=4)
        rows = [f"{'':{width}}  {'estimate':>12}  {'std. error':>12}"]
        rows += [
            f"{name:{width}}  {value:12.6g}  {error:12.4g}"
            for name, value, error in zip(
                self.names, self.params, self.standard_errors, strict=True
            )
        ]
        convention = self.diffuse_convention.partition(":")[0]
        rows.append(f"log-likelihood {self.log_likelihood:.6f} ({convention})")
        rows.append(f"AIC {self.aic:.3f}, BIC {self.bic:.3f}, {self.n_observed} observed numbers")
        return "\n".join(rows)


def fit(
    model: Any,
    y: Any,
    *,
    inputs: Any = None,
    start: Any = None,
    method: Method = "lbfgs",
    max_iterations: int = 1000,
    rtol: float = 1e-13,
    progress: bool = False,
    workers: int | None = None,
    check_finite: bool = True,
) -> FitResult:
    """Estimate the parameters of a model by maximum likelihood.

    Parameters
    ----------
    model : StateSpaceModel
        `local_level`, `structural`, `arma`, `free_matrices`, or one of your own.
    y : array_like, shape ``(*batch, T, p)``, or (T,) when p = 1
        Observations; NaN marks a missing number. A batch is a panel: series of one system, whose
        log-likelihoods add up.
    inputs : array_like, optional
        As in `filter`, for a model whose system has some.
    start : array_like or dict, optional
        Parameters to start from. The likelihood may have several maxima: the nearest is found.
    method : {"lbfgs", "em"}
        "lbfgs": quasi-Newton steps with the exact score, on unconstrained numbers (variances as
        squares, lag polynomials by partial autocorrelations). "em": the EM algorithm, which never
        goes down, needs no step length, and is slow near the end; for `structural` models without
        an autoregression and for `free_matrices` of A, C, Q, R and cross_cov.
    max_iterations : int
        Most steps.
    rtol : float
        Stop when the log-likelihood changes less than this times its size.
    progress : bool
        Count the steps of the search on a bar.
    workers : int, optional
        Threads over the series of a batch.
    check_finite : bool
        Refuse infinite observations.

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, the model has no EM step, or its system at the start has no
        likelihood for `y`.

    Notes
    -----
    Each step costs one `score`. The likelihood is exact diffuse where the start is diffuse, and
    not that with a large prior variance or a burn-in: other programs' values differ by a constant
    and, for a burn-in, in the estimates.

    Examples
    --------
    >>> from eigenflow.demo.nile import FLOW
    >>> from eigenflow.lds import fit, local_level
    >>> print(fit(local_level(), FLOW))
                          estimate    std. error
    sigma2.irregular       15098.5          3146
    sigma2.level           1469.18          1280
    log-likelihood -633.464564 (exact diffuse)
    AIC 1272.929, BIC 1280.745, 100 observed numbers
    """
    if not isinstance(model, StateSpaceModel):
        msg = f"model: got {type(model).__name__}, want a StateSpaceModel such as local_level()"
        raise TypeError(msg)
    steps = as_count(max_iterations, "max_iterations", 0)
    resolve_workers(workers)
    if not 0 <= rtol < 1:
        msg = f"rtol: got {rtol}, want a number of at least 0 and below 1"
        raise ValueError(msg)
    require_same_index(y, inputs, "inputs")
    observed = as_float_array(plain_values(y), "y", dtype=np.float64, check_finite=False)
    if observed.ndim == 0:
        msg = "y: got a number, want a series"
        raise ValueError(msg)
    if not np.isfinite(observed).any():
        msg = "y: got no observed number, want at least one"
        raise ValueError(msg)
    if check_finite:
        refuse_infinite(observed)
    table = observed[:, None] if observed.ndim == 1 else observed
    data = _Data(table, inputs, workers)
    # Where a search starts is a matter of sizes: those of all series, one after the other.
    long = table.reshape(-1, table.shape[-1])
    first = model.start_params(long) if start is None else model.read(start)
    score(model.system(first), observed, inputs=inputs, check_finite=check_finite)  # the rest
    search = {"lbfgs": _quasi_newton, "em": _em}.get(method)
    if search is None:
        msg = f"method: got {method!r}, want 'lbfgs' or 'em'"
        raise ValueError(msg)
    with reporting(progress, None) as report:
        found = search(model, data, first, steps, rtol, report or (lambda _: None))
    return _result(model, data, method, *found)


@dataclass(frozen=True, eq=False)
class _Data:
    """What a model is fitted to."""

    y: Array
    inputs: Any
    workers: int | None

    def score(self, model: StateSpaceModel, params: Array) -> tuple[float, Array]:
        """Log-likelihood and gradient in the parameters."""
        return model.score(params, self.y, inputs=self.inputs, workers=self.workers)

    def score_of(self, system: LinearSystem) -> ScoreResult:
        """Derivatives in the matrices."""
        return score(system, self.y, inputs=self.inputs, workers=self.workers)


_Found = tuple[Array, int, bool, str]
_Report = Callable[[int], None]


def _quasi_newton(
    model: StateSpaceModel, data: _Data, first: Array, steps: int, rtol: float, report: _Report
) -> _Found:
    transform = model.transform(_unit(model, first))
    size = max(1, int(np.isfinite(data.y).sum()))
    highest = -np.inf

    def loss(u: Array) -> tuple[float, Array]:
        nonlocal highest
        params = transform.params(u)
        try:
            value, slope = data.score(model, params)
        except (ValueError, np.linalg.LinAlgError):
            # Outside of where there is a likelihood. A line search takes a shorter step from a high
            # value; infinity would make its interpolation NaN and end it.
            return highest + 1.0, np.zeros_like(u)
        highest = max(highest, -value / size)
        return -value / size, -(transform.jacobian(u).T @ slope) / size

    u, used, done = transform.inverse(first), 0, 0

    def after_step(_: Array) -> None:
        nonlocal done
        done += 1
        report(done)

    for _ in range(_RESTARTS):
        found = scipy.optimize.minimize(
            loss,
            u,
            jac=True,
            method="L-BFGS-B",
            callback=after_step,
            options={"maxiter": steps - used, "ftol": rtol, "gtol": 1e-9, "maxcor": 20},
        )
        u, used = found.x, used + int(found.nit)
        # A line search that finds nothing lower has come to the end of the digits, where the slope
        # says so too, or has a bad memory, which a restart forgets. So it is with a small change of
        # the value that the slope does not confirm.
        steepest = float(np.max(np.abs(found.jac), initial=0.0))
        converged = steepest <= (_SMALL if found.success else _LEVEL)
        if converged or used >= steps:
            break
    return transform.params(u), used, converged, str(found.message)


def _unit(model: StateSpaceModel, first: Array) -> float:
    """Largest variance at the start: the unit in which the search sees them."""
    kinds = model.kinds or ()
    sizes = [value for value, kind in zip(first, kinds, strict=True) if kind == "variance"]
    return max(sizes, default=1.0) or 1.0


def _em(
    model: StateSpaceModel, data: _Data, first: Array, steps: int, rtol: float, report: _Report
) -> _Found:
    if model.em_step is None:
        msg = "method: got 'em', want 'lbfgs': the model has no EM step"
        raise ValueError(msg)
    params, before = first, -np.inf
    for step in range(steps):
        system = model.system(params)
        found = data.score_of(system)
        total = float(np.sum(found.log_likelihood))
        if total - before <= rtol * abs(total):
            return params, step, True, "the log-likelihood no longer grows"
        before = total
        params = model.em_step(params, found, system)
        report(step + 1)
    return params, steps, False, f"{steps} steps were not enough"


def _result(
    model: StateSpaceModel,
    data: _Data,
    method: str,
    params: Array,
    n_iterations: int,
    converged: bool,
    message: str,
) -> FitResult:
    system = model.system(params)
    found = data.score_of(system)
    total = float(np.sum(found.log_likelihood))
    covariance = _covariance(model, data, params)
    n_free = len(params) + found.n_series * system.diffuse_directions.shape[-1]
    deviance = -2 * total
    return FitResult(
        names=model.names,
        params=params,
        standard_errors=np.sqrt(np.diag(covariance)),
        covariance=covariance,
        system=system,
        log_likelihood=total,
        aic=deviance + 2 * n_free,
        bic=deviance + np.log(found.n_observed) * n_free,
        score=model.gradient(params, found),
        n_observed=found.n_observed,
        n_iterations=n_iterations,
        converged=converged,
        message=message,
        method=method,
        diffuse_convention=found.diffuse_convention,
        model=model,
    )


def _covariance(model: StateSpaceModel, data: _Data, params: Array) -> Array:
    """Inverse of minus the Hessian, over the parameters that are not on the edge."""
    kinds = model.kinds or ()
    unit = _unit(model, params)
    inside = [i for i, kind in enumerate(kinds) if kind != "variance" or params[i] > _FLAT * unit]
    hessian = np.empty((len(inside), len(inside)))
    out = np.full((len(params), len(params)), 0.0)
    np.fill_diagonal(out, np.inf)
    try:
        for row, i in enumerate(inside):
            h = _HESSIAN_STEP * (abs(params[i]) or 1.0)
            slopes = []
            for sign in (1, -1):
                moved = params.copy()
                moved[i] += sign * h
                slopes.append(data.score(model, moved)[1][inside])
            hessian[row] = (slopes[0] - slopes[1]) / (2 * h)
        information = -(hessian + hessian.T) / 2
        np.linalg.cholesky(information)  # raises where it is not a maximum
    except (ValueError, np.linalg.LinAlgError):
        return out
    out[np.ix_(inside, inside)] = np.linalg.inv(information)
    return out
