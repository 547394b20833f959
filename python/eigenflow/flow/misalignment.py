"""Does the order of the eigenvalues fit the signal, and what does it cost if not?"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array, as_float_array
from eigenflow._flow_problem import require_known
from eigenflow.flow.diagnostics import (
    effective_span_dimension,
    eigenvalue_order,
    power_law,
    tails,
)
from eigenflow.flow.inverse import hitting_time
from eigenflow.flow.path import vanilla
from eigenflow.flow.risk import expected_risk

__all__ = ["MisalignmentReport", "misalignment_report"]

_MIN_TO_FIT = 3  # signal coordinates without which no exponent is fitted
_DECADES = 40  # of time that the search for the fixed flow's best stop covers at most


@dataclass(frozen=True, eq=False)
class MisalignmentReport:
    """How well a basis with its eigenvalues fits a signal; `print` it, or `plot` it.

    Coordinates are in the order of decreasing eigenvalues, and v is the noise's variance. All
    risks are expected squared errors, summed over the coordinates.

    Attributes
    ----------
    coefficients, eigenvalues : ndarray
        The signal and the eigenvalues in that order.
    noise_variance : float
        v.
    depth : int
        Of the flow behind `adaptive_risk`.
    n_signal : int
        Phi: coordinates of size at least sqrt(v).
    tail_energy : float
        Psi: the sum of squares of the others.
    span : int
        Place of the last signal coordinate, counted from 1; 0 without one.
    n_misplaced : int
        Signal coordinates behind the first `n_signal` places.
    misplaced_energy : float
        Their share of the signal coordinates' sum of squares, 0 to 1.
    effective_span_dimension : int
        As `effective_span_dimension` gives it.
    order_exponent, decay_exponent : float or None
        q and p in "the j-th largest coefficient has size j^(-(p + 1) / 2) and place j^q", fitted in
        logarithms to the signal coordinates (for q: to the last place among the j largest). None
        with fewer than 3 of them.
    ideal_risk : float
        n_signal v + tail_energy = sum min(v, theta^2): an oracle keeps or drops each coordinate.
    truncation_risk, truncation_length : float, int
        The least risk of keeping the first k coordinates, and its k.
    fixed_risk, fixed_time : float
        The least risk of the flow with fixed eigenvalues over all times, and where it is.
    adaptive_risk, adaptive_time : float
        The least risk of the flow whose eigenvalues grow, and where it is.
    """

    coefficients: Array
    eigenvalues: Array
    noise_variance: float
    depth: int
    n_signal: int
    tail_energy: float
    span: int
    n_misplaced: int
    misplaced_energy: float
    effective_span_dimension: int
    order_exponent: float | None
    decay_exponent: float | None
    ideal_risk: float
    truncation_risk: float
    truncation_length: int
    fixed_risk: float
    fixed_time: float
    adaptive_risk: float
    adaptive_time: float

    def __str__(self) -> str:
        return (
            f"Signal of {self.coefficients.size} coordinates in noise of standard deviation"
            f" {self.noise_variance**0.5:.3g}:\n"
            f"{self._signal()}"
            "Least possible risks:\n"
            f"  {self.ideal_risk:.3g} if an oracle kept the right coordinates\n"
            f"  {self.truncation_risk:.3g} by keeping the first {self.truncation_length}\n"
            f"  {self.fixed_risk:.3g} by the flow with fixed eigenvalues,"
            f" at t = {self.fixed_time:.3g}\n"
            f"  {self.adaptive_risk:.3g} by the flow of depth {self.depth}, whose eigenvalues grow,"
            f" at t = {self.adaptive_time:.3g}\n"
            f"{self._verdict()}"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the risk of truncation in both orders; see `eigenflow.plot.misalignment`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from eigenflow import plot

        return plot.misalignment(self, ax)

    def _signal(self) -> str:
        m = self.n_signal
        if m == 0:
            return f"  No coordinate reaches it; the squares add up to {self.tail_energy:.3g}.\n"
        p, q = self.decay_exponent, self.order_exponent
        law = ""
        if p is not None and q is not None:
            size = f"{-(p + 1) / 2 + 0.0:.2f}"
            law = f"  Fitted: the j-th largest has a size like j^{size}, a place like j^{q:.2f}.\n"
        return (
            f"  {m} coordinates reach it; the squares of the others add up to"
            f" {self.tail_energy:.3g}.\n"
            f"  Ordered by eigenvalue the last of them is number {self.span}, and"
            f" {self.n_misplaced} of {m} ({self.misplaced_energy:.0%} of their energy)"
            f" lie behind the first {m}.\n"
            f"{law}"
            f"  Effective span dimension {self.effective_span_dimension}; the signal by itself is"
            f" worth {self.ideal_risk / self.noise_variance:.3g} coordinates.\n"
        )

    def _verdict(self) -> str:
        if self.n_signal == 0:
            return "There is nothing to order: every method does best by not starting."
        ratio = self.fixed_risk / self.adaptive_risk
        if ratio > 1.1:
            return f"Fixed eigenvalues cost {ratio:.3g} times the risk of growing ones."
        if ratio < 1 / 1.1:
            return f"Growing eigenvalues cost {1 / ratio:.3g} times the risk of fixed ones."
        return "Fixed and growing eigenvalues do equally well here, to 10 %."


def misalignment_report(
    coefficients: Any,
    eigenvalues: Any,
    noise_variance: float,
    *,
    depth: int = 0,
    b0: float | None = None,
    observed: bool = False,
    workers: int | None = None,
    check_finite: bool = True,
) -> MisalignmentReport:
    """Compare the order of the eigenvalues with the order of the signal, and price the difference.

    A method with fixed eigenvalues learns coordinates in the order of the eigenvalues. Where large
    coefficients have small eigenvalues it must let in the noise of all coordinates before them.
    The report counts such coefficients and gives the least possible risk of each method: exact
    expectations over Gaussian noise, each at its own best time, which only an oracle knows.

    Parameters
    ----------
    coefficients : array_like
        The signal in the basis, any shape.
    eigenvalues : array_like
        Non-negative and not all 0, of the shape of `coefficients`.
    noise_variance : float
        Variance of the noise in each coefficient, positive. In a regression on an orthogonal
        design with n samples: the noise's variance divided by n.
    depth, b0
        The flow whose eigenvalues grow; b0 is noise_variance^(1 / (2 depth + 4)) by default, the
        paper's choice.
    observed : bool
        The coefficients contain the noise, as data do. Those below sqrt(2 v ln N), which noise
        alone seldom exceeds, are then taken for 0: small signals are missed, and the report errs
        on the side of sparsity.
    workers : int, optional
        Threads.
    check_finite : bool
        Refuse NaN and infinity.

    Returns
    -------
    MisalignmentReport

    Raises
    ------
    ValueError, TypeError
        If an argument has a wrong value, shape or type; the message starts with its name.

    Notes
    -----
    Li and Lin (arXiv 2409.00894): where the j-th largest coefficient j^(-(p + 1) / 2) has place
    j^q, fixed eigenvalues reach the risk noise_variance^(p / (p + q)), growing ones
    noise_variance^(p / (p + 1)) up to logarithms. Cost: the quadrature of `expected_risk` at some
    35 times, about a second for 20,000 coordinates at depth 0; it is linear in their number.

    Examples
    --------
    >>> import numpy as np
    >>> j = np.arange(1, 1001)
    >>> signal = np.where(j % 100 == 0, 0.5, 0.0)
    >>> report = ef.flow.misalignment_report(signal, j**-1.5, 0.02**2)
    >>> report.n_signal, report.span, report.effective_span_dimension
    (10, 1000, 900)
    >>> bool(report.fixed_risk > 20 * report.adaptive_risk)
    True
    """
    variance = _positive(noise_variance)
    b0 = _start_of_b(b0, depth, variance)
    theta, values = _by_eigenvalue(coefficients, eigenvalues, check_finite)
    if observed:
        theta = np.where(np.abs(theta) >= np.sqrt(2 * variance * np.log(theta.size)), theta, 0.0)
    return MisalignmentReport(
        coefficients=theta,
        eigenvalues=values,
        noise_variance=variance,
        depth=depth,
        **_signal_fields(theta, variance),
        **_truncation_fields(theta, variance),
        **_fixed_fields(theta, values, variance, workers),
        **_adaptive_fields(theta, values, variance, depth, b0, workers),
    )


def _positive(noise_variance: Any) -> float:
    variance = float(as_float_array(noise_variance, "noise_variance", ndim=0))
    if not variance > 0:
        msg = f"noise_variance: got {variance}, want a positive number"
        raise ValueError(msg)
    return variance


def _start_of_b(b0: Any, depth: int, variance: float) -> float | None:
    require_known(depth, "shared", None, 1.0 if depth and b0 is None else b0)
    if b0 is None:
        return variance ** (1 / (2 * depth + 4)) if depth else None
    start = float(as_float_array(b0, "b0", ndim=0))
    if start > sys.float_info.max ** (0.25 / depth):
        msg = f"b0: got {start:g}, whose power 4 depth is beyond float64; want a smaller one"
        raise ValueError(msg)
    return start


def _by_eigenvalue(coefficients: Any, eigenvalues: Any, check_finite: bool) -> tuple[Array, Array]:
    theta = as_float_array(
        coefficients, "coefficients", dtype=np.float64, check_finite=check_finite
    )
    if theta.size == 0:
        msg = f"coefficients: got shape {theta.shape}, want at least one"
        raise ValueError(msg)
    order = eigenvalue_order(eigenvalues, theta.shape)
    values = np.asarray(eigenvalues, np.float64).ravel()[order]
    if values[0] == 0:
        msg = "eigenvalues: got zeros only, want a positive one"
        raise ValueError(msg)
    return theta.ravel()[order], values


def _signal_fields(theta: Array, variance: float) -> dict[str, Any]:
    """Describe the coordinates above the noise; `theta` is ordered by eigenvalue."""
    sizes = np.abs(theta)
    places = np.flatnonzero(sizes >= np.sqrt(variance)) + 1
    signal = sizes[places - 1]
    late = places > places.size
    by_size = np.argsort(-signal, stable=True)
    q, p = _fitted_exponents(places[by_size], signal[by_size])
    energy = float(np.sum(signal**2))
    outside = float(np.sum(sizes[sizes < np.sqrt(variance)] ** 2))
    return {
        "n_signal": int(places.size),
        "tail_energy": outside,
        "span": int(places.max(initial=0)),
        "n_misplaced": int(np.sum(late)),
        "misplaced_energy": float(np.sum(signal[late] ** 2) / energy) if places.size else 0.0,
        "effective_span_dimension": effective_span_dimension(theta, noise_variance=variance),
        "order_exponent": q,
        "decay_exponent": p,
        "ideal_risk": places.size * variance + outside,
    }


def _fitted_exponents(places: Array, sizes: Array) -> tuple[float | None, float | None]:
    """Return (q, p) of signal coordinates by falling size."""
    if places.size < _MIN_TO_FIT:
        return None, None
    rank = np.arange(1, places.size + 1)
    q, decay = power_law(rank, np.maximum.accumulate(places)), -power_law(rank, sizes)
    return q, 2 * max(decay, 0.0) - 1


def _truncation_fields(theta: Array, variance: float) -> dict[str, Any]:
    risks = truncation_risks(theta, variance)
    best = int(np.argmin(risks))
    return {"truncation_risk": float(risks[best]), "truncation_length": best}


def truncation_risks(theta: Array, variance: float) -> Array:
    """Expected risk of keeping the first 0, 1, ..., N coordinates."""
    return np.arange(theta.size + 1) * variance + tails(theta)


def _fixed_fields(
    theta: Array, values: Array, variance: float, workers: int | None
) -> dict[str, Any]:
    def risk(times: Array) -> Array:
        gains = (vanilla(1.0, values, t, workers=workers) for t in times)
        return np.array([np.sum(((1 - g) * theta) ** 2 + variance * g**2) for g in gains])

    positive = values[values > 0]
    first = 1e-3 / positive[0]
    last = min(40 / positive[-1], first * 10.0**_DECADES)
    time, least = _least(risk, _grid(first, last))
    return {"fixed_risk": least, "fixed_time": time}


def _adaptive_fields(
    theta: Array,
    values: Array,
    variance: float,
    depth: int,
    b0: float | None,
    workers: int | None,
) -> dict[str, Any]:
    def risk(times: Array) -> Array:
        return np.asarray(
            expected_risk(
                theta, values, times, variance, depth=depth, b0=b0, rtol=1e-4, workers=workers
            )
        )

    # Around the paper's time, from where the largest eigenvalue begins to act to where a
    # coordinate of the noise's size with the least eigenvalue is learnt.
    usual = variance ** (-(depth + 1) / (depth + 2))
    first = min(usual / 30, 1e-2 / (values[0] * (b0 or 1.0) ** (2 * depth)))
    slowest = hitting_time(0.9, variance**0.5, values[values > 0][-1], depth=depth, b0=b0)
    last = max(30 * usual, slowest if np.isfinite(slowest) else 0.0)
    time, least = _least(risk, _grid(first, last))
    return {"adaptive_risk": least, "adaptive_time": time}


def _grid(first: float, last: float) -> Array:
    return np.geomspace(first, last, int(4 * np.log10(last / first)) + 2)


def _least(risk: Callable[[Array], Array], grid: Array) -> tuple[float, float]:
    """Minimise over the grid, then twice over a finer one between the best point's neighbours."""
    risks = risk(grid)
    for _ in range(2):
        best = int(np.argmin(risks))
        grid = np.geomspace(grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)], 9)
        risks = risk(grid)
    best = int(np.argmin(risks))
    return float(grid[best]), float(risks[best])
