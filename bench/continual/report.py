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
    "both": "whitened, Fisher-weighted rows",
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
_MARKERS = "osD^vP*X"
_LEAST = 1e-5  # increases at or below it, gains included, are drawn at it


def by_method(results, share=""):
    """Runs of each method, in the order of the titles; of the sweep at one share, or the others."""
    runs = {}
    for method in TITLES:
        kind = f"{method}@{share}" if share else method
        found = [run for key, run in results["runs"].items() if key.split("/")[0] == kind]
        if found:
            runs[method] = found
    return runs


def shares_of(results):
    """Shares of the sweep, in ascending order."""
    kinds = {key.split("/")[0].partition("@")[2] for key in results["runs"]} - {""}
    return sorted(kinds, key=float)


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


def shares_table(results):
    """Rows of one suite's sweep: accuracy and growth of each rule at each share."""
    rules = by_method(results, shares_of(results)[0])
    rows = [["share", *(TITLES[rule] for rule in rules)]]
    for share in shares_of(results):
        summaries = [summary(runs) for runs in by_method(results, share).values()]
        cells = [f"{100 * s['accuracy']:.1f} at {100 * s['growth']:.0f} %" for s in summaries]
        rows.append([share, *cells])
    return rows


def allocated_table(results):
    """Mean true increase of the loss after allocation, a column a case and budget."""
    columns = [(case, b) for case in results for b in range(len(results[case]["budgets"]))]
    names = [f"{case}, {100 * results[case]['budgets'][b]:g} %" for case, b in columns]
    rows = [["ranks and factors from", *names]]
    for measure, title in MEASURES.items():
        values = [np.mean(results[case]["allocated"][measure], 0)[b] for case, b in columns]
        rows.append([title, *(f"{v:.3f}" for v in values)])
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
    """Error against growth, a panel a suite: single methods, and the sweeps of the rules."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(all_results), 4.2), layout="constrained")
    axes = figure.subplots(1, len(all_results), squeeze=False)[0]
    for axis, (suite, results) in zip(axes, all_results.items(), strict=True):
        _draw_suite(axis, results)
        axis.set(title=suite.replace("-", ", "), xlabel="growth of what is stored (%)")
        axis.set(xscale="log", yscale="log")
        for each in (axis.xaxis, axis.yaxis):
            each.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.tick_params(axis="y", which="minor", labelsize=8)
        axis.grid(alpha=0.3, which="both")
    axes[0].set_ylabel("error after the last task (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _draw_suite(axis, results):
    sweep = {share: by_method(results, share) for share in shares_of(results)}
    for i, (method, runs) in enumerate(by_method(results).items()):
        rows = [summary(found[method]) for found in sweep.values() if method in found]
        axis.plot(
            [100 * row["growth"] for row in rows or [summary(runs)]],
            [100 * (1 - row["accuracy"]) for row in rows or [summary(runs)]],
            color=_COLOURS[i % 8],
            marker=_MARKERS[i % 8],
            ms=5 if rows else 8,
            ls="-" if rows else "",
            lw=1,
            label=TITLES[method],
        )


def importance_figure(case, content):
    """True against predicted loss, a panel a measure; the cuts of one network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 5.2), layout="constrained")
    figure.suptitle(case)
    axes = figure.subplots(2, 4, sharey=True).ravel()
    layers = list(dict.fromkeys(row["layer"] for row in content["example"]))
    for axis, (measure, title) in zip(axes, MEASURES.items(), strict=False):
        for i, layer in enumerate(layers):
            rows = [r for r in content["example"] if r["layer"] == layer]
            axis.plot(
                [r[measure] for r in rows],
                [max(r["true"], _LEAST) for r in rows],
                color=_COLOURS[i],
                marker=_MARKERS[i],
                ms=3.5,
                lw=0.8,
                label=f"layer {i + 1}",
            )
        mean = np.mean(content["correlations"][measure])
        axis.set(xscale="log", yscale="log", title=f"{title} ({mean:.2f})")
        axis.title.set_fontsize(9)
        axis.grid(alpha=0.3)
    for axis in axes[[0, 4]]:
        axis.set_ylabel("true increase of the loss")
    figure.supxlabel("predicted, up to a factor", fontsize=10)
    axes[-1].axis("off")
    axes[-1].legend(*axes[0].get_legend_handles_labels(), loc="center", frameon=False)
    return figure


def allocated_figure(results):
    """True increase of the loss after allocation against the budget, a panel a case."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(results), 4.2), layout="constrained")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (case, content) in zip(axes, results.items(), strict=True):
        for i, (measure, title) in enumerate(MEASURES.items()):
            axis.plot(
                100 * np.array(content["budgets"]),
                np.mean(content["allocated"][measure], 0).clip(1e-4),
                color=_COLOURS[i],
                marker=_MARKERS[i],
                ms=5,
                lw=1,
                label=title,
            )
        axis.set(title=case, xlabel="budget (% of all factors)", xscale="log", yscale="log")
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xticks([100 * b for b in content["budgets"]])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("true increase of the loss")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def tables(suites, importance):
    """Text of every table, by its path below the results."""
    found = {f"continual/{name}.csv": continual_table(results) for name, results in suites.items()}
    for name, results in suites.items():
        if shares_of(results):
            found[f"continual/{name}-shares.csv"] = shares_table(results)
    found["importance.csv"] = importance_table(importance)
    found["importance-allocated.csv"] = allocated_table(importance)
    return {name: as_csv(rows) for name, rows in found.items()}


def figures(suites, importance):
    """Every figure, by its name."""
    found = {"continual": continual_figure(suites), "allocated": allocated_figure(importance)}
    for case, content in importance.items():
        name = case.partition(",")[0].lower()
        found[f"importance-{name}"] = importance_figure(case, content)
    return found


def continual_results():
    """All suites whose results are there."""
    paths = sorted((DOCS / "results" / "continual").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def importance_results():
    """Results of `continual.importance`."""
    return json.loads((DOCS / "results" / "importance.json").read_text())


def main():
    """Write all tables and figures."""
    import matplotlib as mpl

    results = continual_results(), importance_results()
    for name, text in tables(*results).items():
        (DOCS / "results" / name).write_text(text)
    folder = DOCS / "figures"
    folder.mkdir(exist_ok=True)
    # No date and fixed ids: the same results give the same file.
    with mpl.rc_context({"svg.hashsalt": "eigenflow"}):
        for name, figure in figures(*results).items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
