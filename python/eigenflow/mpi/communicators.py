"""Communicators, and errors that reach every rank."""

import contextlib
import importlib
import zlib
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import renamed
from eigenflow._core.ranks import Ranks

Prepared = TypeVar("Prepared")
Combine = Callable[[NDArray[Any], NDArray[Any]], None]

MOST = 2**31 - 1  # elements of one MPI message before version 4


class Communicator(Protocol):
    """What the algorithms ask of the processes that share the data.

    All arrays are contiguous, and results replace them in place. Calls are collective. Where
    another library moves the messages (torch.distributed, a job queue), write these five.

    Attributes
    ----------
    rank, size : int
        This process, 0 to size - 1, and their number.
    """

    rank: int
    size: int

    def allreduce(self, array: NDArray[Any], how: str) -> None:
        """Sum, minimum or maximum over the ranks, entry by entry: "sum", "min" or "max".

        Arrays are of float64, float32 or int64. All ranks must get the same bytes.
        """
        ...

    def exscan(self, array: NDArray[Any], combine: Combine) -> None:
        """Combine the arrays of the lower ranks; what rank 0 gets does not matter.

        ``combine(first, second)`` replaces `second` by the two together; `first` is of lower
        ranks. It is associative, not commutative.
        """
        ...

    def bcast(self, array: NDArray[Any], root: int) -> None:
        """Send the array of rank `root`, of uint8, to all ranks."""
        ...


class MPI4Py:
    """A communicator of mpi4py. Messages of more than `most` elements are cut."""

    def __init__(self, comm: Any, most: int = MOST) -> None:
        self._comm = comm
        self._most = most
        self._mpi = importlib.import_module("mpi4py.MPI")
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()

    def allreduce(self, array: NDArray[Any], how: str) -> None:
        """See `Communicator`."""
        op = {"sum": self._mpi.SUM, "min": self._mpi.MIN, "max": self._mpi.MAX}[how]
        for part in self._parts(array):
            self._comm.Allreduce(self._mpi.IN_PLACE, part, op)

    def exscan(self, array: NDArray[Any], combine: Combine) -> None:
        """See `Communicator`; log2(size) rounds, on a communicator of its own."""
        private = self._comm.Dup()
        try:
            self._exscan(private, array, combine)
        finally:
            private.Free()

    def _exscan(self, comm: Any, array: NDArray[Any], combine: Combine) -> None:
        whole, before, reach = array.copy(), None, 1
        while reach < self.size:
            to = self.rank + reach if self.rank + reach < self.size else self._mpi.PROC_NULL
            source = self.rank - reach if self.rank >= reach else self._mpi.PROC_NULL
            got = np.empty_like(array)
            comm.Sendrecv(whole, to, 0, got, source)
            if source != self._mpi.PROC_NULL:
                whole = _joined(combine, got, whole)
                before = got if before is None else _joined(combine, got, before)
            reach *= 2
        if before is not None:
            array[...] = before

    def bcast(self, array: NDArray[Any], root: int) -> None:
        """See `Communicator`."""
        for part in self._parts(array):
            self._comm.Bcast(part, root)

    def _parts(self, array: NDArray[Any]) -> list[NDArray[Any]]:
        flat = array.reshape(-1)
        return [flat[i : i + self._most] for i in range(0, flat.size, self._most)]


def _joined(combine: Combine, first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    out = second.copy()
    combine(first, out)
    return out


def as_communicator(comm: Any) -> Communicator:
    """Recognise a communicator; None is the world of mpi4py.

    Raises
    ------
    TypeError, ValueError
        For other objects; for a communicator of mpi4py that was freed or connects two groups, and
        when MPI has ended.
    ImportError
        If `comm` is None and mpi4py is not there.
    """
    if comm is None:
        try:
            comm = importlib.import_module("mpi4py.MPI").COMM_WORLD
        except (ImportError, RuntimeError) as error:  # mpi4py says so when it finds no MPI
            msg = (
                "comm: got None, which stands for the world of mpi4py, and that does not load "
                f"({error}); pip install 'eigenflow[mpi]', or pass a communicator of your own"
            )
            raise ImportError(msg) from None
    if hasattr(comm, "Allreduce") and hasattr(comm, "Is_inter"):
        _require_alive(comm)
        return MPI4Py(comm)
    missing = [
        name for name in ("rank", "size", "allreduce", "exscan", "bcast") if not hasattr(comm, name)
    ]
    if missing:
        msg = (
            f"comm: got {type(comm).__name__} without {', '.join(missing)}, want a communicator "
            "of mpi4py or the members of eigenflow.mpi.Communicator"
        )
        raise TypeError(msg)
    checked: Communicator = comm
    return checked


def _require_alive(comm: Any) -> None:
    mpi = importlib.import_module("mpi4py.MPI")
    if mpi.Is_finalized():
        msg = "comm: got a communicator after MPI_Finalize, want a call before that"
        raise ValueError(msg)
    if comm == mpi.COMM_NULL:
        msg = "comm: got a communicator that was freed, or is null; want one that is alive"
        raise ValueError(msg)
    if comm.Is_inter():
        msg = "comm: got an intercommunicator, want one group of ranks (comm.Merge())"
        raise ValueError(msg)


def on_all_ranks(
    comm: Any, prepare: Callable[[], Prepared], **names: str
) -> tuple[Ranks, Prepared]:
    """Run `prepare` on every rank, and go on when it has worked on all of them.

    `names` are those of the caller's arguments, by the names that errors give them here.

    Raises
    ------
    TypeError, ValueError, MemoryError, RuntimeError
        On every rank alike, what the lowest rank that failed has raised. The types are kept;
        others become RuntimeError, with their name.
    """
    ranks = Ranks(as_communicator(comm))
    try:
        with contextlib.ExitStack() as stack:
            for inner, name in names.items():
                stack.enter_context(renamed(inner, name))
            work = prepare()
    except BaseException as error:
        ranks.fail(*_described(error))
        raise
    ranks.agree(_number_of(prepare))
    return ranks, work


def _number_of(prepare: Callable[..., Any]) -> int:
    """Which call this is: ranks that make different ones are told so.

    Methods of what the ranks hold may differ between ranks that make the same call.
    """
    if not prepare.__module__.startswith(__package__):
        return 0
    return zlib.crc32(f"{prepare.__module__}.{prepare.__qualname__}".encode())


def _described(error: BaseException) -> tuple[str, str]:
    for kind in (TypeError, ValueError, MemoryError, KeyboardInterrupt):
        if isinstance(error, kind):
            return kind.__name__, str(error)
    return "other", f"{type(error).__name__}: {error}"


def require_same(comm: Any, **values: tuple[int, str]) -> None:
    """Raise ValueError on every rank unless each number is the same on all.

    `values` maps an argument's name to the number and to what is wanted of it.
    """
    own = [value for value, _ in values.values()]
    ends = _ends(comm, own)
    for (name, (value, wanted)), (least, most) in zip(values.items(), ends, strict=True):
        if most != least:
            low, high = _holders(comm, value, least, most)
            msg = f"{name}: got {least} on rank {low} and {most} on rank {high}, want {wanted}"
            raise ValueError(msg)


def require_one_dtype(comm: Any, name: str, dtype: np.dtype[Any]) -> None:
    """Raise TypeError on every rank unless all have arrays of the same dtype."""
    ((least, most),) = _ends(comm, [dtype.num])
    if least != most:
        names: dict[int, str] = {np.dtype(code).num: str(np.dtype(code)) for code in "fdFD"}
        low, high = _holders(comm, dtype.num, least, most)
        msg = (
            f"{name}: got {names[least]} on rank {low} and {names[most]} on rank {high}, want one "
            "dtype on all"
        )
        raise TypeError(msg)


def _ends(comm: Any, values: list[int]) -> list[tuple[int, int]]:
    """Return the least and the largest of each number over the ranks; one message."""
    ends = np.array([(-value, value) for value in values], np.int64)
    as_communicator(comm).allreduce(ends, "max")
    return [(-low, high) for low, high in ends.tolist()]


def _holders(comm: Any, value: int, least: int, most: int) -> list[int]:
    """Return the lowest ranks whose value is the least and the largest."""
    group = as_communicator(comm)
    ranks = [group.rank if value == end else group.size for end in (least, most)]
    found = np.array(ranks, np.int64)
    group.allreduce(found, "min")
    return [int(rank) for rank in found]
