"""Which modes of a linear system do not die out, and how many parameters they ask for."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg

from eigenflow._arrays import Array, as_float_array

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class UnstableStructure:
    """Modes with modulus at least 1, the unit circle included.

    Attributes
    ----------
    count : int
        Number k of such eigenvalues, with multiplicity.
    eigenvalues : ndarray of complex128
        One entry for each distinct eigenvalue, the mean of its computed cluster.
    multiplicities : tuple of int
        Algebraic multiplicity of each.
    jordan_sizes : tuple of tuple of int
        Sizes of the Jordan blocks of each, largest first.
    basis : (n, k) ndarray
        Orthonormal basis U of their generalised subspace.
    restriction : (k, k) ndarray
        U' A U, which is A on that subspace.
    observed_dim, excited_dim : int or None
        How many of the k dimensions reach the outputs, and how many the noise reaches; None where
        C or Q was not given. The counts of `min_parameters` and `min_filter_length` take the noise
        to excite all of them: what it does not reach does not grow in a zero start.
    """

    count: int
    eigenvalues: Array
    multiplicities: tuple[int, ...]
    jordan_sizes: tuple[tuple[int, ...], ...]
    basis: Array
    restriction: Array
    observed_dim: int | None = None
    excited_dim: int | None = None


@dataclass(frozen=True, eq=False)
class ParameterCounts:
    """Parameters that a learner of x' = A x needs for a bounded mean risk, count by count.

    Attributes
    ----------
    state_dim, unstable_dim : int
        n and k.
    paper_any_perturbation : int
        Theorem 2, part 1, of the paper: the sum of squared multiplicities. Fewer parameters cannot
        do; this many need not be enough.
    paper_fixed_spectrum : int
        Theorem 2, part 2, as printed. With several Jordan blocks at one eigenvalue it can exceed
        what is needed: A = diag(1.2, 1.2, 0.4) is served in every basis by 1.2 I, which has no
        parameter, where the printed count is 2.
    any_perturbation : int
        n k - (n - k): needed when A may be any matrix near the given one.
    fixed_spectrum : int
        n k - dim Z - b (n - k): needed when only the basis is unknown. Z is the centraliser of A on
        the unstable subspace, b its largest geometric multiplicity.
    linear_class : int
        n k: always enough, with the first k columns free in a fixed basis.
    recursive_siso : int
        2 n: enough for a recursive predictor of one output from its own past.
    """

    state_dim: int
    unstable_dim: int
    paper_any_perturbation: int
    paper_fixed_spectrum: int
    any_perturbation: int
    fixed_spectrum: int
    linear_class: int
    recursive_siso: int


MANY = 2**40  # more steps than any memory holds; smaller numbers end in MemoryError
MANY_LAGS = 10**6  # the longest filter, the largest order of a model


def as_square(A: object, name: str) -> Array:
    """Return a finite square float64 matrix, or say what was wrong with it."""
    a = as_float_array(A, name, ndim=2, dtype=np.float64)
    if a.shape[0] != a.shape[1]:
        msg = f"{name}: got shape {a.shape}, want a square matrix"
        raise ValueError(msg)
    return a


def as_matrix(x: object, name: str, n: int) -> Array:
    """Return a finite float64 matrix with n columns, or say what was wrong with it."""
    a = as_float_array(x, name, ndim=2, dtype=np.float64)
    if a.shape[1] != n:
        msg = f"{name}: got shape {a.shape}, want {n} columns as A has"
        raise ValueError(msg)
    return a


def as_count(
    value: object, name: str, least: int, why: str = "", *, most: int | None = None
) -> int:
    """Return an integer of at least this size, or say what was wrong with it.

    Numbers that say how much is computed have a `most`; a horizon in a formula has none.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        msg = f"{name}: got {value!r}, want an integer"
        raise TypeError(msg)
    if value < least:
        msg = f"{name}: got {value}, want at least {least}{why}"
        raise ValueError(msg)
    if most is not None and value > most:
        msg = f"{name}: got {value}, want at most {most}"
        raise ValueError(msg)
    return int(value)


def unstable_structure(
    A: object, *, C: object = None, Q: object = None, tol: float | None = None
) -> UnstableStructure:
    """Find the eigenvalues on and outside the unit circle, their Jordan blocks and their subspace.

    Rounding moves the eigenvalues of a Jordan block of size s by about eps^(1/s), 1e-4 for s = 4,
    and so to both sides of the circle. A group of computed eigenvalues therefore counts as one
    multiple eigenvalue when their condition numbers say that rounding can have spread them so far;
    its mean is well conditioned and decides. Each Jordan structure within rounding of A is a
    possible answer: the most degenerate one is given.

    Parameters
    ----------
    A : (n, n) array_like
        Transition matrix.
    C : (p, n) array_like, optional
        Observation matrix, for `observed_dim`.
    Q : (n, n) array_like, optional
        Covariance of the state noise, for `excited_dim`.
    tol : float, optional
        Relative size of the errors in A; 10 n eps by default.

    Returns
    -------
    UnstableStructure

    Raises
    ------
    ValueError, TypeError
        If A is not a finite square matrix of real numbers, or tol is not in (0, 1).

    Notes
    -----
    Cost: a Schur form, O(n^3), and n + 2 reorderings of it, O(n^4) at worst for a small constant.

    Examples
    --------
    >>> from eigenflow.lds import unstable_structure
    >>> found = unstable_structure([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.4]])
    >>> found.count, found.jordan_sizes
    (2, ((2,),))
    """
    a = as_square(A, "A")
    n = len(a)
    tol = 10 * max(n, 1) * _EPS if tol is None else float(tol)
    if not 0 < tol < 1:
        msg = f"tol: got {tol}, want a number between 0 and 1"
        raise ValueError(msg)
    found = _structure(a, tol)
    return replace(
        found,
        observed_dim=None if C is None else _reached(found, as_matrix(C, "C", n)),
        excited_dim=None
        if Q is None
        else _reached(_structure(a.T.copy(), tol), _rows_of(as_matrix(Q, "Q", n))),
    )


def _structure(a: Array, tol: float) -> UnstableStructure:
    n = len(a)
    if n == 0:
        return UnstableStructure(0, np.zeros(0, complex), (), (), np.zeros((0, 0)), a.copy())
    scale = float(np.linalg.norm(a, 2))
    t_real, z_real = scipy.linalg.schur(a)
    t, z = scipy.linalg.rsf2csf(t_real, z_real)
    unstable = [
        group
        for group in _clusters(t, scale, tol)
        if abs(np.mean(np.diag(t)[group])) >= 1 - _uncertainty(t, group, scale, tol)
    ]
    select = np.zeros(n, dtype=np.int32)
    for group in unstable:
        select[group] = 1
    basis = _leading_basis(t_real, z_real, select)
    return UnstableStructure(
        count=basis.shape[1],
        eigenvalues=np.array([np.mean(np.diag(t)[g]) for g in unstable], dtype=np.complex128),
        multiplicities=tuple(len(g) for g in unstable),
        jordan_sizes=tuple(_jordan_sizes(t, z, g, scale, tol) for g in unstable),
        basis=basis,
        restriction=basis.T @ a @ basis,
    )


def min_parameters(A: object) -> ParameterCounts:
    """Count the parameters without which the mean one-step risk grows with the horizon.

    Parameters
    ----------
    A : (n, n) array_like
        Transition matrix.

    Returns
    -------
    ParameterCounts
        The paper's two counts and the sharp ones, each under its own name.

    Notes
    -----
    A learner A(theta) keeps the mean risk bounded exactly when A(theta) U = A U on the unstable
    subspace U (noise in all directions). The pairs (U, A on U) form a family of dimension n k, of
    which one matrix serves at most n - k dimensions: its repeated eigenvalue. Hence
    n k - (n - k), which agrees with the paper's count for k = 1 and for a single Jordan block of
    size n, and is larger in between. The source of the paper's counts: Ziemann, Matni, Pappas,
    arXiv 2409.13421, Theorem 2.

    Examples
    --------
    >>> from eigenflow.lds import min_parameters
    >>> counts = min_parameters([[1.5, 0.0, 0.0], [0.0, 1.2, 0.0], [0.0, 0.0, 0.4]])
    >>> counts.paper_any_perturbation, counts.any_perturbation, counts.fixed_spectrum
    (2, 5, 3)
    """
    found = unstable_structure(A)
    n, k = found.basis.shape[0], found.count
    squares = sum(m * m for m in found.multiplicities)
    centraliser = sum(min(s, t) for sizes in found.jordan_sizes for s in sizes for t in sizes)
    geometric = max((len(sizes) for sizes in found.jordan_sizes), default=0)
    return ParameterCounts(
        state_dim=n,
        unstable_dim=k,
        paper_any_perturbation=squares,
        paper_fixed_spectrum=squares - k,
        any_perturbation=n * k - (n - k) if k else 0,
        fixed_spectrum=n * k - centraliser - geometric * (n - k),
        linear_class=n * k,
        recursive_siso=2 * n,
    )


def observability_stages(A: Array, C: Array, tol: float) -> tuple[list[int], int]:
    """Return the ranks found at each stage of the observability staircase, and the unseen rest.

    Orthogonal steps only: powers of A, which hide the small directions, are never formed.
    """
    ranks: list[int] = []
    scale = float(np.linalg.norm(C, 2)) if C.size else 0.0
    while A.shape[0] and C.size:
        _, s, vh = np.linalg.svd(C)
        rank = int(np.sum(s > tol * scale))
        if rank == 0:
            break
        ranks.append(rank)
        turned = vh @ A @ vh.T
        # What the seen directions receive from the others is the next stage's output.
        scale = max(float(np.linalg.norm(turned, 2)), _EPS)
        A, C = turned[rank:, rank:], turned[:rank, rank:]
    return ranks, A.shape[0]


def rank_tolerance(n: int) -> float:
    """Relative size of what counts as zero in the staircase."""
    return 1e3 * n * _EPS


def _reached(found: UnstableStructure, C: Array) -> int:
    """Dimension of the unstable subspace that C sees; for noise, of the transposed system."""
    ranks, _ = observability_stages(
        found.restriction, C @ found.basis, rank_tolerance(found.basis.shape[0])
    )
    return sum(ranks)


def _rows_of(Q: Array) -> Array:
    """Return X with X' X = Q."""
    values, vectors = np.linalg.eigh((Q + Q.T) / 2)
    values[values <= rank_tolerance(len(Q)) * np.max(np.abs(values), initial=0.0)] = 0.0
    return np.asarray(np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T)


def _reordered(t: Array, z: Array, group: Array) -> Any:
    """Move a group of eigenvalues to the top of a complex Schur form (LAPACK's ztrsen)."""
    chosen = np.zeros(len(t), dtype=np.int32)
    chosen[group] = 1
    return scipy.linalg.lapack.ztrsen(chosen, t, z, lwork=_work_size(len(t)))


def _work_size(n: int) -> int:
    return max(1, n * n)  # 2 m (n - m) at most


def _condition(t: Array, group: Array) -> float:
    """Condition number of the mean of a group of eigenvalues of a triangular matrix."""
    if len(group) == len(t):
        return 1.0
    *_, s, _, info = _reordered(t, np.eye(len(t)) + 0j, group)
    return 1.0 / s if info == 0 and s > 0 else np.inf


def _uncertainty(t: Array, group: Array, scale: float, tol: float) -> float:
    return min(1e-4, tol * max(scale, 1.0) * _condition(t, group))


def _clusters(t: Array, scale: float, tol: float) -> list[Array]:
    """Group the eigenvalues of a triangular matrix that rounding may have split."""
    w = np.diag(t)
    everything = np.arange(len(w))
    reach = np.array([tol * scale * _condition(t, everything[i : i + 1]) for i in everything])
    pending, accepted = [everything], []
    while pending:
        group = pending.pop()
        distance = np.abs(w[group] - w[group].mean())
        limit = scale * (1e3 * tol) ** (1 / len(group))
        if len(group) == 1 or (distance <= np.minimum(limit, reach[group])).all():
            accepted.append(group)
        else:
            pending.extend(_split(w, group))
    return sorted(accepted, key=lambda g: -abs(w[g].mean()))


def _split(w: Array, group: Array) -> list[Array]:
    """Cut a group at its widest gap (the longest edges of its spanning tree)."""
    distance = np.abs(w[group][:, None] - w[group][None, :])
    linked, gaps = [0], []
    while len(linked) < len(group):
        rest = [i for i in range(len(group)) if i not in linked]
        gap, nearest = min((float(distance[i, linked].min()), i) for i in rest)
        gaps.append(gap)
        linked.append(nearest)
    # A part is complete before a longer edge leaves it (Prim): cuts in this order are the parts.
    cuts = 1 + np.flatnonzero(np.array(gaps) == max(gaps))
    parts = np.split(np.array(linked), cuts)
    return [group[np.sort(part)] for part in sorted(parts, key=np.min)]


def _leading_basis(t: Array, z: Array, select: Array) -> Array:
    """Orthonormal basis of the chosen eigenvalues' subspace; a conjugate pair goes together."""
    n = len(t)
    for i in range(n - 1):
        if t[i + 1, i] != 0:
            select[i] = select[i + 1] = max(select[i], select[i + 1])
    count = int(select.sum())
    if count in (0, n):
        return np.eye(n)[:, :count]
    _, q, *_, info = scipy.linalg.lapack.dtrsen(
        select, t, z, lwork=_work_size(n), liwork=_work_size(n)
    )
    if info != 0:
        msg = "A: its eigenvalues are too close to tell stable from unstable ones"
        raise ValueError(msg)
    return np.ascontiguousarray(q[:, :count])


def _jordan_sizes(t: Array, z: Array, group: Array, scale: float, tol: float) -> tuple[int, ...]:
    """Sizes of the Jordan blocks of one cluster, by a staircase on A - mean I."""
    size = len(group)
    ordered = t
    if size < len(t):
        ordered, *_ = _reordered(t, z, group)
    nilpotent = ordered[:size, :size] - np.mean(np.diag(t)[group]) * np.eye(size)
    nullities: list[int] = []
    while len(nilpotent):
        _, s, vh = np.linalg.svd(nilpotent)
        nullity = max(1, int(np.sum(s <= 1e5 * tol * scale)))
        nullities.append(min(nullity, nullities[-1]) if nullities else nullity)
        keep = len(nilpotent) - nullities[-1]
        nilpotent = vh[:keep] @ nilpotent @ vh[:keep].conj().T
    # nullities[i] blocks have size larger than i
    return tuple(sum(1 for d in nullities if d > j) for j in range(nullities[0]))
