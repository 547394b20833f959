"""The training loop of one phase, and the accuracy."""

import contextlib
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from eigenflow.nn.layers import _LowRank
from eigenflow.nn.network import device_of
from eigenflow.nn.settings import HALRPSettings

Loader = Iterable[tuple[Tensor, Tensor]]
Step = Callable[[float], None]
_NO_SAMPLES = "train_loader: got no samples, want batches (x, y) that can be read more than once"


def train(
    network: nn.Module,
    loader: Loader,
    epochs: int,
    settings: HALRPSettings,
    *,
    penalty: Callable[[], Tensor] | None = None,
    step: Step = lambda _: None,
) -> list[float]:
    """Adam on cross-entropy plus a penalty; returns the mean loss of each epoch.

    Everything with `requires_grad` is trained. `step` is called after each epoch.
    """
    if epochs == 0:
        return []
    parameters = [p for p in network.parameters() if p.requires_grad]
    place = device_of(network)
    fused = place.type in ("cpu", "cuda") and all(p.is_floating_point() for p in parameters)
    optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate, fused=fused)
    samples = settings.decay_samples or count_samples(loader)
    losses = []
    network.train()
    for epoch in range(epochs):
        total = seen = 0.0
        for x, y in loader:
            logits = network(x.to(place))
            _check_labels(y, logits)
            loss = functional.cross_entropy(logits, y.to(place))
            if penalty is not None:
                loss = loss + penalty()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            for group in optimiser.param_groups:
                group["lr"] *= settings.lr_decay ** (len(x) / samples)
            total += float(loss.detach()) * len(x)
            seen += len(x)
        losses.append(_mean_loss(total, seen, epoch, settings))
        step(losses[-1])
    network.eval()
    return losses


def _check_labels(y: Tensor, logits: Tensor) -> None:
    """Before the loss: on a GPU a wrong label would end the process's use of the device."""
    if y.is_floating_point() or y.ndim != 1:
        msg = (
            f"train_loader: got labels of {y.dtype} and shape {tuple(y.shape)}, want integers (n,)"
        )
        raise TypeError(msg)
    low, high = (int(v) for v in y.aminmax())
    if low < 0 or high >= logits.shape[1]:
        wrong = low if low < 0 else high
        msg = f"train_loader: got label {wrong}, want 0 to {logits.shape[1] - 1} (n_classes)"
        raise ValueError(msg)


def _mean_loss(total: float, seen: float, epoch: int, settings: HALRPSettings) -> float:
    if seen == 0:
        raise ValueError(_NO_SAMPLES)
    if not math.isfinite(total):
        msg = f"train_loader: the loss became {total} in epoch {epoch}, want finite data and a "
        raise ValueError(msg + f"learning_rate below {settings.learning_rate}")
    return total / seen


def count_samples(loader: Any) -> int:
    """Return the samples of one pass; refuse an empty loader."""
    try:
        count = len(loader.dataset)
    except (AttributeError, TypeError):
        count = sum(len(x) for x, _ in loader)
    if count == 0:
        raise ValueError(_NO_SAMPLES)
    return count


def base_penalty(layers: list[nn.Module], settings: HALRPSettings) -> Callable[[], Tensor]:
    """Half the squares of the first task's weights."""

    def penalty() -> Tensor:
        return settings.weight_decay / 2 * sum(layer.weight.square().sum() for layer in layers)

    return penalty


def task_penalty(layers: list[_LowRank], settings: HALRPSettings) -> Callable[[], Tensor]:
    """Half the squares of scales and factors, which pulls scales to 0, and moduli of factors."""

    def penalty() -> Tensor:
        factors = [f for layer in layers for f in (layer.left, layer.right)]
        scales = [s for layer in layers for s in (layer.row_scale, layer.col_scale)]
        squares = sum(p.square().sum() for p in scales + factors)
        moduli = sum(f.abs().sum() for f in factors)
        return settings.weight_decay / 2 * squares + settings.l1 * moduli

    return penalty


def accuracy(network: nn.Module, loader: Loader) -> float:
    """Share of samples whose largest output is at the label."""
    right = seen = 0
    place = device_of(network)
    with torch.no_grad():
        for x, y in loader:
            right += int((network(x.to(place)).argmax(1) == y.to(place)).sum())
            seen += len(y)
    if seen == 0:
        msg = "loader: got no samples, want at least one batch"
        raise ValueError(msg)
    return right / seen


def seed_of(seed: int, task: object) -> int:
    """Return a seed that depends on the task's name and not on when it comes."""
    return zlib.crc32(f"{seed}:{task!r}".encode())


@contextlib.contextmanager
def seeded(seed: int, place: torch.device) -> Iterator[None]:
    """Run with PyTorch's generators at a seed, and put them back afterwards."""
    devices = [place] if place.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
