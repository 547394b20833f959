"""Zeros in the factors of many tasks, so that their number stays within a budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from eigenflow._arrays import Array, as_float_array
from eigenflow.lowrank.selection import as_scalar

MODES = ("absolute", "layer", "task", "all")
Mode = Literal["absolute", "layer", "task", "all"]
Factors = tuple[ArrayLike, ArrayLike]
_LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, eq=False)
class PrunedFactors:
    """Factors with small entries set to zero.

    Attributes
    ----------
    tasks : list of lists of (left, right)
        New arrays, of the shapes and dtypes that were given.
    thresholds : list of ndarray
        What was used in each layer of each task.
    n_nonzero, n_entries : int
        Entries that are left, and all entries.
    """

    tasks: list[list[tuple[Array, Array]]]
    thresholds: list[Array]
    n_nonzero: int
    n_entries: int


def pruning_share(growth: float, budget: float) -> float:
    """Share of factor entries to prune so that growth comes near a budget.

    ``1 - budget / growth``, and 0 within the budget: what the published code does. Parts that are
    never pruned (scales, norms, heads) are in the growth, so the result exceeds the budget by the
    pruned share of these.

    Parameters
    ----------
    growth : float
        Parameters of all tasks over those of the base network, minus 1; factors counted in full.
    budget : float
        Largest growth wanted, at least 0.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If an argument is negative or NaN.

    Examples
    --------
    >>> import eigenflow as ef
    >>> ef.lowrank.pruning_share(1.6, 0.2), ef.lowrank.pruning_share(0.1, 0.2)
    (0.875, 0.0)
    """
    grown = as_scalar(growth, "growth", 0, _LARGEST, "a number >= 0")
    most = as_scalar(budget, "budget", 0, np.inf, "a number >= 0")
    return 0.0 if grown <= most else 1 - most / grown


def prune(
    tasks: Sequence[Sequence[Factors]],
    *,
    mode: Mode = "task",
    threshold: float = 0.0,
    share: float = 0.0,
    check_finite: bool = True,
) -> PrunedFactors:
    """Set the smallest entries of low-rank factors to zero.

    An entry becomes zero if its modulus is at most the larger of `threshold` and the `share`
    quantile of the moduli in its group. Zeros of earlier prunings count in the quantile, so pruning
    again with the same arguments changes nothing more unless entries were trained in between.

    Parameters
    ----------
    tasks : sequence of sequences of (left, right)
        The two factors of each layer of each task.
    mode : {"task", "layer", "all", "absolute"}
        The group of the quantile: all layers of one task (what every published experiment uses,
        there "mixAR_AllLayer"), one layer ("mixAR"), everything ("mixAR_AllLayerAllTask"), or none:
        ``"absolute"`` uses `threshold` alone. With `threshold` 0 the modes are the published
        "relative" ones.
    threshold : float
        At least 0.
    share : float
        In [0, 1].
    check_finite : bool
        Refuse NaN and infinity.

    Returns
    -------
    PrunedFactors
        ``tasks``, ``thresholds``, ``n_nonzero``, ``n_entries``.

    Raises
    ------
    TypeError
        If ``"absolute"`` gets a `share`.
    ValueError
        If an argument is out of range.

    Notes
    -----
    The quantile interpolates linearly between entries, as `numpy.quantile` does, in float64.
    Cost: a partial sort of the entries of each group.

    Examples
    --------
    >>> import eigenflow as ef
    >>> pruned = ef.lowrank.prune([[([[1.0], [-2.0]], [[3.0, 4.0]])]], share=0.5)
    >>> pruned.tasks[0][0][0].ravel(), pruned.n_nonzero
    (array([0., 0.]), 2)
    """
    if mode not in MODES:
        msg = f"mode: got {mode!r}, want one of {', '.join(map(repr, MODES))}"
        raise ValueError(msg)
    floor = as_scalar(threshold, "threshold", 0, _LARGEST, "a number >= 0")
    part = as_scalar(share, "share", 0, 1, "within [0, 1]")
    if mode == "absolute" and part > 0:
        msg = "share: not used by mode 'absolute', which wants a threshold"
        raise TypeError(msg)
    given = [
        [_pair(pair, f"tasks[{t}][{i}]", check_finite) for i, pair in enumerate(layers)]
        for t, layers in enumerate(tasks)
    ]
    levels = _levels(given, mode, floor, part)
    pruned = [
        [
            (_cut(left, level), _cut(right, level))
            for (left, right), level in zip(*both, strict=True)
        ]
        for both in zip(given, levels, strict=True)
    ]
    flat = [factor for layers in pruned for pair in layers for factor in pair]
    return PrunedFactors(
        tasks=pruned,
        thresholds=levels,
        n_nonzero=sum(int(np.count_nonzero(f)) for f in flat),
        n_entries=sum(f.size for f in flat),
    )


def _pair(pair: Factors, name: str, check_finite: bool) -> tuple[Array, Array]:
    try:
        left, right = pair
    except (TypeError, ValueError):
        msg = f"{name}: got {type(pair).__name__}, want two factors (left, right)"
        raise ValueError(msg) from None
    return (
        as_float_array(left, f"{name}[0]", check_finite=check_finite),
        as_float_array(right, f"{name}[1]", check_finite=check_finite),
    )


def _levels(
    tasks: list[list[tuple[Array, Array]]], mode: Mode, floor: float, share: float
) -> list[Array]:
    """Return the threshold of every layer of every task."""

    def level(layers: list[tuple[Array, Array]]) -> float:
        if share == 0 or not any(f.size for pair in layers for f in pair):
            return floor
        moduli = np.concatenate([np.abs(f, dtype=float).ravel() for pair in layers for f in pair])
        return max(floor, float(np.quantile(moduli, share)))

    if mode == "layer":
        return [np.array([level([pair]) for pair in layers]) for layers in tasks]
    if mode == "all":
        common = level([pair for layers in tasks for pair in layers])
        return [np.full(len(layers), common) for layers in tasks]
    return [
        np.full(len(layers), floor if mode == "absolute" else level(layers)) for layers in tasks
    ]


def _cut(factor: Array, level: float) -> Array:
    return np.where(np.abs(factor, dtype=float) > level, factor, np.zeros((), factor.dtype))
