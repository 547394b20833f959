"""``python tests/battery [--full] [--write] [ROW ...]``: measure rows of the battery.

Without names, all rows. `--full` takes the numbers of a night, without it a short run. `--write`
puts the figures into docs/results/reliability.json, from which docs/reliability is made.
"""

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

from battery.rows import ROWS  # noqa: E402
from battery.table import Row, measure, write  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("tests/battery", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    unknown = set(given.rows) - set(ROWS)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    failed = 0
    for name in given.rows or ROWS:
        row: Row = ROWS[name]
        figure = measure(row, full=given.full)
        verdict = {True: "holds", False: "FAILS", None: "not run"}[figure.holds]
        print(f"{name:4} {verdict:8} {row.test}: {figure.text} (bar: {row.bar})", flush=True)
        failed += figure.holds is False
        if given.write:
            write(name, row, figure, full=given.full)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
