"""How large a signal is, and how far it reaches in the order of the eigenvalues.

Li and Lin (arXiv 2409.00894) measure a signal theta by its coordinates of at least a level delta:
their set J_sig(delta), its size Phi(delta), the energy Psi(delta) outside, and how fast the last
index of the set grows, max J_sig(delta) <= C delta^-kappa (their Assumption 1). Huang, Li, Li and
Lin (arXiv 2509.20294) put the reach into one number, the effective span dimension.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array, as_float_array
from eigenflow._flow_problem import require_non_negative

__all__ = [
    "SpanExponent",
    "effective_span_dimension",
    "signal_set",
    "signal_size",
    "signal_span",
    "span_exponent",
    "tail_energy",
]


@dataclass(frozen=True, eq=False)
class SpanExponent:
    """A power law ``span <= constant * level**-kappa`` fitted to the span of a signal.

    Attributes
    ----------
    kappa : float
        The exponent.
    constant : float
        The smallest constant with which the law holds at all `levels`.
    levels : ndarray
        Decreasing levels at which the span grows.
    spans : ndarray
        The span at each level: the last index of J_sig, counted from 1.
    """

    kappa: float
    constant: float
    levels: Array
    spans: Array


def signal_set(coefficients: Any, level: float) -> Array:
    """Coordinates J_sig(level) = {j : abs(theta_j) >= level} that are signal at a level.

    Parameters
    ----------
    coefficients : array_like
        The signal theta, any shape.
    level : float
        Non-negative, in units of the coefficients; the noise's standard deviation is natural.

    Returns
    -------
    ndarray
        Indices into the flattened coefficients, increasing.

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name.

    Examples
    --------
    >>> ef.flow.signal_set([0.0, -3.0, 0.5, 2.0], 1.0)
    array([1, 3])
    """
    return np.flatnonzero(_sizes(coefficients) >= _levels(level, "level", ndim=0))


def signal_size(coefficients: Any, levels: Any) -> Any:
    """Size Phi(level) of the signal set: how many coordinates are at least a level.

    Parameters
    ----------
    coefficients : array_like
        The signal theta, any shape.
    levels : array_like
        Non-negative, any shape.

    Returns
    -------
    ndarray of int, or int
        Of the shape of `levels`.

    Notes
    -----
    For abs(theta_j) = j^(-(p + 1) / 2) it grows like level^(-2 / (p + 1)). Cost: one sort.

    Examples
    --------
    >>> ef.flow.signal_size([0.0, -3.0, 0.5, 2.0], [1.0, 2.5])
    array([2, 1])
    """
    ascending = np.sort(_sizes(coefficients))
    count = ascending.size - np.searchsorted(ascending, _levels(levels, "levels"), side="left")
    return count if np.ndim(count) else int(count)


def tail_energy(coefficients: Any, levels: Any) -> Any:
    """Energy Psi(level) outside the signal set: the sum of theta_j^2 over abs(theta_j) < level.

    With noise of variance v and level = sqrt(v), v Phi + Psi = sum min(v, theta^2) is the risk of
    an oracle that keeps or drops each coordinate (Li and Lin, Proposition E.1).

    Parameters
    ----------
    coefficients : array_like
        The signal theta, any shape.
    levels : array_like
        Non-negative, any shape.

    Returns
    -------
    ndarray or float
        Of the shape of `levels`.

    Notes
    -----
    For abs(theta_j) = j^(-(p + 1) / 2) it falls like level^(2 p / (p + 1)). Cost: one sort.

    Examples
    --------
    >>> ef.flow.tail_energy([0.0, -3.0, 0.5, 2.0], [1.0, 2.5])
    array([0.25, 4.25])
    """
    ascending = np.sort(_sizes(coefficients))
    below = np.searchsorted(ascending, _levels(levels, "levels"), side="left")
    energy = np.concatenate(([0.0], np.cumsum(ascending**2)))[below]
    return energy if np.ndim(energy) else float(energy)


def signal_span(coefficients: Any, levels: Any, eigenvalues: Any = None) -> Any:
    """Reach max J_sig(level) of the signal set in the order of decreasing eigenvalues.

    Parameters
    ----------
    coefficients : array_like
        The signal theta, any shape.
    levels : array_like
        Non-negative, any shape.
    eigenvalues : array_like, optional
        Non-negative, of the shape of `coefficients`; equal ones keep their order. By default the
        coefficients stand in the order of decreasing eigenvalues.

    Returns
    -------
    ndarray of int, or int
        Index of the last signal coordinate, counted from 1, of the shape of `levels`; 0 for none.

    Examples
    --------
    >>> ef.flow.signal_span([0.0, -3.0, 0.5, 2.0], [1.0, 2.5, 9.0])
    array([4, 2, 0])
    >>> ef.flow.signal_span([0.0, -3.0, 0.5, 2.0], 1.0, eigenvalues=[1, 9, 2, 7])
    2
    """
    envelope = _envelope(_ordered(coefficients, eigenvalues))
    span = np.searchsorted(-envelope, -_levels(levels, "levels"), side="right")
    return span if np.ndim(span) else int(span)


def span_exponent(
    coefficients: Any, eigenvalues: Any = None, *, min_level: float = 0.0
) -> SpanExponent:
    """Fit kappa in max J_sig(level) <= C level^-kappa, Assumption 1 of Li and Lin.

    The span is a step function of the level. Its corners (the largest level with each span) are
    fitted by least squares in logarithms, a corner weighted by its share of the range of
    log(level), so that each decade of levels counts the same.

    Parameters
    ----------
    coefficients : array_like
        The signal theta, any shape.
    eigenvalues : array_like, optional
        As in `signal_span`.
    min_level : float
        Leave out levels below this, for instance the noise.

    Returns
    -------
    SpanExponent

    Raises
    ------
    ValueError
        If fewer than two steps are left to fit.

    Notes
    -----
    For theta of size j^(-(p + 1) / 2) at index j^q, kappa is 2 q / (p + 1).

    Examples
    --------
    >>> import numpy as np
    >>> theta = np.zeros(900)
    >>> theta[np.arange(1, 31) ** 2 - 1] = np.arange(1, 31) ** -1.0  # p = 1, q = 2
    >>> round(ef.flow.span_exponent(theta).kappa, 6)
    2.0
    """
    envelope = _envelope(_ordered(coefficients, eigenvalues))
    lowest = float(_levels(min_level, "min_level", ndim=0))
    corners = np.flatnonzero(envelope > np.append(envelope[1:], 0.0))
    corners = corners[envelope[corners] >= lowest]
    if corners.size < 2:
        msg = f"coefficients: got {corners.size} steps of the span to fit, want at least 2"
        raise ValueError(msg)
    levels, spans = envelope[corners], corners + 1
    kappa = -power_law(levels, spans)
    constant = float(np.exp(np.max(np.log(spans) + kappa * np.log(levels))))
    return SpanExponent(kappa, constant, levels, spans)


def effective_span_dimension(
    coefficients: Any, eigenvalues: Any = None, *, noise_variance: Any
) -> Any:
    """Effective span dimension of Huang, Li, Li and Lin (arXiv 2509.20294).

    The smallest k >= 1 with (theta_(k+1)^2 + theta_(k+2)^2 + ...) / k <= noise variance, indices in
    the order of decreasing eigenvalues: so many leading coordinates must be kept until what is
    left out weighs no more than the noise that came in. The best risk of truncation,
    min over k of k variance + tail(k), lies between (ESD - 1) and 2 ESD times the variance.

    Parameters
    ----------
    coefficients : array_like
        The signal theta, any shape.
    eigenvalues : array_like, optional
        As in `signal_span`.
    noise_variance : array_like
        Variance of the noise in each coefficient, non-negative, any shape.

    Returns
    -------
    ndarray of int, or int
        Of the shape of `noise_variance`; 0 for empty coefficients.

    Examples
    --------
    >>> theta = [0.0, 0.0, 0.0, 2.0]
    >>> ef.flow.effective_span_dimension(theta, [4, 3, 2, 1], noise_variance=0.1)
    4
    >>> ef.flow.effective_span_dimension(theta, [1, 2, 3, 4], noise_variance=0.1)
    1
    """
    sizes = _ordered(coefficients, eigenvalues)
    variance = _levels(noise_variance, "noise_variance")
    mean_tail = tails(sizes)[1:] / np.arange(1, sizes.size + 1)
    # It falls with k, so the first index that is small enough is found by bisection.
    below = np.searchsorted(-mean_tail, -variance, side="left")
    dimension = below + 1 if sizes.size else np.zeros_like(below)
    return dimension if np.ndim(dimension) else int(dimension)


def tails(sizes: Array) -> Array:
    """Sums of squares after the first 0, 1, ..., N entries."""
    return np.concatenate((np.cumsum(sizes[::-1] ** 2)[::-1], [0.0]))


def power_law(x: Array, y: Array) -> float:
    """Slope of log y against log x by least squares, each stretch of log x counted by length."""
    u, v = np.log(x), np.log(y)
    gaps = np.abs(np.diff(u))
    weights = np.append(gaps, 0.0) + np.append(0.0, gaps)
    u, v = u - np.average(u, weights=weights), v - np.average(v, weights=weights)
    return float(np.sum(weights * u * v) / np.sum(weights * u * u))


def eigenvalue_order(eigenvalues: Any, shape: tuple[int, ...]) -> Array:
    """Flat indices by decreasing eigenvalue; equal ones keep their order."""
    values = as_float_array(eigenvalues, "eigenvalues", dtype=np.float64)
    require_non_negative(values, "eigenvalues")
    if values.shape != shape:
        msg = f"eigenvalues: got shape {values.shape}, want {shape} as the coefficients have"
        raise ValueError(msg)
    return np.argsort(-values, axis=None, stable=True)


def _sizes(coefficients: Any) -> Array:
    return np.abs(as_float_array(coefficients, "coefficients", dtype=np.float64)).ravel()


def _ordered(coefficients: Any, eigenvalues: Any) -> Array:
    sizes = _sizes(coefficients)
    if eigenvalues is None:
        return sizes
    return sizes[eigenvalue_order(eigenvalues, np.shape(coefficients))]


def _envelope(sizes: Array) -> Array:
    """Largest entry at or after each index: its last index of at least a level is the span."""
    return np.maximum.accumulate(sizes[::-1])[::-1]


def _levels(values: Any, name: str, *, ndim: int | None = None) -> Array:
    levels = as_float_array(values, name, ndim=ndim, dtype=np.float64)
    require_non_negative(levels, name)
    return levels
