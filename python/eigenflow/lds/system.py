"""The linear Gaussian state space model, checked once and then immutable."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import Movable
from eigenflow.lds.covariances import as_covariance, require_joint_covariance
from eigenflow.lds.entries import Layout, read_entry
from eigenflow.lds.start import Start, default_start

Array = NDArray[np.float64]

# Name, and whether it is a matrix, of all that a system is made of, in the order of the kernels.
_MATRICES = ("A", "C", "Q", "R", "cross_cov", "B", "D")
_VECTORS = ("state_offset", "obs_offset")


class LinearSystem(Movable):
    r"""A linear Gaussian system with `n` states, `p` observed series and `m` inputs.

    .. math::
        x_{t+1} = A x_t + B u_t + c + w_t, \quad y_t = C x_t + D u_t + d + v_t, \quad
        \begin{pmatrix} w_t \\ v_t \end{pmatrix} \sim
        N\left(0, \begin{pmatrix} Q & S \\ S^\top & R \end{pmatrix}\right)

    Parameters
    ----------
    A : array_like, shape ``(*batch, [T,] n, n)``
        Transition matrix. A number stands for a 1 x 1 matrix, here and below. The axis T is there
        only with `time_varying`; leading axes make a batch of systems. Axes of all arguments
        broadcast, so what is common to all steps or systems is given once, as a matrix.
    C : array_like, shape ``(*batch, [T,] p, n)``
        Observation matrix.
    Q : array_like, shape ``(*batch, [T,] n, n)``
        Covariance of the state noise, symmetric positive semidefinite.
    R : array_like, shape ``(*batch, [T,] p, p)``
        Covariance of the observation noise, symmetric positive semidefinite (zero is fine).
    B : array_like, shape ``(*batch, [T,] n, m)``, optional
        What the known inputs add to the next state.
    D : array_like, shape ``(*batch, [T,] p, m)``, optional
        What they add to the observation.
    state_offset : array_like, shape ``(*batch, [T,] n)``, optional
        The vector c. Default: zero.
    obs_offset : array_like, shape ``(*batch, [T,] p)``, optional
        The vector d. Default: zero.
    cross_cov : array_like, shape ``(*batch, [T,] n, p)``, optional
        Covariance S of the state noise and the observation noise of the same step: the noise that
        leads to the next state, and that of the observation before it. Default: zero.
    mean0 : array_like, shape ``(*batch, n)``, optional
        Mean of the state at the first observation, before seeing it.
    cov0 : array_like, shape ``(*batch, n, n)``, optional
        Its covariance, symmetric positive semidefinite.
    diffuse : bool or array_like of bool, shape (n,), optional
        States that start with infinite variance (exactly, not a large number). True means all. The
        other states then need `cov0`. False asks for the stationary start and refuses a system
        that has none.
    time_varying : bool
        Whether matrices with more than two axes (offsets with more than one) have one for each
        step, as the axis before the last two (the last one). Step t of A, B, Q and the state offset
        leads from state t to state t + 1.

    Attributes
    ----------
    A, C, Q, R, state_offset, obs_offset : ndarray of float64, read-only
    B, D, cross_cov : ndarray of float64, read-only, or None
    mean0, cov0 : ndarray of float64, read-only
        The finite part of the start.
    diffuse_directions : ndarray, shape ``(*batch, n, k)``, read-only
        Directions of infinite variance: the diffuse part of the covariance is their product
        ``diffuse_directions @ diffuse_directions.T`` times infinity. k = 0 for a proper start; a
        batch pads with columns of zeros.
    start : str
        Names the start: "given", "stationary", "exact diffuse", or several.
    state_dim, obs_dim, input_dim : int
        n, p and m (0 without inputs).
    batch_shape : tuple of int
        () for one system.
    n_steps : int or None
        T, or None for a system that does not change.

    Raises
    ------
    ValueError
        If shapes do not chain, a covariance is not symmetric positive semidefinite, or a value is
        not finite. The message starts with the argument's name.

    Notes
    -----
    Without `cov0` and `diffuse`, stable modes start from their stationary law (of a system without
    inputs) and all others exactly diffuse (Durbin and Koopman, Time Series Analysis by State Space
    Methods, 2012, chapter 5). A system whose A, Q or state offset changes has no such law, and
    wants `cov0` or `diffuse`. The diffuse directions are orthonormal, so a diffuse log-likelihood
    has one definite constant. Everything is float64: covariances in single precision lose
    definiteness.

    Examples
    --------
    >>> from eigenflow.lds import LinearSystem
    >>> level = LinearSystem(1.0, 1.0, 1469.1, 15099.0)
    >>> level
    LinearSystem(state_dim=1, obs_dim=1, start='exact diffuse')
    """

    A: Array
    C: Array
    Q: Array
    R: Array
    B: Array | None
    D: Array | None
    cross_cov: Array | None
    state_offset: Array
    obs_offset: Array
    mean0: Array
    cov0: Array
    diffuse_directions: Array
    start: str
    state_dim: int
    obs_dim: int
    input_dim: int
    batch_shape: tuple[int, ...]
    n_steps: int | None

    def __init__(
        self,
        A: Any,
        C: Any,
        Q: Any,
        R: Any,
        *,
        B: Any = None,
        D: Any = None,
        state_offset: Any = None,
        obs_offset: Any = None,
        cross_cov: Any = None,
        mean0: Any = None,
        cov0: Any = None,
        diffuse: Any = None,
        time_varying: bool = False,
    ) -> None:
        layout = Layout(bool(time_varying))
        self.A = read_entry(A, "A", layout)
        self.C = read_entry(C, "C", layout)
        self.Q = read_entry(Q, "Q", layout)
        self.R = read_entry(R, "R", layout)
        self._check_chain()
        n, p = self.state_dim, self.obs_dim
        self.Q, self.R = as_covariance(self.Q, "Q"), as_covariance(self.R, "R")
        self.B = None if B is None else read_entry(B, "B", layout)
        self.D = None if D is None else read_entry(D, "D", layout)
        self.input_dim = self._input_width()
        self.state_offset = _vector(state_offset, "state_offset", n, layout)
        self.obs_offset = _vector(obs_offset, "obs_offset", p, layout)
        self.cross_cov = None if cross_cov is None else read_entry(cross_cov, "cross_cov", layout)
        if self.cross_cov is not None:
            _check_matrix(self.cross_cov, "cross_cov", (n, p))
            require_joint_covariance(self.Q, self.R, self.cross_cov)
        given = [(name, getattr(self, name), 2) for name in _MATRICES]
        given += [(name, getattr(self, name), 1) for name in _VECTORS]
        self.n_steps = layout.n_steps(given)
        self.batch_shape = layout.batch_shape(given)
        self._set_start(mean0, cov0, diffuse)
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def _check_chain(self) -> None:
        n, p = self.A.shape[-1], self.C.shape[-2]
        if n == 0 or self.A.shape[-2] != n:
            msg = f"A: got shape {self.A.shape}, want (n, n) with n >= 1"
            raise ValueError(msg)
        if p == 0 or self.C.shape[-1] != n:
            msg = (
                f"C: got shape {self.C.shape}, want (p, {n}) with p >= 1, "
                f"as A has shape {self.A.shape}"
            )
            raise ValueError(msg)
        if self.Q.shape[-2:] != (n, n):
            msg = f"Q: got shape {self.Q.shape}, want ({n}, {n}), as A has"
            raise ValueError(msg)
        if self.R.shape[-2:] != (p, p):
            msg = f"R: got shape {self.R.shape}, want ({p}, {p}), as C has shape {self.C.shape}"
            raise ValueError(msg)
        self.state_dim, self.obs_dim = n, p

    def _input_width(self) -> int:
        widths = {}
        for name, rows in (("B", self.state_dim), ("D", self.obs_dim)):
            matrix = getattr(self, name)
            if matrix is None:
                continue
            if matrix.shape[-2] != rows or matrix.shape[-1] == 0:
                msg = f"{name}: got shape {matrix.shape}, want ({rows}, m) with m >= 1"
                raise ValueError(msg)
            widths[name] = matrix.shape[-1]
        if len(set(widths.values())) > 1:
            msg = f"D: got {widths['D']} columns, want {widths['B']}, as B has"
            raise ValueError(msg)
        return max(widths.values(), default=0)

    def _set_start(self, mean0: Any, cov0: Any, diffuse: Any) -> None:
        n = self.state_dim
        own = Layout(time_varying=False)
        mean = None if mean0 is None else _vector(mean0, "mean0", n, own)
        cov = None
        if cov0 is not None:
            cov = read_entry(cov0, "cov0", own)
            _check_matrix(cov, "cov0", (n, n))
            cov = as_covariance(cov, "cov0")
        given = [("mean0", mean, 1), ("cov0", cov, 2)]
        self.batch_shape = own.batch_shape([("A", np.empty((*self.batch_shape, 1, 1)), 2), *given])
        start = _start(self, cov, _diffuse_mask(diffuse, n))
        self.mean0 = start.mean if mean is None else mean
        self.cov0 = start.cov
        self.diffuse_directions = start.diffuse
        self.start = start.description

    @property
    def time_varying(self) -> bool:
        """Whether the system has its own matrices for each of `n_steps` steps."""
        return self.n_steps is not None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what kernels keep with the system: other processes find it again."""
        state = vars(self).copy()  # at once: another thread may be keeping something
        state.pop("_kept", None)
        return state

    def __repr__(self) -> str:
        parts = [f"state_dim={self.state_dim}", f"obs_dim={self.obs_dim}"]
        if self.input_dim:
            parts.append(f"input_dim={self.input_dim}")
        if self.n_steps is not None:
            parts.append(f"n_steps={self.n_steps}")
        if self.batch_shape:
            parts.append(f"batch_shape={self.batch_shape}")
        return f"LinearSystem({', '.join(parts)}, start={self.start!r})"


def _start(system: LinearSystem, cov: Array | None, mask: NDArray[np.bool_] | None) -> Start:
    n = system.state_dim
    if cov is not None or (mask is not None and mask.all()):
        cov = np.zeros((n, n)) if cov is None else cov
        directions = np.eye(n)[:, mask] if mask is not None else np.zeros((n, 0))
        kinds = ("given", "exact diffuse", "given and exact diffuse")
        kind = kinds[0 if not directions.size else 1 if directions.shape[1] == n else 2]
        return Start(np.zeros(n), cov, directions, kind)
    if mask is not None and mask.any():
        msg = f"cov0: got None, want the covariance of the states that diffuse leaves out ({mask})"
        raise ValueError(msg)
    start = _default_starts(system)
    if mask is not None and start.diffuse.shape[-1]:
        radius = float(np.max(np.abs(np.linalg.eigvals(system.A))))
        msg = f"diffuse: got False, but A has spectral radius {radius:.6g}, so want cov0 as well"
        raise ValueError(msg)
    return start


def _default_starts(system: LinearSystem) -> Start:
    """`default_start` of each system of a batch."""
    entries = []
    for name, core in (("A", 2), ("Q", 2), ("state_offset", 1)):
        entry = getattr(system, name)
        if system.time_varying and entry.ndim > core:
            if entry.shape[-core - 1] > 1:
                msg = f"cov0: got None, want cov0 or diffuse=True, as {name} changes with time"
                raise ValueError(msg)
            entry = entry.squeeze(-core - 1)
        entries.append(entry)
    shape = np.broadcast_shapes(entries[0].shape[:-2], entries[1].shape[:-2], entries[2].shape[:-1])
    if not shape:
        return default_start(*entries)
    A, Q = (np.broadcast_to(a, (*shape, *a.shape[-2:])) for a in entries[:2])
    offset = np.broadcast_to(entries[2], (*shape, entries[2].shape[-1]))
    starts = [default_start(A[i], Q[i], offset[i]) for i in np.ndindex(shape)]
    n, width = system.state_dim, max((s.diffuse.shape[1] for s in starts), default=0)
    directions = np.zeros((len(starts), n, width))
    for place, start in zip(directions, starts, strict=True):
        place[:, : start.diffuse.shape[1]] = start.diffuse
    return Start(
        np.array([s.mean for s in starts]).reshape(*shape, n),
        np.array([s.cov for s in starts]).reshape(*shape, n, n),
        directions.reshape(*shape, n, width),
        ", ".join(sorted({s.description for s in starts})),
    )


def _diffuse_mask(diffuse: Any, n: int) -> NDArray[np.bool_] | None:
    if diffuse is None:
        return None
    mask = np.asarray(diffuse)
    if mask.dtype != np.bool_ or mask.shape not in ((), (n,)):
        msg = f"diffuse: got {diffuse!r}, want True, False or {n} booleans, one for each state"
        raise ValueError(msg)
    return np.broadcast_to(mask, (n,))


def _check_matrix(a: Array, name: str, want: tuple[int, int]) -> None:
    if a.shape[-2:] != want:
        msg = f"{name}: got shape {a.shape}, want {want}"
        raise ValueError(msg)


def _vector(x: Any, name: str, n: int, layout: Layout) -> Array:
    if x is None:
        return np.zeros(n)
    a = read_entry(x, name, layout, core=1)
    if a.shape[-1] != n:
        msg = f"{name}: got shape {a.shape}, want ({n},)"
        raise ValueError(msg)
    return a
