"""Gradient descent: the discrete update that the flow is the limit of."""

import operator
from typing import Any

import numpy as np

from eigenflow._arrays import like, number, on_host, refuse_first
from eigenflow._flow_problem import flow_problem, require_known
from eigenflow._threads import resolve_workers
from eigenflow.flow.path import Coupling, FlowState

__all__ = ["descend"]


def descend(
    z: Any,
    eigenvalues: Any,
    step_size: float,
    n_steps: int,
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    record: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> FlowState:
    """Gradient descent on 1/2 (a b^depth beta - z)^2 with a constant step, exactly as written.

    All factors move at once, by gradients at their values before the step. With the residual
    e = z - a b^depth beta, one step is

        a    <- a    + step_size e b^depth beta
        b    <- b    + step_size e depth a b^(depth - 1) beta
        beta <- beta + step_size e a b^depth

    from a = sqrt(eigenvalues), b = b0, beta = 0; with ``coupling="separate"`` the factor `depth`
    in the second line is 1. After n steps the state is within O(step_size) of the flow at time
    n step_size. Source: Li and Lin, arXiv 2409.00894, whose experiments run this update.

    Parameters
    ----------
    z, eigenvalues, depth, b0, coupling, workers, check_finite
        As in `solve`.
    step_size : float
        Positive. Steps well below 2 / K are stable, K = d theta'/d theta at theta = z
        (sqrt(eigenvalue^2 + 4 z^2) at depth 0).
    n_steps : int
        Number of steps, non-negative.
    record : array_like of int, optional
        Steps from 0 to `n_steps` after which to record the state, in any order; by default the
        last one.

    Returns
    -------
    FlowState
        Fields of shape record.shape + broadcast(z, eigenvalues, b0), without the first part by
        default. Unlike on the flow, a^2 - beta^2 drifts.

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type, or if the descent diverges: the message
        then names the first step after which a state is not finite, and the coordinate.

    Notes
    -----
    float64 arithmetic, rounded at the end for float32. Cost on one core with AVX2: 0.6 to 2 ns
    a coordinate and step; `solve` costs as much as about ten steps at depth 0, some hundred deeper.
    On a GPU a launch takes at most 10,000 steps, so that it can be interrupted.

    Examples
    --------
    >>> path = ef.flow.descend(0.5, 1e-2, 0.1, 100, record=[0, 50, 100])
    >>> path.theta.round(4)
    array([0.   , 0.204, 0.496])
    """
    require_known(depth, coupling, None, b0)
    step = _positive(step_size)
    last = _count(n_steps)
    problem = flow_problem(z, eigenvalues, b0, check_finite, record=record)
    steps = _recorded(on_host(record), last)
    names = ("theta", "residual", "a", "b", "beta", "learned_eigenvalues")
    fields = {name: problem.empty(steps.shape + problem.shape) for name in names}
    problem.kernels.descend(
        problem.z,
        problem.eigenvalues,
        problem.b0,
        step,
        last,
        steps.ravel().tolist(),
        depth,
        coupling == "separate",
        fields,
        resolve_workers(workers),
    )
    return FlowState(**{name: like(field, z) for name, field in fields.items()})


def _positive(step_size: Any) -> float:
    step = number(step_size, "step_size", "a positive number")
    if not 0 < step < np.inf:
        msg = f"step_size: got {step}, want a positive number"
        raise ValueError(msg)
    return step


def _count(n_steps: Any) -> int:
    try:
        last = operator.index(n_steps)
    except TypeError:
        msg = f"n_steps: got {n_steps!r}, want a non-negative integer"
        raise TypeError(msg) from None
    if not 0 <= last < 2**62:
        msg = f"n_steps: got {last}, want a non-negative integer below 2^62"
        raise ValueError(msg)
    return last


def _recorded(record: Any, last: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    if record is None:
        return np.array(last, np.int64)
    steps = np.asarray(record)
    if steps.size and steps.dtype.kind not in "iu":
        msg = f"record: got dtype {steps.dtype}, want integer steps"
        raise TypeError(msg)
    refuse_first((steps < 0) | (steps > last), steps, "record", f"steps from 0 to {last}")
    return steps.astype(np.int64)
