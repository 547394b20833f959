"""Random paths of a linear system."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._core import lds as _kernels
from eigenflow._rng import RNGLike, key_from
from eigenflow.lds.series import packed, refuse_inputs
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]

_BLOCK = 1 << 18  # numbers: about 5 ms of drawing


@dataclass(frozen=True, eq=False)
class Simulation:
    """What `simulate` returns.

    Attributes
    ----------
    states : ndarray, shape (n_steps, n) or (n_series, n_steps, n)
    observations : ndarray, shape (n_steps, p) or (n_series, n_steps, p)
    """

    states: Array
    observations: Array


def simulate(
    system: LinearSystem,
    n_steps: int,
    *,
    n_series: int | None = None,
    inputs: Any = None,
    given: Any = None,
    rng: RNGLike = None,
) -> Simulation:
    """Draw states and observations.

    The first state is drawn from N(mean0, cov0). A diffuse direction has no law to draw from, so
    the path starts at mean0 along it.

    Parameters
    ----------
    system : LinearSystem
    n_steps : int
        Length of each path.
    n_series : int, optional
        Number of independent paths; None returns one path without the leading axis.
    inputs, given : None
        Inputs, and draws given observations, are not available yet.
    rng : int, numpy.random.Generator or None
        Seed or generator; equal seeds give equal paths.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError
        If a count is negative.

    Notes
    -----
    Cost: 2 n^2 flops and n + p normal numbers a step.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, simulate
    >>> path = simulate(LinearSystem(0.9, 1.0, 1.0, 0.5), 100, rng=0)
    >>> path.states.shape, path.observations.shape
    ((100, 1), (100, 1))
    """
    refuse_inputs(inputs)
    if given is not None:
        msg = "given: got a value, want None: not available yet"
        raise ValueError(msg)
    packed(system)
    length = _count(n_steps, "n_steps")
    series = 1 if n_series is None else _count(n_series, "n_series")
    generator = np.random.Generator(np.random.Philox(key=key_from(rng)))
    n, p = system.state_dim, system.obs_dim
    states, observations = np.empty((series, length, n)), np.empty((series, length, p))
    _fill(states, lambda block, _: generator.standard_normal(out=block))
    if length:
        first = system.mean0 + states[:, 0] @ _root(system.cov0).T
        root = _root(system.Q).T
        _fill(states, lambda block, _: np.copyto(block, block @ root))
        states[:, 0] = first
        # Row t holds the noise that leads to it; the kernel adds what the state before brings.
        for path in states:
            _kernels.propagate(system.A, system.state_offset, path)
    hidden, root_R = states.reshape(-1, n), _root(system.R).T

    def observe(block: Array, rows: slice) -> None:
        noise = generator.standard_normal(block.shape) @ root_R
        np.copyto(block, hidden[rows] @ system.C.T + system.obs_offset + noise)

    _fill(observations, observe)
    if n_series is None:
        return Simulation(states[0], observations[0])
    return Simulation(states, observations)


def _fill(out: Array, body: Callable[[Array, slice], object]) -> None:
    """Call `body` on blocks of rows in order, so short that Ctrl-C is noticed between them."""
    rows = out.reshape(-1, out.shape[-1])
    height = max(1, _BLOCK // out.shape[-1])
    for begin in range(0, len(rows), height):
        block = slice(begin, begin + height)
        body(rows[block], block)


def _count(value: Any, name: str) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        msg = f"{name}: got {value!r}, want an integer"
        raise TypeError(msg) from None
    if count < 0:
        msg = f"{name}: got {count}, want a non-negative integer"
        raise ValueError(msg)
    return count


def _root(cov: Array) -> Array:
    """Return X with X X' = cov, also for a singular one."""
    scale = float(np.max(np.abs(cov), initial=0.0))
    if scale == 0.0:
        return np.zeros_like(cov)
    try:
        root = np.linalg.cholesky(cov / scale)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(cov / scale)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(root * np.sqrt(scale))
