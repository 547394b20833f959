"""Subspace identification: states are the directions of the past that predict the future."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from eigenflow import lowrank
from eigenflow._arrays import Array
from eigenflow._rng import RNGLike
from eigenflow.lds.estimation.regression import aic_length, as_series, require_independent
from eigenflow.lds.estimation.windows import HankelData, triangular_factor
from eigenflow.lds.recursive import RecursivePredictor
from eigenflow.lds.series import reporting
from eigenflow.lds.structure import MANY_LAGS, as_count
from eigenflow.lds.system import LinearSystem

_MOST_STATES = 100


@dataclass(frozen=True, eq=False)
class Identification:
    """A system in innovations form, x' = A x + L e, y = C x + offset + e, e ~ N(0, S).

    Attributes
    ----------
    A, C, gain, innovation_cov, offset : ndarray
        With gain = L and innovation_cov = S.
    predictor : RecursivePredictor
        The steady filter: F = A - L C, G = L, H = C. `risk` takes it as a learner.
    state_dim : int
    canonical_correlations : ndarray
        Singular values of the whitened Hankel matrix of future on past, between 0 and 1.
    threshold : float
        Largest correlation that noise alone would show; those above it were counted, unless
        `state_dim` was given.
    lags : int
        Length of the past and of the future.
    parameter_count : int
        Numbers in A, L, C and S.
    manifold_dim : int
        Dimension of the class: 2 n p + p (p + 1) / 2, because the states may be turned.
    """

    A: Array
    C: Array
    gain: Array
    innovation_cov: Array
    offset: Array
    predictor: RecursivePredictor
    state_dim: int
    canonical_correlations: Array
    threshold: float
    lags: int
    parameter_count: int
    manifold_dim: int

    @property
    def system(self) -> LinearSystem:
        """The system with Q = L S L', R = S and cross covariance L S."""
        S, L = self.innovation_cov, self.gain
        return LinearSystem(self.A, self.C, L @ S @ L.T, S, cross_cov=L @ S, obs_offset=self.offset)


def identify(
    y: Any,
    *,
    state_dim: int | None = None,
    lags: int | None = None,
    mean: bool = True,
    progress: bool = False,
    rng: RNGLike = 0,
) -> Identification:
    r"""Find a linear system, and how many states it has, from one series.

    Parameters
    ----------
    y : (T, p) or (T,) array_like
        A series without missing numbers; for gaps use `fit`.
    state_dim : int, optional
        Number of states. By default the canonical correlations between past and future that are
        larger than noise explains are counted.
    lags : int, optional
        Length of past and future; by default the best autoregressive length by AIC, at least 2,
        and enough for `state_dim`.
    mean : bool
        Whether the mean of y is taken out first.
    progress : bool
        Count the passes over the series on a bar.
    rng : int or numpy.random.Generator
        For the randomised singular value decomposition.

    Returns
    -------
    Identification

    Raises
    ------
    ValueError, TypeError
        If y has a missing number, is too short or linearly dependent, or an argument is out of
        range.

    Notes
    -----
    Canonical variate analysis (Larimore, ACC 1983; Bauer, J. Econometrics 2005). With block Hankel
    matrices of the past Y_p and the future Y_f of N windows, the matrix
    :math:`R_f^{-\top} Y_f^\top Y_p R_p^{-1}` has the canonical correlations as singular values;
    without any dependence its entries are noise of standard deviation :math:`N^{-1/2}`, from which
    the optimal hard threshold follows (`eigenflow.lowrank.select_rank`, "gavish-donoho"). The
    Hankel matrices are never formed: `eigenflow.lowrank.svd` multiplies with them, O(T lags p)
    for each column. The states are then regressed on their past and the innovations; unit roots
    and unstable modes are kept. Cost O(T lags^2 p^2), memory 8 n T bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from eigenflow.lds import LinearSystem, identify, simulate
    >>> truth = LinearSystem([[0.9, 0.3], [-0.3, 0.9]], [[1.0, 0.0]], np.eye(2), 1.0)
    >>> found = identify(simulate(truth, 5000, rng=1).observations)
    >>> found.state_dim, np.abs(np.linalg.eigvals(found.A)).round(2)  # truth: 0.95
    (2, array([0.95, 0.95]))
    """
    a = as_series(y)
    with reporting(progress, None, " passes") as report:
        return _identified(a, state_dim, lags, mean, rng, _Passes(report))


class _Passes:
    """Counts passes over the series."""

    def __init__(self, report: Callable[[int], None] | None) -> None:
        self.report, self.done = report, 0

    def add(self) -> None:
        self.done += 1
        if self.report:
            self.report(self.done)


def _identified(
    a: Array,
    state_dim: int | None,
    lags: int | None,
    mean: bool,
    rng: RNGLike,
    passes: _Passes,
) -> Identification:
    offset = a.mean(axis=0) if mean else np.zeros(a.shape[1])
    a = a - offset
    unit = float(np.max(np.abs(a))) or 1.0
    a = a / unit  # regressions on states of size 1
    g = _lags(a, state_dim, lags)
    passes.add()
    n_rows = len(a) - 2 * g + 1
    past = HankelData(a, 0, g, n_rows, newest_first=True)
    correlations: Any = _Correlations(past, HankelData(a, g, g, n_rows), passes)
    size = correlations.shape[0]
    wanted = as_count(state_dim, "state_dim", 1, most=MANY_LAGS) if state_dim is not None else None
    found = lowrank.svd(correlations, min(size, wanted or _MOST_STATES), rng=rng)
    noise = float(1 / np.sqrt(n_rows))
    n = wanted or max(
        1, lowrank.select_rank(found.s, (size, size), "gavish-donoho", noise_std=noise)
    )
    weights = scipy.linalg.solve_triangular(correlations.past_factor, found.Vh[:n].T)
    states = past.dot(weights)
    passes.add()
    out = _regressed(a[g:], states, g, (unit, offset), found.s, _threshold(size, noise))
    passes.add()
    return out


class _Correlations:
    """The whitened cross-covariance of future and past as an operator."""

    def __init__(self, past: HankelData, future: HankelData, passes: _Passes) -> None:
        self.past, self.future, self.passes = past, future, passes
        factors = []
        for windows in (past, future):
            factors.append(triangular_factor(windows))
            require_independent(factors[-1])
            passes.add()
        self.past_factor, self.future_factor = factors
        self.shape = (future.shape[1], past.shape[1])
        self.dtype = np.dtype(np.float64)

    def matmat(self, x: Array) -> Array:
        white = scipy.linalg.solve_triangular(self.past_factor, x)
        return self._solved(self.future_factor, self.future.cross_dot(self.past, white))

    def rmatmat(self, x: Array) -> Array:
        white = scipy.linalg.solve_triangular(self.future_factor, x)
        return self._solved(self.past_factor, self.past.cross_dot(self.future, white))

    def _solved(self, factor: Array, x: Array) -> Array:
        self.passes.add()
        return np.asarray(scipy.linalg.solve_triangular(factor, x, trans="T"))


def _threshold(size: int, noise: float) -> float:
    """4 / sqrt(3) sqrt(size) noise, of the optimal hard threshold for a square matrix."""
    return float(4 / np.sqrt(3) * np.sqrt(size) * noise)


def _lags(y: Array, state_dim: int | None, lags: int | None) -> int:
    steps, p = y.shape
    need = 1 if state_dim is None else -(-as_count(state_dim, "state_dim", 1, most=MANY_LAGS) // p)
    g = (
        max(2, aic_length(y, None), need)
        if lags is None
        else as_count(lags, "lags", need, most=MANY_LAGS)
    )
    if steps - 2 * g + 1 < 2 * g * p:
        msg = f"y: got {steps} steps, want at least {2 * g * (p + 1) - 1} for {g} lags"
        raise ValueError(msg)
    return g


def _regressed(
    y: Array,
    states: Array,
    lags: int,
    units: tuple[float, Array],
    s: Array,
    threshold: float,
) -> Identification:
    """Regress the output on the states, and the next states on states and innovations."""
    y = y[: len(states)]
    C = np.linalg.lstsq(states, y)[0].T
    e = y - states @ C.T
    both = np.concatenate([states, e], axis=1)[:-1]
    step = np.linalg.lstsq(both, states[1:])[0].T
    n, p = C.shape[1], C.shape[0]
    unit, offset = units
    A, L, C = step[:, :n], step[:, n:] / unit, C * unit
    S = e.T @ e / len(e) * unit * unit
    return Identification(
        A=A,
        C=C,
        gain=L,
        innovation_cov=S,
        offset=offset,
        predictor=RecursivePredictor(A - L @ C, L, C),
        state_dim=n,
        canonical_correlations=s,
        threshold=threshold,
        lags=lags,
        parameter_count=n * n + 2 * n * p + p * (p + 1) // 2,
        manifold_dim=2 * n * p + p * (p + 1) // 2,
    )
