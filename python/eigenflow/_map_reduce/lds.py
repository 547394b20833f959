"""Pieces of a Kalman filter over blocks of time.

What a block of time does to any law before it is one element of 3 n^2 + 2 n numbers (Särkkä and
García-Fernández 2021), which the kernels of ranks make: see cpp/src/lds_ranks.cpp. So elements are
made side by side, one filter of each block; from them the laws before the blocks follow, one after
the other, at the cost of a few products of n x n; and with its law each block is filtered for what
is wanted of it: twice the work of one filter. Missing observations and the way to the steady
covariance are part of an element.

An element takes the steps that remember the start of the block, one full step each: some hundred as
a rule, the whole block where a mode is neither seen nor damped. A block that begins with an exact
observation (R without noise) has no element.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow._core.ranks import CommunicationError, Ranks
from eigenflow.lds import FilterState, LinearSystem
from eigenflow.lds.filter_call import finish_filter, prepare_filter, run_filter


def element(
    first: int, y: Array, inputs: Array | None, system: LinearSystem, method: str
) -> Array | None:
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


def starts(
    elements: Sequence[Array | None],
    state: FilterState,
    system: LinearSystem,
    advance: Callable[[int, FilterState], FilterState],
) -> list[FilterState]:
    """Return the law before each block, and after the last one.

    ``advance(i, law)`` filters block i from its law, where the element does not say enough: where
    there is none, and while a direction has an infinite variance.
    """
    laws = [state]
    for i, each in enumerate(elements):
        law = laws[-1]
        if each is None or law.diffuse.any():
            laws.append(advance(i, law))
        else:
            laws.append(follow(system, law, each))
    return laws


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
