"""Rank rules for one matrix, from its singular values."""

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from eigenflow._arrays import Array, as_float_array, number, on_host
from eigenflow._core import rank as _rank
from eigenflow._rng import RNGLike
from eigenflow.lowrank.parallel_analysis import NULLS, parallel_analysis

RULES = ("energy", "fro", "spectral", "gavish-donoho", "parallel")
# What each rule reads besides the values; whatever else is given is refused, not ignored.
_USES = {
    "energy": ("total_squared",),
    "fro": ("rtol", "atol", "total_squared"),
    "spectral": ("rtol", "atol"),
    "parallel": ("A", "rng"),
    "gavish-donoho": ("noise_std",),
}


def as_spectrum(s: ArrayLike, name: str, *, check_finite: bool = True) -> Array:
    """Return singular values as float64, and refuse what cannot be any."""
    values = as_float_array(on_host(s), name, ndim=1, dtype=np.float64, check_finite=check_finite)
    negative = np.flatnonzero(values < 0)
    if negative.size:
        i = int(negative[0])
        msg = f"{name}: got {values[i]} at position {i}, want non-negative singular values"
        raise ValueError(msg)
    ascending = np.flatnonzero(values[1:] > values[:-1])
    if ascending.size:
        i = int(ascending[0]) + 1
        msg = (
            f"{name}: got {values[i]} after {values[i - 1]} at position {i}, want descending order"
        )
        raise ValueError(msg)
    return values


def as_scalar(x: Any, name: str, low: float, high: float, want: str) -> float:
    """Return a number in [low, high]; `want` says in words what that is."""
    value = number(x, name, want)
    if not low <= value <= high:
        msg = f"{name}: got {value}, want {want}"
        raise ValueError(msg)
    return value


def as_shape(shape: Any, name: str) -> tuple[int, int]:
    """Return (rows, columns) as two non-negative integers."""
    try:
        rows, cols = (operator.index(n) for n in shape)
    except (TypeError, ValueError):
        msg = f"{name}: got {shape!r}, want two integers (rows, columns)"
        raise TypeError(msg) from None
    if rows < 0 or cols < 0:
        msg = f"{name}: got {(rows, cols)}, want non-negative sizes"
        raise ValueError(msg)
    return rows, cols


def select_rank(
    s: ArrayLike,
    shape: tuple[int, int],
    rule: str = "energy",
    *,
    share: float = 0.9,
    rtol: float | None = None,
    atol: float | None = None,
    noise_std: float | None = None,
    total_squared: float | None = None,
    A: ArrayLike | None = None,
    n_draws: int = 50,
    quantile: float = 0.95,
    null: str = "permutation",
    rng: RNGLike = None,
    check_finite: bool = True,
) -> int:
    r"""Return how many singular values of one matrix to keep.

    Parameters
    ----------
    s : array_like, shape (k,)
        Singular values in descending order: all ``min(shape)`` of them, or the leading ones. From
        CuPy they are copied to the host, as is `A`.
    shape : (int, int)
        Rows and columns of the matrix.
    rule : {"energy", "fro", "spectral", "gavish-donoho", "parallel"}
        * ``"energy"``: the least k with :math:`\sum_{i \le k} s_i^2 \ge` `share`
          :math:`\|A\|_F^2`.
        * ``"fro"``: the least k with :math:`(\sum_{i > k} s_i^2)^{1/2} \le \max(` `rtol`
          :math:`\|A\|_F,` `atol` :math:`)`.
        * ``"spectral"``: the least k with :math:`s_{k+1} \le \max(` `rtol` :math:`s_1,` `atol`
          :math:`)`, the spectral error of the best approximation of rank k.
        * ``"gavish-donoho"``: the values above the hard threshold that is optimal for white noise
          [1]_: :math:`\lambda(\beta) \sqrt{n}` `noise_std`, or :math:`\omega(\beta)` times the
          median value when the noise is unknown; n is the longer side, :math:`\beta` the ratio of
          the sides. The median of the Marchenko-Pastur law behind :math:`\omega` is computed, not
          taken from the usual cubic.
        * ``"parallel"``: parallel analysis [2]_: the leading values with
          :math:`s_i > q_i`, where :math:`q_i` is the `quantile` of the i-th value over `n_draws`
          randomised copies of A.
    share : float
        For ``"energy"``, in (0, 1]; 1 keeps every positive value.
    rtol, atol : float, optional
        For ``"fro"`` and ``"spectral"``: relative and absolute tolerance; one of them is needed.
    noise_std : float, optional
        For ``"gavish-donoho"``: the standard deviation of the noise in one entry of the matrix.
    total_squared : float, optional
        :math:`\|A\|_F^2`, needed by ``"energy"`` and ``"fro"`` when `s` is only the leading part.
    A : array_like, optional
        For ``"parallel"``: the matrix itself. Take column means out of it first when they are no
        structure to find, and give the values of that matrix.
    n_draws : int
        For ``"parallel"``: how many randomised copies.
    quantile : float
        For ``"parallel"``, in [0, 1].
    null : {"permutation", "signs"}
        For ``"parallel"``: permute the entries within each column, which keeps the columns'
        distributions, or flip the signs of entries [3]_, which keeps the variance of each one.
    rng : int or numpy.random.Generator, optional
        For ``"parallel"``.
    check_finite : bool
        Refuse NaN and infinity in `s`.

    Returns
    -------
    int
        The rank, from 0 to ``len(s)``.

    Raises
    ------
    TypeError
        If something that the rule needs is missing, or something is given that it does not use.
    ValueError
        If an argument is out of range, or the leading values do not reach the answer.

    Notes
    -----
    Costs O(k), and for ``"parallel"`` an `svd` of the rank in question for each draw. Sums run
    from the small end, so with all values given every `rtol` of rule ``"fro"`` is answered
    right; with leading values only, the rest is a difference of squares, and `rtol` must be at
    least 3e-8 (float64 values) or 7e-4 (float32 values).

    References
    ----------
    .. [1] M. Gavish and D. L. Donoho, "The optimal hard threshold for singular values is
       4/sqrt(3)", IEEE Transactions on Information Theory 60 (2014), arXiv:1305.5870.
    .. [2] J. L. Horn, "A rationale and test for the number of factors in factor analysis",
       Psychometrika 30 (1965).
    .. [3] D. Hong, Y. Sheng, E. Dobriban, "Selecting the number of components in PCA via random
       signflips", arXiv:2012.02985.

    Examples
    --------
    >>> import eigenflow as ef
    >>> ef.lowrank.select_rank([3.0, 1.0, 0.1], (3, 5), share=0.9)
    2
    >>> ef.lowrank.select_rank([3.0, 1.0, 0.1], (3, 5), "fro", rtol=0.05)
    2
    """
    _check_ingredients(
        rule, rtol=rtol, atol=atol, noise_std=noise_std, A=A, rng=rng, total_squared=total_squared
    )
    values = as_spectrum(s, "s", check_finite=check_finite)
    rows, cols = as_shape(shape, "shape")
    size = min(rows, cols)
    if values.size > size:
        msg = f"s: got {values.size} values, want at most min(shape) = {size}"
        raise ValueError(msg)
    if rule == "gavish-donoho":
        return _gavish_donoho(values, rows, cols, noise_std)
    if rule == "spectral":
        return _spectral(values, size, rtol, atol)
    if rule == "parallel":
        draws = _draws(n_draws)
        level = as_scalar(quantile, "quantile", 0.0, 1.0, "a number in [0, 1]")
        if null not in NULLS:
            msg = f"null: got {null!r}, want one of {', '.join(map(repr, NULLS))}"
            raise ValueError(msg)
        return parallel_analysis(
            values, (rows, cols), on_host(A), n_draws=draws, quantile=level, null=null, rng=rng
        )
    precision = float(np.finfo(_precision_of(s)).eps)
    total = _total(values, size, total_squared, rule, precision)
    if rule == "energy":
        share = as_scalar(share, "share", math.ulp(0.0), 1.0, "a number in (0, 1]")
        k, reached, left = _rank.energy(values, size, total, precision, share)
        wanted = f"share {share}"
    else:
        k, reached, left = _frobenius(values, size, total, precision, rtol, atol)
        wanted = f"rtol {rtol}, atol {atol}"
    if not reached:
        raise ValueError(_unreached(values, size, total, left, wanted))
    return k


def _check_ingredients(rule: str, **given: object) -> None:
    if rule not in RULES:
        msg = f"rule: got {rule!r}, want one of {', '.join(map(repr, RULES))}"
        raise ValueError(msg)
    for name, value in given.items():
        if value is not None and name not in _USES[rule]:
            msg = f"{name}: not used by rule {rule!r}, which reads s, shape and "
            raise TypeError(msg + ("share" if rule == "energy" else " and ".join(_USES[rule])))
    if rule in ("fro", "spectral") and given["rtol"] is None and given["atol"] is None:
        msg = f"rtol: missing; rule {rule!r} wants rtol or atol"
        raise TypeError(msg)
    if rule == "parallel" and given["A"] is None:
        msg = "A: missing; rule 'parallel' wants the matrix"
        raise TypeError(msg)


def _draws(n_draws: Any) -> int:
    try:
        count = operator.index(n_draws)
    except TypeError:
        msg = f"n_draws: got {n_draws!r}, want an integer"
        raise TypeError(msg) from None
    if count < 1:
        msg = f"n_draws: got {count}, want at least 1"
        raise ValueError(msg)
    return count


def _spectral(values: Array, size: int, rtol: float | None, atol: float | None) -> int:
    relative, absolute = _tolerances(rtol, atol)
    first = float(values[0]) if values.size else 0.0
    # A product that overflows is larger than any value.
    limit = max(first * min(relative, 1.0), absolute)
    k = int(np.count_nonzero(values > limit))
    if k == values.size < size:
        msg = (
            f"s: all {values.size} of {size} values given exceed {limit:.3g}, want more values to "
            "see where it is crossed"
        )
        raise ValueError(msg)
    return k


def _tolerances(rtol: float | None, atol: float | None) -> tuple[float, float]:
    largest = np.finfo(np.float64).max
    relative = 0.0 if rtol is None else as_scalar(rtol, "rtol", 0.0, largest, "a number >= 0")
    absolute = 0.0 if atol is None else as_scalar(atol, "atol", 0.0, largest, "a number >= 0")
    return relative, absolute


def _precision_of(s: ArrayLike) -> np.dtype[Any]:
    dtype = getattr(s, "dtype", None)
    single = isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize <= 4
    return np.dtype(np.float32 if single else np.float64)


def _total(
    values: Array, size: int, total_squared: float | None, rule: str, precision: float
) -> float:
    """Return the squared norm, or -1 when the values are all there and it is not needed."""
    if total_squared is None:
        if values.size < size:
            msg = (
                f"total_squared: missing; rule {rule!r} needs the squared Frobenius norm when s "
                f"has {values.size} of {size} values"
            )
            raise TypeError(msg)
        return -1.0
    total = as_scalar(
        total_squared, "total_squared", 0.0, np.finfo(np.float64).max, "a finite number >= 0"
    )
    with np.errstate(over="ignore"):
        seen = float(values @ values)
    slack = max(values.size, 1) * 16 * precision
    if seen > total * (1 + slack) + np.finfo(np.float64).tiny:
        msg = f"total_squared: got {total}, less than the squares of s, which sum to {seen}"
        raise ValueError(msg)
    return total


def _frobenius(
    values: Array,
    size: int,
    total: float,
    precision: float,
    rtol: float | None,
    atol: float | None,
) -> tuple[int, bool, float]:
    relative, absolute = _tolerances(rtol, atol)
    return _rank.frobenius(values, size, total, precision, min(relative, 1e150), absolute)


def _unreached(values: Array, size: int, total: float, left: float, wanted: str) -> str:
    part = math.sqrt(left / total) if total > 0 else 0.0
    return (
        f"s: got {values.size} of {size} values, which leave {part:.2g} of the norm out (share "
        f"{1 - part**2:.6g}); {wanted} is out of their reach, want more values"
    )


def _gavish_donoho(values: Array, rows: int, cols: int, noise_std: float | None) -> int:
    size = min(rows, cols)
    if noise_std is None:
        if values.size <= size // 2:
            msg = (
                f"s: got {values.size} of {size} values, want at least {size // 2 + 1}: with "
                "unknown noise_std the rule reads their median"
            )
            if size > 0:
                raise ValueError(msg)
        level = -1.0
    else:
        level = as_scalar(
            noise_std, "noise_std", 0.0, np.finfo(np.float64).max, "a finite number >= 0"
        )
    k, reached, _ = _rank.gavish_donoho(values, rows, cols, level)
    if not reached:
        msg = (
            f"s: all {values.size} of {size} values given exceed the threshold, want more values "
            "to see where it is crossed"
        )
        raise ValueError(msg)
    return k
