"""Runs of every part: which networks, and what is kept of them."""

import copy
from collections.abc import Callable
from typing import Any

from torch import nn

from sine import digits, fields, nerf
from sine.training import record
from sine.weights import Weights

Tick = Callable[[], Any]
Result = dict[str, Any]


def networks(
    all_weights: list[Weights],
    run: Callable[..., Any],
    seeds: int,
    picture: Callable[[nn.Module], list[Any]] | None = None,
) -> tuple[Callable[..., Result], Callable[..., int]]:
    """`measure` and `n_ticks` of a part that trains one network for each kind of weights.

    `picture`, if given, is what to keep of a network for the figures.
    """

    def chosen(quick: bool) -> list[tuple[Weights, int]]:
        # Quick: the largest rank alone, plain and at its last frequency.
        kept = all_weights[-2:] if quick else all_weights
        return [(w, s) for w in kept for s in range(1 if quick else seeds)]

    def measure(quick: bool, tick: Tick) -> Result:
        runs = []
        for weights, seed in chosen(quick):
            models: list[nn.Module] = []

            def kept(w: Weights, s: int, models: list[nn.Module] = models) -> Any:
                found = run(w, s)
                models.append(found[0])
                return found

            made = record(weights, seed, kept)
            runs.append(made if picture is None else made | {"picture": picture(models[0])})
            tick()
        return {"runs": runs}

    return measure, lambda quick: len(chosen(quick))


def adapters(quick: bool, tick: Tick) -> Result:
    """Score the frozen network on turned digits, then with each adapter."""
    runs = []
    for seed in range(1 if quick else 2):
        base = digits.upright(seed)
        for adapter in _adapters(quick):

            def run(
                *_: Any, base: nn.Module = base, adapter: tuple[int, float, bool] = adapter
            ) -> tuple[nn.Module, float]:
                return digits.run_adapter(copy.deepcopy(base), *adapter)

            found = record(Weights(*adapter[:2]), seed, run)
            runs.append(found | {"weights": adapter_name(*adapter)})
            tick()
    return {"runs": runs}


def adapter_name(rank: int, omega: float, sine: bool) -> str:
    """How tables call an adapter."""
    if not rank:
        return "frozen"
    if not omega:
        return "LoRA"
    return f"sine, omega = {omega:g}" if sine else f"LoRA, scale of omega = {omega:g}"


def _adapters(quick: bool) -> list[tuple[int, float, bool]]:
    every = [(0, 0.0, False), *digits.ADAPTERS]
    return [a for a in every if a[0] == 1] if quick else every


def n_adapters(quick: bool) -> int:
    """How often `adapters` calls `tick`."""
    return len(_adapters(quick)) * (1 if quick else 2)


mlp, n_mlp = networks(digits.MLP, digits.run_mlp, 2)
vit, n_vit = networks(digits.VIT, digits.run_vit, 2)
image, n_image = networks(fields.IMAGE, fields.run_image, 1, fields.image_of)
solid, n_solid = networks(fields.SOLID, fields.run_solid, 1, fields.slice_of)
scene, n_scene = networks(nerf.NERF, nerf.run, 1, nerf.shown)
