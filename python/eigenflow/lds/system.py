"""The linear Gaussian state space model, checked once and then immutable."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._arrays import as_float_array
from eigenflow.lds.start import Start, default_start

Array = NDArray[np.float64]


class LinearSystem:
    r"""A linear Gaussian system with `n` states and `p` observed series.

    .. math::
        x_{t+1} = A x_t + c + w_t, \quad y_t = C x_t + d + v_t, \quad
        w_t \sim N(0, Q), \ v_t \sim N(0, R)

    Parameters
    ----------
    A : array_like, shape (n, n)
        Transition matrix. A number stands for a 1 x 1 matrix, here and below.
    C : array_like, shape (p, n)
        Observation matrix.
    Q : array_like, shape (n, n)
        Covariance of the state noise, symmetric positive semidefinite.
    R : array_like, shape (p, p)
        Covariance of the observation noise, symmetric positive semidefinite (zero is fine).
    B, D : array_like, optional
        Inputs are not available yet.
    state_offset : array_like, shape (n,), optional
        The vector c. Default: zero.
    obs_offset : array_like, shape (p,), optional
        The vector d. Default: zero.
    cross_cov : array_like, optional
        Correlation of the two noises is not available yet.
    mean0 : array_like, shape (n,), optional
        Mean of the state at the first observation, before seeing it.
    cov0 : array_like, shape (n, n), optional
        Its covariance, symmetric positive semidefinite.
    diffuse : bool or array_like of bool, shape (n,), optional
        States that start with infinite variance (exactly, not a large number). True means all. The
        other states then need `cov0`. False asks for the stationary start and refuses a system
        that has none.
    time_varying : bool
        Not available yet.

    Attributes
    ----------
    A, C, Q, R, state_offset, obs_offset : ndarray of float64, read-only
    mean0, cov0 : ndarray of float64, read-only
        The finite part of the start.
    diffuse_directions : ndarray, shape (n, k), read-only
        Directions of infinite variance: the diffuse part of the covariance is their product
        ``diffuse_directions @ diffuse_directions.T`` times infinity. k = 0 for a proper start.
    start : str
        Names the start: "given", "stationary", "exact diffuse", or both.
    state_dim, obs_dim : int
        n and p.

    Raises
    ------
    ValueError
        If shapes do not chain, a covariance is not symmetric positive semidefinite, or a value is
        not finite. The message starts with the argument's name.

    Notes
    -----
    Without `cov0` and `diffuse`, stable modes start from their stationary law and all others
    exactly diffuse (Durbin and Koopman, Time Series Analysis by State Space Methods, 2012,
    chapter 5). The diffuse directions are orthonormal, so a diffuse log-likelihood has one
    definite constant. Everything is float64: covariances in single precision lose definiteness.

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
    state_offset: Array
    obs_offset: Array
    mean0: Array
    cov0: Array
    diffuse_directions: Array
    start: str

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
        for name, value in (("B", B), ("D", D), ("cross_cov", cross_cov)):
            if value is not None:
                msg = f"{name}: got a value, want None: not available yet"
                raise ValueError(msg)
        if time_varying:
            msg = "time_varying: got True, want False: not available yet"
            raise ValueError(msg)
        self.A, self.C, self.Q, self.R = _matrices(A=A, C=C, Q=Q, R=R)
        _check_chain(self.A, self.C, self.Q, self.R)
        self.Q = as_covariance(self.Q, "Q")
        self.R = as_covariance(self.R, "R")
        n, p = self.state_dim, self.obs_dim
        self.state_offset = _vector(state_offset, "state_offset", n)
        self.obs_offset = _vector(obs_offset, "obs_offset", p)
        self._set_start(mean0, cov0, diffuse)
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def _set_start(self, mean0: Any, cov0: Any, diffuse: Any) -> None:
        n = self.state_dim
        mean = None if mean0 is None else _vector(mean0, "mean0", n)
        cov = None if cov0 is None else as_covariance(_square(cov0, "cov0", n), "cov0")
        start = _start(self, cov, _diffuse_mask(diffuse, n))
        self.mean0 = start.mean if mean is None else mean
        self.cov0 = start.cov
        self.diffuse_directions = start.diffuse
        self.start = start.description

    @property
    def state_dim(self) -> int:
        """Number of states n."""
        return int(self.A.shape[0])

    @property
    def obs_dim(self) -> int:
        """Number of observed series p."""
        return int(self.C.shape[0])

    def __repr__(self) -> str:
        return (
            f"LinearSystem(state_dim={self.state_dim}, obs_dim={self.obs_dim}, "
            f"start={self.start!r})"
        )


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
    start = default_start(system.A, system.Q, system.state_offset)
    if mask is not None and start.diffuse.shape[1]:
        radius = float(np.max(np.abs(np.linalg.eigvals(system.A))))
        msg = f"diffuse: got False, but A has spectral radius {radius:.6g}, so want cov0 as well"
        raise ValueError(msg)
    return start


def _diffuse_mask(diffuse: Any, n: int) -> NDArray[np.bool_] | None:
    if diffuse is None:
        return None
    mask = np.asarray(diffuse)
    if mask.dtype != np.bool_ or mask.shape not in ((), (n,)):
        msg = f"diffuse: got {diffuse!r}, want True, False or {n} booleans, one for each state"
        raise ValueError(msg)
    return np.broadcast_to(mask, (n,))


def _matrices(**arguments: Any) -> tuple[Array, ...]:
    out = []
    for name, x in arguments.items():
        a = as_float_array(x, name, dtype=np.float64)
        if a.ndim == 0:
            a = a.reshape(1, 1)
        if a.ndim != 2:
            msg = f"{name}: got {a.ndim} dimensions (shape {a.shape}), want a matrix or a number"
            raise ValueError(msg)
        out.append(np.array(a, order="C"))
    return tuple(out)


def _check_chain(A: Array, C: Array, Q: Array, R: Array) -> None:
    n, p = A.shape[0], C.shape[0]
    if n == 0 or A.shape != (n, n):
        msg = f"A: got shape {A.shape}, want (n, n) with n >= 1"
        raise ValueError(msg)
    if p == 0 or C.shape != (p, n):
        msg = f"C: got shape {C.shape}, want (p, {n}) with p >= 1, as A has shape {A.shape}"
        raise ValueError(msg)
    if Q.shape != (n, n):
        msg = f"Q: got shape {Q.shape}, want ({n}, {n}), as A has"
        raise ValueError(msg)
    if R.shape != (p, p):
        msg = f"R: got shape {R.shape}, want ({p}, {p}), as C has shape {C.shape}"
        raise ValueError(msg)


def _square(x: Any, name: str, n: int) -> Array:
    (a,) = _matrices(**{name: x})
    if a.shape != (n, n):
        msg = f"{name}: got shape {a.shape}, want ({n}, {n})"
        raise ValueError(msg)
    return a


def _vector(x: Any, name: str, n: int) -> Array:
    if x is None:
        return np.zeros(n)
    a = np.atleast_1d(as_float_array(x, name, dtype=np.float64))
    if a.shape != (n,):
        msg = f"{name}: got shape {a.shape}, want ({n},)"
        raise ValueError(msg)
    return np.array(a)


def as_covariance(a: Array, name: str) -> Array:
    """Symmetrised copy of a symmetric positive semidefinite matrix; ValueError for any other."""
    scale = float(np.max(np.abs(a), initial=0.0))
    skew = float(np.max(np.abs(a / 2 - a.T / 2), initial=0.0))
    if skew > 1e-10 * scale:
        msg = f"{name}: got a matrix {2 * skew:.3g} away from symmetric, want a symmetric one"
        raise ValueError(msg)
    if scale == 0.0:
        return np.zeros_like(a)
    symmetric = a / 2 + a.T / 2
    # Scaled to unit size, so that the squares inside the eigenvalue routine stay in range.
    smallest = float(np.linalg.eigvalsh(symmetric / scale)[0])
    if smallest < -1e-12 * len(a):
        msg = (
            f"{name}: got smallest eigenvalue {smallest * scale:.6g}, "
            "want a positive semidefinite matrix"
        )
        raise ValueError(msg)
    return np.asarray(symmetric)
