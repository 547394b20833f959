"""Arrays as users really bring them, and what each kind must lead to.

`same`: the call gives what it gives for a plain copy of the values, an error included. An error
type: the call raises it, and its message starts with the argument's name.
"""

import dataclasses
import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse


@dataclasses.dataclass(frozen=True)
class Kind:
    """A way to bring an array: `make` spoils a good one; `outcome` is what that leads to."""

    name: str
    make: Callable[[np.ndarray], Any]
    outcome: str
    single: bool = False  # computed in float32


class Subclass(np.ndarray):
    """An array class of a user."""


def _misaligned(a: np.ndarray) -> np.ndarray:
    memory = np.empty(a.nbytes + 1, np.uint8)[1:]
    out = memory.view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


def _read_only(a: np.ndarray) -> np.ndarray:
    out = a.copy()
    out.flags.writeable = False
    return out


def _reversed(a: np.ndarray) -> np.ndarray:
    backwards = (slice(None, None, -1),) * a.ndim
    return a[backwards].copy()[backwards]


def _strided(a: np.ndarray) -> np.ndarray:
    wide = np.full(tuple(3 * n for n in a.shape), np.nan)
    out = wide[(slice(1, None, 3),) * a.ndim]
    out[...] = a
    return out


def _with_entry(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def make(a: np.ndarray) -> np.ndarray:
        out = a.copy()
        out[(-1,) * a.ndim] = value
        return out

    return make


def _ragged(a: np.ndarray) -> list[Any]:
    return [a.tolist(), [a.tolist(), 1.0]]


def _with_none(a: np.ndarray) -> list[Any]:
    holed = a.astype(object)
    holed[(-1,) * a.ndim] = None
    return holed.tolist()


def _sparse(a: np.ndarray) -> Any:
    return scipy.sparse.csr_array(a)


KINDS = [
    # Right answers: other memory, other types that hold the values exactly.
    Kind("plain", lambda a: a, "same"),
    Kind("float32", lambda a: a.astype(np.float32), "same", single=True),
    Kind("float16", lambda a: a.astype(np.float16), "same", single=True),
    Kind("byte-swapped", lambda a: a.astype(">f8"), "same"),
    Kind("misaligned", _misaligned, "same"),
    Kind("read-only", _read_only, "same"),
    Kind("negative strides", _reversed, "same"),
    Kind("gaps", _strided, "same"),
    Kind("zero strides", lambda a: np.broadcast_to(a.dtype.type(0.5), a.shape), "same"),
    Kind("Fortran order", np.asfortranarray, "same"),
    Kind("nested lists", lambda a: a.tolist(), "same"),
    Kind("int8", lambda a: np.ceil(a).astype(np.int8), "same"),
    Kind("uint64", lambda a: np.ceil(np.abs(a)).astype(np.uint64), "same"),
    Kind("bool", lambda a: a > 0, "same"),
    Kind("subclass", lambda a: a.view(Subclass), "same"),
    Kind("empty", lambda a: np.empty((0,) * a.ndim), "same"),
    # No numbers that we compute in.
    Kind("longdouble", lambda a: a.astype(np.longdouble), "TypeError"),
    Kind("complex", lambda a: a + 1j, "TypeError"),
    Kind("masked array", lambda a: np.ma.masked_array(a, a > 1), "TypeError"),
    Kind("strings", lambda a: a.astype("U8"), "TypeError"),
    Kind("bytes", lambda a: a.astype("S8"), "TypeError"),
    Kind("objects", lambda a: a.astype(object), "TypeError"),
    Kind("datetimes", lambda a: np.ceil(a).astype("M8[s]"), "TypeError"),
    Kind("time differences", lambda a: np.ceil(a).astype("m8[s]"), "TypeError"),
    Kind("records", lambda a: a.copy().view([("x", "f8")]), "TypeError"),
    Kind("big integers", lambda a: np.full(a.shape, 2**70, object).tolist(), "TypeError"),
    Kind("None", lambda a: None, "TypeError"),
    Kind("a string", lambda a: "1.5", "TypeError"),
    Kind("a set", lambda a: {1.0, 2.0}, "TypeError"),
    Kind("a function", lambda a: np.sum, "TypeError"),
    Kind("list with None", _with_none, "TypeError"),
    Kind("sparse", _sparse, "TypeError"),
    # Numbers, but not this array.
    Kind("ragged lists", _ragged, "ValueError"),
    Kind("NaN", _with_entry(np.nan), "ValueError"),
    Kind("Inf", _with_entry(np.inf), "ValueError"),
    Kind("-Inf", _with_entry(-np.inf), "ValueError"),
    Kind("too many dimensions", lambda a: a.reshape((1,) * 5 + a.shape), "ValueError"),
    Kind("0-d", lambda a: np.array(0.5), "ValueError"),
]

# In place of a number. `maybe`: a number that some arguments take and others refuse by name.
NUMBERS = [
    Kind("a string", lambda _: "3", "refused"),
    Kind("bytes", lambda _: b"3", "refused"),
    Kind("an object", lambda _: object(), "refused"),
    Kind("complex", lambda _: 1j, "refused"),
    Kind("a date", lambda _: datetime.date(2020, 1, 1), "refused"),
    Kind("a dict", lambda _: {}, "refused"),
    Kind("NaN", lambda _: np.nan, "refused"),
    Kind("two numbers", lambda _: [1.0, 2.0], "maybe"),
    Kind("an array", lambda _: np.ones(2), "maybe"),
    Kind("Inf", lambda _: np.inf, "maybe"),
    Kind("-Inf", lambda _: -np.inf, "refused"),
    Kind("negative", lambda _: -1, "maybe"),
    Kind("zero", lambda _: 0, "maybe"),
    Kind("a fraction", lambda _: 2.5, "maybe"),
    Kind("None", lambda _: None, "maybe"),
    Kind("True", lambda _: True, "maybe"),
    Kind("2**70", lambda _: 2**70, "maybe"),
    Kind("-2**63", lambda _: -(2**63), "maybe"),
    Kind("1e308", lambda _: 1e308, "maybe"),
    Kind("1e-320", lambda _: 1e-320, "maybe"),
    Kind("a huge integer", lambda _: 10**400, "maybe"),
]
