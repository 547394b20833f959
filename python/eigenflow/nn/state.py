"""A learner's arrays by name, and the way back."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from eigenflow.nn.network import Plan, perturbed, with_head

_FACTORS = ("row_scale", "col_scale", "left", "right")


def state_of(networks: list[nn.Module], plan: Plan) -> dict[str, Tensor]:
    """Collect the base weights once, and what each task has of its own."""
    state = {}
    for i, network in enumerate(networks):
        for key, value in network.state_dict().items():
            state[_full_name(i, key, plan)] = value.detach()
    return state


def _full_name(i: int, key: str, plan: Plan) -> str:
    layer, _, last = key.rpartition(".")
    is_base = i == 0 and last == "weight" and layer in plan.layers
    return f"base.{key}" if is_base else f"task.{i}.{key}"


def networks_from(
    state: Mapping[str, Tensor], n_tasks: int, model: nn.Module, plan: Plan
) -> list[nn.Module]:
    """Build the networks of all tasks from a state."""
    left_over = _Entries(state)
    networks: list[nn.Module] = []
    base: dict[str, Tensor] = {}
    for i in range(n_tasks):
        network = _with_saved_head(model, i, plan, left_over)
        if i > 0:
            factors = {name: _factors(left_over, i, name, base[name]) for name in plan.layers}
            network = perturbed(network, plan, base, factors)
        _fill(network, i, plan, left_over)
        if i == 0:
            base = {name: network.get_submodule(name).weight.detach() for name in plan.layers}
        networks.append(network.requires_grad_(False).eval())
    left_over.check_empty()
    return networks


class _Entries:
    """What is left of a state; every entry is taken once."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        for key, value in state.items():
            if not isinstance(value, Tensor):
                msg = f"state: got {type(value).__name__} for {key!r}, want a tensor"
                raise TypeError(msg)
        self._left = dict(state)

    def look(self, key: str) -> Tensor:
        if key not in self._left:
            parts = key.split(".")
            layer = ".".join(parts[1 if key.startswith("base.") else 2 : -1])
            msg = f"state: lacks {key!r} (layer {layer!r})"
            raise ValueError(msg)
        return self._left[key]

    def take(self, key: str, like: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        """Remove an entry that has the dtype and the shape of another tensor."""
        value, wanted = self.look(key), tuple(like.shape) if shape is None else shape
        if tuple(value.shape) != wanted or value.dtype != like.dtype:
            msg = f"state: got shape {tuple(value.shape)} and {value.dtype} for {key!r}, want "
            raise ValueError(msg + f"{wanted} and {like.dtype}")
        return self._left.pop(key)

    def check_empty(self) -> None:
        if self._left:
            msg = f"state: got {next(iter(self._left))!r}, which has no place in the model"
            raise ValueError(msg)


def _with_saved_head(model: nn.Module, i: int, plan: Plan, entries: _Entries) -> nn.Module:
    """Copy the network with as many outputs as the saved head has."""
    key = f"task.{i}.{plan.head}.weight"
    weight = entries.look(key)
    if weight.ndim != 2:
        msg = f"state: got shape {tuple(weight.shape)} for {key!r}, want a matrix"
        raise ValueError(msg)
    return with_head(model, plan, weight.shape[0], fresh=False)


def _factors(entries: _Entries, i: int, name: str, base: Tensor) -> dict[str, Tensor]:
    m, n = base.shape[:2]
    left = entries.look(f"task.{i}.{name}.left")
    right = entries.look(f"task.{i}.{name}.right")
    rank = left.shape[-1] if left.ndim else -1
    width = base[0].numel() if right.shape == (rank, base[0].numel()) else n
    shapes = dict(zip(_FACTORS, ((m,), (n,), (m, rank), (rank, width)), strict=True))
    return {f: entries.take(f"task.{i}.{name}.{f}", base, shapes[f]).clone() for f in _FACTORS}


def _fill(network: nn.Module, i: int, plan: Plan, entries: _Entries) -> None:
    """Copy everything but the factors, which are there."""
    done = {f"{name}.{f}" for name in plan.layers for f in _FACTORS if i > 0}
    with torch.no_grad():
        for key, place in network.state_dict().items():
            if key not in done:
                place.copy_(entries.take(_full_name(i, key, plan), place))
