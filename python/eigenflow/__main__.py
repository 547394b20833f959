"""Command line: `python -m eigenflow info`, `demo` and `bench`."""

import argparse
import math
import sys
from collections.abc import Sequence
from importlib.util import find_spec

_DEMO = {"matplotlib": "matplotlib", "scikit-learn": "sklearn", "pillow": "PIL", "tqdm": "tqdm"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="eigenflow", description="How much capacity, and where?")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="version, CPU level, BLAS, threads, GPU")
    demo = commands.add_parser("demo", help="the four systems on real data: a table and a report")
    demo.add_argument("--out", default="eigenflow-report", help="folder of the report")
    bench = commands.add_parser("bench", help="against what is installed: a table and a plot")
    bench.add_argument("--out", default="eigenflow-bench", help="folder of the table and the plot")
    bench.add_argument(
        "--seconds", type=_seconds, default=10.0, help="at most, for each contestant"
    )
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        msg = f"got {text!r}, want a positive finite number"
        raise argparse.ArgumentTypeError(msg)
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    if options.command == "info":
        from eigenflow.config import show_config

        show_config()
        return 0
    if options.command == "bench":
        from eigenflow import comparison

        comparison.run(options.out, budget=options.seconds)
        return 0
    missing = [name for name, module in _DEMO.items() if find_spec(module) is None]
    if missing:
        needs = " and ".join(missing)
        print(f"eigenflow demo needs {needs}: pip install 'eigenflow[demo]'", file=sys.stderr)
        return 1
    from eigenflow.demo import run

    run(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
