"""Learners as safetensors files; nothing is ever unpickled."""

import copy
import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from eigenflow.nn.network import Plan, perturbed, with_head
from eigenflow.nn.settings import HALRPSettings
from eigenflow.nn.size import factor_bytes

FORMAT = "eigenflow-halrp-1"
_FACTORS = ("row_scale", "col_scale", "left", "right")


@dataclass(frozen=True)
class About:
    """What a file says besides its arrays."""

    tasks: list[str | int]
    head: str
    seed: int
    settings: HALRPSettings


def state_of(networks: list[nn.Module], plan: Plan) -> dict[str, Tensor]:
    """Collect the base weights once, and what each task has of its own."""
    shared = {f"{name}.weight" for name in plan.layers}
    state = {}
    for i, network in enumerate(networks):
        for key, value in network.state_dict().items():
            is_base = i == 0 and key in shared
            state[f"base.{key}" if is_base else f"task.{i}.{key}"] = value.detach()
    return state


def networks_from(
    state: dict[str, Tensor], n_tasks: int, model: nn.Module, plan: Plan
) -> list[nn.Module]:
    """Build the networks of all tasks from a state."""
    left_over = dict(state)

    def take(key: str) -> Tensor:
        if key not in left_over:
            layer = key.split(".", 1)[1] if key.startswith("base.") else key.split(".", 2)[2]
            msg = f"state: lacks {key!r} (layer {layer.rpartition('.')[0]!r})"
            raise ValueError(msg)
        return left_over.pop(key)

    networks: list[nn.Module] = []
    base: dict[str, Tensor] = {}
    for i in range(n_tasks):
        head = state.get(f"task.{i}.{plan.head}.weight")
        n_classes = take(f"task.{i}.{plan.head}.weight").shape[0] if head is None else head.shape[0]
        network = with_head(model, plan, n_classes, fresh=False)
        if i > 0:
            factors = {
                name: {f: take(f"task.{i}.{name}.{f}") for f in _FACTORS} for name in plan.layers
            }
            for name in plan.layers:
                _check_factors(f"task.{i}.{name}", factors[name], base[name])
            network = perturbed(network, plan, base, factors)
        _fill(network, i, plan, take, {n for n in plan.layers if i > 0})
        if i == 0:
            base = {name: network.get_submodule(name).weight.detach() for name in plan.layers}
        networks.append(network.requires_grad_(False).eval())
    if left_over:
        msg = f"state: got {next(iter(left_over))!r}, which has no place in the model"
        raise ValueError(msg)
    return networks


def _fill(network: nn.Module, i: int, plan: Plan, take: Any, perturbed_layers: set[str]) -> None:
    done = {f"{name}.{f}" for name in perturbed_layers for f in _FACTORS}
    with torch.no_grad():
        for key, place in network.state_dict().items():
            if key in done:
                continue
            is_base = i == 0 and key in {f"{name}.weight" for name in plan.layers}
            full = f"base.{key}" if is_base else f"task.{i}.{key}"
            value = take(full)
            if value.shape != place.shape:
                msg = f"state: got shape {tuple(value.shape)} for {full!r}, want "
                raise ValueError(msg + f"{tuple(place.shape)}")
            place.copy_(value)


def _check_factors(name: str, factors: dict[str, Tensor], base: Tensor) -> None:
    m, n = base.shape[:2]
    rank = factors["left"].shape[-1]
    rights = {(rank, n), (rank, base[0].numel())}
    good = (
        factors["row_scale"].shape == (m,)
        and factors["col_scale"].shape == (n,)
        and factors["left"].shape == (m, rank)
        and tuple(factors["right"].shape) in rights
    )
    if not good:
        shapes = {key: tuple(value.shape) for key, value in factors.items()}
        msg = f"state: got shapes {shapes} for {name!r}, which do not fit {tuple(base.shape)}"
        raise ValueError(msg)


# ---- one file


def save(
    path: str | os.PathLike[str],
    state: dict[str, Tensor],
    tasks: list[str | int],
    settings: HALRPSettings,
    plan: Plan,
    seed: int,
) -> None:
    """Write to a file beside it, then rename: a reader never sees half a file."""
    about = {
        "format": FORMAT,
        "tasks": tasks,
        "head": plan.head,
        "seed": seed,
        "settings": dataclasses.asdict(settings),
    }
    arrays, shapes = _packed(state)
    metadata = {"eigenflow": json.dumps(about), "packed": json.dumps(shapes)}
    target = Path(path)
    beside = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        save_file(arrays, beside, metadata)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def load(path: str | os.PathLike[str], place: torch.device) -> tuple[dict[str, Tensor], About]:
    """Read arrays and settings, and check what is read."""
    if not Path(path).is_file():
        msg = f"path: got {os.fspath(path)!r}, want a file that HALRP.save wrote"
        raise FileNotFoundError(msg)
    try:
        with safe_open(path, framework="pt", device=str(place)) as file:
            metadata = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        msg = f"path: got {os.fspath(path)!r}, which is no safetensors file ({error})"
        raise ValueError(msg) from None
    try:
        about = json.loads(metadata["eigenflow"])
        if about.pop("format") != FORMAT:
            raise ValueError
        about["settings"] = HALRPSettings(**about["settings"])
        shapes = json.loads(metadata["packed"])
        return _unpacked(arrays, shapes), About(**about)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"path: got {os.fspath(path)!r}, which HALRP.save did not write ({error})"
        raise ValueError(msg) from None


def _packed(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Store a factor with many zeros as its other entries and a bit for every entry."""
    arrays: dict[str, Tensor] = {}
    shapes: dict[str, list[int]] = {}
    for key, value in state.items():
        nonzero, size = int(value.count_nonzero()), value.element_size()
        is_factor = key.rpartition(".")[2] in ("left", "right")
        if is_factor and factor_bytes(value.numel(), nonzero, size) < value.numel() * size:
            mask = (value != 0).cpu().numpy()
            arrays[f"{key}.values"] = value[value != 0].clone()
            arrays[f"{key}.mask"] = torch.from_numpy(np.packbits(mask))
            shapes[key] = list(value.shape)
        else:
            arrays[key] = copy.copy(value).contiguous()
    return arrays, shapes


def _unpacked(arrays: dict[str, Tensor], shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    state = dict(arrays)
    for key, shape in shapes.items():
        values, mask = state.pop(f"{key}.values"), state.pop(f"{key}.mask")
        bits = np.unpackbits(mask.cpu().numpy(), count=int(np.prod(shape))).astype(bool)
        if bits.sum() != values.numel():
            msg = f"{key!r} has {values.numel()} values for {bits.sum()} places"
            raise ValueError(msg)
        dense = torch.zeros(shape, dtype=values.dtype, device=values.device)
        dense[torch.from_numpy(bits.reshape(shape)).to(values.device)] = values
        state[key] = dense
    return state
