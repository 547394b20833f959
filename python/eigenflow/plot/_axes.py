"""Colours, and a new figure where none is given."""

from typing import Any

# One colour a method across all figures; readable in print and with the common colour blindnesses.
COLOURS = {
    "blue": "#2563a8",
    "orange": "#d9730d",
    "green": "#2e8b57",
    "red": "#b8324a",
    "purple": "#6b4ea0",
    "grey": "#7a7f87",
}


def axes(ax: Any) -> Any:
    """Return the axes, or those of a new figure."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        msg = "eigenflow.plot needs matplotlib: pip install eigenflow[plot]"
        raise ImportError(msg) from None
    return plt.subplots(layout="constrained")[1]
