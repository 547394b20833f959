"""The state of a block Krylov iteration in a file: a lost job loses at most one read."""

import contextlib
import json
import math
import os
import tokenize
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from eigenflow._arrays import Array

_ARRAYS = ("V", "gram", "coupling", "numbers")
# What reading a file of anything can raise.
DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    RecursionError,
    NotImplementedError,
    tokenize.TokenError,
    zipfile.BadZipFile,
)
_PAST = ("past0", "past1", "past2")


class Checkpoint:
    """An ``.npz`` file without pickles, replaced as a whole after each read of the matrix.

    Parameters
    ----------
    path : path
        Where it is, or will be.
    job : dict
        What the file must be a state of: shape, dtype and request.
    """

    def __init__(self, path: Any, job: dict[str, Any]) -> None:
        self._path, self._job = Path(path), job

    def load(self) -> tuple[int, dict[str, Array]] | None:
        """Return the random key and the state; None where there is no file.

        Raises
        ------
        ValueError
            If the file is damaged, or of another job.
        """
        if not self._path.exists():
            return None
        try:
            found = self._read()
            job = json.loads(bytes(found.pop("job")).decode())
            key = int(job.pop("key"))
            if not 0 <= key < 2**64:
                msg = f"key {key}"
                raise ValueError(msg)
        except DAMAGE as error:
            msg = f"checkpoint: got {self._path}, which is damaged ({error}); want a file of svd"
            raise ValueError(msg) from None
        if job != self._job:
            other = {k: v for k, v in job.items() if self._job.get(k) != v}
            msg = f"checkpoint: got {self._path} of another job ({other}), want one of {self._job}"
            raise ValueError(msg)
        _require_state(found, self._path, self._job)
        return key, found

    def _read(self) -> dict[str, Array]:
        with zipfile.ZipFile(self._path) as archive:
            # Nothing can swell: entries are as they are in the file, and no longer than it.
            most = self._path.stat().st_size
            for entry in archive.infolist():
                if entry.compress_type != zipfile.ZIP_STORED or _length(archive, entry) > most:
                    msg = f"entry {entry.filename!r}"
                    raise ValueError(msg)
        with np.load(self._path, allow_pickle=False) as data:
            return {name: data[name] for name in (*_ARRAYS, "job", *_PAST) if name in data.files}

    def save(self, state: dict[str, Array], key: int) -> None:
        """Write the state beside the file, then put it in the file's place.

        Raises
        ------
        OSError
            If it cannot be written, for example to a full disk: the file is then the one of the
            read before, and nothing is beside it.
        """
        job = np.frombuffer(json.dumps({**self._job, "key": key}).encode(), np.uint8)
        fresh = self._path.with_name(self._path.name + ".part")
        try:
            with fresh.open("wb") as file:
                np.savez(file, job=job, **state)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise unwritten(error, self._path) from error
            raise

    def remove(self) -> None:
        """Remove the file: the job is done."""
        self._path.unlink(missing_ok=True)


def _length(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Bytes that NumPy would make room for, by the entry's header."""
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
        shape, _, dtype = read(file)
    return int(math.prod(shape) * dtype.itemsize)


def unwritten(error: OSError, path: Path) -> OSError:
    """Name the argument and the file; the number of the error stays."""
    kept = "that of the read before is kept" if path.exists() else "there is none"
    reason = error.strerror or str(error)
    named = OSError(f"checkpoint: could not write {path} ({reason}); {kept}")
    named.errno = error.errno
    return named


def _require_state(state: dict[str, Array], path: Path, job: dict[str, Any]) -> None:
    """Shapes, types and values that a state has."""
    try:
        V, gram, coupling, numbers = (state[name] for name in _ARRAYS)
        ok = V.ndim == gram.ndim == 2 and len(V) == job["shape"][1] and numbers.shape == (6,)
        ok = ok and gram.shape[0] == gram.shape[1] < V.shape[1] <= len(V)
        ok = ok and coupling.shape == (V.shape[1] - len(gram),) * 2
        ok = ok and V.dtype == gram.dtype == np.dtype(job["wide"]) and numbers.dtype == np.float64
        ok = ok and coupling.dtype in (V.dtype, np.float64)
        past = [state[name] for name in _PAST if name in state]
        ok = ok and all(a.ndim == 1 and a.dtype == np.float64 for a in past)
        ok = ok and all(np.isfinite(a).all() for a in (V, gram, coupling, numbers, *past))
        ok = ok and numbers[0] > 0 and 0 <= numbers[1] < 1e150
        ok = ok and bool(np.all((numbers[2:] >= 0) & (numbers[2:] < 2**31)))
    except KeyError:
        ok = False
    if not ok:
        msg = f"checkpoint: got {path}, which is damaged (no state); want a file of svd"
        raise ValueError(msg)
