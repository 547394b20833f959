"""Ways to learn a sequence of tasks; each run gives accuracies, growth and time."""

import copy
import dataclasses
import itertools
import time

import numpy as np
import torch

from continual.data import Batches
from eigenflow.nn import HALRP
from eigenflow.nn.training import accuracy, seed_of, seeded, train

CPU = torch.device("cpu")


@dataclasses.dataclass(frozen=True)
class Method:
    """`run(suite, tasks, order, seed, device, step)`, and whether the order of tasks matters."""

    title: str
    run: object
    uses_order: bool = True


def _batches(suite, split, *, shuffle=False):
    return Batches(split, suite.batch_size if shuffle else 512, shuffle=shuffle)


def _model(suite, tasks, first, seed, device):
    """The same first weights for every method."""
    with seeded(seed_of(seed, "model"), CPU):
        return suite.model(tasks[first].n_classes).to(device)


def _result(learned, final, growth, published, started, **more):
    """Accuracies are in the order of the tasks' numbers, not of learning."""
    return {
        "learned": learned,
        "final": final,
        "growth": growth,
        "published_growth": published,
        "seconds": time.process_time() - started,
        **more,
    }


def _perturbing(**changes):
    def run(suite, tasks, order, seed, device, step):
        started = time.process_time()
        settings = dataclasses.replace(suite.settings, **{"growth_budget": None, **changes})
        learner = HALRP(_model(suite, tasks, order[0], seed, device), settings, seed=seed)
        learned, ranks = [0.0] * len(tasks), []
        for t in order:
            step(t)
            task = tasks[t]
            report = learner.fit_task(
                t,
                _batches(suite, task.train, shuffle=True),
                _batches(suite, task.valid),
                n_classes=task.n_classes,
            )
            ranks.append(list(report.ranks.values()))
            learned[t] = learner.accuracy(t, _batches(suite, task.test))
        final = [learner.accuracy(t, _batches(suite, x.test)) for t, x in enumerate(tasks)]
        size = learner.size()
        return _result(learned, final, size.growth, size.published_growth, started, ranks=ranks[1:])

    return run


def _frozen(suite, tasks, order, seed, device, step):
    """Train all on the first task, then only heads on its last features."""
    started = time.process_time()
    settings = dataclasses.replace(suite.settings, growth_budget=None)
    learner = HALRP(_model(suite, tasks, order[0], seed, device), settings, seed=seed)
    step(order[0])
    first = tasks[order[0]]
    learner.fit_task(order[0], _batches(suite, first.train, shuffle=True))
    features = learner.merge(order[0])
    width = features[-1].in_features
    features[-1] = torch.nn.Identity()
    final = [0.0] * len(tasks)
    final[order[0]] = learner.accuracy(order[0], _batches(suite, first.test))
    added = 0
    for t in order[1:]:
        step(t)
        task = tasks[t]
        with seeded(seed_of(seed, t), device):
            head = torch.nn.Linear(width, task.n_classes).to(device)
            loader = _Mapped(features, _batches(suite, task.train, shuffle=True), device)
            train(head, loader, settings.epochs, settings)
        final[t] = accuracy(torch.nn.Sequential(features, head), _batches(suite, task.test))
        added += sum(p.numel() for p in head.parameters())
    base = learner.size()
    growth = added * 4 / base.base_bytes
    return _result(final, final, growth, added / base.base, started)


class _Mapped:
    """Batches of features in the place of images."""

    def __init__(self, features, batches, device):
        self.dataset = batches.dataset
        self._features, self._batches, self._device = features, batches, device

    def __iter__(self):
        for x, y in self._batches:
            with torch.no_grad():
                features = self._features(x.to(self._device))
            yield features, y


def _single(suite, tasks, order, seed, device, step):
    """A network of its own for every task."""
    started = time.process_time()
    settings = dataclasses.replace(suite.settings, growth_budget=None)
    final = []
    for t, task in enumerate(tasks):
        step(t)
        learner = HALRP(_model(suite, tasks, t, seed, device), settings, seed=seed)
        learner.fit_task(t, _batches(suite, task.train, shuffle=True), n_classes=task.n_classes)
        final.append(learner.accuracy(t, _batches(suite, task.test)))
    return _result(final, final, len(tasks) - 1.0, len(tasks) - 1.0, started)


def _together(suite, tasks, order, seed, device, step):
    """One network, one head a task, all tasks trained at once."""
    started = time.process_time()
    settings = suite.settings
    network = _model(suite, tasks, 0, seed, device)
    width = network[-1].in_features
    with seeded(seed_of(seed, "together"), device):
        heads = [torch.nn.Linear(width, task.n_classes).to(device) for task in tasks]
        network[-1] = torch.nn.Identity()
        parameters = [*network.parameters(), *itertools.chain(*(h.parameters() for h in heads))]
        optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate)
        loaders = [_batches(suite, task.train, shuffle=True) for task in tasks]
        decay = settings.lr_decay ** (1 / max(len(list(x)) for x in loaders))
        for _ in range(settings.epochs):
            step(None)
            network.train()
            for batches in itertools.zip_longest(*loaders):
                optimiser.zero_grad()
                for head, batch in zip(heads, batches, strict=True):
                    if batch is not None:
                        x, y = (part.to(device) for part in batch)
                        torch.nn.functional.cross_entropy(head(network(x)), y).backward()
                optimiser.step()
                for group in optimiser.param_groups:
                    group["lr"] *= decay
    network.eval()
    final = [
        accuracy(torch.nn.Sequential(network, head), _batches(suite, task.test))
        for head, task in zip(heads, tasks, strict=True)
    ]
    base = sum(p.numel() for p in [*network.parameters(), *heads[0].parameters()])
    added = sum(p.numel() for head in heads[1:] for p in head.parameters())
    return _result(final, final, added / base, added / base, started)


def flat_rank(suite, tasks, matched_ranks):
    """The rank for every layer that costs about as much as the given ranks of many tasks."""
    layers = HALRP(copy.deepcopy(suite.model(tasks[0].n_classes)))
    weights = [layers._model.get_submodule(name).weight for name in layers.layers]
    costs = np.array([w.shape[0] + w.shape[1] for w in weights])
    wanted = np.mean(np.asarray(matched_ranks) @ costs)
    caps = np.array([min(w.shape[:2]) for w in weights])
    choices = range(1, int(caps.max()) + 1)
    return min(choices, key=lambda k: abs(np.minimum(k, caps) @ costs - wanted))


METHODS = {
    "single": Method("single-task networks", _single, uses_order=False),
    "together": Method("multi-task, all at once", _together, uses_order=False),
    "frozen": Method("frozen base + head", _frozen),
    "halrp": Method("HALRP", _perturbing()),
    "flat": Method("flat rank, cost of HALRP", None),  # needs the ranks of HALRP
    "energy": Method("uniform energy", _perturbing(rule="energy")),
    "knapsack": Method("knapsack, cost of HALRP", _perturbing(rule="knapsack")),
    "reshape": Method("HALRP, reshaped kernels", _perturbing(conv="reshape")),
    "pruned": Method("HALRP, pruned", _perturbing(growth_budget=1.0)),
}


RULES = ("halrp", "flat", "energy", "knapsack")  # ways to share ranks among layers


def run(method, suite, tasks, order, seed, device, step, matched_ranks=None):
    """One run of a method; "flat" wants the ranks that HALRP took in the same order."""
    if method == "flat":
        rank = flat_rank(suite, tasks, matched_ranks)
        go = _perturbing(rule="flat", max_rank=rank)
    else:
        go = METHODS[method].run
    return go(suite, tasks, order, seed, device, step)
