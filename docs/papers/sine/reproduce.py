"""Run the four uses of sine-activated weights (arXiv 2403.19243) in miniature.

python docs/papers/sine/reproduce.py            # everything, as on the page
python docs/papers/sine/reproduce.py --quick    # two networks a part
python docs/papers/sine/reproduce.py --only spectra mlp
python docs/papers/sine/reproduce.py --redraw   # figures and tables of stored results
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # so that a script can import the package it stands in

from reproduction import parser, run  # noqa: E402
from sine import parts  # noqa: E402


def main(arguments: list[str] | None = None) -> None:
    """Measure, store, tabulate and draw."""
    run(parts.PARTS, parser(__doc__.splitlines()[0], parts.PARTS, HERE).parse_args(arguments))


if __name__ == "__main__":
    main()
