"""Compute what Ziemann, Matni and Pappas (arXiv 2409.13421) state and show, and compare.

python docs/papers/stability/reproduce.py            # everything, as on the page
python docs/papers/stability/reproduce.py --quick    # fewer trajectories
python docs/papers/stability/reproduce.py --redraw   # figures and tables of stored results
"""

import argparse
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # so that a script can import the package it stands in

from reproduction import as_text, rounded, write_csv  # noqa: E402
from stability import figures, measure, tables  # noqa: E402

PARTS = {
    "figure_1": (measure.figure_1, tables.figure_1, {"figure_1": figures.figure_1}),
    "counts": (measure.counts, tables.counts, {}),
    "walk": (measure.walk, tables.walk, {"walk": figures.walk}),
    "filters": (measure.filters, tables.filters, {}),
}


def main(arguments: list[str] | None = None) -> None:
    """Measure the parts, store the results, then write and print what follows from them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer trajectories")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where to write")
    parser.add_argument("--redraw", action="store_true", help="use stored results")
    options = parser.parse_args(arguments)
    folder = options.out
    folder.mkdir(parents=True, exist_ok=True)
    for name, (run, tabulate, pictures) in PARTS.items():
        stored = folder / f"{name}.json"
        if not options.redraw:
            begin = time.perf_counter()
            stored.write_text(json.dumps(rounded(run(options.quick))) + "\n")
            print(f"{name}: {time.perf_counter() - begin:.1f} s")
        result = json.loads(stored.read_text())
        for table in tabulate(result):
            write_csv(table, folder)
            print(as_text(table))
        for file, draw in pictures.items():
            draw(result).savefig(folder / f"{file}.png", dpi=110)


if __name__ == "__main__":
    main()
