"""What the scripts of all papers share: parts that are measured, stored, tabled and drawn."""

import argparse
import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Result = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Text cells under a line of names."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Part:
    """`measure(quick, tick)` gives a result that JSON can hold; the rest needs only that."""

    measure: Callable[..., Result]
    n_ticks: Callable[..., int]
    tables: Callable[[Result], list[Table]]
    figures: Mapping[str, Callable[[Result], Any]]


def write_csv(table: Table, folder: Path) -> None:
    """Write `folder / name.csv`."""
    with (folder / f"{table.name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows(table.rows)


def as_text(table: Table) -> str:
    """Aligned columns for a terminal."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    body = ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([f"\n{table.name}", *body])


def durations(results: dict[str, Result]) -> Table:
    """How long each part took."""
    rows = [
        (name, f"{result['seconds']:.0f}", f"{result['cpu_seconds']:.0f}")
        for name, result in results.items()
    ]
    total = [sum(int(row[i]) for row in rows) for i in (1, 2)]
    columns = ("part", "seconds on the clock", "processor seconds")
    return Table("durations", columns, [*rows, ("all", str(total[0]), str(total[1]))])


def rounded(value: Any) -> Any:
    """Floats to 6 significant digits, in lists and dictionaries of any depth."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return value


def parser(description: str, parts: Mapping[str, Part], here: Path) -> argparse.ArgumentParser:
    """Make the options that all scripts have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="a coarse version")
    made.add_argument("--out", type=Path, default=here / "results", help="where to write")
    made.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    made.add_argument("--redraw", action="store_true", help="use stored results")
    return made


def run(
    parts: Mapping[str, Part],
    options: argparse.Namespace,
    extra: Callable[[str], dict[str, Any]] = lambda _: {},
) -> None:
    """Measure the chosen parts, store the results, then write and print what follows from them."""
    folder = options.out
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        part = parts[name]
        if options.redraw:
            result = json.loads((folder / f"{name}.json").read_text())
        else:
            result = _measure(name, part, options.quick, extra(name))
            (folder / f"{name}.json").write_text(json.dumps(rounded(result), indent=None) + "\n")
        for table in part.tables(result):
            write_csv(table, folder)
            print(as_text(table))
        for file, draw in part.figures.items():
            draw(result).savefig(folder / f"{file}.png", dpi=110)
    paths = {name: folder / f"{name}.json" for name in parts}
    stored = {name: json.loads(p.read_text()) for name, p in paths.items() if p.exists()}
    write_csv(durations(stored), folder)
    print(as_text(durations(stored)))
    print(f"Written to {folder}")


def _measure(name: str, part: Part, quick: bool, extra: dict[str, Any]) -> Result:
    from tqdm import tqdm

    wall, cpu = time.perf_counter(), time.process_time()
    with tqdm(total=part.n_ticks(quick, **extra), desc=name) as bar:
        result = part.measure(quick, bar.update, **extra)
    return result | {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }
