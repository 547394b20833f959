"""The steady innovations form of a system in extended precision, and sums over time.

With the state started at the steady Riccati covariance P, the one-step prediction C x of the
Kalman filter follows x' = A x + L e, y = C x + e with white innovations e of covariance S. A
restricted predictor's distance from it is then a sum of squares: nothing is ever subtracted, so
that no small excess is lost behind a large covariance.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import scipy.linalg

from eigenflow._arrays import Array
from eigenflow.lds import extended
from eigenflow.lds.extended import Extended, identity, quadratic, solve, symmetrized, zeros
from eigenflow.lds.steady import unfit_modes
from eigenflow.lds.structure import (
    UnstableStructure,
    observability_stages,
    rank_tolerance,
    unstable_structure,
)

_MOST_DOUBLINGS = 80
_NO_STEADY_FILTER = (
    "system: got no steady filter that forgets its start, want every mode with modulus at least 1 "
    "observed and excited by noise"
)


@dataclass(frozen=True, eq=False)
class PlainSystem:
    """The matrices of one time-invariant system, in float64."""

    A: Array
    C: Array
    Q: Array
    R: Array
    cross_cov: Array


@dataclass(frozen=True, eq=False)
class Innovations:
    """The steady innovations form, with closed = A - L C."""

    A: Extended
    C: Extended
    gain: Extended
    innovation_cov: Extended
    innovation_precision: Extended
    closed: Extended
    driving_cov: Extended

    def information(self, n_steps: int) -> tuple[Extended, Extended]:
        """Return closed^n and what n observations tell about the first state."""
        weight = symmetrized(self.C.T @ self.innovation_precision @ self.C)
        power, total, _ = summed(self.closed.T, weight, n_steps)
        return power.T, total


def plain(system: Any) -> PlainSystem:
    """Read one time-invariant system; a batch, or matrices that change in time, are refused."""
    if not all(hasattr(system, name) for name in "ACQR"):
        msg = f"system: got {type(system).__name__}, want a LinearSystem"
        raise TypeError(msg)
    matrices = {name: np.asarray(getattr(system, name), np.float64) for name in "ACQR"}
    if getattr(system, "time_varying", False) or any(m.ndim != 2 for m in matrices.values()):
        msg = "system: got a batch or time-varying matrices, want one time-invariant system"
        raise ValueError(msg)
    cross = getattr(system, "cross_cov", None)
    shape = (matrices["A"].shape[0], matrices["C"].shape[0])
    return PlainSystem(
        **matrices, cross_cov=np.zeros(shape) if cross is None else np.asarray(cross, np.float64)
    )


def innovations_form(system: PlainSystem) -> Innovations:
    """Solve the Riccati equation at the current number of digits, by structure-keeping doubling.

    Raises
    ------
    ValueError
        If R is singular, or if no steady filter forgets its start: a mode with modulus at least 1
        is not observed, or no noise excites it. The message names the modes.
    """
    _require_observed(system)
    A, C, Q, R, N = (
        extended.extend(m) for m in (system.A, system.C, system.Q, system.R, system.cross_cov)
    )
    try:
        R_inv = symmetrized(solve(R, identity(len(R))))
    except ZeroDivisionError:
        msg = "R: got a singular matrix, want a positive definite one"
        raise ValueError(msg) from None
    decorrelated = A - N @ R_inv @ C
    P = _riccati(decorrelated, quadratic(C.T, R_inv), symmetrized(Q - quadratic(N, R_inv)))
    if P is None:
        raise _no_steady_filter(system)
    S = symmetrized(quadratic(C, P) + R)
    precision = symmetrized(solve(S, identity(len(S))))
    gain = (A @ P @ C.T + N) @ precision
    return Innovations(A, C, gain, S, precision, A - gain @ C, symmetrized(quadratic(gain, S)))


def _riccati(A: Extended, g: Extended, h: Extended) -> Extended | None:
    """Stabilising solution of the filter's Riccati equation; step k covers 2^k recursions.

    None where there is none.
    """
    a, done = A.T, False
    small = extended.ten_to(-(extended.current_digits() // 2 + 2))
    for _ in range(_MOST_DOUBLINGS):
        both = solve(identity(len(a)) + g @ h, np.concatenate([a, g], axis=1))
        w_a, w_g = both[:, : len(a)], both[:, len(a) :]
        step = symmetrized(a.T @ h @ w_a)
        g, h, a = symmetrized(g + a @ w_g @ a.T), h + step, a @ w_a
        # Quadratic convergence: half of the digits now are all of them after one more step.
        if done:
            return h
        done = bool((step.diagonal() <= small * h.diagonal()).all())
        done = done and extended.largest(a) <= small
        if extended.largest(h).adjusted() > 10**6 or extended.largest(a).adjusted() > 10**6:
            break
    return None


def _no_steady_filter(system: PlainSystem) -> ValueError:
    modes = unfit_modes(system, excite_all=True)
    return ValueError(f"{_NO_STEADY_FILTER}; {modes}" if modes else _NO_STEADY_FILTER)


def _require_observed(system: PlainSystem) -> None:
    """Refuse unseen unstable modes: in rounding, the doubling may seem to converge on them."""
    found = unstable_structure(system.A)
    if found.count:
        zero = rank_tolerance(len(system.A))
        _, unseen = observability_stages(found.restriction, system.C @ found.basis, zero)
        if unseen:
            raise _no_steady_filter(system)


def summed(A: Extended, G: Extended, n_steps: int) -> tuple[Extended, Extended, Extended]:
    """Return A^n, V_n and V_0 + ... + V_(n-1), with V_m the sum of A^j G A'^j over j < m.

    Doubling: O(log n) products of matrices, all sums of non-negative terms.
    """
    total: tuple[int, Extended, Extended, Extended] | None = None
    block = (1, A, G, zeros(*G.shape))
    remaining = n_steps
    while remaining:
        if remaining & 1:
            total = block if total is None else _joined(total, block)
        remaining >>= 1
        if remaining:
            block = _joined(block, block)
    if total is None:
        return identity(len(A)), zeros(*G.shape), zeros(*G.shape)
    return total[1:]


_Block = tuple[int, Extended, Extended, Extended]


def _joined(first: _Block, second: _Block) -> _Block:
    a, power, cov, sums = first
    b, power_b, cov_b, sums_b = second
    return (
        a + b,
        power @ power_b,
        symmetrized(cov + quadratic(power, cov_b)),
        symmetrized(sums + Decimal(b) * cov + quadratic(power, sums_b)),
    )


def mean_prediction_cov(form: Innovations, n_windows: int) -> Extended:
    """Covariance of the filter's predicted state, averaged over its first n steps from x = 0."""
    *_, sums = summed(form.A, form.driving_cov, n_windows)
    mean: Extended = sums / Decimal(n_windows)
    return mean


@dataclass(frozen=True, eq=False)
class LongRun:
    """The predicted state as the horizon grows: coordinates, flat directions and the rest.

    In the columns of `coordinates` the covariance is t I + 0, t to infinity, on the first
    directions, and `stationary` on the others.
    """

    coordinates: Extended
    prior_factor: Extended
    mask: Extended


def long_run(form: Innovations, A: Array, structure: UnstableStructure) -> LongRun:
    """Split the state in its unstable and stable parts, to the current number of digits."""
    n, k = len(A), structure.count
    coordinates, parted = invariant_split(form.A, structure)
    driving = quadratic(solve(coordinates, identity(n)), form.driving_cov)
    factor, mask = identity(n), zeros(n, n)
    factor[k:, k:] = _stationary(parted[k:, k:], driving[k:, k:])
    mask[k:, k:] = identity(n - k)
    return LongRun(coordinates, factor, mask)


def invariant_split(A: Extended, structure: UnstableStructure) -> tuple[Extended, Extended]:
    """Coordinates whose first k columns span the unstable subspace, and A in them.

    A is block diagonal there, to the current number of digits; the float64 basis is refined.
    """
    n, k = len(A), structure.count
    q, _ = np.linalg.qr(np.concatenate([structure.basis, np.eye(n)], axis=1))
    turn = extended.extend(np.concatenate([structure.basis, q[:, k:]], axis=1))
    turned = solve(turn, A @ turn)
    shear = identity(n)
    shear[k:, :k] = _invariant_correction(turned, k)
    upper = solve(shear, turned @ shear)
    decouple = identity(n)
    decouple[:k, k:] = _sylvester(upper[:k, :k], upper[k:, k:], upper[:k, k:])
    return turn @ shear @ decouple, upper


def _stationary(A: Extended, G: Extended) -> Extended:
    """Sum of A^j G A'^j over all j, for a stable A."""
    small = extended.ten_to(-extended.current_digits())
    total, power = G, A
    for _ in range(_MOST_DOUBLINGS):
        step = quadratic(power, total)
        total, power = symmetrized(total + step), power @ power
        if extended.largest(power) <= small:
            break
    return total


def _sylvester(upper: Extended, lower: Extended, right: Extended) -> Extended:
    """Solve upper X - X lower + right = 0: float64 solutions refined in extended precision."""
    upper_float, lower_float = extended.to_float(upper), extended.to_float(lower)
    out, residual = right * 0, right
    small = extended.largest(right) * extended.ten_to(8 - extended.current_digits())
    while extended.largest(residual) > small:
        scaled, power = extended.to_scaled_float(residual)
        step = scipy.linalg.solve_sylvester(upper_float, -lower_float, -scaled)
        out = out + extended.extend(step) * extended.ten_to(power)
        before, residual = residual, upper @ out - out @ lower + right
        if extended.largest(residual) > extended.largest(before) / 2:
            break  # float64 no longer helps: the parts are too close to be told apart
    return out


def _invariant_correction(turned: Extended, k: int) -> Extended:
    """Return X such that the columns of [I; X] span an invariant subspace; X is near 0."""
    a, b, c, d = turned[:k, :k], turned[:k, k:], turned[k:, :k], turned[k:, k:]
    left, right = extended.to_float(d), extended.to_float(a)
    out, residual = c * 0, c
    small = extended.largest(turned) * extended.ten_to(8 - extended.current_digits())
    while extended.largest(residual) > small:
        scaled, power = extended.to_scaled_float(residual)
        step = scipy.linalg.solve_sylvester(left, -right, -scaled)
        out = out + extended.extend(step) * extended.ten_to(power)
        before, residual = residual, c + d @ out - out @ a - out @ b @ out
        if extended.largest(residual) > extended.largest(before) / 2:
            break
    return out
