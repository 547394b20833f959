"""Exact derivatives of the flow: one by one, along a direction, and against a gradient."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array, like
from eigenflow._blocks import blocks
from eigenflow._flow_problem import Problem, as_times, flow_problem, reader, require_known
from eigenflow._lazy import over_coordinates
from eigenflow._threads import resolve_workers
from eigenflow.flow.path import Coupling, evolve

__all__ = ["FlowDerivatives", "FlowGradients", "derivatives", "jvp", "vjp"]

ARGUMENTS = ("z", "eigenvalues", "b0", "times")


@dataclass(frozen=True, eq=False)
class FlowDerivatives:
    """theta and its partial derivatives, each of shape times.shape + coordinates.

    Attributes
    ----------
    theta : ndarray
        The flow.
    z, eigenvalues, b0, times : ndarray or None
        Derivatives of theta in these; None where not wanted, and b0 at depth 0.
    """

    theta: Array
    z: Array | None
    eigenvalues: Array | None
    b0: Array | None
    times: Array | None


@dataclass(frozen=True, eq=False)
class FlowGradients:
    """Gradients of a scalar, each of the shape and floating type of its argument.

    Attributes
    ----------
    z, eigenvalues, b0, times : ndarray or None
        None where not wanted, and b0 at depth 0.
    """

    z: Array | None
    eigenvalues: Array | None
    b0: Array | None
    times: Array | None


@over_coordinates("times")
def derivatives(
    z: Any,
    eigenvalues: Any,
    times: Any,
    *,
    wrt: Sequence[str] = ARGUMENTS,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    workers: int | None = None,
    check_finite: bool = True,
) -> FlowDerivatives:
    """Partial derivatives of theta in z, the eigenvalues, b0 and time, exact to round-off.

    With K = d theta' / d theta and the residual e = z - theta, the derivative in time is K e, that
    in z is K e times the integral of K dt over the past divided by e, and those in the eigenvalue
    and b0 are K e times the integral of d ln K dt over the past. At depth 0 all are closed forms;
    deeper, the integrals run on the nodes of the march that `solve` makes anyway.

    Parameters
    ----------
    z, eigenvalues, times, depth, b0, coupling, workers, check_finite
        As in `solve`.
    wrt : sequence of str
        Which derivatives are wanted, out of "z", "eigenvalues", "b0", "times"; what is not costs
        nothing. "b0" is passed over at depth 0.

    Returns
    -------
    FlowDerivatives

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name.

    Notes
    -----
    At a saddle they are limits from the right: where an eigenvalue is 0, theta is 0, its derivative
    in the eigenvalue is b0^depth sinh(2 b0^depth z t) / 2 and the others are 0; where b0 is 0 all
    are. Next to a saddle derivatives grow without bound; they stop at the largest number.

    Examples
    --------
    >>> d = ef.flow.derivatives(0.5, 1e-2, 10.0, wrt=("z", "times"))
    >>> step = 1e-6
    >>> slope = (ef.flow.solve(0.5 + step, 1e-2, 10.0) - ef.flow.solve(0.5, 1e-2, 10.0)) / step
    >>> bool(abs(d.z - slope) < 1e-4), d.eigenvalues
    (True, None)
    """
    require_known(depth, coupling, None, b0)
    names = _wanted(wrt, depth)
    problem = flow_problem(z, eigenvalues, b0, check_finite, times=times)
    when = as_times(times)
    shape = when.shape + problem.shape
    fields = {name: problem.empty(shape) for name in ("theta", *map(_field, names))}
    evolve(problem, when, depth, coupling, fields, workers)
    given = {key: like(fields[_field(key)], z) if key in names else None for key in ARGUMENTS}
    return FlowDerivatives(like(fields["theta"], z), **given)


def jvp(
    z: Any,
    eigenvalues: Any,
    times: Any,
    tangents: Mapping[str, Any],
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    workers: int | None = None,
    check_finite: bool = True,
) -> tuple[Array, Array]:
    """theta, and its derivative along a direction in all arguments: forward mode.

    Parameters
    ----------
    z, eigenvalues, times, depth, b0, coupling, workers, check_finite
        As in `solve`.
    tangents : mapping
        Directions under "z", "eigenvalues", "b0", "times", each broadcast to the shape of its
        argument; what is missing does not move.

    Returns
    -------
    theta, dtheta : ndarray
        Each of shape times.shape + broadcast(z, eigenvalues, b0).

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name.

    Notes
    -----
    Memory beyond arguments and results: under 8 MiB, on a GPU 128 MiB for each temporary. The same
    bytes for any number of workers.

    Examples
    --------
    >>> theta, slope = ef.flow.jvp(0.5, 1e-2, [5.0, 10.0], {"z": 1.0})
    >>> bool((slope == ef.flow.derivatives(0.5, 1e-2, [5.0, 10.0]).z).all())
    True
    """
    require_known(depth, coupling, None, b0)
    arguments = {"z": z, "eigenvalues": eigenvalues, "b0": b0, "times": times}
    names = _directions(tangents, depth)
    moving = {f"tangents[{name!r}]": tangents[name] for name in names}
    problem = flow_problem(z, eigenvalues, b0, check_finite, times=times, **moving)
    when = as_times(times)
    full = (when.size, *problem.shape)
    directions = {}
    for name, label in zip(names, moving, strict=True):
        one = _broadcast(problem, moving[label], label, _shape(arguments[name]), check_finite)
        if name == "times":
            one = one.reshape(-1, *(1 for _ in problem.shape))
        directions[name] = problem.xp.broadcast_to(one, full)
    theta, dtheta = problem.empty(full), problem.empty(full)
    calculus = _Calculus(problem, when.ravel(), depth, coupling, workers)
    for at in blocks(full, problem.kind):
        fields = calculus.evaluate(at, ("theta", *map(_field, names)))
        total = problem.xp.zeros_like(fields["theta"])
        for name in names:
            slope = fields[_field(name)]
            slope *= directions[name][at]
            total += slope
        theta[at] = fields["theta"]
        dtheta[at] = _bounded(problem, total, problem.dtype)
    shape = when.shape + problem.shape
    return like(theta.reshape(shape), z), like(dtheta.reshape(shape), z)


def vjp(
    z: Any,
    eigenvalues: Any,
    times: Any,
    grad_output: Any,
    *,
    wrt: Sequence[str] = ARGUMENTS,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    workers: int | None = None,
    check_finite: bool = True,
) -> FlowGradients:
    """Gradients of a scalar from its gradient in theta: reverse mode, what a training step needs.

    The gradient in each argument is the sum of grad_output times the derivative of theta over all
    entries of theta that the argument was broadcast to.

    Parameters
    ----------
    z, eigenvalues, times, wrt, depth, b0, coupling, workers, check_finite
        As in `derivatives`.
    grad_output : array_like
        Gradient of the scalar in theta; broadcast to times.shape + broadcast(z, eigenvalues, b0).

    Returns
    -------
    FlowGradients
        Each of the shape of its own argument.

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name.

    Notes
    -----
    Memory beyond arguments and results: under 8 MiB, however many times and coordinates; on a GPU
    128 MiB for each temporary. Sums run in float64 and in a fixed order: the same bytes for any
    number of workers. On a GPU that order is CuPy's.

    Examples
    --------
    The gradient of the loss ``1/2 |theta - target|^2`` in one eigenvalue of all coordinates:

    >>> import numpy as np
    >>> z, target, times = np.array([0.5, -0.2]), np.array([0.4, 0.0]), 5.0
    >>> theta = ef.flow.solve(z, 1e-2, times)
    >>> g = ef.flow.vjp(z, 1e-2, times, theta - target, wrt=("eigenvalues",))
    >>> g.eigenvalues.shape, g.z
    ((), None)
    """
    arguments = {"z": z, "eigenvalues": eigenvalues, "b0": b0, "times": times}
    require_known(depth, coupling, None, b0)
    names = _wanted(wrt, depth)
    problem = flow_problem(z, eigenvalues, b0, check_finite, times=times, grad_output=grad_output)
    when = as_times(times)
    shape = when.shape + problem.shape
    outer = _broadcast(problem, grad_output, "grad_output", shape, check_finite)
    sums = {name: problem.xp.zeros(_shape(arguments[name])) for name in names}
    calculus = _Calculus(problem, when.ravel(), depth, coupling, workers)
    for at in blocks((when.size, *problem.shape), problem.kind):
        fields = calculus.evaluate(at, tuple(map(_field, names)))
        for name in names:
            slope = fields[_field(name)]
            slope *= _part(problem, outer, when.shape, at)
            if name == "times":
                sums[name].reshape(-1)[at[0]] += slope.sum(axis=tuple(range(1, slope.ndim)))
            else:
                _add_to(sums[name], at[1:], slope.sum(axis=0))
    given = {key: _as_argument(problem, sums.get(key), arguments[key]) for key in ARGUMENTS}
    return FlowGradients(**given)


@dataclass(frozen=True, eq=False)
class _Calculus:
    """The flow and its derivatives in float64, block by block."""

    problem: Problem
    times: Array
    depth: int
    coupling: str
    workers: int | None

    def evaluate(self, at: tuple[slice, ...], names: tuple[str, ...]) -> dict[str, Array]:
        """Evaluate fields on a block of times x coordinates."""
        parts = [a[at[1:]].astype(np.float64, copy=False) for a in self.problem.arrays]
        times = self.times[at[0]]
        shape = (times.size, *parts[0].shape)
        fields = {name: self.problem.empty(shape, np.float64) for name in names}
        z, eigenvalues, *b0 = (part.reshape(1, -1) for part in parts)
        self.problem.kernels.evolve(
            z,
            eigenvalues,
            b0[0] if b0 else None,
            times,
            self.depth,
            self.coupling == "separate",
            fields,
            resolve_workers(self.workers),
        )
        return fields


def _field(name: str) -> str:
    return f"d_{name}"


def _wanted(wrt: Any, depth: int) -> tuple[str, ...]:
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    for name in names:
        if name not in ARGUMENTS:
            msg = f"wrt: got {name!r}, want names out of {', '.join(ARGUMENTS)}"
            raise ValueError(msg)
    return tuple(name for name in ARGUMENTS if name in names and (name != "b0" or depth > 0))


def _directions(tangents: Any, depth: int) -> tuple[str, ...]:
    if not isinstance(tangents, Mapping):
        msg = f"tangents: got {type(tangents).__name__}, want a mapping of names to directions"
        raise TypeError(msg)
    allowed = tuple(name for name in ARGUMENTS if name != "b0" or depth > 0)
    for name in tangents:
        if name not in allowed:
            msg = f"tangents: got {name!r}, want names out of {', '.join(allowed)}"
            raise ValueError(msg)
    return tuple(name for name in ARGUMENTS if name in tangents)


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


def _broadcast(
    problem: Problem, x: Any, name: str, shape: tuple[int, ...], check_finite: bool
) -> Any:
    a = reader(problem.kind)(x, name, check_finite=check_finite)
    try:
        return problem.xp.broadcast_to(a, shape)
    except ValueError:
        msg = f"{name}: got shape {a.shape}, want one that broadcasts to {tuple(shape)}"
        raise ValueError(msg) from None


def _part(problem: Problem, outer: Any, times: tuple[int, ...], at: tuple[slice, ...]) -> Any:
    """Return outer[at] as if its leading axes, those of the times, were one."""
    if len(times) == 1:
        return outer[at]
    rows = range(*at[0].indices(math.prod(times)))
    parts = [outer[tuple(map(int, np.unravel_index(i, times)))][at[1:]] for i in rows]
    return problem.xp.stack(parts)


def _add_to(total: Any, block: tuple[slice, ...], values: Any) -> None:
    """Add a block of the broadcast shape to where an argument of its own shape lies."""
    new = values.ndim - total.ndim
    repeated = tuple(i for i in range(total.ndim) if total.shape[i] == 1)
    summed = values.sum(axis=tuple(range(new))).sum(axis=repeated, keepdims=True)
    place = tuple(slice(0, 1) if i in repeated else block[new + i] for i in range(total.ndim))
    total[place] += summed


def _bounded(problem: Problem, values: Any, dtype: np.dtype[Any]) -> Any:
    """Float32 that stays finite where its float64 is."""
    if dtype == np.float32:
        most, xp = float(np.finfo(np.float32).max), problem.xp
        values = xp.where(xp.isfinite(values), xp.clip(values, -most, most), values)
    return values.astype(dtype, copy=False)


def _as_argument(problem: Problem, total: Any, argument: Any) -> Any:
    if total is None:
        return None
    dtype = reader(problem.kind)(argument, "argument", check_finite=False).dtype
    return like(_bounded(problem, total, dtype), argument)
