"""Exact gradient flow of over-parameterised sequence models: which eigenvalues grow?

Each coordinate j observes z_j and fits theta_j = a_j b_j^depth beta_j by gradient flow on
1/2 (theta_j - z_j)^2, starting from a_j = sqrt(eigenvalues_j), b_j = b0, beta_j = 0. The product
(a b^depth)^2 is the learned eigenvalue: it grows where there is signal and stays where there is
noise. Source: Li and Lin, "Improving adaptivity via over-parameterization in sequence models"
(NeurIPS 2024, arXiv 2409.00894).
"""

from eigenflow.flow.derivatives import FlowDerivatives, FlowGradients, derivatives, jvp, vjp
from eigenflow.flow.descent import descend
from eigenflow.flow.designs import CosineDesign, FourierDesign, HaarDesign, OrthogonalDesign
from eigenflow.flow.diagnostics import (
    SpanExponent,
    effective_span_dimension,
    signal_set,
    signal_size,
    signal_span,
    span_exponent,
    tail_energy,
)
from eigenflow.flow.inverse import hitting_time
from eigenflow.flow.misalignment import MisalignmentReport, misalignment_report
from eigenflow.flow.path import FlowState, learned_eigenvalues, solve, state, vanilla
from eigenflow.flow.regression import FlowFit, FlowWarning, fit
from eigenflow.flow.risk import expected_risk, sure
from eigenflow.flow.special import diagonal_network, landweber
from eigenflow.flow.stopping import UniversalChoice, stopping_time, universal_choice
from eigenflow.flow.wavelets import WaveletDesign

__all__ = [
    "CosineDesign",
    "FlowDerivatives",
    "FlowFit",
    "FlowGradients",
    "FlowState",
    "FlowWarning",
    "FourierDesign",
    "HaarDesign",
    "MisalignmentReport",
    "OrthogonalDesign",
    "SpanExponent",
    "UniversalChoice",
    "WaveletDesign",
    "derivatives",
    "descend",
    "diagonal_network",
    "effective_span_dimension",
    "expected_risk",
    "fit",
    "hitting_time",
    "jvp",
    "landweber",
    "learned_eigenvalues",
    "misalignment_report",
    "signal_set",
    "signal_size",
    "signal_span",
    "solve",
    "span_exponent",
    "state",
    "stopping_time",
    "sure",
    "tail_energy",
    "universal_choice",
    "vanilla",
    "vjp",
]
