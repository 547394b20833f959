"""Rows of the battery and the file of their last figures."""

import dataclasses
import json
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results" / "reliability.json"


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a row measured; `holds` is None when it could not run here."""

    text: str
    holds: bool | None


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the battery; `measure` takes `full`."""

    promise: str
    test: str
    bar: str
    measure: Callable[[bool], Figure]
    when: str = "nightly"
    command: str = ""


def measure(row: Row, *, full: bool) -> Figure:
    """Run a row; an error of the row itself is a failure."""
    try:
        return row.measure(full)
    except Exception as error:
        traceback.print_exc()
        return Figure(f"the row itself failed: {error!r}", False)


def write(name: str, row: Row, figure: Figure, *, full: bool) -> None:
    """Put a figure into the file; a row that could not run leaves the older figure."""
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if figure.holds is None and name in rows:
        return
    flags = " --full" if full else ""
    rows[name] = {
        "promise": row.promise,
        "test": row.test,
        "bar": row.bar,
        "when": row.when,
        "figure": figure.text,
        "holds": figure.holds,
        "command": row.command or f"python tests/battery {name}{flags}",
    }
    ordered = dict(sorted(rows.items(), key=lambda item: int(item[0].strip("Rb"))))
    RESULTS.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n")
