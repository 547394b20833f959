"""Linear dynamical systems: filtering, and how many parameters keep predictions stable."""

from eigenflow.lds.filtering import FilterResult, filter, log_likelihood  # noqa: A004
from eigenflow.lds.series import CovarianceSequence, FilterState
from eigenflow.lds.simulation import Simulation, simulate
from eigenflow.lds.smoothing import SmoothResult, smooth
from eigenflow.lds.steady import SteadyState, steady_state
from eigenflow.lds.system import LinearSystem

__all__ = [
    "LinearSystem",
    "filter",
    "log_likelihood",
    "smooth",
    "steady_state",
    "simulate",
    "FilterResult",
    "FilterState",
    "SmoothResult",
    "SteadyState",
    "Simulation",
    "CovarianceSequence",
]
