"""Ranks and factors for all layers of a network, without more singular values than they need."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eigenflow._arrays import Array, as_float_array
from eigenflow._rng import RNGLike
from eigenflow.lowrank.allocation import Allocation, _whole, allocate_ranks
from eigenflow.lowrank.decomposition import SVDResult
from eigenflow.lowrank.perturbation import Change, Conv, Perturbation, fit_change, leading
from eigenflow.lowrank.selection import as_scalar, select_rank

RULES = ("hessian", "knapsack", "energy", "flat")
Rule = Literal["hessian", "knapsack", "energy", "flat"]


@dataclass(frozen=True, eq=False)
class LayerPerturbations:
    """New weights of several layers as scaled old ones plus low rank.

    Attributes
    ----------
    layers : tuple of Perturbation
        Cut to their ranks.
    ranks : ndarray of int64, shape (n_layers,)
    kept_share : float
        Importance-weighted share of the representable change that is kept.
    cost : float
        Numbers in all factors.
    n_computed : ndarray of int64, shape (n_layers,)
        Singular values that had to be computed; at least the rank.
    """

    layers: tuple[Perturbation, ...]
    ranks: NDArray[np.int64]
    kept_share: float
    cost: float
    n_computed: NDArray[np.int64]


def perturb_layers(
    W_base: Sequence[ArrayLike],
    W_free: Sequence[ArrayLike],
    importance: ArrayLike | None = None,
    *,
    rule: Rule = "hessian",
    share: float = 0.9,
    budget: float | None = None,
    min_rank: int = 1,
    max_rank: int | None = None,
    conv: Conv = "kernel-mean",
    passes: int = 1,
    oversampling: int = 10,
    rng: RNGLike = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> LayerPerturbations:
    r"""Perturb all layers of a network, with ranks chosen together.

    `perturb` for every layer and `allocate_ranks` over them. Only `max_rank` + `oversampling`
    singular values of each layer are computed at first. The share rule sorts the scores
    :math:`c_l I_l \sigma_{l,i}^2` of all layers (c the kernel area), so a value beyond `max_rank`
    can matter although it is never kept. It cannot if every layer's last computed score is below
    the score at which the rule stops, since the sum of all scores,
    :math:`c_l I_l \|D_l\|_F^2`, is known without any decomposition. Where that condition fails, or
    where the error of a value could change a rank, that layer gets twice as many values, beyond
    half of them all. So the ranks are those of full decompositions.

    Parameters
    ----------
    W_base, W_free : sequence of array_like, each (m, n) or (m, n, a, b)
        Base weights and freely trained weights of each layer.
    importance : array_like, shape (n_layers,), optional
        Curvature of the loss in each layer, without the kernel area; by default all equal.
    rule : {"hessian", "knapsack", "energy", "flat"}
        ``"hessian"``: the share rule over all layers (the paper). ``"knapsack"``: the largest kept
        share for `budget` numbers. ``"energy"``: in each layer the least rank that keeps `share`
        of its own squared values. ``"flat"``: `max_rank` in every layer.
    share : float
        In (0, 1], for ``"hessian"`` and ``"energy"``; 1 keeps all.
    budget : float, optional
        Numbers in all factors together, for ``"knapsack"``. By default as many as ``"hessian"``
        would take at `share`.
    min_rank, max_rank : int
        Floor and cap of every layer. ``"flat"`` wants a `max_rank`.
    conv, passes
        As in `perturb`.
    oversampling : int
        Values computed beyond `max_rank` at first.
    rng, workers, check_finite
        As in `perturb`.

    Returns
    -------
    LayerPerturbations
        ``layers``, ``ranks``, ``kept_share``, ``cost``, ``n_computed``.

    Raises
    ------
    ValueError
        If the numbers of layers differ, or an argument is out of range; the message names the
        layer.
    TypeError
        If ``"flat"`` has no `max_rank`, or another rule gets a `budget`.

    Notes
    -----
    The error of a computed value is bounded by its residual r, and by :math:`r^2` over its distance
    to the values that are not resolved (Weyl; Kato and Temple). A decomposition that misses a
    leading value altogether, which a randomized one does with negligible probability, escapes this
    check. Scores that are equal to rounding have no right order in any decomposition.

    Examples
    --------
    >>> import numpy as np
    >>> import eigenflow as ef
    >>> base = [np.zeros((3, 3)), np.zeros((3, 3))]
    >>> free = [np.diag([3.0, 2.0, 1.0]), np.diag([3.0, 2.0, 1.0])]
    >>> ef.lowrank.perturb_layers(base, free, [100.0, 1.0]).ranks
    array([2, 1])
    """
    _check_rule(rule, budget, max_rank, share)
    if len(W_base) != len(W_free):
        msg = f"W_free: got {len(W_free)} layers, want {len(W_base)}, the number in W_base"
        raise ValueError(msg)
    changes = [
        _named(i, base, free, conv=conv, passes=passes, check_finite=check_finite)
        for i, (base, free) in enumerate(zip(W_base, W_free, strict=True))
    ]
    weights = _weights(importance, changes)
    extra = _whole(oversampling, "oversampling", 0)
    cap = None if max_rank is None else _whole(max_rank, "max_rank", 0)
    first = None if cap is None else cap + (0 if rule == "flat" else extra)
    found = [leading(c.matrix, first, rng=rng, workers=workers) for c in changes]
    if rule == "hessian" or (rule == "knapsack" and budget is None):
        found = _enough_for_shares(changes, weights, found, share, rng, workers)
    layers = [change.perturbation(one) for change, one in zip(changes, found, strict=True)]
    ranks = _ranks(layers, weights, rule, share, budget, min_rank, max_rank)
    cut = tuple(layer.truncate(int(k)) for layer, k in zip(layers, ranks, strict=True))
    return LayerPerturbations(
        layers=cut,
        ranks=ranks,
        kept_share=_kept_share(cut, weights),
        cost=float(sum(layer.left.size + layer.right.size for layer in cut)),
        n_computed=np.array([one.s.size for one in found], np.int64),
    )


def _check_rule(rule: str, budget: float | None, max_rank: int | None, share: float) -> None:
    if rule not in RULES:
        msg = f"rule: got {rule!r}, want one of {', '.join(map(repr, RULES))}"
        raise ValueError(msg)
    if rule == "flat" and max_rank is None:
        msg = "max_rank: missing; rule 'flat' wants one"
        raise TypeError(msg)
    if rule != "knapsack" and budget is not None:
        msg = f"budget: not used by rule {rule!r}"
        raise TypeError(msg)
    as_scalar(share, "share", 5e-324, 1, "within (0, 1]")


def _named(
    i: int, base: ArrayLike, free: ArrayLike, *, conv: Conv, passes: int, check_finite: bool
) -> Change:
    try:
        return fit_change(base, free, conv=conv, passes=passes, check_finite=check_finite)
    except (TypeError, ValueError) as error:
        name, _, rest = str(error).partition(":")
        if name not in ("W_base", "W_free"):
            raise
        msg = f"{name}[{i}]:{rest}"
        raise type(error)(msg) from None


def _weights(importance: ArrayLike | None, changes: list[Change]) -> Array:
    """Loss per squared unit of each layer's matrix: importance times kernel area."""
    n = len(changes)
    given = np.ones(n) if importance is None else importance
    weights = as_float_array(given, "importance", ndim=1, dtype=np.float64)
    if weights.size != n:
        msg = f"importance: got {weights.size} numbers, want one for each of {n} layers"
        raise ValueError(msg)
    if (weights < 0).any():
        i = int(np.argmax(weights < 0))
        msg = f"importance: got {weights[i]} at position {i}, want non-negative values"
        raise ValueError(msg)
    return weights * [c.kernel_area for c in changes]


def _ranks(
    layers: list[Perturbation],
    weights: Array,
    rule: Rule,
    share: float,
    budget: float | None,
    min_rank: int,
    max_rank: int | None,
) -> NDArray[np.int64]:
    if rule == "flat":
        return np.array([layer.rank for layer in layers], np.int64)
    if rule == "energy":
        return np.array([_energy_rank(x, share, min_rank, max_rank) for x in layers], np.int64)

    def allocate(share: float | None, budget: float | None, method: Rule) -> Allocation:
        return allocate_ranks(
            [layer.s for layer in layers],
            weights,
            costs=[layer.left.shape[0] + layer.right.shape[1] for layer in layers],
            totals=[layer.residual_squared for layer in layers],
            share=share,
            budget=budget,
            method="hessian" if method == "hessian" else "knapsack",
            min_rank=min_rank,
            max_rank=max_rank,
        )

    if rule == "hessian":
        return allocate(share, None, rule).ranks
    return allocate(
        None, allocate(share, None, "hessian").cost if budget is None else budget, rule
    ).ranks


def _energy_rank(layer: Perturbation, share: float, min_rank: int, max_rank: int | None) -> int:
    matrix_shape = (layer.left.shape[0], layer.right.shape[1])
    most = layer.rank if max_rank is None else min(max_rank, layer.rank)
    try:
        k = select_rank(layer.s, matrix_shape, share=share, total_squared=layer.residual_squared)
    except ValueError:  # the values up to the cap hold less than the share
        k = most
    return min(max(k, min_rank), most)


def _kept_share(layers: tuple[Perturbation, ...], weights: Array) -> float:
    total = float(weights @ [layer.residual_squared for layer in layers]) if layers else 0.0
    kept = [min(float(np.sum(np.square(x.s, dtype=float))), x.residual_squared) for x in layers]
    return float(weights @ kept) / total if total > 0 else 1.0


# ---- how many values the share rule needs


def _enough_for_shares(
    changes: list[Change],
    weights: Array,
    found: list[SVDResult],
    share: float,
    rng: RNGLike,
    workers: int | None,
) -> list[SVDResult]:
    """Decompose further until no unseen or inexact value can change a rank."""
    found = list(found)
    # One unit for all layers; powers of two change no comparison.
    largest = max((c.exponent for c in changes), default=0)
    units = np.array([np.ldexp(1.0, 2 * (c.exponent - largest)) for c in changes])
    scores = [
        _Scores(change, one, weight)
        for change, one, weight in zip(changes, found, weights * units, strict=True)
    ]
    while share < 1:
        again = _undecided(scores, share)
        if not again:
            break
        for i in again:
            count = _more_than(found[i].s.size, min(changes[i].matrix.shape))
            found[i] = leading(changes[i].matrix, count, rng=rng, workers=workers)
            scores[i] = _Scores(changes[i], found[i], weights[i] * units[i])
    return found


def _more_than(count: int, most: int) -> int | None:
    """Twice as many values; beyond half of them all, which costs little more."""
    more = 2 * count + 1
    return more if 2 * more < most else None


class _Scores:
    """Scores of one layer's values, and how large they may be in truth."""

    def __init__(self, change: Change, found: SVDResult, weight: float) -> None:
        s = found.s.astype(np.float64)
        self.complete = s.size == min(change.matrix.shape)
        # Values of a projection are never too large, up to rounding.
        self.low = weight * s**2
        self.high = self.low if self.complete else weight * (s + _errors(s, found.residuals)) ** 2
        self.total = weight * float(np.sum(np.square(change.matrix, dtype=np.float64)))

    def largest_after(self, count: int) -> float:
        """Bound of all scores beyond the first `count`, computed or not."""
        if count < self.high.size:
            return float(self.high[count:].max())
        unseen = self.high[-1] if self.high.size else self.total
        return 0.0 if self.complete else float(unseen)


def _errors(s: Array, residuals: Array) -> Array:
    r = np.asarray(residuals, np.float64)
    gap = s - s[-1] if s.size else s
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap > r, np.minimum(r, r * r / gap), r)


def _undecided(scores: list[_Scores], share: float) -> list[int]:
    """Layers that need more values before the prefix of the sorted scores is certain."""
    incomplete = [i for i, x in enumerate(scores) if not x.complete]
    wanted = share * sum(x.total for x in scores)
    if not incomplete or not wanted > 0:
        return []
    owner = np.concatenate([np.full(x.low.size, i) for i, x in enumerate(scores)])
    low = np.concatenate([x.low for x in scores])
    order = np.argsort(-low, kind="stable")
    above = np.flatnonzero(np.cumsum(low[order]) > wanted)
    if not above.size:  # the share lies beyond; first where the unseen values may be largest
        last = {i: scores[i].largest_after(scores[i].low.size) for i in incomplete}
        return [i for i in incomplete if 4 * last[i] >= max(last.values())]
    prefix = order[: above[0] + 1]
    counts = np.bincount(owner[prefix], minlength=len(scores))
    least = float(low[prefix[-1]])
    unseen = [i for i in incomplete if counts[i] == scores[i].low.size]
    if unseen:
        return unseen
    highest = np.concatenate([x.high for x in scores])[prefix].sum()
    sooner = highest - least > wanted  # the true prefix might be shorter
    swapped = any(
        counts[i] and float(scores[i].low[counts[i] - 1]) < scores[k].largest_after(int(counts[k]))
        for i in range(len(scores))
        for k in range(len(scores))
        if i != k and not (scores[i].complete and scores[k].complete)
    )
    return incomplete if sooner or swapped else []
