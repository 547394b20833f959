"""Flows and iterations that are special cases: diagonal linear networks, Landweber iteration."""

from typing import Any

import numpy as np

from eigenflow._arrays import Array, as_float_array, like
from eigenflow._blocks import blocks
from eigenflow._flow_problem import broadcast_shape, flow_problem, host_only
from eigenflow.flow.descent import _positive
from eigenflow.flow.path import solve

__all__ = ["diagonal_network", "landweber"]


def diagonal_network(
    z: Any,
    scale: Any,
    times: Any,
    *,
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Gradient flow of u^2 - v^2 from u = v = scale on 1/2 (u^2 - v^2 - z)^2.

    With a = u + v and beta = u - v it is the flow of a beta with a(0) = 2 scale at double speed:
    ``solve(z, 4 * scale**2, 2 * times)``. Small scales favour sparse solutions, large ones behave
    like a fixed kernel. Source: Woodworth et al., "Kernel and rich regimes in overparametrized
    models" (COLT 2020, arXiv 2002.09277).

    Parameters
    ----------
    z, times, workers, check_finite
        As in `solve`; NumPy and CPU tensors.
    scale : array_like
        Initial value of all weights, 0 (a saddle) or from 1e-150 to 1e150; broadcast with `z`.

    Returns
    -------
    ndarray
        u^2 - v^2, of shape times.shape + broadcast(z, scale).

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name.

    Examples
    --------
    >>> ef.flow.diagonal_network([1.0, 0.1], 1e-3, 5.0).round(4)
    array([0.9979, 0.    ])
    """
    host_only(z=z, scale=scale, times=times)
    fit = as_float_array(z, "z", check_finite=check_finite)
    start = as_float_array(scale, "scale", check_finite=check_finite)
    # float32 would lose the square of a small scale.
    wide = start.astype(np.float64, copy=False)
    bad = np.flatnonzero((wide != 0) & ~((wide >= 1e-150) & (wide <= 1e150)))
    if bad.size:
        msg = (
            f"scale: got {start.flat[bad[0]]} at position {bad[0]}, "
            "want 0 or values from 1e-150 to 1e150"
        )
        raise ValueError(msg)
    broadcast_shape({"z": fit, "scale": start})
    dtype = np.result_type(*(a for a in (fit, start) if a.ndim), fit)
    when = 2 * as_float_array(times, "times", dtype=np.float64, check_finite=False)
    eigenvalues = 4 * np.square(wide)
    wide_z = fit.astype(np.float64, copy=False)
    theta = solve(wide_z, eigenvalues, when, workers=workers, check_finite=check_finite)
    return like(theta.astype(dtype, copy=False), z)


def landweber(
    z: Any,
    eigenvalues: Any,
    step_size: float,
    n_steps: Any,
    *,
    check_finite: bool = True,
) -> Any:
    """Gradient descent with fixed eigenvalues, after any number of steps at once.

    theta <- theta + step_size eigenvalue (z - theta) from 0 gives, after n steps,

        theta = (1 - (1 - step_size eigenvalue)^n) z,

    the discrete `vanilla`. It is evaluated by log1p and expm1, so that neither small eigenvalues
    nor many steps cost digits.

    Parameters
    ----------
    z, eigenvalues, check_finite
        As in `solve`; NumPy and CPU tensors.
    step_size : float
        Positive, at most 2 / eigenvalue for every eigenvalue: more diverges.
    n_steps : array_like of int
        Numbers of steps, non-negative, any shape and order.

    Returns
    -------
    ndarray
        theta, of shape n_steps.shape + broadcast(z, eigenvalues). float32 is computed in float64
        and rounded.

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name, and it
        is `step_size` where the iteration diverges.

    Examples
    --------
    >>> ef.flow.landweber([1.0, 1.0], [1.0, 1e-9], 0.1, [1, 10_000_000]).round(3)
    array([[0.1  , 0.   ],
           [1.   , 0.001]])
    """
    host_only(z=z, eigenvalues=eigenvalues)
    step, counts = _positive(step_size), _counts(n_steps)
    problem = flow_problem(z, eigenvalues, None, check_finite)
    fit, rates = problem.arrays
    theta = problem.empty((counts.size, *problem.shape))
    for at in blocks((counts.size, *problem.shape)):
        x = step * np.asarray(rates[at[1:]], np.float64)
        if np.any(x > 2):
            msg = (
                f"step_size: got {step}, which diverges for eigenvalue "
                f"{rates[at[1:]].flat[np.argmax(x)]}; want at most {2 / np.max(rates):.6g}"
            )
            raise ValueError(msg)
        n = counts[at[0]].reshape(-1, *(1 for _ in problem.shape))
        theta[at] = _moved(x, n) * fit[at[1:]]
    return like(theta.reshape(np.shape(n_steps) + problem.shape), z)


def _moved(x: Array, n: Array) -> Array:
    """1 - (1 - x)^n for 0 <= x <= 2; past 1 the base is negative and its sign alternates."""
    base = np.where(x <= 1, -x, x - 2)  # plus 1 is |1 - x|; the difference is exact
    with np.errstate(divide="ignore", invalid="ignore"):
        power = n * np.log1p(base)
    power[np.broadcast_to(n == 0, power.shape)] = 0  # where |1 - x| is 0 that was 0 inf
    flipped = (x > 1) & (n % 2 == 1)
    moved: Array = np.where(flipped, 1 + np.exp(power), -np.expm1(power))
    return moved


def _counts(n_steps: Any) -> Array:
    counts = np.asarray(n_steps)
    if counts.size and counts.dtype.kind not in "iu":
        msg = f"n_steps: got dtype {counts.dtype}, want integers"
        raise TypeError(msg)
    bad = np.flatnonzero((counts < 0) | (counts >= 2**62))
    if bad.size:
        got = f"{counts.flat[bad[0]]} at position {bad[0]}"
        msg = f"n_steps: got {got}, want non-negative integers below 2^62"
        raise ValueError(msg)
    return counts.reshape(-1).astype(np.int64)
