"""Ranks for many matrices at once: a share of what matters, or a budget of parameters."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eigenflow._arrays import Array, as_float_array
from eigenflow._core import rank as _rank
from eigenflow.lowrank.selection import as_scalar, as_shape, as_spectrum

METHODS = ("hessian", "knapsack")
_NO_LIMIT = 2**53  # largest rank that a table of float64 holds exactly


@dataclass(frozen=True, eq=False)
class Allocation:
    """Ranks of several layers.

    Attributes
    ----------
    ranks : ndarray of int64, shape (n_layers,)
        A dense layer counts all its values here.
    cost : float
        Sum of rank times cost, or the dense cost, over the layers.
    kept_share : float
        Importance-weighted share of all squared singular values that is kept.
    kept_share_bound : float or None
        No allocation within the budget keeps more. None for method ``"hessian"``.
    dense : ndarray of bool, shape (n_layers,)
        Layers that stay dense (only with `dense_costs`).
    """

    ranks: NDArray[np.int64]
    cost: float
    kept_share: float
    kept_share_bound: float | None
    dense: NDArray[np.bool_]


def allocate_ranks(
    spectra: Sequence[ArrayLike],
    importance: ArrayLike,
    *,
    shapes: Sequence[tuple[int, int]] | None = None,
    costs: ArrayLike | None = None,
    totals: ArrayLike | None = None,
    share: float | None = None,
    budget: float | None = None,
    method: Literal["hessian", "knapsack"] = "hessian",
    min_rank: int | Sequence[int] = 1,
    max_rank: int | Sequence[int] | None = None,
    multiple_of: int = 1,
    dense_costs: ArrayLike | None = None,
    check_finite: bool = True,
) -> Allocation:
    r"""Choose a rank for every layer of a network.

    The loss that truncation costs is about
    :math:`\sum_l I_l \sum_{i > k_l} \sigma_{l,i}^2` with the curvature :math:`I_l` of layer l [1]_.

    Parameters
    ----------
    spectra : sequence of array_like, each of shape (k_l,)
        Singular values of the layers, each in descending order. No rank exceeds their number.
    importance : array_like, shape (n_layers,)
        Non-negative weights :math:`I_l`: the mean square of the loss gradient's entries, times the
        layer's constant factor (the kernel area for convolutions of a kernel-mean perturbation).
    shapes : sequence of (int, int), optional
        Rows and columns of the layers: one rank then costs their sum, in parameters.
    costs : array_like, shape (n_layers,), optional
        Cost of one rank instead, in any unit. Of m + n numbers, bytes are that times their size;
        operations are 2 (m + n) for each input row, and for each position of a convolution's
        output. Without `shapes` and `costs` each rank costs 1.
    totals : array_like, shape (n_layers,), optional
        Sums of all squared singular values, needed where `spectra` holds the leading ones only.
    share : float, optional
        For ``"hessian"``: share of all scores :math:`I_l \sigma_{l,i}^2` to pass, in (0, 1].
        1 keeps every positive score.
    budget : float, optional
        Largest total cost, in the unit of the costs. A cost that exceeds it by the rounding of its
        own sum counts as equal: three ranks of 0.1 are within a budget of 0.3.
    method : {"hessian", "knapsack"}
        ``"hessian"`` is the paper's rule: sort the scores of all layers in descending order, keep
        the shortest prefix whose share is above `share`, count per layer, clip to `min_rank` and
        `max_rank`. It does not look at costs; with a `budget` (and `share` or not) the prefix stops
        before it costs more. ``"knapsack"`` keeps the largest share within `budget`.
    min_rank, max_rank : int or sequence of int
        Floor and cap of each layer. A layer with fewer values than `min_rank` keeps them all.
    multiple_of : int
        Ranks are multiples of it (for tensor cores), rounded up, or the layer's cap.
    dense_costs : array_like, shape (n_layers,), optional
        Cost of keeping a layer dense, which keeps everything; infinity forbids it. Ranks that cost
        at least as much are replaced, and the knapsack may choose it.
    check_finite : bool
        Refuse NaN and infinity in `spectra`, `importance`, `totals` and `costs`.

    Returns
    -------
    Allocation
        ``ranks``, ``cost``, ``kept_share``, ``kept_share_bound``, ``dense``.

    Raises
    ------
    TypeError
        If neither `share` nor `budget` is given, or the knapsack lacks its budget or costs.
    ValueError
        If an argument is out of range; if the budget cannot pay the least ranks; if values that
        were not given could change the answer of the share rule (the message names the layer).

    Notes
    -----
    Equal scores go to the earlier layer, so the answer is deterministic. When every score is zero,
    ranks are the floors and the kept share is 1. At `share` = 1 the published code keeps one value
    in total (the argmax of an all-false mask); here it keeps all.

    The knapsack is greedy by kept importance per cost, then searches whole allocations near that
    one, dropping what cannot beat the best. Few layers of few ranks are solved exactly, and
    ``kept_share_bound`` tells what may be left to gain in any case: it equals ``kept_share`` when
    nothing is. Costs O(n log n) for n values, plus the search: one pass over the values and about
    a millisecond for each layer.

    References
    ----------
    .. [1] J. Li et al., "Hessian Aware Low-Rank Perturbation for Order-Robust Continual Learning",
       IEEE Transactions on Knowledge and Data Engineering 36 (2024), arXiv:2311.15161.

    Examples
    --------
    >>> import eigenflow as ef
    >>> spectra = [[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]
    >>> ef.lowrank.allocate_ranks(spectra, [100.0, 1.0], share=0.9).ranks
    array([2, 1])
    >>> ef.lowrank.allocate_ranks(
    ...     spectra, [2.0, 1.0], costs=[150, 10], budget=180, method="knapsack"
    ... ).ranks
    array([1, 3])
    """
    _check_method(method, share, budget, shapes is not None or costs is not None)
    values = [
        as_spectrum(s, f"spectra[{i}]", check_finite=check_finite) for i, s in enumerate(spectra)
    ]
    table = _Table(values, check_finite=check_finite)
    table.fill_costs(shapes, costs, has_totals=totals is not None)
    table.fill(0, importance, "importance")
    if totals is not None:
        table.fill_totals(totals)
    table.fill_ranks(min_rank, max_rank)
    if dense_costs is not None:
        table.fill(5, dense_costs, "dense_costs", infinite=True)
    multiple = _whole(multiple_of, "multiple_of", 1)
    limit = np.inf if budget is None else as_scalar(budget, "budget", 0, np.inf, "a number >= 0")
    if method == "knapsack":

        def solve(limit: float) -> tuple[Any, ...]:
            return _rank.allocate_by_budget(*table.arguments(), limit, multiple)

    else:
        alpha = 1.0 if share is None else as_scalar(share, "share", 5e-324, 1, "within (0, 1]")

        def solve(limit: float) -> tuple[Any, ...]:
            return _rank.allocate_by_share(*table.arguments(), alpha, limit, multiple)

    return _solved(solve, limit, method)


def _check_method(method: str, share: object, budget: object, has_costs: bool) -> None:
    if method not in METHODS:
        msg = f"method: got {method!r}, want one of {', '.join(map(repr, METHODS))}"
        raise ValueError(msg)
    if method == "hessian" and share is None and budget is None:
        msg = "share: missing; method 'hessian' wants a share, a budget or both"
        raise TypeError(msg)
    if method == "knapsack":
        if budget is None:
            msg = "budget: missing; method 'knapsack' wants one"
            raise TypeError(msg)
        if share is not None:
            msg = "share: not used by method 'knapsack', which wants a budget"
            raise TypeError(msg)
        if not has_costs:
            msg = "shapes: missing; method 'knapsack' wants shapes or costs"
            raise TypeError(msg)


def _solved(solve: Callable[[float], tuple[Any, ...]], limit: float, method: str) -> Allocation:
    try:
        ranks, dense, cost, kept, bound, cut = solve(limit)
    except ValueError as error:
        if not str(error).startswith("budget"):
            raise
        msg = f"budget: got {limit}, less than the least ranks cost (min_rank, dense_costs)"
        raise ValueError(msg) from None
    if cut >= 0:
        msg = (
            f"spectra[{cut}]: totals says that values are missing, and one of them could change "
            "the answer; want more leading values of this layer"
        )
        raise ValueError(msg)
    return Allocation(
        ranks=np.array(ranks, np.int64),
        cost=float(cost),
        kept_share=float(kept),
        kept_share_bound=float(bound) if method == "knapsack" else None,
        dense=np.array(dense, np.bool_),
    )


def _whole(x: Any, name: str, least: int) -> int:
    try:
        value = operator.index(x)
    except TypeError:
        msg = f"{name}: got {x!r}, want an integer"
        raise TypeError(msg) from None
    if value < least:
        msg = f"{name}: got {value}, want at least {least}"
        raise ValueError(msg)
    return value


class _Table:
    """One row a layer, as the kernel wants it.

    Columns: importance, total (-1: the sum), cost, floor, cap, dense cost.
    """

    def __init__(self, values: list[Array], *, check_finite: bool) -> None:
        self.values = values
        self.check_finite = check_finite
        self.rows = np.empty((len(values), 6))
        self.rows[:] = [1.0, -1.0, 1.0, 0.0, _NO_LIMIT, np.inf]

    def arguments(self) -> tuple[Array, list[int], Array]:
        flat = np.concatenate([np.empty(0), *self.values])
        return flat, np.cumsum([v.size for v in self.values], dtype=int).tolist(), self.rows

    def fill(self, column: int, x: ArrayLike, name: str, *, infinite: bool = False) -> None:
        """Check one non-negative number a layer."""
        check = self.check_finite and not infinite
        numbers = as_float_array(x, name, ndim=1, dtype=np.float64, check_finite=check)
        if numbers.size != len(self.values):
            raise ValueError(self._wrong_count(name, numbers.size))
        bad = np.flatnonzero(~(numbers >= 0))
        if bad.size:
            i = int(bad[0])
            msg = f"{name}: got {numbers[i]} at position {i}, want non-negative values"
            raise ValueError(msg)
        self.rows[:, column] = numbers

    def fill_costs(
        self,
        shapes: Sequence[tuple[int, int]] | None,
        costs: ArrayLike | None,
        *,
        has_totals: bool,
    ) -> None:
        if shapes is not None:
            sizes = [as_shape(shape, f"shapes[{i}]") for i, shape in enumerate(shapes)]
            self.fill(2, np.array([float(sum(size)) for size in sizes]), "shapes")
            for i, (size, values) in enumerate(zip(sizes, self.values, strict=True)):
                if values.size > min(size):
                    msg = f"spectra[{i}]: got {values.size} values, want at most {min(size)}"
                    raise ValueError(f"{msg} for shape {size}")
                if values.size < min(size) and not has_totals:
                    msg = f"totals: missing; spectra[{i}] has {values.size} of {min(size)} values"
                    raise TypeError(f"{msg}, want the sum of all squares of every layer")
        if costs is not None:
            self.fill(2, costs, "costs")

    def fill_totals(self, totals: ArrayLike) -> None:
        self.fill(1, totals, "totals")
        for i, (values, total) in enumerate(zip(self.values, self.rows[:, 1], strict=True)):
            with np.errstate(over="ignore", under="ignore"):
                seen = float(values @ values)
            if seen > total * (1 + 1e-4):
                msg = f"totals: got {total} at position {i}, less than the squares of spectra[{i}]"
                raise ValueError(f"{msg}, which sum to {seen}")

    def fill_ranks(
        self, min_rank: int | Sequence[int], max_rank: int | Sequence[int] | None
    ) -> None:
        floors = self._per_layer(min_rank, "min_rank")
        caps = (
            [_NO_LIMIT] * len(floors) if max_rank is None else self._per_layer(max_rank, "max_rank")
        )
        for i, (low, high) in enumerate(zip(floors, caps, strict=True)):
            if low > high and not (isinstance(min_rank, int) and min_rank == 1):
                msg = f"min_rank: got {low} above max_rank {high} for layer {i}"
                raise ValueError(msg)
            self.rows[i, 3:5] = min(low, high), high

    def _per_layer(self, x: Any, name: str) -> list[int]:
        if np.ndim(x) == 0:
            return [min(_whole(x, name, 0), _NO_LIMIT)] * len(self.values)
        numbers = [min(_whole(k, f"{name}[{i}]", 0), _NO_LIMIT) for i, k in enumerate(x)]
        if len(numbers) != len(self.values):
            raise ValueError(self._wrong_count(name, len(numbers)))
        return numbers

    def _wrong_count(self, name: str, count: int) -> str:
        return f"{name}: got {count} numbers, want one for each of {len(self.values)} layers"
