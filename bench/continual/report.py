"""Tables and figures of the docs, from the committed results: `python -m continual.report`."""

import csv
import io
import json
from pathlib import Path

import numpy as np

from continual.metrics import summary

DOCS = Path(__file__).parents[2] / "docs"
# Not imported from `methods` and `importance`: this file must run without PyTorch.
TITLES = {
    "single": "single-task networks",
    "together": "multi-task, all at once",
    "frozen": "frozen base + head",
    "flat": "flat rank, cost of HALRP",
    "energy": "uniform energy",
    "halrp": "HALRP",
    "knapsack": "knapsack, cost of HALRP",
    "reshape": "HALRP, reshaped kernels",
    "pruned": "HALRP, pruned",
}
MEASURES = {
    "frobenius": "size alone: ‖ΔW‖²",
    "gradient-fro": "E‖G‖² ‖ΔW‖²",
    "gradient-mean": "mean square of G, ‖ΔW‖²",
    "hutchinson": "Hessian trace / size, ‖ΔW‖²",
    "fisher": "Fisher-weighted entries",
    "activation": "activation-whitened",
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
_MARKERS = "osD^vP*X"


def by_method(results):
    """Runs of each method, in the order of the titles."""
    runs = {}
    for method in TITLES:
        found = [run for key, run in results["runs"].items() if key.split("/")[0] == method]
        if found:
            runs[method] = found
    return runs


def continual_table(results):
    """Rows of one suite's table."""
    heading = "method,orders,accuracy %,forgetting,AOPD,MOPD,growth %,published count %,CPU s a run"
    rows = [heading.split(",")]
    for method, runs in by_method(results).items():
        row = summary(runs)
        one_order = row["orders"] == 1
        rows.append(
            [
                TITLES[method],
                row["orders"],
                f"{100 * row['accuracy']:.1f}"
                + ("" if one_order else f" ± {100 * row['accuracy_sd']:.1f}"),
                f"{100 * row['forgetting']:.1f}",
                "" if one_order else f"{100 * row['aopd']:.1f}",
                "" if one_order else f"{100 * row['mopd']:.1f}",
                f"{100 * row['growth']:.0f}",
                f"{100 * row['published_growth']:.0f}",
                f"{row['seconds']:.1f}",
            ]
        )
    return rows


def importance_table(results):
    """Mean and standard deviation over seeds of the rank correlations, a column a case."""
    rows = [["predicted loss", *results]]
    for measure, title in MEASURES.items():
        values = [results[case]["correlations"][measure] for case in results]
        rows.append([title, *(f"{np.mean(v):.2f} ± {np.std(v, ddof=1):.2f}" for v in values)])
    return rows


def as_csv(rows):
    """Text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def continual_figure(all_results):
    """Accuracy against growth, a panel a suite."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(all_results), 3.6), layout="constrained")
    axes = figure.subplots(1, len(all_results), squeeze=False)[0]
    for axis, (suite, results) in zip(axes, all_results.items(), strict=True):
        for i, (method, runs) in enumerate(by_method(results).items()):
            row = summary(runs)
            axis.errorbar(
                100 * row["growth"],
                100 * row["accuracy"],
                100 * row["accuracy_sd"],
                color=_COLOURS[list(TITLES).index(method) % 8],
                marker=_MARKERS[i % 8],
                ms=7,
                ls="",
                label=TITLES[method],
            )
        axis.set(
            title=suite.replace("-", ", "), xlabel="growth of what is stored (%)", xscale="log"
        )
        axis.xaxis.set_major_formatter("{x:g}")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("accuracy after the last task (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def importance_figure(results):
    """True against predicted loss for two measures, one seed of each case."""
    from matplotlib.figure import Figure

    shown = ("frobenius", "gradient-mean")
    figure = Figure(figsize=(8.6, 3.2 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), 2, squeeze=False, sharey="row")
    for line, (case, content) in zip(axes, results.items(), strict=True):
        layers = list(dict.fromkeys(row["layer"] for row in content["example"]))
        for axis, measure in zip(line, shown, strict=True):
            for i, layer in enumerate(layers):
                rows = [r for r in content["example"] if r["layer"] == layer]
                axis.plot(
                    [r[measure] for r in rows],
                    [max(r["true"], 1e-5) for r in rows],
                    color=_COLOURS[i],
                    marker=_MARKERS[i],
                    ms=4,
                    lw=0.8,
                    label=f"layer {i + 1}",
                )
            axis.set(xscale="log", yscale="log", title=MEASURES[measure], xlabel="predicted")
            axis.grid(alpha=0.3)
        line[0].set_ylabel(f"{case}\ntrue increase of the loss")
        line[0].legend(frameon=False, fontsize=9)
    return figure


def continual_results():
    """All suites whose results are there."""
    paths = sorted((DOCS / "results" / "continual").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def main():
    """Write all tables and figures."""
    suites = continual_results()
    for name, results in suites.items():
        table = as_csv(continual_table(results))
        (DOCS / "results" / "continual" / f"{name}.csv").write_text(table)
    importance = json.loads((DOCS / "results" / "importance.json").read_text())
    (DOCS / "results" / "importance.csv").write_text(as_csv(importance_table(importance)))
    figures = DOCS / "figures"
    figures.mkdir(exist_ok=True)
    # No date and fixed ids: the same results give the same file.
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "eigenflow"}):
        for name, figure in (
            ("continual", continual_figure(suites)),
            ("importance", importance_figure(importance)),
        ):
            figure.savefig(figures / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
