"""Randomized SVD with an honest error, and rank selection across layers."""

from eigenflow.lowrank.allocation import Allocation, allocate_ranks
from eigenflow.lowrank.decomposition import SVDResult, range_finder, svd
from eigenflow.lowrank.many import svd_many
from eigenflow.lowrank.perturbation import Perturbation, perturb
from eigenflow.lowrank.selection import select_rank

__all__ = [
    "Allocation",
    "Perturbation",
    "SVDResult",
    "allocate_ranks",
    "perturb",
    "range_finder",
    "select_rank",
    "svd",
    "svd_many",
]
