"""Linear dynamical systems: filtering, and how many parameters keep predictions stable."""

from eigenflow.lds.filtering import FilterResult, filter, log_likelihood  # noqa: A004
from eigenflow.lds.population_risk import RiskResult, TopLeftBlock, risk
from eigenflow.lds.prediction import (
    FirFilter,
    FirPredictor,
    TruncatedKalman,
    fir_predictor,
    truncated_kalman,
)
from eigenflow.lds.series import CovarianceSequence, FilterState
from eigenflow.lds.simulation import Simulation, simulate
from eigenflow.lds.smoothing import SmoothResult, smooth
from eigenflow.lds.steady import SteadyState, steady_state
from eigenflow.lds.structure import (
    ParameterCounts,
    UnstableStructure,
    min_parameters,
    unstable_structure,
)
from eigenflow.lds.system import LinearSystem
from eigenflow.lds.window_length import filter_length_for, min_filter_length

__all__ = [
    "LinearSystem",
    "filter",
    "log_likelihood",
    "smooth",
    "steady_state",
    "simulate",
    "min_filter_length",
    "filter_length_for",
    "fir_predictor",
    "truncated_kalman",
    "risk",
    "unstable_structure",
    "min_parameters",
    "FilterResult",
    "FilterState",
    "SmoothResult",
    "SteadyState",
    "Simulation",
    "CovarianceSequence",
    "FirPredictor",
    "FirFilter",
    "TruncatedKalman",
    "TopLeftBlock",
    "RiskResult",
    "UnstableStructure",
    "ParameterCounts",
]
