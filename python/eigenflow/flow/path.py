"""The flow at given times, and its learned eigenvalues."""

from dataclasses import dataclass
from typing import Any, Literal

from eigenflow._arrays import Array, check_out, like
from eigenflow._flow_problem import (
    Problem,
    as_times,
    flow_problem,
    require_known,
)
from eigenflow._lazy import over_coordinates
from eigenflow._threads import resolve_workers

__all__ = ["FlowState", "learned_eigenvalues", "solve", "state", "vanilla"]

Coupling = Literal["shared", "separate"]


@dataclass(frozen=True, eq=False)
class FlowState:
    """All factors of the flow at the given times; every field has shape times.shape + coordinates.

    Attributes
    ----------
    theta : ndarray
        The fit a b^depth beta.
    residual : ndarray
        z - theta, relatively accurate also where theta is close to z.
    a, b, beta : ndarray
        The factors. b is 1 at depth 0; with ``coupling="separate"`` all `depth` factors equal b.
    learned_eigenvalues : ndarray
        (a b^depth)^2.
    """

    theta: Array
    residual: Array
    a: Array
    b: Array
    beta: Array
    learned_eigenvalues: Array


@over_coordinates("times")
def solve(
    z: Any,
    eigenvalues: Any,
    times: Any,
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    rtol: float | None = None,
    out: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Gradient flow theta = a b^depth beta at any times, exact to round-off.

    At depth 0 the flow is theta' = sqrt(eigenvalue^2 + 4 theta^2) (z - theta), whose closed form is
    evaluated with terms of one sign only. At depth 1 to 8 the time that the flow takes to a point
    is an integral; it is found by Gauss-Legendre panels in a coordinate where the integrand is
    smooth however stiff the problem is, and inverted by Newton's method.

    Parameters
    ----------
    z : array_like
        Observations. NumPy, CuPy, or CPU tensors with DLPack; float32 and float64 are kept,
        integers become float64. float32 is computed in float64 and rounded. If this or another
        array of coordinates is Dask's, the result is lazy, with its blocks.
    eigenvalues : array_like
        Initial eigenvalues, non-negative; broadcast with `z`.
    times : array_like
        Times, non-negative, any shape and order; infinity is allowed and gives the limit. With
        CuPy arrays they may be on the host.
    depth : int
        How many factors b multiply a and beta, 0 to 8.
    b0 : array_like, optional
        Initial value of b, non-negative; broadcast with `z`. Required at depth >= 1, refused at
        depth 0.
    coupling : {"shared", "separate"}
        One b that enters with power `depth`, as in the paper, or `depth` separate equal factors.
    rtol : float, optional
        Relative accuracy that is enough. The result is always accurate to about
        20 eps max(1, K t), where K = d theta'/d theta at theta = z is the last rate of decay;
        a positive value is accepted and changes nothing.
    out : ndarray, optional
        C-ordered array of the result's shape and dtype. After an error it may be half filled.
    workers : int, optional
        Threads; the same bytes for any number.
    check_finite : bool
        Refuse NaN and infinity in `z`, `eigenvalues` and `b0`.

    Returns
    -------
    ndarray
        theta, of shape times.shape + broadcast(z, eigenvalues, b0).

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name.

    Notes
    -----
    An eigenvalue of zero, and b0 of zero, is a saddle: the coordinate stays at 0 for ever.
    Cost on one core with AVX2: 2.5 ns a coordinate and time at depth 0, about what the memory of
    two cores allows; 0.4 us for one time at depth >= 1, and a path of many times shares one march.

    Examples
    --------
    >>> theta = ef.flow.solve([0.5, -0.01], [1e-2, 1e-2], [10.0, 100.0])
    >>> theta.round(4)
    array([[ 0.4955, -0.001 ],
           [ 0.5   , -0.0074]])
    >>> float(ef.flow.solve(0.5, 1e-4, 30.0, depth=1, b0=0.3).round(12))
    0.283060466721
    """
    require_known(depth, coupling, rtol, b0)
    problem = flow_problem(z, eigenvalues, b0, check_finite, defer=True, times=times, out=out)
    when = as_times(times)
    theta = check_out(
        out, when.shape + problem.shape, problem.dtype, *problem.arrays, kind=problem.kind
    )
    evolve(problem, when, depth, coupling, {"theta": theta}, workers)
    return out if out is not None else like(theta, z)


@over_coordinates("times")
def state(
    z: Any,
    eigenvalues: Any,
    times: Any,
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    workers: int | None = None,
    check_finite: bool = True,
) -> FlowState:
    """All factors of the flow at any times: what `solve` gives, and a, b, beta, residual.

    a^2 - beta^2 and b^2 - depth beta^2 (b^2 - beta^2 with ``coupling="separate"``) keep their
    initial values along the flow.

    Parameters
    ----------
    z, eigenvalues, times, depth, b0, coupling, workers, check_finite
        As in `solve`.

    Returns
    -------
    FlowState

    Examples
    --------
    >>> s = ef.flow.state(0.5, 1e-4, [0.0, 60.0], depth=1, b0=0.3)
    >>> (s.a**2 - s.beta**2).round(12)
    array([0.0001, 0.0001])
    >>> s.learned_eigenvalues.round(6)
    array([9.0000e-06, 4.1576e-01])
    """
    require_known(depth, coupling, None, b0)
    problem = flow_problem(z, eigenvalues, b0, check_finite, defer=True, times=times)
    when = as_times(times)
    names = ("theta", "residual", "a", "b", "beta", "learned_eigenvalues")
    fields = {name: problem.empty(when.shape + problem.shape) for name in names}
    evolve(problem, when, depth, coupling, fields, workers)
    return FlowState(**{name: like(field, z) for name, field in fields.items()})


@over_coordinates("times")
def vanilla(
    z: Any,
    eigenvalues: Any,
    times: Any,
    *,
    out: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Gradient flow with fixed eigenvalues: theta = (1 - exp(-eigenvalues t)) z.

    Parameters
    ----------
    z, eigenvalues, times, out, workers, check_finite
        As in `solve`.

    Returns
    -------
    ndarray
        theta, of shape times.shape + broadcast(z, eigenvalues).

    Examples
    --------
    >>> ef.flow.vanilla([1.0, 1.0], [1.0, 1e-20], 1.0)
    array([6.32120559e-01, 1.00000000e-20])
    """
    problem = flow_problem(z, eigenvalues, None, check_finite, times=times, out=out)
    when = as_times(times)
    theta = check_out(
        out, when.shape + problem.shape, problem.dtype, *problem.arrays, kind=problem.kind
    )
    problem.kernels.vanilla(
        problem.z, problem.eigenvalues, when.ravel(), theta, resolve_workers(workers)
    )
    return out if out is not None else like(theta, z)


@over_coordinates()
def learned_eigenvalues(
    theta: Any,
    eigenvalues: Any,
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Learned eigenvalues (a b^depth)^2 at the state whose product is theta.

    The conserved quantities determine the state from theta alone. At depth 0 the value is
    (eigenvalue + sqrt(eigenvalue^2 + 4 theta^2)) / 2.

    Parameters
    ----------
    theta : array_like
        Products a b^depth beta, as `solve` gives them.
    eigenvalues, depth, b0, coupling, workers, check_finite
        As in `solve`.

    Returns
    -------
    ndarray
        Of shape broadcast(theta, eigenvalues, b0).

    Examples
    --------
    >>> ef.flow.learned_eigenvalues([0.0, 2.0], 3.0)
    array([3., 4.])
    """
    require_known(depth, coupling, None, b0)
    problem = flow_problem(theta, eigenvalues, b0, check_finite, name="theta")
    learned = problem.empty(problem.shape)
    problem.kernels.learned_eigenvalues(
        problem.z,
        problem.eigenvalues,
        problem.b0,
        depth,
        coupling == "separate",
        learned,
        resolve_workers(workers),
    )
    return like(learned, theta)


def evolve(
    problem: Problem,
    times: Array,
    depth: int,
    coupling: str,
    out: dict[str, Any],
    workers: int | None,
) -> None:
    """Fill the wanted fields at these times; refuse what the kernel finds wrong."""
    valid = problem.kernels.evolve(
        problem.z,
        problem.eigenvalues,
        problem.b0,
        times.ravel(),
        depth,
        coupling == "separate",
        out,
        resolve_workers(workers),
        problem.check,
    )
    if not valid:
        problem.refuse()
