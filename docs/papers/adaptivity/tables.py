"""Tables of the page: text cells."""

from typing import Any

from adaptivity import settings
from adaptivity.suspects import CAPPED, CAPS
from reproduction import Table


def rates(result: dict[str, Any]) -> list[Table]:
    """Slopes and intercepts of Figures 1 and 3."""
    rows = []
    for setting, column in zip(settings.RATE_SETTINGS, result["columns"], strict=True):
        for what, lines in (("error", setting.error), ("time", setting.time)):
            for method, line in lines.items():
                rows += _line_rows(what, f"{setting.gamma:g}", method, line, column[method])
    last = settings.RATE_SETTINGS[-1]
    capped = result["columns"][-1]["vanilla, capped"]
    for what, line in (("error", last.error["vanilla"]), ("time", last.time["vanilla"])):
        rows += _line_rows(what, f"{last.gamma:g}", "vanilla, capped", line, capped)
    columns = ("log10 of", "gamma", "method", "", "paper", "exact", "difference")
    return [Table("rates", columns, rows)]


def _line_rows(
    what: str, gamma: str, method: str, paper: settings.Line, summary: dict[str, Any]
) -> list[tuple[str, ...]]:
    rows = []
    for name, reported, found in zip(
        ("slope", "intercept"),
        (paper.slope, paper.intercept),
        summary[what]["line"],
        strict=True,
    ):
        if reported is not None:
            cells = (f"{reported:+.3g}", f"{found:+.3f}", f"{found - reported:+.3f}")
            rows.append((what, gamma, method, name, *cells))
    return rows


def growth(result: dict[str, Any]) -> list[Table]:
    """Eigenvalue terms of signal and noise at each snapshot."""
    columns = (
        "depth",
        "time",
        "least signal term / scaled signal",
        "growth of noise terms, median",
        "growth of noise terms, largest",
        "least signal term / largest noise term",
    )
    rows = [
        (
            str(column["depth"]),
            f"{snapshot['time']:g}",
            f"{snapshot['signal_least_share']:.3f}",
            f"{snapshot['noise_median_growth']:.2f}",
            f"{snapshot['noise_most_growth']:.2f}",
            f"{snapshot['gap']:.2f}",
        )
        for column in result["depths"]
        for snapshot in column["snapshots"]
    ]
    return [Table("growth", columns, rows)]


def slopes(result: dict[str, Any]) -> list[Table]:
    """Tables 1 and 2, one table a depth."""
    return [_slopes_of(depth, result["entries"]) for depth in (0, 1, 2)]


def _slopes_of(depth: int, entries: list[dict[str, Any]]) -> Table:
    columns = ["gamma", "p", "theory"]
    for q in settings.MISALIGNMENTS:
        columns += [f"q = {q:g}: paper", "exact", "difference"]
    rows = []
    for gamma in settings.GAMMAS:
        for p in settings.POWERS:
            chosen = [e for e in entries if (e["depth"], e["gamma"], e["p"]) == (depth, gamma, p)]
            cells = [f"{gamma:g}", f"{p:g}", f"{chosen[0]['theory']:.3f}"]
            for e in chosen:
                cells += [f"{e['paper']:.2f}", f"{e['exact']:.3f}", f"{e['difference']:+.3f}"]
            worst = max(e["paper_standard_error"] for e in chosen)
            rows.append((*cells, f"{worst:.3f}"))
    return Table(f"slopes_depth{depth}", (*columns, "standard error of the paper's"), rows)


def suspects(result: dict[str, Any]) -> list[Table]:
    """The explanations, each beside the paper's numbers."""
    depth, gamma = CAPPED
    names = [f"q = {q:g}" for q in settings.MISALIGNMENTS]
    rows = []
    for p in settings.POWERS:
        paper = settings.SLOPES[depth, gamma][settings.POWERS.index(p)]
        rows.append((f"{p:g}", "paper", *(f"{x:.2f}" for x in paper)))
        for cap in CAPS:
            values = result["capped"][f"{cap:g} {p:g}"]
            rows.append((f"{p:g}", f"exact, time at most {cap:g}", *(f"{x:.2f}" for x in values)))
    capped = Table("suspect_time_cap", ("p", "", *names), rows)
    depths = Table(
        "suspect_universal_time",
        ("depth", "theory at the universal time", "exact at the universal time",
         "exact at the best time", "paper, best time"),
        [tuple(f"{d[k]:.3f}" if k != "depth" else str(d[k])
               for k in ("depth", "theory", "universal", "oracle", "paper"))
         for d in result["depths"]],
    )  # fmt: skip
    rate = Table(
        "suspect_rate",
        ("depth D", "from the flow", "(34) with D^2 / b^2", "(34) as printed, D / b^2"),
        [(str(r["depth"]), *(f"{r[k]:.6f}" for k in ("flow", "depth^2", "printed")))
         for r in result["rate"]],
    )  # fmt: skip
    return [capped, depths, rate]


def regression(result: dict[str, Any]) -> list[Table]:
    """Lines of Figure 5."""
    rows = []
    for name, line in settings.REGRESSION_ERROR.items():
        rows += _line_rows("error", "", name, line, {"error": result["errors"][name]})
    columns = ("method", "", "paper", "exact", "difference")
    return [Table("regression", columns, [row[2:] for row in rows])]


def coefficients(result: dict[str, Any]) -> list[Table]:
    """How sparse, and how far from the kernel's order, the coefficients are."""
    columns = (
        "data",
        "samples",
        "inputs",
        "coefficients",
        "above noise",
        "energy of the first 1 %",
        "energy of the largest 1 %",
    )
    rows = [
        (
            t["name"],
            str(t["n"]),
            str(t["dimension"]),
            str(t["n_coefficients"]),
            str(t["n_significant"]),
            f"{100 * t['energy_first_1_percent']:.1f} %",
            f"{100 * t['energy_top_1_percent']:.1f} %",
        )
        for t in result["tables"]
    ]
    return [Table("coefficients", columns, rows)]
