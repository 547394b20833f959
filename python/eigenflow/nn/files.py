"""Learners as safetensors files; nothing is ever unpickled."""

import dataclasses
import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eigenflow.nn import archive
from eigenflow.nn.archive import json_object
from eigenflow.nn.settings import HALRPSettings
from eigenflow.nn.size import factor_bytes
from eigenflow.nn.tasks import Task, check_task

FORMAT = "eigenflow-halrp-1"


@dataclass(frozen=True)
class About:
    """What a file says besides its arrays."""

    tasks: list[Task]
    head: str
    seed: int
    settings: HALRPSettings


def save(path: str | os.PathLike[str], state: dict[str, Tensor], about: About) -> None:
    """Write arrays and settings."""
    arrays, shapes = _packed(state)
    said = {"format": FORMAT, **dataclasses.asdict(about)}
    archive.write(path, arrays, {"eigenflow": said, "packed": shapes})


def load(path: str | os.PathLike[str], place: torch.device) -> tuple[dict[str, Tensor], About]:
    """Read arrays and settings, and check what is read."""
    arrays, header = archive.read(path, "HALRP.save", place)
    try:
        about = _about(json_object(header, "eigenflow"))
        return _unpacked(arrays, json_object(header, "packed")), about
    except (TypeError, ValueError) as error:
        raise archive.not_written_by(path, "HALRP.save", error) from None


# ---- what a file says


def _about(said: dict[str, Any]) -> About:
    wanted = {"format", *(f.name for f in dataclasses.fields(About))}
    if said.get("format") != FORMAT or set(said) != wanted:
        msg = f"its format is {said.get('format')!r} with {sorted(said)}, want {FORMAT!r}"
        raise ValueError(msg)
    tasks, head, seed, settings = (said[f.name] for f in dataclasses.fields(About))
    kinds = (("tasks", tasks, list), ("head", head, str), ("seed", seed, int))
    for name, value, kind in (*kinds, ("settings", settings, dict)):
        if type(value) is not kind:
            msg = f"{name}: got {type(value).__name__}, want {kind.__name__}"
            raise TypeError(msg)
    for i, task in enumerate(tasks):
        check_task(task, tasks[:i])
    return About(tasks, head, seed, HALRPSettings(**settings))


# ---- factors with zeros


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
            arrays[key] = value.contiguous()
    return arrays, shapes


def _unpacked(arrays: dict[str, Tensor], shapes: dict[str, Any]) -> dict[str, Tensor]:
    state = dict(arrays)
    for key, shape in shapes.items():
        if not {f"{key}.values", f"{key}.mask"} <= state.keys() or key in state:
            msg = f"it does not have both values and mask of {key!r}"
            raise ValueError(msg)
        state[key] = _dense(key, state.pop(f"{key}.values"), state.pop(f"{key}.mask"), shape)
    return state


def _dense(key: str, values: Tensor, mask: Tensor, shape: Any) -> Tensor:
    good = isinstance(shape, list) and all(type(n) is int and 0 <= n < 2**31 for n in shape)
    # The mask is in the file, so a small file cannot ask for a large array.
    if not good or mask.dtype != torch.uint8 or mask.shape != (-(-math.prod(shape) // 8),):
        msg = f"the mask of {key!r} does not fit its shape {shape!r}"
        raise ValueError(msg)
    bits = np.unpackbits(mask.cpu().numpy(), count=math.prod(shape)).astype(bool)
    if values.shape != (bits.sum(),):
        msg = f"{key!r} has values of shape {tuple(values.shape)} for {bits.sum()} places"
        raise ValueError(msg)
    dense = torch.zeros(shape, dtype=values.dtype, device=values.device)
    dense[torch.from_numpy(bits.reshape(shape)).to(values.device)] = values
    return dense
