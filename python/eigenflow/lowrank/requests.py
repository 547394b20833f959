"""What a decomposition is asked for: rank, tolerances, passes; and the odds of its error."""

import contextlib
import math
import operator
from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol, SupportsIndex

import numpy as np

from eigenflow import _core


class Matrix(Protocol):
    """What tolerances depend on."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]


def as_integer(value: SupportsIndex, name: str, least: int, most: int = 2**31 - 1) -> int:
    """Return an integer in [least, most]."""
    try:
        number = operator.index(value)
    except TypeError:
        msg = f"{name}: got {value!r}, want an integer"
        raise TypeError(msg) from None
    if not least <= number <= most:
        msg = f"{name}: got {number}, want {least} to {most}"
        raise ValueError(msg)
    return number


def as_tolerances(
    a: Matrix, norm: float, rtol: float | None, atol: float | None
) -> tuple[float, float]:
    """Return the absolute and the relative tolerance, -1 where it is not asked.

    Raises
    ------
    ValueError
        If one is negative, or below what the precision resolves beside this norm of A; a negative
        norm is an unknown one.
    """
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            msg = f"{name}: got {value!r}, want a finite number >= 0"
            raise ValueError(msg)
    least = _core.svd.resolvable_tolerance(a.dtype, *a.shape)
    # Without the norm, only a relative tolerance can be judged before the work is done.
    scale = norm if norm >= 0 else 1.0
    relative = 0.0 if rtol is None else float(rtol) * scale
    absolute = 0.0 if atol is None else float(atol)
    judged = rtol is not None or atol is not None
    if norm < 0:
        judged = rtol is not None and atol is None
    if judged and max(relative, absolute) < least * scale:
        is_relative = atol is None or (rtol is not None and relative >= absolute)
        name, got, want = ("rtol", rtol, least) if is_relative else ("atol", atol, least * scale)
        msg = (
            f"{name}: got {got!r}, want at least {want:.2g}: {a.dtype} resolves no less for this A"
        )
        raise ValueError(msg)
    return -1.0 if atol is None else float(atol), -1.0 if rtol is None else float(rtol)


def require_room(a: Matrix, rank: int | None, *tolerances: float | None) -> None:
    """Refuse vectors that cannot fit before the work that leads to them: it may take hours.

    With a tolerance, one column is the least there may be. The memory is asked for and given back
    untouched, which costs microseconds.
    """
    columns = min(a.shape) if rank is None else rank
    if any(x is not None for x in tolerances):
        columns = min(columns, 1)
    for shape in ((a.shape[0], columns), (columns, a.shape[1])):
        try:
            np.empty(shape, a.dtype)
        except (MemoryError, ValueError):  # ValueError: more bytes than there are addresses
            size = math.prod(shape) * a.dtype.itemsize / 2**30
            msg = f"A: got shape {a.shape}, whose vectors need {size:,.1f} GiB: {shape}, {a.dtype}"
            raise MemoryError(msg) from None


@cache
def _hold_out_failure() -> float:
    """P(chi^2_r / r < 1/4), the worst case of the hold-out estimate: a residual of rank one."""
    from scipy.special import gammainc

    vectors = _core.svd.hold_out_vectors
    return float(gammainc(vectors / 2, vectors / 8))


def failure_probability(kind: str, looks: int) -> float:
    """Bound the probability that an error found in this way is less than half of the true one."""
    if kind == "hold-out":
        return min(1.0, looks * _hold_out_failure())
    if kind == "power-bound":
        return min(1.0, looks * 10.0**-_core.svd.bound_vectors)
    return math.nan if kind == "leave-one-out" else 0.0


def reads_once(
    passes: SupportsIndex | None,
    conditions: str,
    *,
    wants: tuple[object, ...],
    refuses: tuple[object, ...],
) -> bool:
    """Tell whether a single read is asked for; `conditions` says in words what goes with it."""
    if passes is None:
        return False
    if as_integer(passes, "passes", 0) != 1:
        msg = f"passes: got {passes!r}, want 1 or None (as many as it takes)"
        raise ValueError(msg)
    if any(x is None for x in wants) or any(x is not None for x in refuses):
        msg = f"passes: got 1, which wants {conditions}"
        raise ValueError(msg)
    return True


@contextlib.contextmanager
def tolerance_as_atol() -> Iterator[None]:
    """Give the user's name to a tolerance that the core refuses.

    That happens where the norm shows itself only on the way.
    """
    try:
        yield
    except ValueError as error:
        text = str(error)
        for name, ours in (("tolerance: ", "atol: "), ("relative_tolerance: ", "rtol: ")):
            if text.startswith(name):
                raise ValueError(ours + text.removeprefix(name)) from None
        raise
