"""Run the experiments of Li and Lin (arXiv 2409.00894) with exact flow and compare.

python docs/papers/adaptivity/reproduce.py            # everything, as on the page
python docs/papers/adaptivity/reproduce.py --quick    # a coarse version
python docs/papers/adaptivity/reproduce.py --only rates growth
python docs/papers/adaptivity/reproduce.py --redraw   # figures and tables of stored results
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # so that a script can import the package it stands in

from adaptivity import parts  # noqa: E402
from reproduction import parser, run  # noqa: E402


def main(arguments: list[str] | None = None) -> None:
    """Measure, store, tabulate and draw."""
    made = parser(__doc__.splitlines()[0], parts.PARTS, HERE)
    names = "a local CSV file for Figure 6: one line of names, the target in the last column"
    made.add_argument("--table", type=Path, help=names)
    options = made.parse_args(arguments)
    run(
        parts.PARTS,
        options,
        lambda name: {"table": options.table} if name == "coefficients" else {},
    )


if __name__ == "__main__":
    main()
