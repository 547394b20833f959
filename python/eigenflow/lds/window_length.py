"""How far back a fixed predictor must look: in order to stay bounded, and for a given accuracy.

What grows with the horizon, and what does not. Theorem 4 of the paper states, for the noisy random
walk, that no filter of length h = o(log T) keeps the mean risk bounded. As printed this does not
hold: h = 1 with F_1 = 1 has mean excess rho r for every T. The logarithm of T is real, but it
belongs to two other questions: the total risk, summed over time, and a Kalman filter that is cut
off without a refit. The mean risk of a refitted filter needs only `min_filter_length`, whatever
the horizon.
"""

import functools
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

from eigenflow._arrays import finite_number
from eigenflow._threads import resolve_workers
from eigenflow.lds import extended
from eigenflow.lds.fixed_filters import excess_of_best, truncated_excess
from eigenflow.lds.innovations import Innovations, PlainSystem, innovations_form, plain
from eigenflow.lds.local_level import LocalLevel, as_local_level
from eigenflow.lds.structure import (
    as_count,
    as_matrix,
    as_square,
    observability_stages,
    rank_tolerance,
    unstable_structure,
)

Criterion = Literal["mean", "total", "truncated"]

_LONGEST = 10**6


def min_filter_length(A: object, C: object, *, tol: float | None = None) -> int:
    """Fewest observations that a fixed filter must read for a bounded mean risk.

    This is the observability index of the modes with modulus at least 1: the least h at which
    C, CA, ..., CA^(h-1), restricted to their subspace, have the rank that they keep. It depends
    neither on the noise nor on the horizon. The best filter of this length keeps the mean excess
    bounded for all T, a shorter one does not (noise must excite the modes).

    Parameters
    ----------
    A : (n, n) array_like
        Transition matrix.
    C : (p, n) array_like
        Observation matrix.
    tol : float, optional
        Relative size of what counts as zero in the rank decisions; 1000 n eps by default.

    Returns
    -------
    int
        0 for a stable system. Directions that no output ever sees do not count.

    Raises
    ------
    ValueError, TypeError
        If A is not square, C has another number of columns, or an entry is not finite.

    Notes
    -----
    The subspace comes from an ordered Schur form (see `unstable_structure`), the index from an
    orthogonal staircase on it; powers of A are never formed. Cost O(n^4) at worst. The paper's
    Theorem 4 would ask for a length that grows with log T; see the module's notes on why it holds
    for the total risk and for truncation, and not for the mean risk as printed.

    Examples
    --------
    >>> from eigenflow.lds import min_filter_length
    >>> min_filter_length([[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]])  # a double integrator
    2
    """
    a = as_square(A, "A")
    c = as_matrix(C, "C", len(a))
    found = unstable_structure(a)
    if found.count == 0:
        return 0
    zero = rank_tolerance(len(a)) if tol is None else finite_number(tol, "tol")
    ranks, _ = observability_stages(found.restriction, c @ found.basis, zero)
    return len(ranks)


def filter_length_for(
    system: Any,
    horizon: int,
    *,
    tol: float,
    criterion: Criterion = "mean",
    workers: int | None = None,
    check_finite: bool = True,
) -> int:
    """Fewest past observations for an excess risk within `tol` of the innovation variance.

    Parameters
    ----------
    system : LinearSystem
        As for `fir_predictor`.
    horizon : int
        Number T >= 2 of observations.
    tol : float
        Admissible excess in units of trace(S), the Kalman filter's own error; so the answer does
        not depend on the unit of y.
    criterion : {"mean", "total", "truncated"}
        "mean": the best fixed filter's mean excess over t = h+1, ..., T; bounded in T.
        "total": its sum over the same t; the length grows like log T / (2 abs(log rho)).
        "truncated": the mean excess of the truncated Kalman filter; also grows like log T, and for
        a Jordan block of size s on the unit circle 2s - 1 times as fast.
    workers, check_finite
        As for `fir_predictor`.

    Returns
    -------
    int
        The length h found by bisection: h is enough and h - 1 is not; at least 1.

    Raises
    ------
    ValueError
        If tol is not positive, the criterion is unknown, or no length below 10^6 is enough.

    Notes
    -----
    "total" is the corrected form of the paper's Theorem 4: a total excess of tol S needs
    h >= log(T r (1 - rho^2) / (rho tol S)) / (2 abs(log rho)) for the noisy random walk.
    Cost: about 2 log2(h) evaluations of O(n^3 log T) each; closed form for the random walk.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, filter_length_for
    >>> walk = LinearSystem([[1.0]], [[1.0]], [[0.01]], [[1.0]])
    >>> [filter_length_for(walk, 10**k, tol=0.01) for k in (3, 6, 9)]
    [15, 15, 15]
    >>> [filter_length_for(walk, 10**k, tol=1.0, criterion="total") for k in (3, 6, 9)]
    [26, 61, 96]
    """
    resolve_workers(workers)
    matrices = plain(system)
    horizon = as_count(horizon, "horizon", 2)
    tol = finite_number(tol, "tol")
    if tol <= 0:
        msg = f"tol: got {tol}, want a positive number"
        raise ValueError(msg)
    if criterion not in ("mean", "total", "truncated"):
        msg = f"criterion: got {criterion!r}, want 'mean', 'total' or 'truncated'"
        raise ValueError(msg)
    excess = _excess_by_length(matrices, horizon, criterion)
    # A filter as long as the series has no window to fail in.
    return _first_enough(lambda length: excess(length) <= tol, min(horizon - 1, _LONGEST))


def best_filter_length(
    system: Any,
    horizon: int,
    *,
    workers: int | None = None,
    check_finite: bool = True,
) -> int:
    """Length that a filter should have when its weights must be learned from the same series.

    A longer filter comes closer to Kalman's, but each of its h p weights costs about one
    innovation variance S in total to estimate. The best length balances the total excess
    against h p tr S; unlike a bare criterion it needs no tolerance.

    Parameters
    ----------
    system : LinearSystem
        As for `fir_predictor`.
    horizon : int
        Number T >= 2 of observations.
    workers, check_finite
        As for `fir_predictor`.

    Returns
    -------
    int
        At least 1.

    Notes
    -----
    For the noisy random walk about ln(2 abs(ln rho) T (1 - rho^2)) / (2 abs(ln rho)): it grows
    like the logarithm of the horizon. Cost as `filter_length_for`.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, best_filter_length
    >>> walk = LinearSystem([[1.0]], [[1.0]], [[0.01]], [[1.0]])
    >>> [best_filter_length(walk, 10**k) for k in (3, 6, 9)]
    [18, 53, 87]
    """
    resolve_workers(workers)
    matrices = plain(system)
    horizon = as_count(horizon, "horizon", 2)
    most = min(horizon - 1, _LONGEST)
    total = _excess_by_length(matrices, horizon, "total")
    p = len(matrices.C)
    return _first_enough(lambda h: h == most or total(h + 1) + p >= total(h), most)


def _excess_by_length(
    matrices: PlainSystem, horizon: int, criterion: Criterion
) -> Callable[[int], float]:
    """Return the excess in units of trace(S), as a function of the length."""
    level = as_local_level(matrices)
    if level is not None:
        return lambda length: (
            _level_excess(level, length, horizon, criterion) / level.innovation_variance
        )

    @functools.cache
    def form_at(digits: int) -> Innovations:
        return innovations_form(matrices)

    def compute(length: int) -> tuple[Decimal, list[Decimal]]:
        form = form_at(extended.current_digits())
        unit = extended.trace(form.innovation_cov)
        if criterion == "truncated":
            return Decimal(1), [truncated_excess(form, length, horizon) / unit]
        excess = excess_of_best(form, matrices.A, length, horizon) / unit
        return Decimal(1), [excess * (horizon - length) if criterion == "total" else excess]

    return lambda length: float(extended.settle(lambda: compute(length), "horizon")[0])


def _level_excess(level: LocalLevel, length: int, horizon: int, criterion: Criterion) -> float:
    if criterion == "truncated":
        return level.truncated_error(length, horizon)
    excess = level.fir_excess(length, horizon)
    return excess * (horizon - length) if criterion == "total" else excess


def _first_enough(enough: Callable[[int], bool], most: int) -> int:
    """Return a length that is enough while the one before it is not, by doubling and bisection."""
    high = 1
    while not enough(high):
        if high >= most:
            msg = f"tol: got a bound that no length up to {most} meets, want a larger one"
            raise ValueError(msg)
        high = min(2 * high, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
