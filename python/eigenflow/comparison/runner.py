"""Runs the tasks one by one, prints each when it is done, and writes the table and the plot."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eigenflow.comparison.contest import Outcome, Task, compete
from eigenflow.comparison.table import markdown, seconds
from eigenflow.comparison.tasks import TASKS
from eigenflow.config import config

_COLUMNS = ("task", "who", "time", "spread", "times eigenflow", "result")


def run(
    out: str | Path = "eigenflow-bench",
    *,
    budget: float = 10.0,
    tasks: Sequence[Callable[[], Task]] = TASKS,
) -> Path:
    """Let eigenflow and its installed rivals do each task; write `bench.md` and `bench.png`.

    Parameters
    ----------
    out : str or Path
        Folder, made if it is missing.
    budget : float
        At most so many seconds for each contestant of each task, and 15 turns; one turn if it is 0.
    tasks : sequence of callable
        Each makes one task.

    Returns
    -------
    Path
        Of the table.

    Raises
    ------
    ValueError
        If `budget` is negative or NaN.
    """
    if not budget >= 0:
        msg = f"budget: got {budget}, want a number of seconds, at least 0"
        raise ValueError(msg)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    done: list[tuple[str, list[Outcome]]] = []
    rows: list[tuple[str, ...]] = []
    for make in tasks:
        task = make()
        outcomes = compete(task, budget=budget)
        done.append((task.title, outcomes))
        rows += _rows(task, outcomes)
        _print_task(task.title, rows[-len(outcomes) :])
    page = folder / "bench.md"
    page.write_text(_page(rows), encoding="utf-8")
    print(f"\nTable: {page}")
    if find_spec("matplotlib") is None:
        print("No plot: matplotlib is not installed (pip install 'eigenflow[plot]')")
    else:
        picture = folder / "bench.png"
        _plot(done).savefig(picture, dpi=150)
        print(f"Plot: {picture}")
    return page


def _rows(task: Task, outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    ours = outcomes[0].seconds
    return [
        (
            task.title,
            outcome.name + ("" if outcome.share == 1 else f" ({outcome.share:.3g} of it, scaled)"),
            seconds(outcome.seconds),
            f"{100 * outcome.spread:.0f} %",
            "" if outcome is outcomes[0] else f"{outcome.seconds / ours:.3g}",
            "" if outcome.error is None else f"{task.error_name} {outcome.error:.3g}",
        )
        for outcome in outcomes
    ]


def _print_task(title: str, rows: Sequence[Sequence[str]]) -> None:
    print(f"\n{title}", flush=True)
    widths = [max(len(row[i]) for row in rows) for i in range(1, len(_COLUMNS))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[1:], widths, strict=True)]
        print("  " + "  ".join(cells).rstrip(), flush=True)


def _page(rows: Sequence[Sequence[str]]) -> str:
    machine = [f"- {name}: {value}" for name, value in config().items()]
    table = markdown(_COLUMNS, rows)
    note = "Medians of contestants that take turns; spread is the interquartile range."
    return "\n".join(
        ["# eigenflow beside what is installed here", "", *machine, "", note, "", table, ""]
    )


def _plot(done: Sequence[tuple[str, list[Outcome]]]) -> Any:
    """Bars of how many times longer each rival takes, on a logarithmic axis."""
    from matplotlib.figure import Figure

    from eigenflow.plot import COLOURS

    bars = [
        (f"{title}\n{rival.name}", rival.seconds / outcomes[0].seconds)
        for title, outcomes in done
        for rival in outcomes[1:]
    ]
    figure = Figure(figsize=(9, 0.8 + 0.5 * len(bars)), layout="constrained")
    axes = figure.subplots()
    ours, theirs = list(COLOURS.values())[:2]
    names, ratios = [name for name, _ in bars], [ratio for _, ratio in bars]
    colours = [ours if ratio >= 1 else theirs for ratio in ratios]
    axes.barh(names, [r - 1 for r in ratios], left=1, color=colours, height=0.6)
    for i, ratio in enumerate(ratios):
        axes.annotate(
            f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}",
            (max(ratio, 1), i),
            (5, 0),
            textcoords="offset points",
            va="center",
        )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(min(0.7, *ratios) / 1.2, 3 * max(10, *ratios))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.set_xlabel("time of the rival / time of eigenflow")
    return figure
