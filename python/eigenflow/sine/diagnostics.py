"""What a frequency does to a low-rank product: ranks and phases, without storing the matrix."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eigenflow import _arrays
from eigenflow._arrays import Array
from eigenflow._threads import resolve_workers

if TYPE_CHECKING:
    from eigenflow.sine.operator import SineLowRank

_BLOCK = 1 << 18  # entries that are made at once


@dataclass(frozen=True, eq=False)
class PhaseHistogram:
    """Phases ``omega u_i . v_j`` in radians.

    Attributes
    ----------
    edges : ndarray, shape (bins + 1,)
        Symmetric about zero, up to the largest possible phase.
    density : ndarray, shape (bins,)
        Integrates to one.
    std : float
        Root mean square of all phases, exact.
    n_entries : int
        Entries that were counted: all, or those of evenly spaced rows.
    """

    edges: Array
    density: Array
    std: float
    n_entries: int


def phase_std(U: Any, V: Any, omega: float) -> float:
    """Root mean square of the phases, in O((m + n) k^2): the trace of two Gram matrices."""
    if len(U) == 0 or len(V) == 0:
        return 0.0
    wide_U, wide_V = np.asarray(U, np.float64), np.asarray(V, np.float64)
    total = np.vdot(wide_U.T @ wide_U, wide_V.T @ wide_V)
    return abs(omega) * math.sqrt(max(float(total), 0.0) / (len(U) * len(V)))


def phase_histogram(op: "SineLowRank", bins: int, max_entries: int) -> PhaseHistogram:
    """See `SineLowRank.phase_histogram`."""
    m, n = op.shape
    limit = math.pi * op._half_turns or 1.0
    edges = np.linspace(-limit, limit, bins + 1)
    counts = np.zeros(bins)
    step = max(1, math.ceil(m * n / max_entries))
    rows = np.asarray(op.U[::step], np.float64)
    V = np.asarray(op.V, np.float64)
    size = max(_BLOCK // max(n, 1), 1)
    for first in range(0, len(rows), size):
        phases = op.omega * (rows[first : first + size] @ V.T)
        counts += np.histogram(phases, edges)[0]
    density = counts / max(counts.sum(), 1) / np.diff(edges)
    return PhaseHistogram(edges, density, phase_std(op.U, op.V, op.omega), len(rows) * n)


def squared_norm(op: "SineLowRank", workers: int) -> float:
    """Squared Frobenius norm: all entries, made in blocks of 1 or 2 MiB."""
    m, n = op.shape
    cols = min(n, _BLOCK)
    rows = max(_BLOCK // max(cols, 1), 1)
    total = 0.0
    for i in range(0, m, rows):
        for j in range(0, n, cols or 1):
            block = op.submatrix(slice(i, i + rows), slice(j, j + cols)).toarray(workers=workers)
            total += float(np.square(np.asarray(block), dtype=np.float64).sum())
    return total


def singular_values(op: "SineLowRank", count: int, rng: Any, workers: int | None) -> Array:
    """See `SineLowRank.singular_values`."""
    from eigenflow import lowrank

    if min(op.shape) == 0:
        return np.empty(0, op.dtype)
    if min(op.shape) <= 400 or 3 * count > min(op.shape):
        s = np.linalg.svd(np.asarray(op.toarray(workers=workers)), compute_uv=False)
        return np.asarray(s[:count])
    fused = op._variant(_method="fused")  # transposed to the bit, which the iteration counts on
    found = lowrank.svd(fused, count, rng=0 if rng is None else rng, workers=workers)
    return np.asarray(found.s)


def numerical_rank(op: "SineLowRank", rtol: float, rng: Any, workers: int | None) -> int:
    """See `SineLowRank.numerical_rank`."""
    smallest = min(op.shape)
    count = min(32, smallest)
    while True:
        s = singular_values(op, count, rng, workers)
        if s.size == 0 or s[0] == 0:
            return 0
        rank = int((s > rtol * s[0]).sum())
        if rank < count or count >= smallest:
            return rank
        count = min(4 * count, smallest)


def predicted_rank(op: "SineLowRank", rtol: float) -> int:
    """See `SineLowRank.predicted_rank`."""
    from eigenflow.sine.expansions import largest

    phases = np.sort(abs(op.omega) * largest(op.U) * largest(op.V))[::-1]
    cap = min(op.shape)
    odd, even = np.zeros(0), np.ones(1)  # products with an odd and an even number of sines
    for phase in phases:
        if float(phase) > 4 * cap:
            return cap
        sines, cosines = _separable_values(float(phase), max(rtol, 1e-14))
        odd, even = (
            _products((odd, cosines), (even, sines), rtol=rtol, cap=cap),
            _products((even, cosines), (odd, sines), rtol=rtol, cap=cap),
        )
    if odd.size == 0 or odd.max() == 0:
        return 0
    return min(int((odd > rtol * odd.max()).sum()), cap)


def _products(*pairs: tuple[Array, Array], rtol: float, cap: int) -> Array:
    found = np.concatenate([np.outer(a, b).ravel() for a, b in pairs])
    found = np.sort(found)[::-1]
    # A product keeps its place among larger ones when both are multiplied on: beyond 4 cap of
    # them, and far below the tolerance, none can count.
    return np.asarray(found[found > 1e-3 * rtol * found.max(initial=0)][: 4 * cap])


def _separable_values(radius: float, rtol: float) -> tuple[Array, Array]:
    """Singular values of sin(radius x y) and cos(radius x y) on [-1, 1]^2, above the tolerance."""
    n = 2 * (int(0.5 * radius) + 30)
    x, weights = np.polynomial.legendre.leggauss(n)
    half, root = x[n // 2 :], np.sqrt(2 * weights[n // 2 :])
    grid = radius * np.outer(half, half)
    scale = np.outer(root, root)
    found = []
    for function in (np.sin, np.cos):
        s = np.linalg.svd(function(grid) * scale, compute_uv=False)
        found.append(s[s > 1e-3 * rtol * max(s[0], 1e-300)])
    return found[0], found[1]


def choose_frequency(
    U: Any,
    V: Any,
    *,
    target: float,
    kind: str = "phase_std",
    rng: Any = None,
    workers: int | None = None,
    check_finite: bool = True,
) -> float:
    r"""Choose the frequency that spreads the phases, or fills the rank, as wanted.

    Parameters
    ----------
    U, V : array_like, shapes (m, k) and (n, k)
        The factors.
    target : float
        For "phase_std" the wanted root mean square of the phases in radians. Below about 0.5 the
        sine is nearly linear and adds no rank; at 1 to 4 it adds rank; far above, phases fold and
        neighbouring frequencies no longer resemble each other, which is hard to train.
        For "stable_rank" the wanted ``||S||_F^2 / ||S||^2``, below the plateau of a random
        matrix, ``m n / (sqrt(m) + sqrt(n))^2``. A target below the stable rank of ``U V^T`` gives
        a frequency at which the sine is linear.
    kind : {"phase_std", "stable_rank"}
        What `target` is.
    rng, workers, check_finite
        As in `SineLowRank.stable_rank`, for the kind "stable_rank".

    Returns
    -------
    float
        omega. "phase_std" costs O((m + n) k^2) and is exact; "stable_rank" finds the first
        frequency on a grid that reaches the target, and refines it to 1 percent of the rank:
        about 20 stable ranks.

    Raises
    ------
    ValueError
        If U V^T is zero, or the wanted stable rank is not reached.

    Examples
    --------
    >>> import numpy as np, eigenflow as ef
    >>> rng = np.random.default_rng(0)
    >>> U, V = rng.uniform(-1, 1, (256, 4)) / 2, rng.uniform(-1, 1, (256, 4)) / 16
    >>> omega = ef.sine.choose_frequency(U, V, target=2.0)
    >>> round(ef.sine.SineLowRank(U, V, omega).phase_std, 3)
    2.0
    """
    target = _arrays.finite_number(target, "target")
    resolve_workers(workers)  # wrong numbers are refused for every kind
    left = _arrays.as_float_array(U, "U", ndim=2, check_finite=check_finite)
    right = _arrays.as_float_array(V, "V", ndim=2, check_finite=check_finite)
    if left.shape[1] != right.shape[1]:
        msg = f"V: got {right.shape[1]} columns, want {left.shape[1]} as in U"
        raise ValueError(msg)
    unit = phase_std(left, right, 1.0)
    if unit == 0:
        msg = "U: got factors whose product is zero, want phases that a frequency can spread"
        raise ValueError(msg)
    if kind == "phase_std":
        if target <= 0:
            msg = f"target: got {target:g}, want a positive number of radians"
            raise ValueError(msg)
        return target / unit
    if kind != "stable_rank":
        msg = f"kind: got {kind!r}, want 'phase_std' or 'stable_rank'"
        raise ValueError(msg)
    return _frequency_for_rank(left, right, target, unit, rng, workers)


def _frequency_for_rank(
    U: Array, V: Array, target: float, unit: float, rng: Any, workers: int | None
) -> float:
    from eigenflow.sine.operator import SineLowRank

    def rank(omega: float) -> float:
        op = SineLowRank(U, V, omega, rtol=2, method="fused", check_finite=False)
        return op.stable_rank(rng=rng, workers=workers)

    grid = np.geomspace(0.05, 400, 27) / unit
    low, highest = 0.0, 0.0
    for high in map(float, grid):
        found = rank(high)
        highest = max(highest, found)
        if found >= target:
            break
        low = high
    else:
        m, n = len(U), len(V)
        plateau = m * n / (math.sqrt(m) + math.sqrt(n)) ** 2
        msg = (
            f"target: got a stable rank of {target:g}, want at most {highest:.3g}, the most that "
            f"frequencies reach here (a random matrix of this shape has {plateau:.3g})"
        )
        raise ValueError(msg)
    if low == 0:
        return high
    for _ in range(12):
        middle = math.sqrt(low * high)
        found = rank(middle)
        if abs(found - target) <= 0.01 * target:
            return middle
        low, high = (low, middle) if found > target else (middle, high)
    return high
