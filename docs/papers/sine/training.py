"""One loop for all networks, and what it records."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sine.weights import Weights, count


def minimise(
    model: nn.Module,
    loss: Callable[[int], Tensor],
    n_steps: int,
    rate: float,
    *,
    decay: float = 1.0,
) -> None:
    """Adam; the rate falls exponentially to `decay` times itself over the run."""
    learned = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(learned, rate)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, decay ** (1 / n_steps))
    for step in range(n_steps):
        optimiser.zero_grad(set_to_none=True)
        loss(step).backward()
        optimiser.step()
        schedule.step()


def record(
    weights: Weights, seed: int, run: Callable[[Weights, int], tuple[nn.Module, float]]
) -> dict[str, Any]:
    """Run one network on one thread; `run` returns it and its score."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small lose to more threads
    begin = time.perf_counter()
    try:
        torch.manual_seed(seed)
        model, score = run(weights, seed)
    finally:
        torch.set_num_threads(threads)
    return {
        "weights": weights.name,
        "rank": weights.rank,
        "omega": weights.omega,
        "seed": seed,
        "parameters": count(model),
        "score": score,
        "seconds": time.perf_counter() - begin,
    }


def psnr(mean_square: float) -> float:
    """Peak signal to noise ratio in decibels, for values in [0, 1]."""
    return float(-10 * torch.log10(torch.tensor(mean_square)))
