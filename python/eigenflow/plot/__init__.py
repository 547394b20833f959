"""Plots of flows, spectra and linear systems with matplotlib (the extra ``eigenflow[plot]``).

Every function draws into `ax`, or into a new figure, and returns the axes: titles, labels and
limits stay in the user's hands.
"""

from eigenflow.plot._axes import COLOURS as COLOURS
from eigenflow.plot.flow import learned_eigenvalues, misalignment, path, spectrum
from eigenflow.plot.lds import filter_lengths, level, phase_transition

__all__ = [
    "learned_eigenvalues",
    "misalignment",
    "path",
    "spectrum",
    "level",
    "phase_transition",
    "filter_lengths",
]
