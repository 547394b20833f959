"""Randomized SVD with an honest error, and rank selection across layers."""

from eigenflow.lowrank.decomposition import SVDResult, range_finder, svd

__all__ = ["SVDResult", "range_finder", "svd"]
