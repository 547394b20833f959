"""Run the experiments of Li and Lin (arXiv 2409.00894) with exact flow and compare.

python docs/papers/adaptivity/reproduce.py            # everything, as on the page
python docs/papers/adaptivity/reproduce.py --quick    # a coarse version
python docs/papers/adaptivity/reproduce.py --only rates growth
python docs/papers/adaptivity/reproduce.py --redraw   # figures and tables of stored results
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # so that a script can import the package it stands in

from adaptivity import parts, tables  # noqa: E402


def main(arguments: list[str] | None = None) -> None:
    """Measure the chosen parts, store the results, then write and print what follows from them."""
    options = _parse(arguments)
    folder = options.out
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        part = parts.PARTS[name]
        if options.redraw:
            result = json.loads((folder / f"{name}.json").read_text())
        else:
            result = _measure(name, options)
            (folder / f"{name}.json").write_text(json.dumps(rounded(result), indent=None) + "\n")
        for table in part.tables(result):
            tables.write_csv(table, folder)
            print(tables.as_text(table))
        for file, draw in part.figures.items():
            draw(result).savefig(folder / f"{file}.png", dpi=110)
    results = {name: folder / f"{name}.json" for name in parts.PARTS}
    stored = {name: json.loads(p.read_text()) for name, p in results.items() if p.exists()}
    tables.write_csv(tables.durations(stored), folder)
    print(tables.as_text(tables.durations(stored)))
    print(f"Written to {folder}")


def _measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    from tqdm import tqdm

    part = parts.PARTS[name]
    extra = {"table": options.table} if name == "coefficients" else {}
    wall, cpu = time.perf_counter(), time.process_time()
    with tqdm(total=part.n_ticks(options.quick, **extra), desc=name) as bar:
        result = part.measure(options.quick, bar.update, **extra)
    return result | {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }


def rounded(value: Any) -> Any:
    """Floats to 6 significant digits, in lists and dictionaries of any depth."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return value


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and values of n")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where to write")
    parser.add_argument("--only", nargs="+", choices=list(parts.PARTS), default=list(parts.PARTS))
    parser.add_argument("--redraw", action="store_true", help="use stored results")
    names = "a local CSV file for Figure 6: one line of names, the target in the last column"
    parser.add_argument("--table", type=Path, help=names)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
