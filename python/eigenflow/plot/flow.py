"""Plots of flows and spectra."""

from typing import TYPE_CHECKING, Any

import numpy as np

from eigenflow._arrays import Array, as_float_array
from eigenflow.plot._axes import COLOURS, axes

if TYPE_CHECKING:
    from eigenflow.flow import MisalignmentReport


def path(
    times: Any, risk: Any, stop: float | None = None, *, loss: Any = None, ax: Any = None
) -> Any:
    """Draw the estimated risk along the flow, and where it was stopped.

    Parameters
    ----------
    times : array_like
        Positive times, of shape (n_times,).
    risk : array_like
        Of the same shape: what `eigenflow.flow.sure` or cross-validation gave.
    stop : float, optional
        The chosen time.
    loss : array_like, optional
        The true loss at the same times, where it is known.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np
    >>> times = np.geomspace(1, 100, 30)
    >>> risk = ef.flow.sure([0.5, 0.02, -0.03], 1e-3, times, 4e-4)
    >>> ax = ef.plot.path(times, risk, stop=times[risk.argmin()])
    >>> ax.get_xlabel()
    'time'
    """
    t = as_float_array(times, "times", ndim=1, dtype=np.float64)
    estimated = _same_length(risk, "risk", t)
    ax = axes(ax)
    if loss is not None:
        known = _same_length(loss, "loss", t)
        ax.plot(t, known, color=COLOURS["grey"], lw=4, alpha=0.5, label="true loss")
    ax.plot(t, estimated, color=COLOURS["blue"], label="estimated risk")
    if stop is not None:
        at = np.interp(np.log(stop), np.log(np.sort(t)), estimated[np.argsort(t)])
        ax.axvline(stop, color=COLOURS["orange"], lw=1, ls="--")
        ax.plot(stop, at, "o", color=COLOURS["orange"], label=f"stopped at {stop:.3g}")
    # A risk that cannot be told from 0 has no logarithm; a range below tenfold needs none.
    wide = 0 < 10 * estimated.min() < estimated.max()
    ax.set(xscale="log", yscale="log" if wide else "linear", xlabel="time", ylabel="risk")
    ax.legend()
    return ax


def learned_eigenvalues(initial: Any, learned: Any, *, signal: Any = None, ax: Any = None) -> Any:
    """Draw learned against initial eigenvalues: what stands above the diagonal has grown.

    Parameters
    ----------
    initial, learned : array_like
        Eigenvalues before and after, of one shape; zeros are left out.
    signal : array_like, optional
        Which coordinates to highlight: a mask of that shape, or flat indices as
        `eigenflow.flow.signal_set` gives them.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> initial = [1.0, 0.1, 0.01]
    >>> learned = ef.flow.learned_eigenvalues([0.0, 0.0, 0.5], initial)
    >>> ax = ef.plot.learned_eigenvalues(initial, learned, signal=[2])
    >>> ax.get_ylabel()
    'learned eigenvalue'
    """
    before = as_float_array(initial, "initial", dtype=np.float64)
    after = as_float_array(learned, "learned", dtype=np.float64)
    if after.shape != before.shape:
        msg = f"learned: got shape {after.shape}, want {before.shape} as the initial ones have"
        raise ValueError(msg)
    before, after = before.ravel(), after.ravel()
    marked = _mask(signal, before.size)
    shown = (before > 0) & (after > 0)
    ax = axes(ax)
    ends = [before[shown].min(initial=1.0), before[shown].max(initial=0.0)] if shown.any() else []
    ax.plot(ends, ends, color="black", lw=1, label="unchanged")
    for mask, name, label in ((~marked, "grey", "others"), (marked, "red", "signal")):
        if signal is not None or name == "grey":
            x, y = before[mask & shown], after[mask & shown]
            label = label if signal is not None else "eigenvalues"
            ax.plot(x, y, ".", ms=_dot_size(x.size), color=COLOURS[name], label=label)
    ax.set(xscale="log", yscale="log", xlabel="initial eigenvalue", ylabel="learned eigenvalue")
    ax.legend(markerscale=2)
    return ax


def spectrum(
    coefficients: Any, eigenvalues: Any = None, *, level: float | None = None, ax: Any = None
) -> Any:
    """Draw the sizes of coefficients in the order of decreasing eigenvalues.

    Parameters
    ----------
    coefficients : array_like
        Any shape; zeros are left out.
    eigenvalues : array_like, optional
        Of the same shape; by default the coefficients stand in their order.
    level : float, optional
        Draw this level, for instance the noise's, and highlight what reaches it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> ax = ef.plot.spectrum([0.01, 2.0, 0.02, 0.5], level=0.1)
    >>> ax.get_yscale()
    'log'
    """
    from eigenflow.flow.diagnostics import eigenvalue_order

    sizes = np.abs(as_float_array(coefficients, "coefficients", dtype=np.float64))
    if eigenvalues is None:
        sizes = sizes.ravel()
    else:
        sizes = sizes.ravel()[eigenvalue_order(eigenvalues, sizes.shape)]
    place = np.arange(1, sizes.size + 1)
    signal = sizes >= level if level is not None else np.zeros(sizes.size, bool)
    ax = axes(ax)
    for mask, name in ((~signal, "grey"), (signal, "red")):
        mask = mask & (sizes > 0)
        label = "signal" if name == "red" else ("below" if level is not None else None)
        ax.plot(
            place[mask],
            sizes[mask],
            ".",
            ms=_dot_size(sizes.size),
            color=COLOURS[name],
            label=label,
        )
    if level is not None:
        ax.axhline(level, color="black", lw=1, ls="--", label=f"level {level:.3g}")
        ax.legend(markerscale=2)
    ax.set(xscale="log", yscale="log", ylabel="size of the coefficient")
    ax.set_xlabel("number, by decreasing eigenvalue")
    return ax


def misalignment(report: "MisalignmentReport", ax: Any = None) -> Any:
    """Draw the risk of keeping k coordinates, in the eigenvalues' order and in the signal's.

    The gap between the two minima is what the order of the eigenvalues costs. Horizontal lines
    are the best that the flows with fixed and with growing eigenvalues reach.

    Parameters
    ----------
    report : MisalignmentReport
        From `eigenflow.flow.misalignment_report`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> report = ef.flow.misalignment_report([0.0, 0.0, 0.0, 1.0], [1.0, 0.5, 0.3, 0.2], 0.01)
    >>> ax = ef.plot.misalignment(report)
    >>> ax.get_ylabel()
    'expected risk'
    """
    from eigenflow.flow.misalignment import truncation_risks

    sizes, variance = np.abs(report.coefficients), report.noise_variance
    orders = {
        "keep k, order of the eigenvalues": (sizes, "orange"),
        "keep k, order of the signal": (np.sort(sizes)[::-1], "blue"),
    }
    ax = axes(ax)
    k = np.arange(1, sizes.size + 1)
    for label, (ordered, name) in orders.items():
        risks = truncation_risks(ordered, variance)[1:]
        best = int(np.argmin(risks))
        ax.plot(k, risks, color=COLOURS[name], label=label)
        ax.plot(k[best], risks[best], "o", color=COLOURS[name])
    lines = (
        (report.fixed_risk, "red", "flow, fixed eigenvalues"),
        (report.adaptive_risk, "green", f"flow, growing eigenvalues (depth {report.depth})"),
    )
    for risk, name, label in lines:
        ax.axhline(risk, color=COLOURS[name], lw=1.2, ls="--", label=label)
    ax.set(xscale="log", yscale="log", xlabel="coordinates kept, k", ylabel="expected risk")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend above the curves
    ax.legend(loc="upper center", fontsize="small", ncols=2)
    return ax


def _same_length(values: Any, name: str, times: Array) -> Array:
    a = as_float_array(values, name, dtype=np.float64)
    if a.shape != times.shape:
        msg = f"{name}: got shape {a.shape}, want {times.shape} as the times have"
        raise ValueError(msg)
    return a


def _mask(signal: Any, size: int) -> Array:
    """Read a mask, or flat indices, as a flat mask."""
    if signal is None:
        return np.zeros(size, bool)
    given = np.asarray(signal)
    if given.dtype == bool:
        if given.size != size:
            msg = f"signal: got a mask of {given.size} entries, want {size}"
            raise ValueError(msg)
        return given.ravel()
    marked = np.zeros(size, bool)
    if given.size and (given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= size):
        msg = f"signal: got {signal!r}, want a mask or indices from 0 to {size - 1}"
        raise ValueError(msg)
    marked[given.astype(np.int64)] = True
    return marked


def _dot_size(n: int) -> float:
    """Diameter in points that keeps many dots apart and few visible."""
    return 7.0 if n < 300 else 4.0 if n < 5_000 else 2.0
