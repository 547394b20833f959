"""Tasks: their ids, and what is told about learning one."""

import operator
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

Task = str | int


@dataclass(frozen=True, eq=False)
class TaskReport:
    """What `HALRP.fit_task` did.

    Attributes
    ----------
    task : str or int
    losses : list of float
        Mean loss of each epoch, the warm-up first.
    ranks, importance : dict
        By layer; empty for the first task.
    kept_share : float
        Importance-weighted share of the warm-up's change that the factors began with.
    growth : float
        Bytes of all later tasks over those of the first, after pruning.
    """

    task: Task
    losses: list[float]
    ranks: dict[str, int] = field(default_factory=dict)
    importance: dict[str, float] = field(default_factory=dict)
    kept_share: float = 1.0
    growth: float = 0.0


def check_task(task: Any, known: Collection[Task]) -> Task:
    """Return an id as string or integer; refuse what is none, or one that is taken."""
    if not isinstance(task, str):
        try:
            if isinstance(task, bool):
                raise TypeError
            task = operator.index(task)
        except TypeError:
            msg = f"task: got {task!r}, want a string or an integer"
            raise TypeError(msg) from None
    if task in known:
        msg = f"task: got {task!r}, which was fitted before, want a new id"
        raise ValueError(msg)
    return str(task) if isinstance(task, str) else int(task)
