"""Pieces of a Kalman filter over blocks of time.

What a block of time does to any law before it is one element of 3 n^2 + 2 n numbers (Särkkä and
García-Fernández 2021), which the kernels of ranks make: see cpp/src/lds_ranks.cpp. So blocks are
filtered side by side, each from a known state, and from their elements the laws before them follow,
one after the other, at the cost of a few products of n x n. Missing observations and the way to the
steady covariance are part of an element.

A block soon forgets the law before it: beyond its first steps, some hundred as a rule, filtering
from the known state gave what filtering from the right law gives. So those steps alone are filtered
again, where the laws are found, for what a block sums to: once is enough for the rest. Where they
are too many, or a mode is neither seen nor damped and they are the whole block, it is filtered
again from its law. An element takes one full step for each of them. A block that begins with an
exact observation (R without noise) has no element.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from eigenflow._arrays import Array
from eigenflow._core.ranks import CommunicationError, Ranks
from eigenflow.lds import FilterState, LinearSystem
from eigenflow.lds.filter_call import finish_filter, prepare_filter, run_filter

_FORGOTTEN = 1e-30  # what is left of the state before, as in lds_ranks.cpp
_MOST = 4096  # steps of a block that are filtered again where the laws are found


class Totals(NamedTuple):
    """What a part of a series sums to."""

    log_likelihood: float = 0.0
    n_diffuse: int = 0
    steady_from: int = -1  # a step of the part; -1 for none
    error_bound: float = 0.0

    def later(self, steps: int) -> "Totals":
        """Return the same for a part that has so many steps before these."""
        return (
            self._replace(steady_from=self.steady_from + steps) if self.steady_from >= 0 else self
        )


def add_totals(a: Totals, b: Totals) -> Totals:
    """Combine those of two parts of one series."""
    known = [x.steady_from for x in (a, b) if x.steady_from >= 0]
    return Totals(
        a.log_likelihood + b.log_likelihood,
        a.n_diffuse + b.n_diffuse,
        min(known, default=-1),
        a.error_bound + b.error_bound,
    )


class Filtered(NamedTuple):
    """A block that was filtered from the law before it."""

    after: FilterState
    totals: Totals


class Summary(NamedTuple):
    """What a block says before the law at its start is known."""

    element: Array  # what it does to any law
    head: tuple[Array, Array | None] | None = None  # y and inputs of the steps that remember it
    known: FilterState | None = None  # after these, whatever the law before
    rest: Totals = Totals()  # of the steps behind them


def element(y: Array, inputs: Array | None, system: LinearSystem, method: str) -> Array | None:
    """Return the element of a block; None if it has none, or cannot be filtered at all."""
    kept = _Between()
    call = prepare_filter(system, y, inputs, None, (), method, None)
    try:
        run_filter(call, method, True, 1, None, Ranks(kept))
    except CommunicationError:
        if kept.element is None:
            raise
    except ValueError:
        return None
    return kept.element


def follow(system: LinearSystem, law: FilterState, given: Array) -> FilterState:
    """Return the law after a block, from the law before it and its element."""
    nothing = np.empty((0, system.obs_dim))
    no_inputs = np.empty((0, system.input_dim)) if system.input_dim else None
    call = prepare_filter(system, nothing, no_inputs, law, (), "auto", None)
    parts = run_filter(call, "auto", True, 1, None, Ranks(_Between(given)))
    return finish_filter(call, parts).final_state


def filtered(
    system: LinearSystem, law: FilterState, y: Array, inputs: Array | None, method: str
) -> Filtered:
    """Filter a block from the law before it."""
    call = prepare_filter(system, y, inputs, law, (), method, None)
    found = finish_filter(call, run_filter(call, method, True, 1, None, None))
    steady = -1 if found.steady_from is None else int(found.steady_from)
    totals = Totals(found.log_likelihood, found.n_diffuse, steady, found.error_bound)
    return Filtered(found.final_state, totals)


def summary(y: Array, inputs: Array | None, system: LinearSystem, method: str) -> Summary | None:
    """Return what a block says before its law is known; None if it cannot be filtered so."""
    n = system.state_dim
    for steps in _trials(len(y)):
        head = y[:steps].copy(), None if inputs is None else inputs[:steps].copy()
        found = element(*head, system, method)
        if found is None:
            return None
        if (np.abs(found[: n * n]) <= _FORGOTTEN).all():
            break
    else:
        found = element(y, inputs, system, method)
        return None if found is None else Summary(found)
    mean, cov = found[3 * n * n :][:n], found[n * n : 2 * n * n]  # views
    known = FilterState(mean.copy(), cov.reshape(n, n).copy(), np.empty((n, 0)))
    behind = None if inputs is None else inputs[steps:]
    try:
        rest = filtered(system, known, y[steps:], behind, method)
    except ValueError:
        return None
    mean[:], cov[:] = rest.after.mean, rest.after.cov.ravel()
    return Summary(found, head, known, rest.totals)


def _trials(n_steps: int) -> Iterator[int]:
    """How many steps may remember. They are filtered again one block after the other: a small part.

    A few hundred cost no more than a task of a scheduler.
    """
    steps = 64
    while steps <= min(n_steps // 4, max(256, n_steps // 64), _MOST):
        yield steps
        steps *= 4


def laws_and_totals(
    blocks: Sequence[Summary | Filtered | None],
    state: FilterState,
    system: LinearSystem,
    method: str,
    advance: Callable[[int, FilterState], Filtered],
) -> tuple[list[FilterState], list[Totals | None]]:
    """Return the law before each block and after the last one, and what each block sums to.

    ``advance(i, law)`` filters block i from its law, where its summary does not say enough: where
    there is none, and while a direction has an infinite variance. None stands for what the block
    has to be filtered for again.
    """
    laws, totals = [state], list[Totals | None]()
    for i, block in enumerate(blocks):
        law = laws[-1]
        unknown = block is None or (isinstance(block, Summary) and law.diffuse.any())
        told = advance(i, law) if unknown else block
        if isinstance(told, Summary):
            laws.append(follow(system, law, told.element))
            totals.append(_total(told, law, system, method))
        elif told is not None:
            laws.append(told.after)
            totals.append(told.totals)
    return laws, totals


def _total(block: Summary, law: FilterState, system: LinearSystem, method: str) -> Totals | None:
    if block.head is None or block.known is None:
        return None
    found = filtered(system, law, *block.head, method)
    if not _same(found.after, block.known):
        return None
    return add_totals(found.totals, block.rest.later(len(block.head[0])))


def _same(a: FilterState, b: FilterState) -> bool:
    """Whether two laws differ by rounding only."""
    deviation = np.sqrt(np.maximum(np.diagonal(b.cov), 0))
    far = np.abs(a.mean - b.mean) <= 1e-13 * (np.abs(b.mean) + deviation)
    wide = np.abs(a.cov - b.cov) <= 1e-12 * np.outer(deviation, deviation)
    return not a.diffuse.any() and bool(far.all() and wide.all())


class _KeptError(Exception):
    """The element is kept, and the rest of the call is not wanted."""


class _Between:
    """The second of two ranks, as a communicator; see `eigenflow.mpi.Communicator`.

    Where the first rank would send the law before the block, as an element, it sends the one that
    it was given; without one it keeps what the block would send to others, and ends the call.
    """

    rank, size = 1, 2

    def __init__(self, given: Array | None = None) -> None:
        self.element: Array | None = None
        self._given = given

    def allreduce(self, array: Array, how: str) -> None:
        """Both ranks say the same."""

    def bcast(self, array: Array, root: int) -> None:
        """Both ranks say the same."""

    def exscan(self, array: Array, combine: Any) -> None:
        """Receive, or keep."""
        if self._given is None:
            self.element = array.copy()
            raise _KeptError
        array[...] = self._given
