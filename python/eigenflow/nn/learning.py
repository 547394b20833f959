"""How one task is learned."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from eigenflow._progress import progress_bar
from eigenflow.lowrank.importance import gradient_importance
from eigenflow.lowrank.layers import LayerPerturbations, perturb_layers
from eigenflow.nn.importance import batch_gradients
from eigenflow.nn.layers import factors_of
from eigenflow.nn.network import Plan, perturbed, with_head
from eigenflow.nn.settings import HALRPSettings
from eigenflow.nn.tasks import Task, TaskReport
from eigenflow.nn.training import Loader, base_penalty, task_penalty, train


@dataclass(frozen=True, eq=False)
class Lesson:
    """The data of a task, and how to learn it."""

    task: Task
    train_loader: Loader
    valid_loader: Loader
    n_classes: int
    epochs: int
    settings: HALRPSettings
    seed: int
    workers: int | None
    step: Callable[[float], None]

    def train(self, network: nn.Module, epochs: int, penalty: Any = None) -> list[float]:
        """Train on the task's data; returns the mean loss of each epoch."""
        return train(
            network, self.train_loader, epochs, self.settings, penalty=penalty, step=self.step
        )


def learn_first(model: nn.Module, plan: Plan, lesson: Lesson) -> tuple[nn.Module, TaskReport]:
    """Train all of the network; its weights are the base of what comes."""
    network = with_head(model, plan, lesson.n_classes, fresh=False)
    layers = [network.get_submodule(name) for name in plan.layers]
    losses = lesson.train(network, lesson.epochs, base_penalty(layers, lesson.settings))
    return network, TaskReport(lesson.task, losses)


def learn_later(base: nn.Module, plan: Plan, lesson: Lesson) -> tuple[nn.Module, TaskReport]:
    """Train freely, write the change as scales and low rank, and train these."""
    names, settings = plan.layers, lesson.settings
    network = with_head(base, plan, lesson.n_classes, fresh=True)
    warmup = min(settings.warmup_epochs, lesson.epochs)
    losses = lesson.train(network, warmup)
    importance = _importance(network, names, lesson)
    weights = {n: base.get_submodule(n).weight.detach() for n in names}
    found = _low_rank_change(weights, network, importance, lesson)
    factors = {n: factors_of(p) for n, p in zip(names, found.layers, strict=True)}
    network = perturbed(network, plan, weights, factors)
    penalty = task_penalty([network.get_submodule(n) for n in names], settings)
    losses += lesson.train(network, lesson.epochs - warmup, penalty)
    return network, TaskReport(
        lesson.task,
        losses,
        ranks=dict(zip(names, found.ranks.tolist(), strict=True)),
        importance=dict(zip(names, importance.tolist(), strict=True)),
        kept_share=found.kept_share,
    )


def _low_rank_change(
    base: dict[str, Tensor], free: nn.Module, importance: Any, lesson: Lesson
) -> LayerPerturbations:
    settings = lesson.settings
    return perturb_layers(
        [weight.cpu().numpy() for weight in base.values()],
        [free.get_submodule(n).weight.detach().cpu().numpy() for n in base],
        importance,
        rule=settings.rule,
        share=settings.share,
        budget=settings.budget,
        min_rank=settings.min_rank,
        max_rank=settings.max_rank,
        conv=settings.conv,
        passes=settings.passes,
        rng=lesson.seed,
        workers=lesson.workers,
    )


def _importance(network: nn.Module, names: tuple[str, ...], lesson: Lesson) -> Any:
    gradients = batch_gradients(network, lesson.valid_loader, names)
    try:
        return gradient_importance(_weighted(gradients))
    except ValueError as error:
        msg = f"valid_loader: {error}"
        raise ValueError(msg) from None


def _weighted(batches: Any) -> Iterator[Any]:
    """Scale each batch's gradients so that squares are weighted by the batch's size."""
    return ([np.sqrt(size) * g for g in layers] for layers, size in batches)


@contextlib.contextmanager
def epoch_bar(task: Task, epochs: int, progress: bool) -> Iterator[Callable[[float], None]]:
    """Give a function to call after each epoch; it moves a tqdm bar if there is one."""
    if not progress:
        yield lambda _: None
        return
    with progress_bar(total=epochs, desc=f"task {task}", unit="epoch") as bar:

        def step(loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3g}")
            bar.update()

        yield step
