"""Tables of the page: text cells."""

from collections.abc import Callable
from typing import Any

from reproduction import Table
from sine.spectra import EXPECTED, OMEGAS


def runs(name: str, score: str) -> Callable[[dict[str, Any]], list[Table]]:
    """One line for each network: parameters, share of the full ones, and the score of each seed."""

    def tables(result: dict[str, Any]) -> list[Table]:
        grouped = group(result["runs"])
        full = max(rows[0]["parameters"] for rows in grouped)
        share = full > 2 * min(rows[0]["parameters"] for rows in grouped if rows[0]["rank"])
        lines = []
        for rows in grouped:
            first = rows[0]
            cells = [first["weights"], str(first["rank"] or ""), f"{first['parameters']:,}"]
            if share and name != "adapters":
                cells.append(f"{100 * first['parameters'] / full:.1f} %")
            digits = 1 if score == "PSNR" else 3
            cells.append(" / ".join(f"{row['score']:.{digits}f}" for row in rows))
            lines.append(cells)
        columns = ["weights", "k", "parameters"]
        columns += ["of full"] if share and name != "adapters" else []
        return [Table(name, [*columns, score], lines)]

    return tables


def group(runs: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Runs that differ in the seed alone, in order of first appearance."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in runs:
        found.setdefault((row["weights"], row["rank"]), []).append(row)
    return list(found.values())


def spectra(result: dict[str, Any]) -> list[Table]:
    """Stable ranks; below each line what another implementation gave."""
    columns = ["n", "k", "", *(f"{omega:g}" for omega in OMEGAS), "full matrix"]
    rows = []
    for row in result["rows"]:
        n, k = row["n"], row["k"]
        found = [f"{x:.3g}" for x in row["stable_rank"]]
        rows.append([str(n), str(k), "here", *found, f"{row['dense']:.3g}"])
        rows.append(["", "", "before", *(f"{x:.3g}" for x in EXPECTED[n, k]), ""])
    return [Table("spectra", columns, rows)]
