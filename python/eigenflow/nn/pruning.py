"""Pruning the factors of a learner's tasks."""

from typing import Any

import torch
from torch import nn

from eigenflow.lowrank.pruning import prune, pruning_share
from eigenflow.nn.layers import _LowRank
from eigenflow.nn.network import Plan
from eigenflow.nn.settings import HALRPSettings


def prune_tasks(
    networks: list[nn.Module], plan: Plan, settings: HALRPSettings, growth: float
) -> None:
    """Set small factor entries of later tasks to zero, as the settings want it for this growth."""
    share = 0.0
    if settings.prune_mode != "absolute":
        if settings.growth_budget is None:
            return
        share = pruning_share(growth, settings.growth_budget)
        if share == 0:
            return
    lows = [[network.get_submodule(n) for n in plan.layers] for network in networks]
    pruned = prune(
        [[_arrays(layer) for layer in layers] for layers in lows],
        mode=settings.prune_mode,
        threshold=settings.prune_threshold,
        share=share,
    )
    with torch.no_grad():
        for layers, pairs in zip(lows, pruned.tasks, strict=True):
            for layer, (left, right) in zip(layers, pairs, strict=True):
                layer.left.copy_(torch.from_numpy(left))
                layer.right.copy_(torch.from_numpy(right))


def _arrays(layer: _LowRank) -> tuple[Any, Any]:
    return layer.left.detach().cpu().numpy(), layer.right.detach().cpu().numpy()
