"""A user's network: which layers are perturbed, which one is the head."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from eigenflow.nn.layers import _LowRank, low_rank

_LAYERS = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True)
class Plan:
    """Names of the parts of a network."""

    layers: tuple[str, ...]  # whose weights the tasks share
    head: str


def plan_of(model: Any, head: str | None) -> Plan:
    """Find the layers, and refuse what the method does not cover."""
    if not isinstance(model, nn.Module):
        msg = f"model: got {type(model).__name__}, want a torch.nn.Module"
        raise TypeError(msg)
    _refuse_shared(model)
    _refuse_dtypes(model)
    names = []
    for name, module in model.named_modules():
        if type(module) in _LAYERS:
            names.append(name)
        elif any(True for _ in module.parameters(recurse=False)) and not isinstance(
            module, _BatchNorm
        ):
            msg = (
                f"model: got parameters in {name or 'the model itself'!r} "
                f"({type(module).__name__}), want Linear, Conv2d and BatchNorm layers only"
            )
            raise TypeError(msg)
    linear = [n for n in names if isinstance(model.get_submodule(n), nn.Linear)]
    if head is None:
        if not linear:
            msg = "model: got no Linear layer, want one as the head"
            raise ValueError(msg)
        head = linear[-1]
    if head not in linear:
        msg = f"head: got {head!r}, want the name of a Linear layer: {', '.join(linear)}"
        raise ValueError(msg)
    return Plan(tuple(n for n in names if n != head), head)


def _refuse_shared(model: nn.Module) -> None:
    seen: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in seen:
            msg = (
                f"model: got one parameter as {seen[id(parameter)]!r} and {name!r}, want no sharing"
            )
            raise TypeError(msg)
        seen[id(parameter)] = name


def _refuse_dtypes(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if parameter.dtype not in (torch.float32, torch.float64):
            msg = f"model: got {parameter.dtype} in {name!r}, want float32 or float64"
            raise TypeError(msg)


def replace(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module at the place of another one."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def with_head(model: nn.Module, plan: Plan, n_classes: int, *, fresh: bool) -> nn.Module:
    """Copy the network; the head gets the right size, and new random weights if `fresh`."""
    network = copy.deepcopy(model)
    old = network.get_submodule(plan.head)
    if fresh or old.out_features != n_classes:
        new = nn.Linear(old.in_features, n_classes, old.bias is not None)
        replace(network, plan.head, new.to(old.weight))
    return network.requires_grad_(True)


def perturbed(
    network: nn.Module, plan: Plan, base: dict[str, Tensor], factors: dict[str, dict[str, Tensor]]
) -> nn.Module:
    """Replace the layers of a network of its own by low-rank ones on the base weights."""
    for name in plan.layers:
        replace(network, name, low_rank(network.get_submodule(name), base[name], factors[name]))
    return network


def merged(network: nn.Module) -> nn.Module:
    """Copy a task's network with plain layers and dense weights."""
    memo: dict[int, Any] = {}
    lows = {name: m for name, m in network.named_modules() if isinstance(m, _LowRank)}
    for m in lows.values():  # the shared weights need no copy on the way
        memo[id(m.base_weight)] = m.base_weight
    result = copy.deepcopy(network, memo)
    for name in lows:
        replace(result, name, result.get_submodule(name).dense())
    return result.requires_grad_(True).eval()


def device_of(network: nn.Module) -> torch.device:
    """Return where the parameters are."""
    return next(network.parameters()).device
