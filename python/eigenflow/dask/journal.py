"""What the reads of a long loop gave, in a file: a call that is made again does not read again."""

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eigenflow._arrays import Array
from eigenflow._map_reduce.regression import Summary
from eigenflow.dask.checkpoint import DAMAGE, unwritten


@contextmanager
def journal(path: str | os.PathLike[str] | None, call: str) -> Iterator["Journal | None"]:
    """Open the journal of a call, and remove it at the end of the block; None without a path."""
    if path is None:
        yield None
        return
    kept, done = Journal(path), False
    try:
        if kept.given(call) is None:
            kept.keep(call, Summary(np.zeros(0), np.zeros(0)))
        yield kept
        done = True
    finally:
        kept.close(done=done)


class _Record(NamedTuple):
    """Of one read: which it was, and what it gave."""

    call: Array  # the digits of a hash, uint8
    total: Array
    largest: Array


class Journal:
    """A file of arrays, without pickles, that grows by one record with each read.

    A loop whose steps depend on nothing but what it reads takes the same steps again, and so asks
    for the same reads in the same order: what the file has is given from there, and then the loop
    goes on. A record that was cut off while it was written is written anew.

    Parameters
    ----------
    path : path
        Where it is, or will be.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        mode = "r+b" if self._path.exists() else "x+b"
        self._file = self._path.open(mode, buffering=0)  # what failed to be written is nowhere
        self._length = os.fstat(self._file.fileno()).st_size

    def given(self, call: str) -> Summary | None:
        """Return what this read gave; None after the last one of the file.

        Raises
        ------
        ValueError
            If the file is damaged, or its next record is of another read.
        """
        begin = self._file.tell()
        if begin == self._length:
            return None
        record = self._next(begin)
        if record is None:
            return None
        if record.call.tobytes() != call.encode():
            msg = (
                f"checkpoint: got {self._path} of another call (other arguments, or libraries that "
                "round differently); want one of this call, or none"
            )
            raise ValueError(msg)
        return Summary(record.total, record.largest)

    def keep(self, call: str, found: Summary) -> None:
        """Write what a read gave behind all others.

        Raises
        ------
        OSError
            If it cannot be written, for example to a full disk: the file then ends before it.
        """
        begin, record = self._file.tell(), io.BytesIO()
        for array in (np.frombuffer(call.encode(), np.uint8), *found):
            np.save(record, np.asarray(array, order="C"), allow_pickle=False)
        rest = record.getbuffer()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._cut(begin)
            raise unwritten(error, self._path) from error
        self._length = self._file.tell()

    def close(self, *, done: bool) -> None:
        """Close the file, and remove it if the loop is done."""
        self._file.close()
        if done:
            self._path.unlink(missing_ok=True)

    def _next(self, begin: int) -> _Record | None:
        try:
            record = _Record(*(self._array(kind) for kind in (np.uint8, np.float64, np.float64)))
        except EOFError:
            self._cut(begin)
            return None
        except DAMAGE as error:
            if self._file.tell() == self._length:  # within a header
                self._cut(begin)
                return None
            msg = f"checkpoint: got {self._path}, which is damaged ({error}); want a file of fit"
            raise ValueError(msg) from None
        return record

    def _array(self, kind: Any) -> Array:
        """Read an array; nothing is allocated that the file is too short for."""
        version = np.lib.format.read_magic(self._file)
        if version != (1, 0):
            msg = f"version {version}"
            raise ValueError(msg)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(self._file)
        if dtype != kind or fortran or len(shape) > 2 or min(shape, default=0) < 0:
            msg = f"an array of {dtype}"
            raise ValueError(msg)
        size = math.prod(shape) * dtype.itemsize
        if size > self._length - self._file.tell():
            raise EOFError
        return np.frombuffer(self._file.read(size), dtype).reshape(shape).copy()

    def _cut(self, begin: int) -> None:
        self._file.seek(begin)
        self._file.truncate()
        self._length = begin
