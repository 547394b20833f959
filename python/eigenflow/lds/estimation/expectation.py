"""Steps of the EM algorithm for free matrices, written with the score."""

import numpy as np

from eigenflow._arrays import Array
from eigenflow.lds.estimation.scoring import ScoreResult
from eigenflow.lds.system import LinearSystem

FREE = {"A", "C", "Q", "R", "cross_cov"}


def em_matrices(found: ScoreResult, system: LinearSystem, free: set[str]) -> dict[str, Array]:
    """Return A, C, Q, R and, where there is one, cross_cov after a step."""
    if system.cross_cov is None:
        return _independent(found, system, free)
    return _correlated(found, system, free)


def _independent(found: ScoreResult, system: LinearSystem, free: set[str]) -> dict[str, Array]:
    """Means of complete-data maxima: each is the old matrix plus noise times its derivative.

    The new A makes the next Q smaller: Q is what is left of the mean of (x' - A x)(x' - A x)'.
    """
    out = {name: np.array(getattr(system, name)) for name in ("A", "C", "Q", "R")}
    series, n = found.n_series, found.n_steps
    before = found.second_moment - found.last_moment
    for matrix, noise, moment, count in (
        ("A", "Q", before, series * (n - 1)),
        ("C", "R", found.second_moment, series * n),
    ):
        cov = out[noise]
        shift = np.zeros_like(out[matrix])
        if matrix in free:
            shift = cov @ np.linalg.solve(moment, getattr(found, matrix).T).T
            out[matrix] = out[matrix] + shift
        if noise in free:
            left = cov + 2 * cov @ getattr(found, noise) @ cov / count
            out[noise] = left - shift @ moment @ shift.T / count
            out[noise] = (out[noise] + out[noise].T) / 2
    return out


def _correlated(found: ScoreResult, system: LinearSystem, free: set[str]) -> dict[str, Array]:
    """As above for g = [w; v] of one law, with the state after the last row among the unknowns.

    By Fisher's identity the mean of the sum of g x' is Sigma [dA; dC], and that of g g' is
    T Sigma + 2 Sigma G Sigma, G = [dQ, dS / 2; dS'/ 2, dR]. Where a part of Sigma is fixed, one
    block after the other is set to its maximum given the rest (ECM; Meng and Rubin, Biometrika 80,
    1993), which does not go down either.
    """
    n = system.state_dim
    old = joint_noise(system.Q, system.R, np.asarray(system.cross_cov))
    half = np.asarray(found.cross_cov) / 2
    count = found.n_series * found.n_steps
    shift = _regression(found, old, n, free)
    with_state = old @ np.vstack([found.A, found.C])
    own = old + 2 * old @ joint_noise(found.Q, found.R, half) @ old / count
    crossed = shift @ with_state.T
    own += (shift @ found.second_moment @ shift.T - crossed - crossed.T) / count
    new = _noise((own + own.T) / 2, old, n, free)
    Q, R, S = noise_parts(new, n)
    return {"A": system.A + shift[:n], "C": system.C + shift[n:], "Q": Q, "R": R, "cross_cov": S}


def _regression(found: ScoreResult, noise: Array, n: int, free: set[str]) -> Array:
    """What is added to [A; C]; a part alone sees its own noise given the other one."""
    slopes = np.vstack([found.A, found.C])
    if {"A", "C"} <= free:
        weight = noise
    else:
        weight = np.zeros_like(noise)
        for matrix, _, own, other in _sides(n, len(noise)):
            if matrix in free:
                weight[own, own] = _given(noise, own, other)[1]
    shift = np.linalg.solve(found.second_moment, (weight @ slopes).T).T
    return np.asarray(shift)


def _noise(mean_square: Array, old: Array, n: int, free: set[str]) -> Array:
    """Maximum over the free blocks of a joint covariance, from the mean of g g'."""
    if {"Q", "R", "cross_cov"} <= free:
        return mean_square
    new = old.copy()
    for _, cov, own, other in _sides(n, len(old)):
        if cov in free:
            # The law of the one given the other has a fixed slope J: only its spread is free.
            slope, _ = _given(new, own, other)
            seen = np.hstack([np.eye(len(slope)), -slope])
            order = np.r_[own, other]
            spread = seen @ mean_square[np.ix_(order, order)] @ seen.T
            new[own, own] = spread + slope @ new[other, own]
            new[own, own] = (new[own, own] + new[own, own].T) / 2
    return new


def _sides(n: int, size: int) -> tuple[tuple[str, str, slice, slice], ...]:
    state, observed = slice(0, n), slice(n, size)
    return ("A", "Q", state, observed), ("C", "R", observed, state)


def _given(joint: Array, own: slice, other: slice) -> tuple[Array, Array]:
    """Slope of one noise on the other, and what is left of its covariance."""
    slope = joint[own, other] @ np.linalg.pinv(joint[other, other], hermitian=True)
    return slope, joint[own, own] - slope @ joint[other, own]


def joint_noise(Q: Array, R: Array, S: Array) -> Array:
    """[Q, S; S', R]."""
    return np.block([[Q, S], [S.T, R]])


def noise_parts(joint: Array, n: int) -> tuple[Array, Array, Array]:
    """Q, R and S of it."""
    return joint[:n, :n], joint[n:, n:], joint[:n, n:]
