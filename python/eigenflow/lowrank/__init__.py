"""Randomized SVD with an honest error, and rank selection across layers."""

from eigenflow.lowrank.allocation import Allocation, allocate_ranks
from eigenflow.lowrank.decomposition import SVDResult, range_finder, svd
from eigenflow.lowrank.importance import (
    WeightedFactors,
    activation_factor,
    gradient_importance,
    gradient_moments,
    weighted_factors,
)
from eigenflow.lowrank.interpolation import (
    InterpolativeResult,
    PivotedQRResult,
    interpolative,
    pivoted_qr,
)
from eigenflow.lowrank.layers import LayerPerturbations, perturb_layers
from eigenflow.lowrank.many import svd_many
from eigenflow.lowrank.perturbation import Perturbation, perturb
from eigenflow.lowrank.pruning import PrunedFactors, prune, pruning_share
from eigenflow.lowrank.selection import select_rank
from eigenflow.lowrank.symmetric import EighResult, eigh

__all__ = [
    "Allocation",
    "EighResult",
    "InterpolativeResult",
    "LayerPerturbations",
    "Perturbation",
    "PivotedQRResult",
    "PrunedFactors",
    "SVDResult",
    "WeightedFactors",
    "activation_factor",
    "allocate_ranks",
    "eigh",
    "gradient_importance",
    "gradient_moments",
    "interpolative",
    "perturb",
    "perturb_layers",
    "pivoted_qr",
    "prune",
    "pruning_share",
    "range_finder",
    "select_rank",
    "svd",
    "svd_many",
    "weighted_factors",
]
