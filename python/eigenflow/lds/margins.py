"""How far a transition matrix is from the unit circle, and what float64 can follow."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.optimize

from eigenflow._arrays import Array
from eigenflow.lds.structure import as_square, unstable_structure

_EPS = float(np.finfo(np.float64).eps)
_LEVEL_STEPS = 60


@dataclass(frozen=True, eq=False)
class StabilityMargins:
    """What `stability_margins` returns.

    Attributes
    ----------
    spectral_radius : float
        Largest modulus of an eigenvalue. For a multiple eigenvalue it is that of the mean of its
        computed cluster.
    circle_distance : float
        Smallest distance of an eigenvalue from the unit circle.
    stability_radius : float
        Norm of the smallest complex perturbation that puts an eigenvalue on the unit circle: the
        least singular value of z I - A over it. 0 if one is there. It can be much smaller than
        `circle_distance` when A is far from normal.
    kreiss_constant : float
        Supremum of (r - 1) norm((z I - A)^-1) over abs(z) = r > 1. The largest norm of A^t is
        between this and e n times it; infinite for a system that is not stable or has a Jordan
        block of size 2 or more on the circle, and found on a fine grid with refinement, so a
        lower bound up to the digits of the search.
    growth_base, growth_power : float, int
        The covariance of the state grows like growth_base^t t^growth_power: 1 and 0 if stable, 1
        and 2 s - 1 for a largest Jordan block of size s on the circle, r^2 and 2 s - 2 outside.
    representable_horizon : float
        Steps after which unit noise is lost in the rounding of the state in float64: about
        eps^(-1 / (s - 1/2)) on the circle (2.7e10 for s = 2, 3e4 for s = 4), -ln(eps) / ln(r)
        outside (378 for r = 1.1); infinite if stable.
    """

    spectral_radius: float
    circle_distance: float
    stability_radius: float
    kreiss_constant: float
    growth_base: float
    growth_power: int
    representable_horizon: float


def stability_margins(A: object) -> StabilityMargins:
    """Measure how close a transition matrix is to instability, and how far float64 reaches.

    Parameters
    ----------
    A : (n, n) array_like
        Transition matrix.

    Returns
    -------
    StabilityMargins

    Raises
    ------
    ValueError, TypeError
        If A is not a finite square matrix of real numbers.

    Notes
    -----
    The stability radius is found by level sets: the unit-circle eigenvalues of a symplectic pencil
    of size 2 n are where a singular value of z I - A equals a level, which is lowered until there
    are none (Boyd, Balakrishnan, Syst. Control Lett. 15, 1990; quadratic convergence). The Kreiss
    constant scans the radius with that routine inside. Cost: some hundred eigenvalue problems of
    size 2 n.

    Examples
    --------
    >>> from eigenflow.lds import stability_margins
    >>> normal, sheared = [[0.9, 0.0], [0.0, 0.8]], [[0.9, 10.0], [0.0, 0.8]]
    >>> [round(stability_margins(A).stability_radius, 4) for A in (normal, sheared)]
    [0.1, 0.002]
    >>> round(stability_margins([[1.1]]).representable_horizon)
    378
    """
    a = as_square(A, "A")
    if len(a) == 0:
        return StabilityMargins(0.0, 1.0, 1.0, 1.0, 1.0, 0, math.inf)
    found = unstable_structure(a)
    moduli = np.abs(np.linalg.eigvals(a))
    base, power = state_growth(a)
    radius = float(np.abs(found.eigenvalues).max()) if found.count else float(moduli.max())
    on_circle = found.count and bool((np.abs(np.abs(found.eigenvalues) - 1) <= 1e-8).any())
    distance = 0.0 if on_circle else float(np.abs(moduli - 1).min())
    return StabilityMargins(
        spectral_radius=radius,
        circle_distance=distance,
        stability_radius=0.0 if on_circle else circle_minimum(a),
        kreiss_constant=_kreiss(a, base, power),
        growth_base=base,
        growth_power=power,
        representable_horizon=_representable(base, power),
    )


def warn_if_beyond_float64(A: Array, horizon: int, who: str, stacklevel: int = 3) -> None:
    """Warn if unit noise is lost in the rounding of the state before the horizon."""
    limit = _representable(*state_growth(A))
    if horizon > limit:
        warnings.warn(
            f"{who}: the horizon {horizon} is beyond the {limit:.3g} steps after which float64 "
            "loses noise of unit size in the rounding of the state",
            RuntimeWarning,
            stacklevel=stacklevel,
        )


def state_growth(A: Array) -> tuple[float, int]:
    """Base b and power k such that the covariance of the state grows like b^t t^k."""
    found = unstable_structure(A)
    if found.count == 0:
        return 1.0, 0
    sizes = np.array([max(s) for s in found.jordan_sizes])
    moduli = np.abs(found.eigenvalues)
    top = float(moduli.max())
    size = int(sizes[moduli >= top * (1 - 1e-9)].max())
    if top <= 1 + 1e-9:
        return 1.0, 2 * size - 1
    return top * top, 2 * size - 2


def _representable(base: float, power: int) -> float:
    """Solve b^(T/2) T^(power/2) = 1/eps for T."""
    limit = -math.log(_EPS)
    if base == 1.0:
        return math.exp(min(2 * limit / power, 700.0)) if power else math.inf
    rate = math.log(base) / 2
    horizon = limit / rate
    for _ in range(60):
        horizon = max(1.0, (limit - power / 2 * math.log(horizon)) / rate)
    return horizon


def circle_minimum(A: Array, radius: float = 1.0) -> float:
    """Least singular value of z I - A over the circle of this radius."""
    n = len(A)
    a = A / radius
    start = np.angle(np.linalg.eigvals(a))
    angles = np.concatenate([start, np.linspace(0, np.pi, 17)])
    best = min(_least(a, theta) for theta in angles)
    scale = float(np.linalg.norm(a, 2)) + 1
    for _ in range(_LEVEL_STEPS):
        if best <= 1e-14 * scale:
            break
        level = best * (1 - 1e-10)
        crossings = _crossings(a, level, n)
        if len(crossings) < 2:
            break
        middles = crossings + np.diff(np.append(crossings, crossings[0] + 2 * np.pi)) / 2
        lower = min(_least(a, theta) for theta in middles)
        if lower >= level:
            break
        best = lower
    return best * radius


def _least(a: Array, theta: float) -> float:
    return float(np.linalg.svd(np.exp(1j * theta) * np.eye(len(a)) - a, compute_uv=False)[-1])


def _crossings(a: Array, level: float, n: int) -> Array:
    """Angles at which a singular value of z I - A equals the level, by a symplectic pencil."""
    eye, zero = np.eye(n), np.zeros((n, n))
    left = np.block([[a, level * eye], [zero, eye]])
    right = np.block([[eye, zero], [level * eye, a.T]])
    alpha, beta = scipy.linalg.eigvals(left, right, homogeneous_eigvals=True)
    on_circle = np.abs(np.abs(alpha) - np.abs(beta)) <= 1e-7 * (np.abs(alpha) + np.abs(beta))
    return np.sort(np.angle(alpha[on_circle] * beta[on_circle].conj()))


def _kreiss(a: Array, base: float, power: int) -> float:
    if base > 1 or power > 1:
        return math.inf

    def value(log_gap: float) -> float:
        gap = math.exp(log_gap)
        least = circle_minimum(a, 1 + gap)
        return gap / least if least else math.inf

    grid = np.linspace(math.log(1e-6), math.log(10.0), 25)
    values = [value(x) for x in grid]
    i = int(np.argmax(values))
    inside = (grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)])
    found = scipy.optimize.minimize_scalar(
        lambda x: -value(x), bounds=inside, method="bounded", options={"xatol": 1e-6}
    )
    return max(1.0, *values, -float(found.fun))  # the limit at infinity is 1
