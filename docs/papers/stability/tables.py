"""Tables of the page."""

from typing import Any

from reproduction import Table
from stability import settings


def figure_1(result: dict[str, Any]) -> list[Table]:
    """Exact values, those from trajectories, and growth."""
    columns = ("eigenvalue", "T", "", *(f"k = {k}" for k in settings.SIZES))
    rows, growth = [], []
    for panel in result["panels"]:
        name = f"{panel['eigenvalue']:g}"
        for j, horizon in ((0, settings.HORIZONS[0]), (-1, settings.HORIZONS[-1])):
            exact = (f"{row[j]:.2f}" for row in panel["exact"])
            data = (f"{row[j]:.2f}" for row in panel["from data"])
            rows += [(name, str(horizon), "exact", *exact), (name, str(horizon), "data", *data)]
        exponents = (f"{g:.2f}" if g < 1e3 else "exp" for g in panel["growth"])
        growth.append((name, *exponents, str(panel["transition"])))
    names = ("eigenvalue", *(f"k = {k}" for k in settings.SIZES), "bounded from")
    return [Table("figure_1", columns, rows), Table("growth", names, growth)]


def counts(result: dict[str, Any]) -> list[Table]:
    """The counts, and the counterexample to part 2."""
    columns = ("A", "n", "k", "paper 1", "paper 2", "any A", "any basis", "linear class")
    rows = [
        (r["name"], str(r["n"]), str(r["k"]), *map(str, [*r["paper"], *r["sharp"]]))
        for r in result["rows"]
    ]
    example = result["counterexample"]
    horizons = example["horizons"]
    shown = [(name, *(f"{x:.4g}" for x in example[name])) for name in ("1.2 I", "1.19 I")]
    return [
        Table("counts", columns, rows),
        Table("counterexample", ("learner", *(f"T = {t}" for t in horizons)), shown),
    ]


def walk(result: dict[str, Any]) -> list[Table]:
    """Lengths for the noisy random walk."""
    columns = (
        "q / r", "rho", "T", "printed", "mean <= 1%", "total <= S", "cut off <= 1%", "estimated"
    )  # fmt: skip
    rows = [
        (
            f"{r['ratio']:g}", f"{r['rho']:.5f}", f"{r['horizon']:.0e}".replace("e+0", "e"),
            f"{r['printed']:.1f}", str(r["mean"]), str(r["total"]), str(r["truncated"]),
            str(r["estimated"]),
        )
        for r in result["lengths"]
    ]  # fmt: skip
    return [Table("lengths", columns, rows)]


def filters(result: dict[str, Any]) -> list[Table]:
    """Excess at and below the index, and how far float64 reaches."""
    columns = ("system", "index", "length", "T = 1e4", "T = 1e6", "limit")
    rows = [
        (
            r["name"], str(r["index"]), str(r["length"]), *(f"{x:.4g}" for x in r["excess"]),
            "grows" if r["limit"] is None else f"{r['limit']:.4g}",
        )
        for r in result["rows"]
    ]  # fmt: skip
    margins = [(m["name"], f"{m['horizon']:.3g}") for m in result["margins"]]
    return [
        Table("filters", columns, rows),
        Table("margins", ("A", "steps that float64 can follow"), margins),
    ]
