"""Random paths of a linear system."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import empty, places_in, renamed
from eigenflow._core import lds as _kernels
from eigenflow._rng import RNGLike, key_from
from eigenflow.lds.arguments import read_inputs, read_observations, refuse_infinite, require_system
from eigenflow.lds.margins import warn_if_beyond_float64
from eigenflow.lds.series import packed, reporting
from eigenflow.lds.smoothing import smooth
from eigenflow.lds.structure import MANY, as_count
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]
_Report = Callable[[int], None]

_BLOCK = 1 << 18  # numbers: about 5 ms of drawing


@dataclass(frozen=True, eq=False)
class Simulation:
    """What `simulate` returns.

    Attributes
    ----------
    states : ndarray, shape ``([n_series,] *batch, n_steps, n)``
    observations : ndarray, shape ``([n_series,] *batch, n_steps, p)``
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
    progress: bool = False,
    rng: RNGLike = None,
) -> Simulation:
    """Draw states and observations, freely or given what was observed.

    The first state is drawn from N(mean0, cov0). A diffuse direction has no law to draw from, so
    a free path starts at mean0 along it; given observations that see it, it has one.

    Parameters
    ----------
    system : LinearSystem
        One system or a batch.
    n_steps : int
        Length of each path.
    n_series : int, optional
        Number of independent paths; None returns one path without the leading axis.
    inputs : array_like, shape ``(*batch, n_steps, m)`` or (n_steps, m), optional
        The known inputs, for a system that has some.
    given : array_like, shape ``(*batch, n_steps, p)``, or (n_steps,) when p = 1, optional
        Observations, NaN where missing. Paths are then drawn from the law of the states given
        these (a simulation smoother), and the result's observations are `given` with the missing
        numbers drawn too.
    progress : bool
        Show a bar.
    rng : int, numpy.random.Generator or None
        Seed or generator; equal seeds give equal paths.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError
        If a count is negative, a shape does not fit, or a path leaves the range of float64.

    Warns
    -----
    RuntimeWarning
        If the path is longer than float64 can follow: the state of an unstable system grows until
        noise of unit size is lost in its rounding (`stability_margins`, `representable_horizon`).

    Notes
    -----
    Cost: 2 n^2 flops and n + p normal numbers a step. Given observations, a free path plus the
    smoothed difference between these and its own (Durbin and Koopman, Biometrika 89, 2002): one
    pass of the smoother a path.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem, simulate
    >>> path = simulate(LinearSystem(0.9, 1.0, 1.0, 0.5), 100, rng=0)
    >>> path.states.shape, path.observations.shape
    ((100, 1), (100, 1))
    >>> level = LinearSystem(1.0, 1.0, 1.0, 0.0)
    >>> simulate(level, 3, given=[1.0, float("nan"), 3.0], rng=0).states[::2, 0]
    array([1., 3.])
    """
    require_system(system)
    length = as_count(n_steps, "n_steps", 0, most=MANY)
    series = None if n_series is None else as_count(n_series, "n_series", 0, most=MANY)
    if system.n_steps not in (None, length):
        msg = f"n_steps: got {length}, want {system.n_steps}, as the system has"
        raise ValueError(msg)
    observed = None if given is None else _observed(system, given, length)
    batch = system.batch_shape if observed is None else observed.shape[:-2]
    known = read_inputs(system, inputs, batch, length)
    if not system.time_varying:
        for A in system.A.reshape(-1, *system.A.shape[-2:]):
            warn_if_beyond_float64(A, length, "simulate")
    generator = np.random.Generator(np.random.Philox(key=key_from(rng)))
    draw = _Draw(system, batch, length, known)
    with reporting(progress, length) as report:
        count = 1 if series is None else series
        if observed is None:
            free = draw.draw(generator, count, report)
        else:
            # A path and its smoother for each series, and the smoother of what was observed.
            parts = _Shares(report, length, (count, 1, count))
            free = draw.draw(generator, count, parts[0])
            free = _given(system, observed, known, free, parts)
    lead = () if series is None else (series,)
    _require_in_range(free, length)
    states, y = (
        a.reshape(*lead, *batch, length, a.shape[-1]) for a in (free.states, free.observations)
    )
    return Simulation(states, y)


def _require_in_range(free: Simulation, length: int) -> None:
    """What has left the range of float64 does not come back."""
    ends = (a[:, :, -1:] for a in (free.states, free.observations))
    if all(np.isfinite(end).all() for end in ends):
        return
    wide = np.ones(length, bool)
    for a in (free.states, free.observations):
        for path in a.reshape(-1, length, a.shape[-1]):
            wide &= np.isfinite(path).all(axis=-1)
    msg = (
        f"n_steps: got {length}, and a path of this unstable system leaves the range of float64 at "
        f"step {int(np.argmin(wide))}, want fewer steps"
    )
    raise ValueError(msg)


def _observed(system: LinearSystem, given: Any, length: int) -> Array:
    with renamed("y", "given"), places_in("y", given):
        y, _ = read_observations(system, given)
        refuse_infinite(y)
    if y.shape[-2] != length:
        msg = f"given: got {y.shape[-2]} steps, want n_steps = {length}"
        raise ValueError(msg)
    return y


def _given(
    system: LinearSystem,
    observed: Array,
    known: Array | None,
    free: Simulation,
    parts: "_Shares",
) -> Simulation:
    """Move free paths to what was observed: (n_series, N, T, .) both."""
    y = observed.reshape(free.observations.shape[1:])
    batch = observed.shape[:-2]
    u = (
        None
        if known is None
        else known.reshape(*(batch if len(known) > 1 else ()), *known.shape[1:])
    )
    full = np.broadcast_to(y, free.observations.shape).copy()
    missing = np.isnan(full)
    own = np.where(missing, np.nan, free.observations)
    target = smooth(system, observed, inputs=u, progress=parts[1]).smoothed_mean
    own_batch = own.reshape(len(own), *observed.shape)
    moved = smooth(system, own_batch, inputs=u, progress=parts[2]).smoothed_mean
    moved = target.reshape(free.states.shape[1:]) - moved.reshape(free.states.shape)
    # A missing number keeps its own noise, moved by what the row's other noises are now.
    for filled, m, z, o in zip(full, moved, free.observations, own, strict=True):
        filled[np.isnan(y)] = _missing(system, m, z, o, y)[np.isnan(y)]
    return Simulation(free.states + moved, full)


def _missing(system: LinearSystem, moved: Array, free: Array, own: Array, y: Array) -> Array:
    """Observations that belong to the moved states, where `y` has none."""
    shape = moved.shape[:2]
    parts = [system.C, system.R, system.A, system.Q]
    C, R, A, Q = (
        np.broadcast_to(a, (*shape, *a.shape[2:])) for a in (_steps(m, system) for m in parts)
    )
    shift = np.einsum("stkn,stn->stk", C, moved)
    out = np.asarray(free + shift)
    cross = None
    if system.cross_cov is not None:
        cross = _steps(system.cross_cov, system)
        cross = np.broadcast_to(cross, (*shape, *cross.shape[2:]))
    elif not np.any(R - np.eye(R.shape[-1]) * R):
        return out
    # What is known of the noises of a row moves the missing ones.
    for i in zip(*np.nonzero(np.isnan(y).any(axis=-1)), strict=True):
        gone = np.isnan(y[i])
        seen = ~gone
        change = (y[i] - own[i] - shift[i])[seen]
        known, to_gone = R[i][np.ix_(seen, seen)], R[i][np.ix_(gone, seen)]
        if cross is not None and i[1] + 1 < shape[1]:
            step = moved[i[0], i[1] + 1] - A[i] @ moved[i]
            S = cross[i]
            known = np.block([[known, S[:, seen].T], [S[:, seen], Q[i]]])
            to_gone, change = np.hstack([to_gone, S[:, gone].T]), np.append(change, step)
        out[i][gone] += to_gone @ np.linalg.pinv(known, hermitian=True) @ change
    return out


def _steps(a: Array, system: LinearSystem) -> Array:
    """A matrix of the system with axes (N or 1, T or 1) in front."""
    core = a.shape[-2:]
    if not system.time_varying or a.ndim == 2:
        a = a[..., np.newaxis, :, :]
    steps = a.shape[-3]
    if a.ndim == 3:
        return a[np.newaxis]
    return np.broadcast_to(a, (*system.batch_shape, steps, *core)).reshape(-1, steps, *core)


class _Draw:
    """Free paths of a system: noises first, then the recursion over them."""

    def __init__(
        self, system: LinearSystem, batch: tuple[int, ...], length: int, known: Array | None
    ) -> None:
        self.system, self.batch, self.length, self.known = system, batch, length, known
        self.n_systems = math.prod(batch)
        n = system.state_dim
        Q, R = (_steps(a, system) for a in (system.Q, system.R))
        if system.cross_cov is None:
            self.root_w, self.root_v, self.root_vw = _root(Q), _root(R), None
            return
        S = _steps(system.cross_cov, system)
        lead = np.broadcast_shapes(Q.shape[:2], R.shape[:2], S.shape[:2])
        joint = np.empty((*lead, n + R.shape[-1], n + R.shape[-1]))
        joint[..., :n, :n], joint[..., n:, n:] = Q, R
        joint[..., :n, n:], joint[..., n:, :n] = S, np.swapaxes(S, -2, -1)
        root = _root(joint)
        self.root_w, self.root_v, self.root_vw = root[..., :n, :], root[..., n:, :], root

    def draw(
        self, generator: np.random.Generator, n_series: int, report: _Report | None
    ) -> Simulation:
        n, p, T = self.system.state_dim, self.system.obs_dim, self.length
        shape = (n_series, self.n_systems, T)
        states, y = empty((*shape, n), float), empty((*shape, p), float)
        if T == 0 or states.size == 0:
            return Simulation(states, y)
        passes = _Passes(report, T, 6 if self.root_vw is None else 5)
        if self.root_vw is None:
            _fill(states, generator, passes)
            first = self._first(states[:, :, 0])
            self._shift(states, passes)
            _fill(y, generator, passes)
            _multiply(self.root_v, y, y, passes)
        else:
            z = empty((*shape, n + p), float)
            _fill(z, generator, passes)
            first = self._first(generator.standard_normal(states[:, :, 0].shape))
            _multiply(self.root_v, z, y, passes)
            root = self.root_w if self.root_w.shape[1] == 1 else self.root_w[:, :-1]
            _multiply(root, z[:, :, :-1], states[:, :, 1:], passes)
        states[:, :, 0] = first
        arrays = packed(self.system, self.batch)
        if self.n_systems == 1:  # the series take the place of a batch
            _kernels.propagate(arrays, self.known, states[:, 0])
        else:
            for path in states:
                _kernels.propagate(arrays, self.known, path)
        passes.add(T)
        self._observe(states, y, passes)
        return Simulation(states, y)

    def _first(self, z: Array) -> Array:
        """First states from standard normal numbers, (n_series, N, n)."""
        system = self.system
        root = _root(system.cov0)
        if root.ndim > 2:
            n = system.state_dim
            root = np.broadcast_to(root, (*self.batch, n, n)).reshape(-1, n, n)
        mean = system.mean0
        if mean.ndim > 1:
            mean = np.broadcast_to(mean, (*self.batch, mean.shape[-1])).reshape(-1, mean.shape[-1])
        return np.asarray(mean + np.einsum("...ij,...j->...i", root, z))

    def _shift(self, states: Array, passes: "_Passes") -> None:
        """Row t + 1 becomes the noise of step t, in place."""
        root = self.root_w if self.root_w.shape[1] == 1 else self.root_w[:, :-1]
        tail = states[:, :, 1:]
        if tail.size:
            _multiply(root, tail, tail, passes)

    def _observe(self, states: Array, y: Array, passes: "_Passes") -> None:
        """Add C x + D u + d to the noise."""
        system = self.system
        _multiply(_steps(system.C, system), states, y, passes, add=True)
        offset = system.obs_offset
        if np.any(offset):
            y += _steps(offset[..., np.newaxis], system)[..., 0] if (offset.ndim > 1) else offset
        if system.D is not None and self.known is not None:
            driven = np.broadcast_to(self.known, (1, self.n_systems, *self.known.shape[1:]))
            extra = np.empty((1, *y.shape[1:]))
            _multiply(_steps(system.D, system), driven, extra, None)
            y += extra


class _Shares:
    """Reports for parts of a call, whose weights say how much of it each one is."""

    def __init__(self, report: _Report | None, n_steps: int, weights: tuple[int, ...]) -> None:
        self.report, self.n_steps, self.weights = report, n_steps, weights

    def __getitem__(self, part: int) -> Any:
        if self.report is None:
            return False
        report, whole = self.report, sum(self.weights) or 1
        before, own = sum(self.weights[:part]), self.weights[part]
        return lambda done: report(int((before * self.n_steps + own * done) // whole))


class _Passes:
    """Counts steps that each of several passes goes over."""

    def __init__(self, report: _Report | None, n_steps: int, n_passes: int) -> None:
        self.report, self.n_steps, self.n_passes, self.done = report, n_steps, n_passes, 0.0

    def add(self, steps: float) -> None:
        self.done += steps
        if self.report:
            self.report(min(self.n_steps, int(self.done / self.n_passes)))


def _multiply(
    matrices: Array, x: Array, out: Array, passes: _Passes | None, *, add: bool = False
) -> None:
    """Write matrices x: (N or 1, T or 1, m, n) on (S, N, T, n), in blocks of steps."""
    height = max(1, _BLOCK // max(1, x.shape[0] * x.shape[1] * x.shape[-1]))
    for begin in range(0, x.shape[2], height):
        rows = slice(begin, begin + height)
        part = matrices if matrices.shape[1] == 1 else matrices[:, rows]
        if part.shape[:2] == (1, 1):
            product = x[:, :, rows] @ part[0, 0].T
        else:
            product = np.einsum(
                "stij,qstj->qsti",
                np.broadcast_to(part, (x.shape[1], x[:, :, rows].shape[2], *part.shape[2:])),
                x[:, :, rows],
            )
        out[:, :, rows] = out[:, :, rows] + product if add else product
        if passes is not None:
            passes.add(product.shape[2])


def _fill(out: Array, generator: np.random.Generator, passes: _Passes) -> None:
    """Draw blocks of rows in order, so short that Ctrl-C is noticed between them."""
    rows = out.reshape(-1, out.shape[-1])
    height = max(1, _BLOCK // out.shape[-1])
    for begin in range(0, len(rows), height):
        block = rows[begin : begin + height]
        generator.standard_normal(out=block)
        passes.add(len(block) / len(rows) * out.shape[2])


def _root(cov: Array) -> Array:
    """Return X with X X' = cov, also for singular ones, of each matrix of a stack."""
    scale = np.max(np.abs(cov), axis=(-2, -1), keepdims=True, initial=0.0)
    unit = cov / np.where(scale > 0, scale, 1.0)
    try:
        root = np.linalg.cholesky(unit)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(unit)
        root = vectors * np.sqrt(np.maximum(values, 0.0))[..., np.newaxis, :]
    return np.asarray(root * np.sqrt(scale))
