"""Pieces of a Kalman filter over blocks of time.

Once the covariance is steady the predicted mean moves by ``x <- F x + L y + c``. A block of time is
then an affine map, ``x <- F^T x + shift``, and affine maps combine associatively. So each block is
filtered from a zero mean, side by side; the maps give the mean at the start of each block; and with
that the block is filtered again for what is wanted of it: twice the work of one filter, at most.

Blocks before the steady covariance, and those after a missing observation until it is steady again,
are no such map; they are filtered one after the other.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from eigenflow._arrays import Array
from eigenflow._core import ConvergenceError
from eigenflow.lds import FilterState, LinearSystem, filter, steady_state  # noqa: A004


class Steady(NamedTuple):
    """The covariance before an observation that does not change any more, and ``F = A - A K C``."""

    cov: Array
    step: Array


class Move(NamedTuple):
    """What a block of time does to the mean; `complete` when no observation is missing."""

    transfer: Array
    shift: Array
    complete: bool


def steady_of(system: LinearSystem) -> Steady | None:
    """Return the steady law of a system; None if it has none."""
    try:
        found = steady_state(system)
    except ConvergenceError:
        return None
    return Steady(found.predicted_cov, system.A - system.A @ found.gain @ system.C)


def move(first: int, y: Array, inputs: Array | None, system: LinearSystem, steady: Steady) -> Move:
    """Return the map of a block of time; `inputs` are those of the block."""
    n = system.state_dim
    transfer = np.linalg.matrix_power(steady.step, len(y))
    if np.isnan(y).any() or not len(y):
        return Move(transfer, np.zeros(n), not len(y))
    end = filter(system, y, inputs=inputs, state=_at(np.zeros(n), steady), store=(), workers=1)
    return Move(transfer, end.final_state.mean, True)


def follow(a: Move, b: Move) -> Move:
    """Combine the maps of a block and of the next one."""
    return Move(b.transfer @ a.transfer, b.transfer @ a.shift + b.shift, a.complete and b.complete)


def starts(
    moves: Sequence[Move],
    state: FilterState,
    steady: Steady | None,
    advance: Callable[[int, FilterState], FilterState],
) -> list[FilterState]:
    """Return the law before each block, and after the last one.

    ``advance(i, state)`` filters block i from a state, where the maps do not say enough.
    """
    laws = [state]
    for i, each in enumerate(moves):
        law = laws[-1]
        if steady is not None and each.complete and _is_steady(law, steady):
            laws.append(_at(each.transfer @ law.mean + each.shift, steady))
        else:
            laws.append(advance(i, law))
    return laws


def _at(mean: Array, steady: Steady) -> FilterState:
    return FilterState(mean, steady.cov, np.zeros((len(mean), 0)))


def _is_steady(law: FilterState, steady: Steady) -> bool:
    """To rounding, relative to standard deviations: as the filter itself takes it."""
    if law.diffuse.size and law.diffuse.any():
        return False
    spread = np.sqrt(np.diagonal(steady.cov))
    apart = np.abs(law.cov - steady.cov)
    return bool((apart <= 1e-12 * np.outer(spread, spread)).all())
