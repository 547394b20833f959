"""Design matrices in all their forms as two products."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from eigenflow._arrays import Array, as_float_array, require_finite
from eigenflow.flow.designs import OrthogonalDesign


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """E of n samples by P features, through its products; float64."""

    n_samples: int
    n_features: int
    dtype: np.dtype[Any]  # float32 only if the user's features are
    forward: Callable[[Array], Array]  # theta -> E theta
    adjoint: Callable[[Array], Array]  # r -> E^T r
    matrix: Array | None = None  # E, if it is dense

    def materialised(self) -> "FeatureMap":
        """The same with its matrix, made by as few products as possible."""
        if self.matrix is not None:
            return self
        if self.n_samples <= self.n_features:
            matrix = np.array([self.adjoint(row) for row in np.eye(self.n_samples)])
        else:
            matrix = np.array([self.forward(column) for column in np.eye(self.n_features)]).T
        return _of_matrix(matrix, self.dtype)

    def predict(self, coefficients: Array) -> Array:
        """E theta along the last axis."""
        if self.matrix is not None:
            return np.asarray(coefficients @ self.matrix.T)
        rows = coefficients.reshape(-1, self.n_features)
        made = [self.forward(row) for row in rows]
        return np.array(made).reshape((*coefficients.shape[:-1], self.n_samples))


def as_feature_map(
    features: Any,
    *,
    n_samples: int | None,
    n_features: int | None,
    name: str = "features",
    workers: int | None = None,
    check_finite: bool = True,
    least_features: int = 1,
) -> FeatureMap:
    """Recognise a design, a pair of callables, a sparse matrix, an operator or an array.

    The numbers are what is known from elsewhere; only callables need them.
    """
    if isinstance(features, OrthogonalDesign):
        made = _of_design(features, workers)
    elif _is_pair(features):
        made = _of_callables(features, name, n_samples, n_features)
    elif sparse.issparse(features):
        made = _of_sparse(features, name, check_finite)
    elif hasattr(features, "matvec") and hasattr(features, "shape"):
        made = _of_operator(features, name)
    else:
        made = _of_array(features, name, check_finite)
    if made.n_samples < 1 or made.n_features < least_features:
        shape = (made.n_samples, made.n_features)
        want = "at least one row" + (" and one column" if least_features else "")
        msg = f"{name}: got shape {shape}, want {want}"
        raise ValueError(msg)
    return made


def rows_of(features: Any, name: str = "features") -> int | None:
    """Return how many samples a design matrix in any form has; None if it cannot say."""
    if isinstance(features, OrthogonalDesign):
        return features.n_samples
    if _is_pair(features):
        return None
    if not hasattr(features, "shape"):
        features = as_float_array(features, name, ndim=2, check_finite=False)
    return int(features.shape[0]) if len(features.shape) else None


def _is_pair(features: Any) -> bool:
    return isinstance(features, tuple) and len(features) == 2 and all(map(callable, features))


def _of_design(design: OrthogonalDesign, workers: int | None) -> FeatureMap:
    n = design.n_samples
    return FeatureMap(
        n,
        design.n_features,
        np.dtype(np.float32),
        lambda theta: np.asarray(design.synthesis(theta, workers=workers, check_finite=False)),
        lambda r: np.asarray(n * design.analysis(r, workers=workers, check_finite=False)),
    )


def _of_array(features: Any, name: str, check_finite: bool) -> FeatureMap:
    given = as_float_array(features, name, ndim=2, check_finite=check_finite)
    matrix = np.asarray(given, np.float64)
    if not (matrix.flags.c_contiguous or matrix.flags.f_contiguous):
        matrix = np.ascontiguousarray(matrix)
    return _of_matrix(matrix, given.dtype)


def _of_matrix(matrix: Array, dtype: np.dtype[Any]) -> FeatureMap:
    (n, p), turned = matrix.shape, matrix.T
    return FeatureMap(n, p, dtype, lambda x: matrix @ x, lambda r: turned @ r, matrix)


def _of_sparse(features: Any, name: str, check_finite: bool) -> FeatureMap:
    _require_real(features.dtype, name)
    rows = sparse.csr_array(features, dtype=np.float64)
    if rows.ndim != 2:
        msg = f"{name}: got {rows.ndim} dimensions, want 2"
        raise ValueError(msg)
    if check_finite:
        require_finite(rows.data, f"{name}.data")
    columns = rows.T.tocsr()
    n, p = rows.shape
    return FeatureMap(n, p, np.dtype(features.dtype), lambda x: rows @ x, lambda r: columns @ r)


def _of_operator(features: Any, name: str) -> FeatureMap:
    if not hasattr(features, "rmatvec"):
        msg = f"{name}: got {type(features).__name__} without rmatvec, want both products"
        raise TypeError(msg)
    dtype = np.dtype(getattr(features, "dtype", None) or np.float64)
    _require_real(dtype, name)
    n, p = (int(size) for size in features.shape)
    return FeatureMap(
        n, p, dtype, _checked(features.matvec, n, name), _checked(features.rmatvec, p, name)
    )


def _of_callables(
    pair: tuple[Any, Any], name: str, n_samples: int | None, n_features: int | None
) -> FeatureMap:
    if n_samples is None or n_features is None:
        msg = (
            f"{name}: got two callables, which do not say their sizes; want eigenvalues with one "
            "entry a feature, or an object with matvec, rmatvec and shape"
        )
        raise ValueError(msg)
    forward, adjoint = pair
    return FeatureMap(
        n_samples,
        n_features,
        np.dtype(np.float32),
        _checked(forward, n_samples, name),
        _checked(adjoint, n_features, name),
    )


def _checked(product: Callable[[Array], Any], size: int, name: str) -> Callable[[Array], Array]:
    def call(x: Array) -> Array:
        made = np.asarray(product(x))
        if made.size != size:
            msg = f"{name}: got a product of shape {made.shape}, want ({size},)"
            raise ValueError(msg)
        _require_real(made.dtype, name)
        made = made.reshape(size).astype(np.float64)
        if not np.all(np.isfinite(made)):
            msg = f"{name}: got a product that is not finite from a vector that is"
            raise ValueError(msg)
        return made

    return call


def _require_real(dtype: Any, name: str) -> None:
    if np.dtype(dtype).kind not in "biuf":
        msg = f"{name}: got dtype {dtype}, want real numbers"
        raise TypeError(msg)
