"""The continual learner: tasks as scaled, low-rank perturbed copies of the first one."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from eigenflow.nn import files
from eigenflow.nn.learning import Lesson, epoch_bar, learn_first, learn_later
from eigenflow.nn.network import device_of, merged, plan_of
from eigenflow.nn.pruning import prune_tasks
from eigenflow.nn.settings import HALRPSettings, whole
from eigenflow.nn.size import ModelSize, base_size, task_size
from eigenflow.nn.state import networks_from, state_of
from eigenflow.nn.tasks import Task, TaskReport, check_task
from eigenflow.nn.training import Loader, accuracy, seed_of, seeded


class HALRP:
    r"""Hessian-aware low-rank perturbation: a learner that adds tasks and keeps the old ones.

    The first task trains the network; its linear and convolution weights :math:`W_0` are then
    shared and frozen. Every later task has weights
    :math:`\mathrm{diag}(R)\, W_0\, \mathrm{diag}(S) + L N` with its own scales, low-rank factors,
    biases, batch norms and head: it trains all weights freely for some epochs, ranks are chosen
    over all layers from the spectra of the change and the curvature of the loss, the factors are
    fine-tuned, and small entries are pruned [1]_. Tasks after the first do not see each other, so
    nothing is forgotten but through pruning.

    Parameters
    ----------
    model : torch.nn.Module
        Linear, Conv2d and BatchNorm layers in any arrangement, with anything between them that has
        no parameters. It is copied; its weights are the start of the first task.
    settings : HALRPSettings, optional
        For example ``PRESETS["cifar100-split/lenet"].settings``.
    head : str, optional
        Name of the Linear layer that each task has for itself; by default the last one.
    seed : int
        Heads, shuffling and dropout of a task depend on it and on the task's id, not on the order
        of the tasks.

    Raises
    ------
    TypeError
        For layers of other kinds that have parameters, and for shared parameters; they are named.
    ValueError
        If `head` is no Linear layer.

    Notes
    -----
    The published code multiplies gradients by 10 before Adam, which changes nothing but the weight
    of its epsilon; this is left out. Where it keeps a single value at ``share = 1``, here all are
    kept.

    References
    ----------
    .. [1] J. Li et al., "Hessian Aware Low-Rank Perturbation for Order-Robust Continual Learning",
       IEEE Transactions on Knowledge and Data Engineering 36 (2024), arXiv:2311.15161; details
       from the authors' code.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> import eigenflow as ef
    >>> _ = torch.manual_seed(0)
    >>> x = torch.randn(64, 5)
    >>> model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> learner = ef.nn.HALRP(model, ef.nn.HALRPSettings(epochs=3, max_rank=2))
    >>> for task in range(2):
    ...     report = learner.fit_task(task, [(x, (x[:, task] > 0).long())])
    >>> report.ranks, learner.predict(1, x).shape
    ({'0': 2}, torch.Size([64]))
    >>> dense = learner.merge(1)
    >>> bool(torch.allclose(dense(x), learner.logits(1, x), atol=1e-5))
    True
    """

    def __init__(
        self,
        model: nn.Module,
        settings: HALRPSettings | None = None,
        *,
        head: str | None = None,
        seed: int = 0,
    ) -> None:
        self._plan = plan_of(model, head)
        self._model = merged(model)  # a copy
        self._settings = HALRPSettings() if settings is None else settings
        self._seed = whole("seed", seed)
        self._networks: dict[Task, nn.Module] = {}

    @property
    def settings(self) -> HALRPSettings:
        """How tasks are learned."""
        return self._settings

    @property
    def tasks(self) -> list[Task]:
        """Ids of the tasks, in the order in which they were learned."""
        return list(self._networks)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose weights are shared."""
        return self._plan.layers

    def fit_task(
        self,
        task: Task,
        train_loader: Loader,
        valid_loader: Loader | None = None,
        *,
        n_classes: int | None = None,
        epochs: int | None = None,
        progress: bool = False,
        workers: int | None = None,
    ) -> TaskReport:
        """Learn one more task.

        Parameters
        ----------
        task : str or int
            A new id.
        train_loader : iterable of (x, y)
            Batches with integer labels; read once an epoch.
        valid_loader : iterable of (x, y), optional
            For the layer importance; by default the training data.
        n_classes : int, optional
            Size of the head; by default that of the model.
        epochs : int, optional
            Instead of the settings' number. 0 with the first task takes the model's weights as they
            are.
        progress : bool
            Show a tqdm bar.
        workers : int, optional
            Threads of the decompositions.

        Returns
        -------
        TaskReport
            Losses, ranks, importance, growth. If the call fails or is interrupted, the learner is
            as it was.

        Raises
        ------
        ValueError
            If the id exists, a loader is empty, a label is not below `n_classes` or the loss does
            not stay finite.
        """
        task = check_task(task, self._networks)
        head = self._model.get_submodule(self._plan.head)
        total = self._settings.epochs if epochs is None else whole("epochs", epochs, 0)
        seed = seed_of(self._seed, task)
        with seeded(seed, device_of(self._model)), epoch_bar(task, total, progress) as step:
            lesson = Lesson(
                task,
                train_loader,
                train_loader if valid_loader is None else valid_loader,
                head.out_features if n_classes is None else whole("n_classes", n_classes, 1),
                total,
                self._settings,
                seed,
                workers,
                step,
            )
            if self._networks:
                network, report = learn_later(self._base(), self._plan, lesson)
            else:
                network, report = learn_first(self._model, self._plan, lesson)
        self._networks[task] = network.requires_grad_(False).eval()
        later = list(self._networks.values())[1:]
        prune_tasks(later, self._plan, self._settings, self.size().unpruned_growth)
        return dataclasses.replace(report, growth=self.size().growth)

    # ---- use

    def network(self, task: Task) -> nn.Module:
        """Return the network of a task, in evaluation mode; it shares the base weights."""
        if task not in self._networks:
            known = ", ".join(map(repr, self._networks)) or "none yet"
            msg = f"task: got {task!r}, which was never fitted; fitted are: {known}"
            raise ValueError(msg)
        return self._networks[task]

    def logits(self, task: Task, x: Tensor) -> Tensor:
        """Outputs of a task's head, without gradient, on the model's device."""
        network = self.network(task)
        with torch.no_grad():
            return network(x.to(device_of(network)))

    def predict(self, task: Task, x: Tensor) -> Tensor:
        """Class indices for a batch of inputs of a task."""
        return self.logits(task, x).argmax(1)

    def accuracy(self, task: Task, loader: Loader) -> float:
        """Share of right predictions over batches (x, y)."""
        return accuracy(self.network(task), loader)

    def merge(self, task: Task) -> nn.Module:
        """Return a copy of the user's network with the dense weights of one task."""
        return merged(self.network(task))

    def size(self) -> ModelSize:
        """Count everything that is stored."""
        if not self._networks:
            return ModelSize(*base_size(self._model), ())
        first, *rest = self._networks.values()
        return ModelSize(
            *base_size(first), tuple(task_size(network, self._plan.head) for network in rest)
        )

    # ---- files

    def state_dict(self) -> dict[str, Tensor]:
        """Return all arrays: ``base.LAYER.weight`` once, and ``task.NUMBER.NAME``."""
        return state_of(list(self._networks.values()), self._plan)

    def load_state_dict(self, state: Mapping[str, Tensor], tasks: Sequence[Task]) -> None:
        """Replace all tasks by those of a state; `tasks` are their ids, in order.

        Raises
        ------
        ValueError
            If a layer is missing or has another shape, or something is left over; it is named.
        """
        ids: list[Task] = []
        for task in tasks:
            ids.append(check_task(task, ids))
        networks = networks_from(state, len(ids), self._model, self._plan)
        self._networks = dict(zip(ids, networks, strict=True))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write tasks and settings to one safetensors file; an old one is replaced at the end."""
        about = files.About(self.tasks, self._plan.head, self._seed, self._settings)
        files.save(path, self.state_dict(), about)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: nn.Module) -> "HALRP":
        """Read a file of `save`; `model` is a network like the one it was made with.

        Nothing is unpickled. Raises ValueError that names what does not fit.
        """
        state, about = files.load(path, device_of(model))
        learner = cls(model, about.settings, head=about.head, seed=about.seed)
        learner.load_state_dict(state, about.tasks)
        return learner

    def _base(self) -> nn.Module:
        return next(iter(self._networks.values()))
