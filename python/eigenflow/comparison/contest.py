"""Contestants that do one task take turns; medians and spreads of their times."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Score = Callable[[Any], float]


@dataclass(frozen=True)
class Contestant:
    """Who does the task, and how.

    `share` is the part of the task that `function` does: a rival that would take minutes does a
    slice, and its time is divided by the share.
    """

    name: str
    function: Callable[[], Any]
    share: float = 1.0


@dataclass(frozen=True)
class Task:
    """One task and those who do it, eigenflow first; `error` measures a result of any of them."""

    title: str
    contestants: Sequence[Contestant]
    error: Score | None = None
    error_name: str = "error"


@dataclass(frozen=True)
class Outcome:
    """Seconds for the whole task: the median, and the spread between quartiles over it."""

    name: str
    seconds: float
    spread: float
    error: float | None
    share: float


def compete(task: Task, *, budget: float, max_rounds: int = 15) -> list[Outcome]:
    """Let all take turns until each has used `budget` seconds or `max_rounds` turns.

    The first turn of each warms caches up and gives the result whose error is reported; it counts
    only where it alone used the budget.
    """
    warm = [_timed(c) for c in task.contestants]
    times: list[list[float]] = [[first] if first > budget else [] for first, _ in warm]
    used = [sum(t) for t in times]
    for _ in range(max_rounds):
        waiting = [i for i, seconds in enumerate(used) if seconds < budget]
        for i in waiting:
            seconds, _result = _timed(task.contestants[i])
            times[i].append(seconds)
            used[i] += seconds
    errors = [None if task.error is None else float(task.error(result)) for _, result in warm]
    return [
        _outcome(c, t, error) for c, t, error in zip(task.contestants, times, errors, strict=True)
    ]


def _timed(contestant: Contestant) -> tuple[float, Any]:
    start = time.perf_counter()
    result = contestant.function()
    return time.perf_counter() - start, result


def _outcome(contestant: Contestant, times: Sequence[float], error: float | None) -> Outcome:
    low, median, high = np.percentile(times, [25, 50, 75])
    return Outcome(
        contestant.name,
        float(median) / contestant.share,
        float((high - low) / median),
        error,
        contestant.share,
    )
