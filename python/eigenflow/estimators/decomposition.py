"""Truncated SVD and principal components, as a scikit-learn transformer."""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.sparsefuncs import mean_variance_axis
from sklearn.utils.validation import check_is_fitted, validate_data

from eigenflow._arrays import Array
from eigenflow.estimators._settings import is_number, require_count
from eigenflow.lowrank import SVDResult, select_rank, svd

__all__ = ["RandomizedSVD"]

_RULES = ("gavish-donoho", "parallel")
_ROWS = 4096


class RandomizedSVD(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Leading singular vectors of the data, or principal components, with a stated error.

    The decomposition is that of `eigenflow.lowrank.svd`: a block Krylov iteration that stops when
    the singular values have settled, whatever the spectrum. Attributes are those of
    `sklearn.decomposition.TruncatedSVD`, and with ``center=True`` those of
    `sklearn.decomposition.PCA`.

    Parameters
    ----------
    n_components : int, float, {"gavish-donoho", "parallel"} or None
        How many components. A float in (0, 1): the least number that keeps this share of the sum
        of squares (of the variance, when centred). A name: the rule of
        `eigenflow.lowrank.select_rank`, which takes X, centred or not, for signal and white noise
        ("gavish-donoho") or compares it with permuted copies of itself ("parallel", dense X
        only); at least 1 is kept. None: all ``min(n_samples, n_features)``.
    center : bool
        Take out the means of the columns; X is not copied and stays sparse.
    oversampling : int
        The basis has at least this many columns more than `n_components`.
    random_state : int, Generator or None
        Of the Gaussian start.
    workers : int, optional
        Threads; also limits BLAS for the whole process while `fit` runs.

    Attributes
    ----------
    components_ : ndarray of shape (k, n_features)
        Right singular vectors; the entry of largest modulus of each is positive.
    singular_values_ : ndarray of shape (k,)
        In descending order.
    explained_variance_, explained_variance_ratio_ : ndarray of shape (k,)
        When centred, as PCA has them: squared singular values over ``n_samples - 1``. Else as
        TruncatedSVD has them: the variances of the transformed data. The ratio is that to the
        variance of X.
    mean_ : ndarray of shape (n_features,) or None
        What was taken out.
    n_components_ : int
        How many components there are: k.
    error_, relative_error_ : float
        Frobenius norm of what the components leave of X (centred), and its ratio to the norm of X.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray
        Their names, if they have any.

    Notes
    -----
    Cost: that of `eigenflow.lowrank.svd`, for a rule's name that of all singular values; one more
    product for the transformed data.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data
    >>> model = ef.estimators.RandomizedSVD(0.9, center=True).fit(X)
    >>> model.n_components_
    21
    >>> model.transform(X).shape
    (1797, 21)
    """

    def __init__(
        self,
        n_components: Any = 2,
        *,
        center: bool = False,
        oversampling: int = 10,
        random_state: Any = 0,
        workers: int | None = None,
    ) -> None:
        self.n_components = n_components
        self.center = center
        self.oversampling = oversampling
        self.random_state = random_state
        self.workers = workers

    def fit(self, X: Any, y: Any = None) -> "RandomizedSVD":
        """Find the components.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Data; float32 stays float32.
        y : None
            Ignored.

        Returns
        -------
        RandomizedSVD
            Itself.
        """
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """Find the components and return the data in them.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Data; float32 stays float32.
        y : None
            Ignored.

        Returns
        -------
        ndarray of shape (n_samples, k)
            The same as `transform` gives.
        """
        least = 2 if self.center else 1
        X = self._validated(X, reset=True, ensure_min_samples=least)
        require_count(self.oversampling, "oversampling", least=0)
        found = self._decompose(X)
        self.components_, self.singular_values_ = np.array(found.Vh), found.s
        self.mean_ = None if found.mean is None else found.mean.astype(X.dtype)
        self.n_components_ = found.rank
        self.error_, self.relative_error_ = found.error, found.relative_error
        scores = self._project(X)
        self._explain(X, scores)
        return scores

    def transform(self, X: Any) -> Array:
        """Return data in the components.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            Data.

        Returns
        -------
        ndarray of shape (n_samples, k)
        """
        check_is_fitted(self)
        return self._project(self._validated(X, reset=False))

    def inverse_transform(self, X: Any) -> Array:
        """Return to the space of the data.

        Parameters
        ----------
        X : array_like of shape (n_samples, k)
            Data in the components.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        restored = np.asarray(X) @ self.components_
        return np.asarray(restored if self.mean_ is None else restored + self.mean_)

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _validated(self, X: Any, *, reset: bool, **options: Any) -> Any:
        return validate_data(
            self,
            X,
            reset=reset,
            accept_sparse=["csr", "csc"],
            dtype=[np.float64, np.float32],
            **options,
        )

    def _decompose(self, X: Any) -> SVDResult:
        wanted, most = self.n_components, min(X.shape)
        options: dict[str, Any] = {
            "center": bool(self.center),
            "oversampling": self.oversampling,
            "rng": self.random_state,
            "workers": self.workers,
            "check_finite": False,
        }
        if isinstance(wanted, str) and wanted in _RULES:
            return svd(X, max(1, self._chosen_rank(X, options)), **options)
        if wanted is None:
            return svd(X, most, **options)
        if is_number(wanted) and wanted == int(wanted) and 1 <= wanted <= most:
            return svd(X, int(wanted), **options)
        if is_number(wanted) and 0 < wanted < 1:
            kept = svd(X, rtol=float(np.sqrt(1 - wanted)), **options)
            return kept if kept.rank else svd(X, 1, **options)
        names = ", ".join(repr(rule) for rule in _RULES)
        msg = (
            f"n_components: got {wanted!r}, want an integer from 1 to min(n_samples, n_features) = "
            f"{most}, a share in (0, 1), {names} or None"
        )
        raise ValueError(msg)

    def _chosen_rank(self, X: Any, options: dict[str, Any]) -> int:
        everything = svd(X, **options)
        if self.n_components == "gavish-donoho":
            return select_rank(everything.s, X.shape, "gavish-donoho")
        if sparse.issparse(X):
            msg = "n_components: got 'parallel' with a sparse X, want a dense one or another rule"
            raise ValueError(msg)
        centred = X if everything.mean is None else (X - everything.mean).astype(X.dtype)
        rng = self.random_state
        return select_rank(everything.s, X.shape, "parallel", A=centred, rng=rng)

    def _project(self, X: Any) -> Array:
        scores = np.asarray(X @ self.components_.T)
        if self.mean_ is None:
            return scores
        return np.asarray(scores - self.mean_ @ self.components_.T)

    def _explain(self, X: Any, scores: Array) -> None:
        s = self.singular_values_.astype(np.float64)
        if self.center:
            explained = s**2 / (X.shape[0] - 1)
            total = (np.sum(s**2) + self.error_**2) / (X.shape[0] - 1)
        else:
            explained = scores.var(axis=0, dtype=np.float64)
            total = _variance(X)
        share = explained / total if total > 0 else np.zeros_like(explained)
        self.explained_variance_ = explained.astype(X.dtype)
        self.explained_variance_ratio_ = share.astype(X.dtype)


def _variance(X: Any) -> float:
    """Return the sum of the variances of the columns, without a copy of X."""
    if sparse.issparse(X):
        return float(mean_variance_axis(X, axis=0)[1].sum())
    mean = X.mean(axis=0, dtype=np.float64)
    blocks = (X[begin : begin + _ROWS] for begin in range(0, X.shape[0], _ROWS))
    return float(sum(np.sum((block - mean) ** 2) for block in blocks) / X.shape[0])
