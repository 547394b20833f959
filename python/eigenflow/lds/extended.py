"""Small matrices of decimal numbers: as many digits as a question needs, and no overflow.

Covariances of unstable systems over long horizons span hundreds of powers of ten, and the
answers hang on their small directions: a chain of four integrators over a million steps spans
42 of them, float64 holds 16. The standard library's decimals hold any number of digits and
exponents up to 1e18, at about 0.1 microseconds a product, which is plenty for states of a few
dozen dimensions.
"""

import contextlib
import decimal
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import Array
from eigenflow._core import ConvergenceError

# An object array whose entries are Decimal.
Extended = NDArray[Any]

_FIRST_DIGITS = 40
_MOST_DIGITS = 2560
_MOST_SWEEPS = 60
_AGREE = Decimal("1e-14")
_TINY = Decimal("1e-300")
_ZERO = Decimal(0)
_ONE = Decimal(1)


class TooFewDigitsError(ArithmeticError):
    """The computation cannot be trusted at the current number of digits."""


@contextlib.contextmanager
def working_digits(digits: int) -> Iterator[None]:
    """Compute with this many digits and the widest exponents while the block runs."""
    context = decimal.Context(
        prec=digits,
        Emax=decimal.MAX_EMAX,
        Emin=decimal.MIN_EMIN,
        traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
    )
    with decimal.localcontext(context):
        yield


def current_digits() -> int:
    """Return the number of digits of the running block."""
    return decimal.getcontext().prec


def ten_to(power: int) -> Decimal:
    """Return a power of ten."""
    return _ONE.scaleb(power)


def extend(a: Array) -> Extended:
    """Return the same numbers as decimals: exact, float64 has finitely many decimal digits."""
    flat = [Decimal(float(x)) for x in a.ravel()]
    out = np.empty(len(flat), dtype=object)
    out[:] = flat
    return out.reshape(a.shape)


def zeros(n_rows: int, n_cols: int) -> Extended:
    """Return a matrix of zeros."""
    return np.full((n_rows, n_cols), _ZERO, dtype=object)


def identity(n: int) -> Extended:
    """Return the identity."""
    out = zeros(n, n)
    out[np.arange(n), np.arange(n)] = _ONE
    return out


def trace(a: Extended) -> Decimal:
    """Return the trace."""
    return sum(a.diagonal(), _ZERO)


def largest(a: Extended) -> Decimal:
    """Return the largest modulus, 0 for an empty matrix."""
    return max((abs(x) for x in a.ravel()), default=_ZERO)


def symmetrized(a: Extended) -> Extended:
    """Return the symmetric part."""
    return (a + a.T) / 2


def quadratic(a: Extended, cov: Extended) -> Extended:
    """Return a cov a'."""
    return a @ cov @ a.T


def to_float(a: Extended) -> Array:
    """Round to float64; what lies beyond its range becomes infinity."""
    return np.array([float(x) for x in a.ravel()], dtype=np.float64).reshape(a.shape)


def to_scaled_float(a: Extended) -> tuple[Array, int]:
    """Return float64 numbers of modulus at most 10 and the power of ten that was taken out."""
    top = largest(a)
    power = top.adjusted() if top else 0
    return to_float(a * ten_to(-power)), power


def solve(a: Extended, b: Extended) -> Extended:
    """Return a^-1 b by elimination with row pivoting.

    Raises
    ------
    ZeroDivisionError
        If a pivot is exactly zero.
    """
    n = len(a)
    rows = np.concatenate([a, b], axis=1)
    for i in range(n):
        # Each row is weighed against its own largest entry: rows come in very different units.
        sizes = [abs(rows[j, i]) / (largest(rows[j, i:n]) or _ONE) for j in range(i, n)]
        pivot = i + max(range(n - i), key=sizes.__getitem__)
        if rows[pivot, i] == 0:
            msg = "singular matrix"
            raise ZeroDivisionError(msg)
        if pivot != i:
            rows[[i, pivot]] = rows[[pivot, i]]
        rows[i, i:] = rows[i, i:] / rows[i, i]
        others = np.arange(n) != i
        rows[others, i:] -= np.outer(rows[others, i], rows[i, i:])
    return rows[:, n:]


def eigh(a: Extended) -> tuple[Extended, Extended]:
    """Eigenvalues in falling order and orthonormal eigenvectors of a symmetric matrix.

    Cyclic Jacobi rotations: about 6 sweeps of 4 n^3 products, few digits lost on graded matrices.
    """
    a, vectors = a.copy(), identity(len(a))
    pairs = [(p, q) for p in range(len(a)) for q in range(p + 1, len(a))]
    small = ten_to(-2 * current_digits())
    for _ in range(_MOST_SWEEPS):
        turned = False
        for p, q in pairs:
            if a[p, q] * a[p, q] > small * abs(a[p, p] * a[q, q]):
                _rotate(a, vectors, p, q)
                turned = True
        if not turned:
            break
    values = a.diagonal().copy()
    order = sorted(range(len(a)), key=lambda i: -values[i])
    return values[order], vectors[:, order]


def _rotate(a: Extended, vectors: Extended, p: int, q: int) -> None:
    """Turn rows and columns p and q so that a[p, q] vanishes."""
    ratio = (a[q, q] - a[p, p]) / (2 * a[p, q])
    t = _ONE / (abs(ratio) + (ratio * ratio + 1).sqrt())
    t = -t if ratio < 0 else t
    c = _ONE / (t * t + 1).sqrt()
    s = t * c
    for m in (a.T, a, vectors):  # columns of a.T are rows of a
        first, second = m[:, p].copy(), m[:, q].copy()
        m[:, p], m[:, q] = c * first - s * second, s * first + c * second
    a[p, q] = a[q, p] = _ZERO


def log_det(a: Extended) -> Decimal:
    """Return the logarithm of the determinant of a positive definite matrix.

    Raises
    ------
    ZeroDivisionError
        If a pivot is not positive.
    """
    left, total = a.copy(), _ZERO
    for i in range(len(a)):
        if left[i, i] <= 0:
            msg = "not positive definite"
            raise ZeroDivisionError(msg)
        total += left[i, i].ln()
        left = left - np.outer(left[:, i], left[i, :]) / left[i, i]
    return total


def settle(compute: Callable[[], tuple[Decimal, list[Any]]], what: str) -> list[Any]:
    """Run `compute` with more and more digits until two runs agree to 14 of them.

    `compute` returns a positive unit and the values, or raises where it can tell that digits are
    missing. A number agrees by itself, a matrix relative
    to its largest entry; what is below 1e-300 units is zero. This is what makes the answer
    trustworthy where float64 gives a negative variance. It costs two runs at least, of 40 and 80
    digits; values that are exactly zero may take runs up to 320.

    Raises
    ------
    ConvergenceError
        If 2560 digits are not enough.
    """
    digits = _FIRST_DIGITS
    before = _run(compute, digits)
    while digits < _MOST_DIGITS:
        digits *= 2
        after = _run(compute, digits)
        if before is not None and after is not None:
            with working_digits(digits):
                tiny = after[0] * _TINY
                pairs = zip(before[1], after[1], strict=True)
                settled = [_settled(x, y, tiny) for x, y in pairs]
            if all(x is not None for x in settled):
                return settled
        before = after
    msg = (
        f"{what}: {_MOST_DIGITS} digits are not enough for covariances that grow so far, "
        "want a shorter horizon"
    )
    raise ConvergenceError(msg)


def _run(
    compute: Callable[[], tuple[Decimal, list[Any]]], digits: int
) -> tuple[Decimal, list[Any]] | None:
    with working_digits(digits):
        try:
            return compute()
        # decimal.DivisionByZero is a ZeroDivisionError: a pivot was lost in rounding
        except (ZeroDivisionError, TooFewDigitsError):
            return None


def _settled(before: Any, after: Any, tiny: Decimal) -> Any:
    size = _size(after)
    if size <= tiny and _size(before) <= tiny:
        return after * 0
    return after if _size(after - before) <= _AGREE * size else None


def _size(x: Extended | Decimal) -> Decimal:
    return abs(x) if isinstance(x, Decimal) else largest(x)
