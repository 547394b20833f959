"""Sine-activated low-rank matrices: how much rank can one frequency add for no parameters?

``sin(omega U V^T) / gain`` has the ``k (m + n)`` parameters of ``U V^T`` and, once the frequency
spreads the phases, the stable rank of a dense random matrix (Ji et al., "Sine activated low-rank
matrices for parameter efficient learning", arXiv 2403.19243).
"""

from eigenflow.sine._phases import PhaseWarning
from eigenflow.sine.codec import QuantizedFactor, QuantizedSine, quantize
from eigenflow.sine.diagnostics import PhaseHistogram, choose_frequency
from eigenflow.sine.fitting import SineFit, fit
from eigenflow.sine.gradients import SineGradients
from eigenflow.sine.methods import SineInfo
from eigenflow.sine.operator import SineLowRank

__all__ = [
    "PhaseHistogram",
    "PhaseWarning",
    "QuantizedFactor",
    "QuantizedSine",
    "SineFit",
    "SineGradients",
    "SineInfo",
    "SineLowRank",
    "choose_frequency",
    "fit",
    "quantize",
]
