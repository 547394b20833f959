"""The risk along the path: estimated from the data, or expected over the noise."""

from typing import Any

import numpy as np

from eigenflow import _core
from eigenflow._arrays import number_or_like
from eigenflow._flow_problem import (
    as_times,
    flow_problem,
    host_only,
    move_axes_last,
    require_known,
)
from eigenflow._lazy import over_coordinates
from eigenflow._threads import resolve_workers
from eigenflow.flow.path import Coupling

__all__ = ["expected_risk", "sure"]


@over_coordinates("times", "coordinates.run_sum")
def sure(
    z: Any,
    eigenvalues: Any,
    times: Any,
    noise_variance: Any,
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    axis: int | tuple[int, ...] | None = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Stein's unbiased estimate of the risk along the path, without knowing the signal.

    If z is a signal plus independent Gaussian noise of known variance, then

        SURE(t) = sum (z - theta)^2 + 2 variance d theta / d z - variance

    has the same mean as the loss sum (theta - signal)^2 (Stein, "Estimation of the mean of a
    multivariate normal distribution", 1981). Its minimum over t is a stopping time. Its noise is
    about variance sqrt(2 N) for N coordinates, mostly the same for all t: compare differences.

    Parameters
    ----------
    z, eigenvalues, times, depth, b0, coupling, workers, check_finite
        As in `solve`. The derivative d theta / d z is exact at every depth.
    noise_variance : array_like
        Variance of the noise in z, non-negative; broadcast with `z`.
    axis : int or tuple of int, optional
        Axes of the coordinates to sum over; None sums over all.

    Returns
    -------
    ndarray or float
        float64, of shape times.shape + the coordinates' shape without `axis`. On a GPU always an
        array. Of Dask arrays computed, in one read, where `axis` is all axes; else lazy.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.r_[3.0, -4.0, np.full(98, 0.1)]
    >>> times = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
    >>> risk = ef.flow.sure(z, 1e-3, times, 0.01)
    >>> float(times[np.argmin(risk)])
    4.0
    """
    require_known(depth, coupling, None, b0)
    problem = flow_problem(z, eigenvalues, b0, check_finite, variance=noise_variance, times=times)
    moved, rest = move_axes_last(problem, axis)
    when = as_times(times)
    risk = problem.empty((when.size, moved.z.shape[0]), np.float64)
    problem.kernels.sure(
        moved.z,
        moved.eigenvalues,
        moved.b0,
        moved.variance,
        when.ravel(),
        depth,
        coupling == "separate",
        risk,
        resolve_workers(workers),
    )
    return number_or_like(risk.reshape(when.shape + rest), z)


@over_coordinates("times", "coordinates.run_sum")
def expected_risk(
    signal: Any,
    eigenvalues: Any,
    times: Any,
    noise_variance: Any,
    *,
    depth: int = 0,
    b0: Any = None,
    coupling: Coupling = "shared",
    axis: int | tuple[int, ...] | None = None,
    rtol: float = 1e-8,
    workers: int | None = None,
    check_finite: bool = True,
) -> Any:
    """Mean of sum (theta - signal)^2 over Gaussian noise, by quadrature and not by repetition.

    With z = signal + xi and independent xi of variance `noise_variance`,

        risk(t) = sum_j E (theta(signal_j + xi_j, t) - signal_j)^2,

    one integral over xi for each coordinate: by the trapezoidal rule, which converges geometrically
    for such an analytic integrand, and by bisected Gauss-Kronrod panels where theta jumps within a
    small part of the noise. This replaces the repeated draws of simulation studies: it has no
    sampling error.

    Parameters
    ----------
    signal : array_like
        What the noise is added to.
    eigenvalues, times, depth, b0, coupling, workers, check_finite
        As in `solve`; NumPy, CPU tensors and Dask.
    noise_variance : array_like
        Variance of the noise, non-negative; broadcast with `signal`. Where it is 0 the term is
        the loss itself.
    axis : int or tuple of int, optional
        Axes of the coordinates to sum over; None sums over all, () over none.
    rtol : float
        From 1e-12 to 0.1: the estimated error of each coordinate's mean, as a part of that mean or
        of the average over `axis`, whichever is larger. So it also bounds the error of a sum.

    Returns
    -------
    ndarray or float
        float64, of shape times.shape + the coordinates' shape without `axis`. Of Dask arrays
        computed, in one read, where `axis` is all axes; else lazy. `rtol` is then of each block.

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name.

    Notes
    -----
    Near the universal time and at rtol = 1e-8, one core takes about 1 us a coordinate and time at
    depth 0, 20 us deeper. A few times later the noise itself is being fitted, theta jumps, and it
    is 4 us and 300 us or more; rtol = 1e-4 takes a third of that. At depth >= 1 many times share
    the marches: 16 cost about as much as 4. Terms of signals and eigenvalues that vary smoothly
    with the index do so too: some hundred of them, by ``axis=()``, and interpolation give the sum.

    Examples
    --------
    >>> import numpy as np
    >>> signal = np.arange(1.0, 101) ** -1.5
    >>> times = np.array([1.0, 10.0, 100.0])
    >>> ef.flow.expected_risk(signal, signal, times, 1e-3).round(4)
    array([0.1872, 0.0141, 0.091 ])
    """
    host_only(signal=signal, eigenvalues=eigenvalues, times=times, b0=b0)
    require_known(depth, coupling, None, b0)
    tolerance = _tolerance(rtol)
    problem = flow_problem(
        signal, eigenvalues, b0, check_finite, name="signal", variance=noise_variance
    )
    moved, rest = move_axes_last(problem, axis)
    when = as_times(times)
    risk = np.empty((when.size, moved.z.shape[0]))
    _core.flow.expected_risk(
        moved.z,
        moved.eigenvalues,
        moved.b0,
        moved.variance,
        when.ravel(),
        tolerance,
        depth,
        coupling == "separate",
        risk,
        resolve_workers(workers),
    )
    return number_or_like(risk.reshape(when.shape + rest), signal)


def _tolerance(rtol: Any) -> float:
    try:
        tolerance = float(rtol)
    except (TypeError, ValueError):
        msg = f"rtol: got {rtol!r}, want a number from 1e-12 to 0.1"
        raise TypeError(msg) from None
    if not 1e-12 <= tolerance <= 0.1:
        msg = f"rtol: got {tolerance}, want a number from 1e-12 to 0.1"
        raise ValueError(msg)
    return tolerance
