"""Linear dynamical systems: filtering, and how many parameters keep predictions stable."""

from eigenflow.lds.diagnostics import Diagnostics, TestResult, diagnose, standardized_residuals
from eigenflow.lds.divergence import DivergenceResult, kl_divergence
from eigenflow.lds.estimation.fitting import FitResult, fit
from eigenflow.lds.estimation.identification import Identification, identify
from eigenflow.lds.estimation.matrices import free_matrices
from eigenflow.lds.estimation.model import StateSpaceModel
from eigenflow.lds.estimation.regression import (
    FittedArx,
    FittedFilter,
    fit_arx,
    fit_filter,
    fit_smoothing,
)
from eigenflow.lds.estimation.scoring import ScoreResult, score
from eigenflow.lds.estimation.structural import (
    arma,
    local_level,
    local_linear_trend,
    structural,
)
from eigenflow.lds.filter_call import FilterResult
from eigenflow.lds.filtering import (
    filter,  # noqa: A004
    filter_blocks,
    log_likelihood,
)
from eigenflow.lds.forecasting import Forecast, forecast
from eigenflow.lds.learners import (
    FirstColumns,
    FittedTransition,
    FixedTransition,
    LinearSpan,
    ReducedRank,
    RepeatedEigenvalue,
    SparsePattern,
    StateLearner,
    TopLeftBlock,
    full_matrix,
)
from eigenflow.lds.margins import StabilityMargins, stability_margins
from eigenflow.lds.population_risk import RiskResult, risk
from eigenflow.lds.prediction import (
    FirFilter,
    FirPredictor,
    TruncatedKalman,
    fir_predictor,
    truncated_kalman,
)
from eigenflow.lds.recursive import (
    RecursivePredictor,
    balanced_predictor,
    exponential_smoothing,
    kalman_predictor,
)
from eigenflow.lds.series import CovarianceSequence, FilterState
from eigenflow.lds.simulated_risk import SimulatedRisk, simulated_risk
from eigenflow.lds.simulation import Simulation, simulate
from eigenflow.lds.smoothing import SmoothResult, smooth
from eigenflow.lds.steady import SteadyState, steady_state
from eigenflow.lds.structure import (
    ParameterCounts,
    UnstableStructure,
    min_parameters,
    unstable_structure,
)
from eigenflow.lds.sweep import PhaseSweep, phase_sweep
from eigenflow.lds.system import LinearSystem
from eigenflow.lds.window_length import best_filter_length, filter_length_for, min_filter_length

__all__ = [
    "LinearSystem",
    "filter",
    "filter_blocks",
    "log_likelihood",
    "smooth",
    "forecast",
    "diagnose",
    "standardized_residuals",
    "steady_state",
    "simulate",
    "score",
    "fit",
    "identify",
    "fit_arx",
    "fit_filter",
    "fit_smoothing",
    "local_level",
    "local_linear_trend",
    "structural",
    "arma",
    "free_matrices",
    "min_filter_length",
    "filter_length_for",
    "best_filter_length",
    "fir_predictor",
    "truncated_kalman",
    "risk",
    "simulated_risk",
    "kl_divergence",
    "phase_sweep",
    "stability_margins",
    "unstable_structure",
    "min_parameters",
    "StateSpaceModel",
    "ScoreResult",
    "FitResult",
    "Identification",
    "FittedArx",
    "FittedFilter",
    "FilterResult",
    "FilterState",
    "SmoothResult",
    "Forecast",
    "Diagnostics",
    "TestResult",
    "SteadyState",
    "Simulation",
    "CovarianceSequence",
    "FirPredictor",
    "FirFilter",
    "TruncatedKalman",
    "StateLearner",
    "TopLeftBlock",
    "FirstColumns",
    "SparsePattern",
    "LinearSpan",
    "ReducedRank",
    "RepeatedEigenvalue",
    "FixedTransition",
    "FittedTransition",
    "full_matrix",
    "RecursivePredictor",
    "exponential_smoothing",
    "kalman_predictor",
    "balanced_predictor",
    "RiskResult",
    "SimulatedRisk",
    "DivergenceResult",
    "PhaseSweep",
    "StabilityMargins",
    "UnstableStructure",
    "ParameterCounts",
]
