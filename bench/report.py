"""Turn benchmark results into a table: `python bench/report.py results.json`.

Make the results with `python -m pytest bench --benchmark-json=results.json`.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from eigenflow.comparison.table import markdown, seconds

OURS = "eigenflow"
COLUMNS = ("task", "who", "median", "spread (IQR)", "times eigenflow", "facts")


def rows(results: dict) -> list[tuple[str, ...]]:
    """One row a contestant, grouped by task, eigenflow first."""
    cells = defaultdict(list)
    for entry in results["benchmarks"]:
        cells[entry["group"]].append(entry)
    table = []
    for cell, entries in cells.items():
        entries.sort(key=lambda e: not e["extra_info"]["who"].startswith(OURS))
        ours = entries[0]["stats"]["median"]
        for entry in entries:
            facts = dict(entry["extra_info"])
            who = facts.pop("who")
            stats = entry["stats"]
            # A rival may have run a part of the task: `scale` times its time is the whole.
            median = stats["median"] * facts.pop("scale", 1)
            spread = 100 * stats["iqr"] / stats["median"]
            ratio = "" if entry is entries[0] else f"{median / ours:.3g}"
            if "per" in facts:
                facts["ns_each"] = 1e9 * median / facts.pop("per")
            text = ", ".join(
                f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in facts.items()
            )
            table.append((cell, who, seconds(median), f"{spread:.0f} %", ratio, text))
    return table


def main() -> None:
    """Print the table and the machine it was measured on."""
    results = json.loads(Path(sys.argv[1]).read_text())
    cpu = results["machine_info"]["cpu"]
    print(f"{cpu.get('brand_raw', 'unknown CPU')}, {cpu.get('count')} CPUs\n")
    print(markdown(COLUMNS, rows(results)))


if __name__ == "__main__":
    main()
