"""Draw the figures from the stored results."""

from typing import Any

import numpy as np

from adaptivity import settings
from adaptivity.coefficients import significance
from adaptivity.growth import scaled_signal
from adaptivity.sequence import SequenceModel
from eigenflow.demo.report import COLOURS, subplots

STYLE = {
    "adaptive": {"color": COLOURS["green"], "marker": "o"},
    "vanilla": {"color": COLOURS["orange"], "marker": "s"},
    "vanilla, capped": {"color": COLOURS["grey"], "marker": "^"},
    "fixed": {"color": COLOURS["orange"], "marker": "s"},
}
DEPTH_COLOURS = {0: COLOURS["green"], 1: COLOURS["purple"], 2: COLOURS["red"], 3: COLOURS["blue"]}


def rates_error(result: dict[str, Any]) -> Any:
    """Figure 1."""
    figure, axes = subplots(2, width=9.6, height=3.9)
    for ax, column, setting in zip(axes, result["columns"], settings.RATE_SETTINGS, strict=True):
        _rates_panel(ax, column, "error", setting.error, ("adaptive", "vanilla"))
        ax.set_title(rf"$\gamma$ = {column['gamma']:g}")
    axes[0].set_ylabel("least error over the path")
    return figure


def rates_time(result: dict[str, Any]) -> Any:
    """Figure 3."""
    figure, axes = subplots(2, width=9.6, height=3.9)
    names = (("adaptive", "vanilla"), ("adaptive", "vanilla", "vanilla, capped"))
    for ax, column, setting, shown in zip(
        axes, result["columns"], settings.RATE_SETTINGS, names, strict=True
    ):
        lines = {**setting.time, "vanilla, capped": setting.time["vanilla"]}
        _rates_panel(ax, column, "time", lines, shown)
        ax.set_title(rf"$\gamma$ = {column['gamma']:g}")
    axes[0].set_ylabel("time of the least error")
    return figure


def _rates_panel(
    ax: Any, column: dict[str, Any], what: str, lines: dict[str, Any], shown: tuple[str, ...]
) -> None:
    for name in shown:
        _fitted_line(ax, np.array(column["n"]), name, column[name][what], lines[name])
    _n_axis(ax, [2000, 4000, 6000, 10_000])


def _fitted_line(ax: Any, n: Any, name: str, summary: dict[str, Any], paper: settings.Line) -> None:
    slope, intercept = summary["line"]
    label = f"{name}: {slope:.2f} (paper {paper.slope:.2f})"
    style = STYLE[name]
    ax.errorbar(n, summary["mean"], summary["sd"], fmt=style["marker"], ms=4.5, capsize=2,
                lw=1, color=style["color"], label=label)  # fmt: skip
    ax.plot(n, 10**intercept * n**slope, lw=1.3, color=style["color"])


def _n_axis(ax: Any, ticks: list[int]) -> None:
    ax.set(xscale="log", yscale="log", xlabel="n")
    ax.set_xticks(ticks, [str(n) for n in ticks])
    ax.xaxis.minorticks_off()
    ax.legend(fontsize=8.5, title="slope", title_fontsize=8.5)


def growth(result: dict[str, Any]) -> Any:
    """Figures 2 and 4."""
    figure, axes = subplots(3, n_rows=4, width=10.0, height=9.6)
    model = SequenceModel(
        settings.P, settings.Q, settings.GROWTH_GAMMA, settings.GROWTH_COORDINATES
    )
    first, last = settings.GROWTH_SHOWN
    signal = model.signal[first - 1 : last]
    for column, (top, *rest) in zip(result["depths"], axes.T, strict=True):
        colour = DEPTH_COLOURS[column["depth"]]
        _error_panel(top, column, colour)
        for ax, snapshot in zip(rest, column["snapshots"], strict=True):
            _terms_panel(ax, column["depth"], snapshot, signal, colour)
        rest[-1].set_xlabel("index j")
    axes[0, 0].set_ylabel("error")
    for ax in axes[1:, 0]:
        ax.set_ylabel(r"$a_j b_j^D$")
    axes[1, 0].legend(fontsize=8.5, loc="upper right")
    return figure


def _error_panel(ax: Any, column: dict[str, Any], colour: str) -> None:
    times, error, sd = (np.array(column[k]) for k in ("times", "error", "error_sd"))
    ax.fill_between(times, error - sd, error + sd, color=colour, alpha=0.2, lw=0)
    ax.plot(times, error, color=colour)
    for snapshot in column["snapshots"]:
        ax.axvline(snapshot["time"], color=COLOURS["grey"], lw=0.8, ls=":")
    ax.set(title=f"depth {column['depth']}", xlabel="time", yscale="log", ylim=(0.05, 3))


def _terms_panel(ax: Any, depth: int, snapshot: dict[str, Any], signal: Any, colour: str) -> None:
    first, last = settings.GROWTH_SHOWN
    index = np.arange(first, last + 1)
    there = signal > 0
    ax.plot(index, snapshot["terms"], color=colour, lw=1.1, label="eigenvalue term")
    ax.plot(index[there], scaled_signal(signal[there], depth), "x", color="black", ms=5,
            label=r"$|\theta^*_j|^{(D+1)/(D+2)}$")  # fmt: skip
    ax.set_title(f"t = {snapshot['time']:g}", fontsize=10)
    ax.set_ylim(0, 0.55 if depth == 0 else 0.4)


def slopes(result: dict[str, Any]) -> Any:
    """Tables 1 and 2 in one picture: the paper's slopes against the exact ones."""
    figure, axes = subplots(3, width=10.4, height=3.9)
    for depth, ax in enumerate(axes):
        ax.plot([0.25, 0.85], [0.25, 0.85], color="black", lw=0.8)
        for p, marker in zip(settings.POWERS, "osD", strict=True):
            for gamma, colour in zip(settings.GAMMAS, ("red", "blue", "grey"), strict=True):
                chosen = [
                    e
                    for e in result["entries"]
                    if (e["depth"], e["p"], e["gamma"]) == (depth, p, gamma)
                ]
                ax.plot([e["exact"] for e in chosen], [e["paper"] for e in chosen], marker, ms=5,
                        color=COLOURS[colour], alpha=0.85,
                        label=rf"p = {p:g}, $\gamma$ = {gamma:g}")  # fmt: skip
        ax.set(
            title=f"depth {depth}",
            xlabel="exact slope",
            aspect="equal",
            xlim=(0.27, 0.83),
            ylim=(0.27, 0.83),
        )
    axes[0].set_ylabel("the paper's slope")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5)
    return figure


def regression(result: dict[str, Any]) -> Any:
    """Figure 5."""
    figure, (left, right) = subplots(2, width=9.6, height=3.9)
    colours = {"fixed": COLOURS["orange"]} | {f"depth {d}": DEPTH_COLOURS[d] for d in (0, 1, 2)}
    for name, curve in result["curves"].items():
        left.plot(result["times"], curve, color=colours[name], label=name)
    left.set(
        xscale="log",
        xlabel="time",
        ylabel="error",
        ylim=(0, 1),
        title=f"one trial, n = {result['n'][-1]}",
    )
    left.legend(fontsize=8.5)
    n = np.array(result["n"])
    for name, line in settings.REGRESSION_ERROR.items():
        _fitted_line(right, n, name, result["errors"][name], line)
    right.set(title="least error over the path", ylabel="error")
    _n_axis(right, [160, 200, 240, 320, 400])
    return figure


def coefficients(result: dict[str, Any]) -> Any:
    """Figure 6."""
    count = len(result["tables"])
    figure, axes = subplots(2, n_rows=count, width=9.6, height=2.9 * count)
    for (left, right), table in zip(np.reshape(axes, (count, 2)), result["tables"], strict=True):
        size, level = np.array(table["size"]), np.array(table["level"])
        limit = significance(len(size), table["n"])
        shown = {"color": COLOURS["blue"], "lw": 0.5}
        left.vlines(np.arange(1, len(size) + 1), 0, size, rasterized=True, **shown)
        for edge in np.flatnonzero(np.diff(level)) + 1.5:
            left.axvline(edge, color=COLOURS["grey"], lw=0.7, ls=":")
        right.vlines(np.arange(1, len(size) + 1), 0, np.sort(size)[::-1], rasterized=True, **shown)
        for ax in (left, right):
            ax.axhline(
                limit, color=COLOURS["red"], lw=1, label=r"noise stays below, $\sqrt{2 \ln P / n}$"
            )
            ax.set(xlim=(0, len(size)), ylim=(0, None))
        left.set(title=f"{table['name']}: kernel's order", ylabel="|coefficient|")
        right.set(title=f"{table['name']}: sorted")
        right.legend(fontsize=8.5)
    for ax in np.reshape(axes, (count, 2))[-1]:
        ax.set_xlabel("basis function")
    return figure
