"""Draw the figures from the stored results."""

from typing import Any

import numpy as np

from eigenflow.demo.report import COLOURS, subplots
from stability import settings


def figure_1(result: dict[str, Any]) -> Any:
    """The paper's Figure 1."""
    figure, axes = subplots(2, width=9.6, height=3.9)
    for ax, panel in zip(axes, result["panels"], strict=True):
        exact = np.array(panel["exact"])
        shades = np.linspace(0.75, 0.0, exact.shape[1])
        for horizon, column, shade in zip(settings.HORIZONS, exact.T, shades, strict=True):
            colour = (*(shade + (1 - shade) * np.array([0.145, 0.388, 0.659])), 1.0)
            ax.plot(settings.SIZES, column, color=colour, lw=1.5, label=f"T = {horizon}")
        data = np.array(panel["from data"])
        ax.plot(settings.SIZES, data, "x", color=COLOURS["orange"], ms=6)
        ax.plot([], [], "x", color=COLOURS["orange"], label="from trajectories")
        ax.axvline(4, color=COLOURS["grey"], lw=1, ls=":")
        ax.set(title=rf"$\lambda$ = {panel['eigenvalue']:g}", xlabel="size of the block, k")
    axes[0].set_ylabel("ln(1 + mean risk)")
    axes[0].legend(fontsize=8.5)
    return figure


def walk(result: dict[str, Any]) -> Any:
    """Mean risk on the random walk against the horizon."""
    figure, ax = subplots(1, width=6.4, height=3.8)
    for (name, risks), colour in zip(result["risks"].items(), COLOURS.values(), strict=False):
        dashed = "--" if "cut" in name else "-"
        ax.plot(result["horizons"], risks, dashed, color=colour, label=name)
    ax.set(
        xscale="log", yscale="log", xlabel="horizon T", ylabel="mean excess risk", ylim=(1e-3, 1e8)
    )
    ax.legend(fontsize=8.5)
    return figure
