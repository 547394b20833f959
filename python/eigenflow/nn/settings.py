"""Settings of the continual learner, and those of the published experiments."""

import math
import operator
import sys
from dataclasses import dataclass
from typing import Any, get_args

from eigenflow.lowrank.layers import Rule
from eigenflow.lowrank.perturbation import Conv
from eigenflow.lowrank.pruning import Mode


@dataclass(frozen=True)
class HALRPSettings:
    """How `HALRP` learns a task.

    Attributes
    ----------
    epochs : int
        Passes over the training data for each task, the warm-up included.
    warmup_epochs : int
        Of these, passes that train all weights freely before ranks are chosen (not for the first
        task).
    learning_rate : float
        Of Adam; both phases start from it.
    lr_decay : float
        Factor on the learning rate for every `decay_samples` training samples.
    decay_samples : int or None
        None: one pass. The published code uses the same constant for data sets of all sizes.
    weight_decay : float
        Times half the squares of the first task's weights, or of scales and factors.
    l1 : float
        Times the moduli of the factors.
    rule, share, budget, min_rank, max_rank, conv, passes
        As in `eigenflow.lowrank.perturb_layers`.
    prune_mode, prune_threshold
        As `mode` and `threshold` in `eigenflow.lowrank.prune`.
    growth_budget : float or None
        Wanted growth of all tasks over the base network; after each task the factors are pruned
        towards it. None: no pruning, but for mode "absolute".
    """

    epochs: int = 20
    warmup_epochs: int = 1
    learning_rate: float = 1e-3
    lr_decay: float = 0.95
    decay_samples: int | None = None
    weight_decay: float = 1e-4
    l1: float = 1e-4
    rule: Rule = "hessian"
    share: float = 0.9
    budget: float | None = None
    min_rank: int = 1
    max_rank: int | None = 100
    conv: Conv = "kernel-mean"
    passes: int = 1
    prune_mode: Mode = "task"
    prune_threshold: float = 1e-5
    growth_budget: float | None = None

    def __post_init__(self) -> None:
        least = {"epochs": 0, "warmup_epochs": 0, "min_rank": 0, "passes": 1}
        for name, low in {**least, "max_rank": 0, "decay_samples": 1}.items():
            value = getattr(self, name)
            if name in least or value is not None:
                object.__setattr__(self, name, whole(name, value, low))  # NumPy's become int
        for name in ("weight_decay", "l1", "prune_threshold"):
            _number(name, getattr(self, name), 0, math.inf)
        _number("learning_rate", self.learning_rate, 5e-324, math.inf)
        _number("lr_decay", self.lr_decay, 5e-324, 1)
        _number("share", self.share, 5e-324, 1)
        for name in ("budget", "growth_budget"):
            if getattr(self, name) is not None:
                _number(name, getattr(self, name), 0, math.inf)
        for name, kind in (("rule", Rule), ("conv", Conv), ("prune_mode", Mode)):
            if getattr(self, name) not in get_args(kind):
                want = ", ".join(map(repr, get_args(kind)))
                msg = f"{name}: got {getattr(self, name)!r}, want one of {want}"
                raise ValueError(msg)
        if self.warmup_epochs > self.epochs:
            msg = f"warmup_epochs: got {self.warmup_epochs}, want at most epochs = {self.epochs}"
            raise ValueError(msg)


def whole(name: str, value: Any, least: float = -math.inf) -> int:
    """Return an integer that is at least `least`; the error names the argument."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        msg = f"{name}: got {value!r}, want an integer"
        raise TypeError(msg) from None
    if number < least:
        msg = f"{name}: got {number}, want at least {least}"
        raise ValueError(msg)
    return number


def _number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"{name}: got {value!r}, want a number"
        raise TypeError(msg)
    if not low <= value <= min(high, sys.float_info.max):  # also for whole numbers above it
        msg = f"{name}: got {value}, want a finite number from {low:g} to {high:g}"
        raise ValueError(msg)


@dataclass(frozen=True)
class Preset:
    """One published experiment: data, network and settings.

    Attributes
    ----------
    benchmark, network : str
    n_tasks, n_repeats, batch_size : int
    valid_share : float
        Part of the training data that is held out for the layer importance.
    settings : HALRPSettings
    """

    benchmark: str
    network: str
    n_tasks: int
    n_repeats: int
    batch_size: int
    valid_share: float
    settings: HALRPSettings


def _preset(
    benchmark: str,
    network: str,
    n_tasks: int,
    n_repeats: int,
    batch_size: int,
    epochs: tuple[int, int],
    rates: tuple[float, float, float],
    ranks: tuple[float, int],
    growth: float,
) -> Preset:
    valid = 0.1 if benchmark.startswith("tiny") else 0.2
    settings = HALRPSettings(
        epochs=epochs[0],
        warmup_epochs=epochs[1],
        learning_rate=rates[0],
        weight_decay=rates[1],
        l1=rates[2],
        share=ranks[0],
        max_rank=ranks[1],
        growth_budget=growth,
        # The scripts put 50,000 images for every data set.
        decay_samples=round(50_000 * (1 - valid) / n_tasks),
    )
    return Preset(benchmark, network, n_tasks, n_repeats, batch_size, valid, settings)


_T1, _T2 = "tiny-imagenet-20", "tiny-imagenet-40"
#: The nine settings of the published scripts, by "benchmark/network".
PRESETS = {
    f"{p.benchmark}/{p.network}": p
    for p in (
        # benchmark, network, tasks, repeats, batch, epochs (warm-up), rate, decay, l1, share, cap
        _preset(
            "cifar100-split", "lenet", 10, 5, 128, (20, 1), (1e-3, 1e-4, 1e-4), (0.9, 100), 0.2
        ),
        _preset(
            "cifar100-super", "lenet", 20, 5, 128, (20, 1), (1e-3, 1e-4, 1e-4), (0.9, 100), 0.2
        ),
        _preset("pmnist", "lenet", 10, 5, 128, (12, 1), (1e-3, 1e-3, 1e-6), (0.9, 100), 0.6),
        _preset("five", "alexnet", 5, 5, 128, (12, 1), (1e-3, 1e-4, 1e-6), (0.9, 100), 0.6),
        _preset("five", "resnet18", 5, 5, 128, (12, 3), (1e-3, 1e-4, 1e-6), (0.95, 120), 0.6),
        _preset(_T1, "alexnet", 20, 3, 32, (50, 25), (1e-3, 5e-4, 1e-5), (0.9, 100), 0.6),
        _preset(_T1, "resnet18", 20, 3, 32, (50, 25), (5e-4, 1e-4, 5e-4), (0.9, 100), 0.6),
        _preset(_T2, "alexnet", 40, 3, 32, (50, 20), (1e-3, 1e-4, 5e-4), (0.9, 100), 0.6),
        _preset(_T2, "resnet18", 40, 3, 32, (50, 25), (5e-4, 1e-4, 5e-4), (0.9, 100), 0.6),
    )
}
