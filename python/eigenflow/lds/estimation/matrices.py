"""Systems whose matrices are free, entry by entry."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow.lds.estimation.expectation import FREE, em_matrices, joint_noise, noise_parts
from eigenflow.lds.estimation.model import StateSpaceModel
from eigenflow.lds.estimation.scoring import ScoreResult, one_system
from eigenflow.lds.system import LinearSystem

_LAW = ("Q", "R", "cross_cov")
_FREE = ("A", "C", *_LAW, "B", "D", "state_offset", "obs_offset", "mean0")
_COVS = ("Q", "R", "noise")


def free_matrices(system: LinearSystem, free: Sequence[str] = ("Q", "R")) -> StateSpaceModel:
    """Let whole matrices of a system be estimated; the others and the start stay as they are.

    Parameters
    ----------
    system : LinearSystem
        Where the search starts, one time-invariant system.
    free : sequence of str
        Among A, C, Q, R, cross_cov, B, D, state_offset, obs_offset and mean0; cross_cov with both
        Q and R.

    Returns
    -------
    StateSpaceModel
        Parameters like A[0,1]; for a covariance the lower triangle of its Cholesky factor,
        root_Q[1,0], or root_noise[1,0] of [[Q, S], [S.T, R]] where the cross covariance is free.
        There is an EM step where only A, C, Q, R and cross_cov are free.

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
    Correlated noises have one covariance, whose step is the same with T for T - 1; where a part of
    it is fixed, the free parts follow one another (ECM). The data do not tell Q, R and cross_cov
    apart if all of them are free and nothing else is known: the likelihood has a ridge, on which
    the innovations form of `identify` is one point.

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
    joint = "cross_cov" in names
    if joint and not {"Q", "R"} <= set(names):
        msg = f"free: got cross_cov in {names}, want Q and R with it, as the three are one law"
        raise ValueError(msg)
    n = system.state_dim
    given = _with_noise(_arguments(system)) if joint else _arguments(system)
    blocks = ("noise" if joint and name in _LAW else name for name in names)
    layout = [(name, _entries(given[name], name)) for name in dict.fromkeys(blocks)]

    def build(params: Array) -> dict[str, Any]:
        made = _arguments(system)
        at = 0
        for name, entries in layout:
            values = params[at : at + len(entries[0])]
            at += len(entries[0])
            value = np.array(given[name])
            if name in _COVS:
                value[:] = 0
                value[entries] = values
                value = value @ value.T
            else:
                value[entries] = values
            made.update(_named(name, value, n))
        return made

    def derivatives(params: Array) -> list[dict[str, Array]]:
        out = []
        at = 0
        for name, entries in layout:
            root = np.zeros_like(given[name])
            if name in _COVS:
                root[entries] = params[at : at + len(entries[0])]
            at += len(entries[0])
            for place in zip(*entries, strict=True):
                unit = np.zeros_like(root)
                unit[place] = 1.0
                change = unit @ root.T + root @ unit.T if name in _COVS else unit
                out.append(_named(name, change, n))
        return out

    def read(matrices: dict[str, Array]) -> Array:
        have = _with_noise(matrices) if joint else matrices
        parts = []
        for name, entries in layout:
            value = have[name]
            parts.append((_root(value, name) if name in _COVS else value)[entries])
        return np.concatenate([np.zeros(0), *parts])

    def em_step(params: Array, found: ScoreResult, at: LinearSystem) -> Array:
        return read(em_matrices(found, at, set(names)))

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
        em_step if set(names) <= FREE else None,
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


def _with_noise(matrices: dict[str, Any]) -> dict[str, Any]:
    """The matrices, and the covariance of both noises together."""
    law = joint_noise(*(matrices[name] for name in ("Q", "R", "cross_cov")))
    return matrices | {"noise": law}


def _named(name: str, value: Array, n: int) -> dict[str, Array]:
    if name != "noise":
        return {name: value}
    return dict(zip(("Q", "R", "cross_cov"), noise_parts(value, n), strict=True))


def _entries(value: Array, name: str) -> tuple[Array, ...]:
    if name in _COVS:
        return np.tril_indices(len(value))
    return tuple(np.indices(value.shape).reshape(value.ndim, -1))


def _root(cov: Array, name: str) -> Array:
    try:
        return np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        msg = f"{name}: got a singular matrix, want a positive definite one where it is free"
        raise ValueError(msg) from None
