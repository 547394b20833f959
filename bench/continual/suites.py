"""Suites: tasks, the orders in which they come, the network and its settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from continual import digit_suites, local_suites
from continual.networks import NETWORKS
from eigenflow.nn import PRESETS, HALRPSettings

# The first five are those of Yoon et al. (2020) and Li et al. (2023) for CIFAR-100.
_ORDERS = {
    10: {
        "A": "0 1 2 3 4 5 6 7 8 9",
        "B": "1 7 4 5 2 0 8 6 9 3",
        "C": "7 0 5 1 8 4 3 6 2 9",
        "D": "5 8 2 9 0 4 3 7 6 1",
        "E": "2 9 5 4 8 0 6 1 3 7",
    },
    20: {
        "A": "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19",
        "B": "15 12 5 9 7 16 18 17 1 0 3 8 11 14 10 6 2 4 13 19",
        "C": "17 1 19 18 12 7 6 0 11 15 10 5 13 3 9 16 4 14 2 8",
        "D": "11 9 6 5 12 4 0 10 13 7 14 3 15 16 8 1 2 19 18 17",
        "E": "6 14 0 11 12 17 13 4 9 1 7 19 8 10 3 15 18 5 2 16",
    },
}


def order_of(name, n_tasks):
    """A is as given; B to E are the published ones, or drawn for other numbers of tasks."""
    if name not in "ABCDE" or len(name) != 1:
        msg = f"order: got {name!r}, want one of A B C D E"
        raise ValueError(msg)
    if n_tasks in _ORDERS:
        return [int(t) for t in _ORDERS[n_tasks][name].split()]
    if name == "A":
        return list(range(n_tasks))
    return np.random.default_rng(ord(name)).permutation(n_tasks).tolist()


@dataclass(frozen=True)
class Suite:
    """How a benchmark is run; `tasks` reads the data, from a folder where it needs one."""

    tasks: Callable[..., Any]
    network: str
    size: int
    channels: int
    batch_size: int
    settings: HALRPSettings

    def model(self, n_classes):
        """Make the network with a head for so many classes."""
        return NETWORKS[self.network](n_classes, self.channels, self.size)


# Few images and few steps, so larger steps and a longer warm-up than in the presets.
_DIGITS = HALRPSettings(
    epochs=8,
    warmup_epochs=3,
    learning_rate=5e-3,
    weight_decay=1e-4,
    l1=1e-5,
    share=0.6,
    max_rank=8,
)


def _published(name, tasks, size=32):
    preset = PRESETS[name]
    return Suite(tasks, preset.network, size, 3, preset.batch_size, preset.settings)


def _tiny(n_tasks):
    return lambda folder: local_suites.tiny_imagenet(folder, n_tasks)


SUITES = {
    "digits-permuted": Suite(digit_suites.permuted, "digits", 8, 1, 32, _DIGITS),
    "digits-rotated": Suite(digit_suites.rotated, "digits", 8, 1, 32, _DIGITS),
    "digits-split": Suite(digit_suites.split, "digits", 8, 1, 32, _DIGITS),
    "cifar100-split/lenet": _published("cifar100-split/lenet", local_suites.cifar100_split),
    "cifar100-super/lenet": _published("cifar100-super/lenet", local_suites.cifar100_super),
    "pmnist/lenet": _published("pmnist/lenet", local_suites.pmnist),
    "five/alexnet": _published("five/alexnet", local_suites.five),
    "five/resnet18": _published("five/resnet18", local_suites.five),
    "tiny-imagenet-20/alexnet": _published("tiny-imagenet-20/alexnet", _tiny(20), 64),
    "tiny-imagenet-20/resnet18": _published("tiny-imagenet-20/resnet18", _tiny(20), 64),
    "tiny-imagenet-40/alexnet": _published("tiny-imagenet-40/alexnet", _tiny(40), 64),
    "tiny-imagenet-40/resnet18": _published("tiny-imagenet-40/resnet18", _tiny(40), 64),
}
DIGITS = [name for name in SUITES if name.startswith("digits")]
