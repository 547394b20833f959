"""Is what the filter leaves white, of constant variance and normal?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow._index import per_step_of, plain_values, require_same_index
from eigenflow.lds.filtering import filter as kalman_filter
from eigenflow.lds.series import CovarianceSequence
from eigenflow.lds.structure import as_count
from eigenflow.lds.system import LinearSystem

Array = NDArray[np.float64]

_BLOCK = 1 << 18  # numbers: a few ms


@dataclass(frozen=True, eq=False)
class TestResult:
    """A statistic for each observed series, and the probability of a larger one by chance.

    Attributes
    ----------
    statistic, p_value : ndarray, shape (p,)
    """

    __test__ = False  # not a test case for pytest

    statistic: Array
    p_value: Array


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """What `diagnose` returns.

    Attributes
    ----------
    residuals : ndarray, shape (T, p)
        Standardised innovations: independent N(0, 1) under the model; NaN where missing, and during
        the diffuse steps.
    ljung_box : TestResult
        Q = n (n + 2) sum of r_k^2 / (n - k) over `lags` autocorrelations: are they white?
    heteroskedasticity : TestResult
        H, the sum of squares of the last third over that of the first: is the variance constant?
    normality : TestResult
        Jarque and Bera's n (skewness^2 / 6 + (kurtosis - 3)^2 / 24).
    skewness, kurtosis : ndarray, shape (p,)
    lags : int
    """

    residuals: Any
    ljung_box: TestResult
    heteroskedasticity: TestResult
    normality: TestResult
    skewness: Array
    kurtosis: Array
    lags: int


def standardized_residuals(
    system: LinearSystem,
    y: Any,
    *,
    inputs: Any = None,
    method: str = "auto",
    workers: int | None = None,
) -> Any:
    """Innovations in units of their own standard deviation, one row a step.

    Parameters
    ----------
    system, y, inputs, method, workers
        As in `filter`, for one series.

    Returns
    -------
    ndarray, shape (T, p)
        W v with W S W' = I and W lower triangular: independent N(0, 1) under the model. NaN where
        missing, and during the diffuse steps. Of a pandas series or table they keep the index.

    Raises
    ------
    ValueError
        As in `filter`; for a batch.

    Examples
    --------
    >>> from eigenflow.demo.nile import FLOW
    >>> from eigenflow.lds import LinearSystem, standardized_residuals
    >>> e = standardized_residuals(LinearSystem(1.0, 1.0, 1469.1, 15099.0), FLOW)
    >>> e.shape, round(float(e[1:].var()), 2)
    ((100, 1), 0.99)
    """
    require_same_index(y, inputs, "inputs")
    result = kalman_filter(
        system,
        plain_values(y),
        inputs=inputs,
        method=method,
        workers=workers,
        store=("innovations", "innovation_cov"),
    )
    v, S = result.innovations, result.innovation_cov
    if np.ndim(result.log_likelihood) or S is None:
        msg = f"y: got shape {np.shape(y)}, want one series"
        raise ValueError(msg)
    e = _whitened(np.asarray(v, np.float64), S)
    e[: result.n_diffuse] = np.nan
    return per_step_of(e, y)


def _whitened(v: Array, S: CovarianceSequence) -> Array:
    """Standardised rows, in blocks so short that Ctrl-C is noticed between them."""
    height = max(1, _BLOCK // v.shape[1])
    blocks = [slice(begin, begin + height) for begin in range(0, len(v), height)]
    parts = [_block(v[rows], CovarianceSequence(S.values, S.index[rows])) for rows in blocks]
    return np.concatenate([np.empty((0, v.shape[1])), *parts])


def _block(v: Array, S: CovarianceSequence) -> Array:
    out = np.full(v.shape, np.nan)
    seen = np.asarray(~np.isnan(v))
    whole = np.asarray(seen.all(axis=1))
    # One factor serves all steps with the same covariance.
    order = np.argsort(S.index, kind="stable")
    places, cuts = np.unique(S.index[order], return_index=True)
    for place, rows in zip(places, np.split(order, cuts[1:]), strict=True):
        rows = rows[whole[rows]]
        if rows.size:
            out[rows] = v[rows] @ _whitener(S.values[place]).T
    for t in np.flatnonzero(~whole & seen.any(axis=1)):
        some = seen[t]
        out[t, some] = _whitener(S[t][np.ix_(some, some)]) @ v[t, some]
    return out


def _whitener(cov: Array) -> Array:
    """W with W cov W' = I, lower triangular; NaN for a singular covariance."""
    try:
        return np.asarray(np.linalg.inv(np.linalg.cholesky(cov)))
    except np.linalg.LinAlgError:
        return np.full_like(cov, np.nan)


def diagnose(
    system: LinearSystem,
    y: Any,
    *,
    inputs: Any = None,
    lags: int | None = None,
    n_parameters: int = 0,
    method: str = "auto",
    workers: int | None = None,
) -> Diagnostics:
    """Tests of a fitted system on its own standardised residuals.

    Parameters
    ----------
    system, y, inputs, method, workers
        As in `filter`, for one series.
    lags : int, optional
        Autocorrelations in the Ljung-Box statistic. Default: 10, or a fifth of a short series.
    n_parameters : int
        Fitted parameters, taken off the degrees of freedom of the Ljung-Box statistic.

    Returns
    -------
    Diagnostics

    Raises
    ------
    ValueError
        If there are fewer than two residuals, or `lags` is not between 1 and their number; for a
        batch.

    Notes
    -----
    Definitions of Durbin and Koopman (2012, 2.12 and 7.5). Missing residuals are left out:
    autocorrelations are sums over the pairs that are there.

    Examples
    --------
    >>> from eigenflow.demo.nile import FLOW
    >>> from eigenflow.lds import LinearSystem, diagnose
    >>> checks = diagnose(LinearSystem(1.0, 1.0, 1469.1, 15099.0), FLOW, lags=9)
    >>> for name in ("ljung_box", "heteroskedasticity", "normality"):
    ...     print(name, round(float(getattr(checks, name).statistic[0]), 2))
    ljung_box 8.84
    heteroskedasticity 0.61
    normality 0.05
    """
    require_same_index(y, inputs, "inputs")
    plain = plain_values(y)
    e = standardized_residuals(system, plain, inputs=inputs, method=method, workers=workers)
    fewest = int(np.isfinite(e).sum(axis=0).min())
    if fewest < 2:
        msg = (
            f"y: got {fewest} numbers in a column besides those that a diffuse start absorbs, want "
            "at least 2"
        )
        raise ValueError(msg)
    used = max(1, min(10, fewest // 5)) if lags is None else as_count(lags, "lags", 1)
    if not 1 <= used < max(fewest, 2):
        most = max(fewest, 2) - 1
        msg = f"lags: got {lags}, want between 1 and {most}, as there are {fewest} residuals"
        raise ValueError(msg)
    columns = list(e.T)
    normal = [_normality(x) for x in columns]
    return Diagnostics(
        residuals=per_step_of(e, y),
        ljung_box=_joined([_ljung_box(x, used, n_parameters) for x in columns]),
        heteroskedasticity=_joined([_heteroskedasticity(x) for x in columns]),
        normality=_joined([row[:2] for row in normal]),
        skewness=np.array([row[2] for row in normal]),
        kurtosis=np.array([row[3] for row in normal]),
        lags=used,
    )


def _joined(rows: Any) -> TestResult:
    table = np.array([tuple(row) for row in rows], np.float64)
    return TestResult(table[:, 0], table[:, 1])


def _ljung_box(x: Array, lags: int, n_parameters: int) -> tuple[float, float]:
    from scipy.special import chdtrc

    there = np.flatnonzero(np.isfinite(x))
    x = x[there[0] : there[-1] + 1]
    seen = np.isfinite(x)
    n = int(seen.sum())
    centred = np.where(seen, x - np.mean(x[seen]), 0.0)
    total = float(centred @ centred)
    k = np.arange(1, lags + 1)
    r = np.array([centred[j:] @ centred[:-j] for j in k]) / total if total > 0 else np.zeros(lags)
    q = float(n * (n + 2) * np.sum(r**2 / (n - k)))
    return q, float(chdtrc(max(lags - n_parameters, 1), q))


def _heteroskedasticity(x: Array) -> tuple[float, float]:
    from scipy.special import fdtr, fdtrc

    seen = x[np.isfinite(x)]
    h = round(len(seen) / 3)
    ratio = float(np.sum(seen[len(seen) - h :] ** 2) / np.sum(seen[:h] ** 2)) if h else np.nan
    return ratio, float(2 * min(fdtr(h, h, ratio), fdtrc(h, h, ratio)))


def _normality(x: Array) -> tuple[float, float, float, float]:
    seen = x[np.isfinite(x)]
    z = seen - seen.mean()
    square = z * z
    variance = np.mean(square)
    skewness = float(np.mean(square * z) / variance**1.5)
    kurtosis = float(np.mean(square * square) / variance**2)
    statistic = len(seen) * (skewness**2 / 6 + (kurtosis - 3) ** 2 / 24)
    return statistic, float(np.exp(-statistic / 2)), skewness, kurtosis  # chi^2 with 2 degrees
