"""When the flow reaches a given fraction of an observation."""

from typing import Any

import numpy as np

from eigenflow._arrays import as_float_array, number_or_like, on_host, refuse_first
from eigenflow._flow_problem import flow_problem, require_known
from eigenflow._lazy import over_coordinates
from eigenflow._threads import resolve_workers
from eigenflow.flow.path import Coupling

__all__ = ["hitting_time"]


@over_coordinates("fraction")
def hitting_time(
    fraction: Any,
    z: Any,
    eigenvalues: Any,
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Time at which theta / z reaches a fraction: the inverse of `solve`.

    At depth 0 with r = sqrt(eigenvalue^2 + 4 z^2) it is the closed form

        tanh(r t / 2) = fraction r / (h + eigenvalue (1 - fraction)),
        h = sqrt(eigenvalue^2 + 4 fraction^2 z^2),

    in a form that stays accurate when the right side is close to 1. At depth >= 1 it is the
    integral of d beta / (g (z - beta g)), g = a b^depth, up to the point, by the same panels as in
    `solve`. The half-life of the residual is ``hitting_time(0.5, ...)``.

    Parameters
    ----------
    fraction : array_like
        theta / z, from 0 to 1, any shape.
    z, eigenvalues, depth, b0, coupling, workers, check_finite
        As in `solve`.

    Returns
    -------
    ndarray or float
        float64 times of shape fraction.shape + broadcast(z, eigenvalues, b0): 0 for a fraction
        of 0, infinity for 1 and at a saddle (an eigenvalue or b0 of 0), and where z is 0 the limit
        of small z. The relative error is a few eps, plus what rounding `fraction` does. On a GPU
        always an array.

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name.

    Notes
    -----
    Cost on one core: about 0.1 us a coordinate and fraction at depth 0, some us at depth >= 1.

    Examples
    --------
    >>> t = ef.flow.hitting_time(0.5, [0.5, 0.05], 1e-4)
    >>> t.round(2)
    array([ 9.9, 76. ])
    >>> ef.flow.solve([0.5, 0.05], 1e-4, t).diagonal().round(12)
    array([0.25 , 0.025])
    """
    require_known(depth, coupling, None, b0)
    problem = flow_problem(z, eigenvalues, b0, check_finite, fraction=fraction)
    part = as_float_array(on_host(fraction), "fraction", dtype=np.float64)
    refuse_first(~((part >= 0) & (part <= 1)), part, "fraction", "values from 0 to 1")
    times = problem.empty(part.shape + problem.shape, np.float64)
    problem.kernels.hitting_time(
        problem.z,
        problem.eigenvalues,
        problem.b0,
        part.ravel(),
        depth,
        coupling == "separate",
        times,
        resolve_workers(workers),
    )
    return number_or_like(times, z)
