"""Systems whose matrices are free, entry by entry."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow.lds.estimation.model import StateSpaceModel
from eigenflow.lds.estimation.scoring import ScoreResult, one_system
from eigenflow.lds.system import LinearSystem

_FREE = ("A", "C", "Q", "R", "B", "D", "state_offset", "obs_offset", "mean0")
_COVS = ("Q", "R")
_EM = {"A", "C", "Q", "R"}


def free_matrices(system: LinearSystem, free: Sequence[str] = ("Q", "R")) -> StateSpaceModel:
    """Let whole matrices of a system be estimated; the others and the start stay as they are.

    Parameters
    ----------
    system : LinearSystem
        Where the search starts, one time-invariant system.
    free : sequence of str
        Among A, C, Q, R, B, D, state_offset, obs_offset and mean0.

    Returns
    -------
    StateSpaceModel
        Parameters like A[0,1]; for a covariance the lower triangle of its Cholesky factor,
        root_Q[1,0]. There is an EM step where only A, C, Q and R are free and the noises are not
        correlated.

    Raises
    ------
    ValueError, TypeError
        If a name is unknown or a free covariance is singular.

    Notes
    -----
    With A, C and Q all free the states may be turned without a change of the likelihood: it is
    then flat in some directions, and standard errors are infinite. The EM step is that of Shumway
    and Stoffer (J. Time Series Anal. 3, 1982), written with the score: Q + 2 Q G Q / (T - 1). With
    inputs and offsets it is the same, as these are known, and over a panel the sums run over all.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, free_matrices
    >>> free_matrices(LinearSystem(1.0, 1.0, 4.0, 9.0)).names
    ('root_Q[0,0]', 'root_R[0,0]')
    """
    one_system(system)
    names = tuple(free)
    for name in names:
        if name not in _FREE or getattr(system, name) is None:
            have = [name for name in _FREE if getattr(system, name) is not None]
            msg = f"free: got {name!r}, want names among {', '.join(have)}"
            raise ValueError(msg)
    layout = [(name, _entries(system, name)) for name in names]

    def build(params: Array) -> dict[str, Any]:
        made = _arguments(system)
        at = 0
        for name, entries in layout:
            values = params[at : at + len(entries[0])]
            at += len(entries[0])
            if name in _COVS:
                root = np.zeros_like(made[name])
                root[entries] = values
                made[name] = root @ root.T
            else:
                made[name] = np.array(made[name])
                made[name][entries] = values
        return made

    def derivatives(params: Array) -> list[dict[str, Array]]:
        out = []
        at = 0
        for name, entries in layout:
            root = np.zeros_like(getattr(system, name))
            if name in _COVS:
                root[entries] = params[at : at + len(entries[0])]
            at += len(entries[0])
            for place in zip(*entries, strict=True):
                unit = np.zeros_like(root)
                unit[place] = 1.0
                out.append({name: unit @ root.T + root @ unit.T if name in _COVS else unit})
        return out

    def read(matrices: dict[str, Array]) -> Array:
        parts = []
        for name, entries in layout:
            value = matrices[name]
            parts.append((_root(value, name) if name in _COVS else value)[entries])
        return np.concatenate([np.zeros(0), *parts])

    def em_step(params: Array, found: ScoreResult, at: LinearSystem) -> Array:
        return read(_em_matrices(found, at, set(names)))

    first = read(_arguments(system))
    labels = tuple(
        f"{'root_' if name in _COVS else ''}{name}[{','.join(map(str, place))}]"
        for name, entries in layout
        for place in zip(*entries, strict=True)
    )
    return StateSpaceModel(
        labels,
        build,
        None,
        lambda _: first,
        em_step if set(names) <= _EM and system.cross_cov is None else None,
        derivatives,
    )


def _arguments(system: LinearSystem) -> dict[str, Any]:
    """Arguments that make the same system again, the start included."""
    names = ("A", "C", "Q", "R", "B", "D", "cross_cov", "state_offset", "obs_offset")
    made = {name: getattr(system, name) for name in (*names, "mean0", "cov0")}
    directions = system.diffuse_directions
    if directions.size:
        made["diffuse"] = np.any(directions != 0, axis=1)
        if not np.array_equal(directions, np.eye(len(directions))[:, made["diffuse"]]):
            msg = "system: got diffuse directions across states, want diffuse= for whole states"
            raise ValueError(msg)
    return made


def _entries(system: LinearSystem, name: str) -> tuple[Array, ...]:
    value = getattr(system, name)
    if name in _COVS:
        return np.tril_indices(len(value))
    return tuple(np.indices(value.shape).reshape(value.ndim, -1))


def _root(cov: Array, name: str) -> Array:
    try:
        return np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        msg = f"{name}: got a singular matrix, want a positive definite one where it is free"
        raise ValueError(msg) from None


def _em_matrices(found: ScoreResult, system: LinearSystem, free: set[str]) -> dict[str, Array]:
    """Means of complete-data maxima: each is the old matrix plus noise times its derivative.

    The new A makes the next Q smaller: Q is what is left of the mean of (x' - A x)(x' - A x)'.
    """
    out = {name: np.array(getattr(system, name)) for name in _EM}
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
