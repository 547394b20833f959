"""Draw the figures from the stored results."""

from collections.abc import Callable
from typing import Any

import numpy as np

from eigenflow.demo.report import COLOURS, subplots
from sine.spectra import OMEGAS, SHOWN
from sine.tables import group

_PALETTE = ["orange", "purple", "red", "green"]


def spectra(result: dict[str, Any]) -> Any:
    """Singular values at several frequencies, and stable rank against omega."""
    figure, (left, right) = subplots(2, width=9.6, height=3.9)
    blues = ["#c6dbef", "#9ecae1", "#6baed6", "#3182bd", "#08519c"]
    for (omega, s), colour in zip(result["spectra"].items(), blues, strict=True):
        left.plot(np.arange(1, len(s) + 1), np.array(s) / s[0], color=colour, label=f"{omega}")
    full = np.array(result["full"])
    left.plot(np.arange(1, len(full) + 1), full / full[0], "--", color="black", label="full matrix")
    left.set(yscale="log", ylim=(1e-8, 2), xlabel="index", ylabel="singular value / largest",
             title=f"n = {SHOWN[0]}, k = {SHOWN[1]}")  # fmt: skip
    left.legend(title="omega", fontsize=8.5, title_fontsize=8.5)
    for row, colour in zip(result["rows"], COLOURS.values(), strict=False):
        right.plot(OMEGAS, np.array(row["stable_rank"]) / row["dense"], "o-", color=colour, ms=4,
                   label=f"n = {row['n']}, k = {row['k']}")  # fmt: skip
    right.axhline(1, color="black", ls="--", lw=1)
    right.set(xscale="log", xlabel="omega", ylabel="stable rank / that of a full matrix",
              title="Stable rank")  # fmt: skip
    right.legend(fontsize=8.5)
    return figure


def runs(label: str) -> Callable[[dict[str, Any]], Any]:
    """Score against rank, one line for each kind of weights."""

    def draw(result: dict[str, Any]) -> Any:
        figure, ax = subplots(width=6.4, height=3.9)
        _score_lines(ax, result["runs"])
        ax.set(xlabel="rank k", ylabel=label, xticks=[1, 2, 4])
        ax.legend(fontsize=8.5, loc="lower right")
        return figure

    return draw


def _omega(kind: str) -> float:
    """Order of a kind of weights in a legend: full rank, low rank, then by frequency."""
    number = kind.rpartition("omega = ")[2]
    return float(number) if number != kind else -1.0 if kind == "low rank" else -2.0


def _score_lines(ax: Any, rows: list[dict[str, Any]]) -> None:
    kinds: dict[str, list[list[dict[str, Any]]]] = {}
    for seeds in group(rows):
        kinds.setdefault(seeds[0]["weights"], []).append(seeds)
    colours = iter(_PALETTE)
    for kind, points in sorted(kinds.items(), key=lambda item: _omega(item[0])):
        x = [p[0]["rank"] for p in points]
        y = [np.mean([r["score"] for r in p]) for p in points]
        if kind == "full rank":
            ax.axhline(y[0], color="black", ls="--", lw=1, label="full rank")
            continue
        colour = COLOURS["grey"] if kind == "low rank" else COLOURS[next(colours)]
        marker = "s" if kind == "low rank" else "o"
        ax.plot(x, y, "-", marker=marker, ms=5, color=colour, label=kind)
        for p in points:
            ax.plot([p[0]["rank"]] * len(p), [r["score"] for r in p], "_", color=colour)


def adapters(result: dict[str, Any]) -> Any:
    """Accuracy of each adapter against its rank; the dashed lines have the scale alone."""
    figure, ax = subplots(width=6.4, height=3.9)
    lines: dict[str, list[tuple[int, float]]] = {}
    for seeds in group(result["runs"]):
        mean = float(np.mean([r["score"] for r in seeds]))
        if seeds[0]["rank"]:
            lines.setdefault(seeds[0]["weights"], []).append((seeds[0]["rank"], mean))
        else:
            ax.axhline(mean, color="black", lw=1, ls=":", label="frozen")
    colours = {"200": COLOURS["orange"], "800": COLOURS["red"]}
    for name, points in lines.items():
        colour = colours.get(name.rpartition(" ")[2], COLOURS["grey"])
        style = "s--" if "scale" in name else "o-"
        ax.plot(*zip(*points, strict=True), style, ms=5, color=colour, label=name)
    ax.set(xlabel="rank k", ylabel="accuracy on turned digits", xticks=[1, 2, 4])
    ax.legend(fontsize=8.5)
    return figure


def pictures(kind: str, caption: str) -> Callable[[dict[str, Any]], Any]:
    """The truth, then what each network makes of it."""

    def draw(result: dict[str, Any]) -> Any:
        shown = [(_truth(kind), "truth"), *((r["picture"], _title(r, caption))
                                            for r in result["runs"])]  # fmt: skip
        n_cols = -(-len(shown) // 2)
        n_rows = 2
        figure, axes = subplots(n_cols, n_rows=n_rows, width=2.0 * n_cols, height=2.5 * n_rows)
        for ax in np.ravel(axes):
            ax.set_axis_off()
        for ax, (values, title) in zip(np.ravel(axes), shown, strict=False):
            flat = kind == "solid"
            values = np.rot90(np.array(values)) if flat else np.array(values, np.uint8)
            ax.imshow(values, cmap="Blues" if flat else None, interpolation="nearest")
            ax.set_title(title, fontsize=9)
        return figure

    return draw


def _title(run: dict[str, Any], caption: str) -> str:
    rank = f", k = {run['rank']}" if run["rank"] else ""
    return f"{run['weights']}{rank}\n{caption.format(run['score'])}"


def _truth(kind: str) -> Any:
    from sine import fields, nerf

    if kind == "image":
        return (fields.photograph() * 255).round().int().tolist()
    if kind == "solid":
        return fields.middle(fields.solid()).int().tolist()
    view = nerf.views()[2][nerf.N_VIEWS - nerf.N_TEST].reshape(nerf.SIDE, nerf.SIDE, 3)
    return (view.clamp(0, 1) * 255).round().int().tolist()
