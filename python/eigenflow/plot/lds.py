"""Plots of linear systems: a level with its band, phase transitions, filter lengths."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from eigenflow._arrays import Array, as_float_array
from eigenflow.plot._axes import COLOURS, axes

if TYPE_CHECKING:
    from eigenflow.lds import LinearSystem, PhaseSweep


def level(
    y: Any,
    mean: Any,
    std: Any,
    *,
    times: Any = None,
    band: float = 0.9,
    label: str = "level",
    colour: str = "blue",
    ax: Any = None,
) -> Any:
    """Draw a series and an estimated level with its band.

    Parameters
    ----------
    y : array_like, shape (T,), or None
        The observations; a pandas series brings its index along. NaN leaves a gap.
    mean, std : array_like, shape (T,)
        The level and its standard deviation, from a filter, a smoother or a forecast.
    times : array_like, optional
        Positions on the axis, dates for example; by default the index of `y` or `mean`, or
        0, 1, ...
    band : float
        Probability of the band, between 0 and 1.
    label : str
        Name of the level in the legend.
    colour : str
        A name in ``eigenflow.plot.COLOURS``, or any colour of matplotlib.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from eigenflow.demo.nile import FLOW
    >>> found = ef.lds.smooth(ef.lds.LinearSystem(1.0, 1.0, 1469.0, 15099.0), FLOW,
    ...                       store=("smoothed_mean", "smoothed_cov"))
    >>> std = found.smoothed_cov.dense()[:, 0, 0] ** 0.5
    >>> ax = ef.plot.level(FLOW, found.smoothed_mean[:, 0], std)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['observed', '90% band', 'level']
    """
    if not 0 < band < 1:
        msg = f"band: got {band}, want a probability between 0 and 1"
        raise ValueError(msg)
    middle = as_float_array(mean, "mean", ndim=1, dtype=np.float64)
    spread = as_float_array(std, "std", ndim=1, dtype=np.float64)
    if spread.shape != middle.shape:
        msg = f"std: got shape {spread.shape}, want {middle.shape} as the mean has"
        raise ValueError(msg)
    x = _positions(times, y, mean, len(middle))
    ax, shade = axes(ax), COLOURS.get(colour, colour)
    if y is not None:
        seen = as_float_array(y, "y", ndim=1, dtype=np.float64, check_finite=False)
        if seen.shape != middle.shape:
            msg = f"y: got shape {seen.shape}, want {middle.shape} as the mean has"
            raise ValueError(msg)
        ax.plot(x, seen, ".", color=COLOURS["grey"], ms=4, label="observed")
    half = NormalDist().inv_cdf((1 + band) / 2) * spread
    ax.fill_between(
        x, middle - half, middle + half, color=shade, alpha=0.2, lw=0, label=f"{band:.0%} band"
    )
    ax.plot(x, middle, color=shade, label=label)
    ax.legend(fontsize="small")
    return ax


def phase_transition(sweep: "PhaseSweep", *, ax: Any = None) -> Any:
    """Draw the risk against the number of parameters, one curve for each horizon.

    Parameters
    ----------
    sweep : PhaseSweep
        From `eigenflow.lds.phase_sweep`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np
    >>> A = np.eye(3, k=1) + np.diag([1.0, 1.0, 0.4])
    >>> chain = ef.lds.LinearSystem(A, np.eye(3), np.eye(3), np.zeros((3, 3)))
    >>> sweep = ef.lds.phase_sweep(chain, ef.lds.TopLeftBlock, [1, 2, 3], [10, 1000])
    >>> ef.plot.phase_transition(sweep).get_ylabel()
    'ln(1 + mean risk)'
    """
    ax = axes(ax)
    shades = np.linspace(0.85, 0.0, len(sweep.horizons))
    for horizon, column, shade in zip(sweep.horizons, sweep.log1p_mean.T, shades, strict=True):
        ax.plot(
            sweep.counts, column, "o-", ms=4, color=_mixed("blue", shade), label=_power(horizon)
        )
    if sweep.transition_count is not None:
        ax.axvline(
            sweep.transition_count,
            color=COLOURS["orange"],
            lw=1,
            ls="--",
            label="bounded from here",
        )
    ax.set(xlabel="count", ylabel="ln(1 + mean risk)")
    ax.set_xticks(sweep.counts)
    ax.legend(title="horizon T", fontsize="small", title_fontsize="small")
    return ax


def filter_lengths(
    system: "LinearSystem",
    horizons: Sequence[int],
    *,
    tol: float = 0.01,
    total_tol: float = 1.0,
    ax: Any = None,
) -> Any:
    """Draw how many past observations a fixed filter needs against the horizon.

    Parameters
    ----------
    system : LinearSystem
        As for `eigenflow.lds.filter_length_for`, which is called for every point.
    horizons : sequence of int
        In increasing order.
    tol : float
        Admissible mean excess of a filter that is fitted to its length, and of one that is cut
        off, in units of the innovation variance.
    total_tol : float
        Admissible total excess, in the same unit.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> walk = ef.lds.LinearSystem(1.0, 1.0, 0.1, 1.0)
    >>> ax = ef.plot.filter_lengths(walk, [100, 10_000, 10**6])
    >>> [int(line.get_ydata()[-1]) for line in ax.get_lines()]
    [7, 21, 24]
    """
    from eigenflow import lds

    ax = axes(ax)
    curves: tuple[tuple[Any, float, str, str], ...] = (
        ("mean", tol, "green", f"mean excess within {tol:.0%}, fitted"),
        ("total", total_tol, "blue", f"total excess within {total_tol:g}, fitted"),
        ("truncated", tol, "orange", f"mean excess within {tol:.0%}, Kalman cut off"),
    )
    for criterion, bound, name, label in curves:
        found = [lds.filter_length_for(system, t, tol=bound, criterion=criterion) for t in horizons]
        ax.plot(list(horizons), found, "o-", ms=4, color=COLOURS[name], label=label)
    ax.set(xscale="log", xlabel="horizon T", ylabel="filter length")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize="small")
    return ax


def _positions(times: Any, y: Any, mean: Any, size: int) -> Any:
    for given in (times, getattr(y, "index", None), getattr(mean, "index", None)):
        if given is not None and not callable(given):
            # A PeriodIndex has no position on an axis of its own.
            positions = given.to_timestamp() if hasattr(given, "to_timestamp") else given
            if len(positions) != size:
                msg = f"times: got {len(positions)} positions, want {size} as the mean has"
                raise ValueError(msg)
            return np.asarray(positions)
    return np.arange(size)


def _mixed(name: str, share_of_white: float) -> Array:
    colour = COLOURS[name]
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.asarray(rgb + (1 - rgb) * share_of_white)


def _power(horizon: int) -> str:
    return (
        f"{horizon:.0e}".replace("e+0", "e").replace("e+", "e") if horizon >= 1e4 else f"{horizon}"
    )
