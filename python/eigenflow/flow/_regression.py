"""What a regression by gradient flow is given, checked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array, as_float_array
from eigenflow._flow_problem import as_times, flow_problem, host_only, require_known
from eigenflow._map_reduce.regression import Columns
from eigenflow._progress import progress_bar
from eigenflow.flow._dual import Report
from eigenflow.flow._features import FeatureMap, as_feature_map
from eigenflow.flow.designs import OrthogonalDesign
from eigenflow.flow.path import Coupling

METHODS = ("auto", "orthogonal", "dual", "primal")


@dataclass(frozen=True, eq=False)
class Regression:
    """Checked arguments of `eigenflow.flow.fit`."""

    y: Any  # as given
    observed: Array
    features: FeatureMap
    eigenvalues: Array
    b0: Array | None
    times: Array
    depth: int
    coupling: Coupling

    @property
    def target(self) -> Array:
        """The targets, float64 in a row."""
        return np.asarray(self.observed.ravel(), np.float64)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of results."""
        return np.result_type(self.observed.dtype, self.features.dtype)

    def columns(self, features: FeatureMap, workers: int) -> Columns:
        """Return all columns, by these products."""
        return Columns(
            features.forward,
            features.adjoint,
            self.observed.size,
            self.eigenvalues,
            self.b0,
            self.depth,
            self.coupling == "separate",
            workers,
            features.matrix,
        )


def regression(
    features: Any,
    y: Any,
    eigenvalues: Any,
    times: Any,
    depth: int,
    b0: Any,
    coupling: Coupling,
    workers: int | None,
    check_finite: bool,
    *,
    least_features: int = 1,
) -> Regression:
    """Check the arguments of `eigenflow.flow.fit`."""
    host_only(features=features, y=y, eigenvalues=eigenvalues, b0=b0)
    require_known(depth, coupling, None, b0)
    observed = targets_of(features, y, check_finite)
    given = as_float_array(eigenvalues, "eigenvalues", check_finite=check_finite)
    made = as_feature_map(
        features,
        n_samples=observed.size,
        n_features=given.size if given.ndim == 1 else None,
        workers=workers,
        check_finite=check_finite,
        least_features=least_features,
    )
    if made.n_samples != observed.size:
        msg = f"y: got {observed.size} samples, want {made.n_samples}, one a row of features"
        raise ValueError(msg)
    start, start_b = _starts(made.n_features, eigenvalues, b0, check_finite)
    return Regression(y, observed, made, start, start_b, as_times(times), depth, coupling)


def require_options(method: Any, rtol: Any, max_steps: Any) -> None:
    """Check the options of the integration."""
    if method not in METHODS:
        msg = f"method: got {method!r}, want 'auto', 'orthogonal', 'dual' or 'primal'"
        raise ValueError(msg)
    if not (np.isscalar(rtol) and 1e-12 <= rtol <= 0.1):  # type: ignore[operator]
        msg = f"rtol: got {rtol!r}, want 1e-12 to 0.1"
        raise ValueError(msg)
    if not (isinstance(max_steps, int | np.integer) and max_steps >= 1):
        msg = f"max_steps: got {max_steps!r}, want a positive integer"
        raise ValueError(msg)


def targets_of(features: Any, y: Any, check_finite: bool) -> Array:
    observed = as_float_array(y, "y", check_finite=check_finite)
    if isinstance(features, OrthogonalDesign) and observed.shape == features.shape:
        return observed
    if observed.ndim != 1:
        msg = (
            f"y: got {observed.ndim} dimensions (shape {observed.shape}), want 1; "
            "several outputs are several fits"
        )
        raise ValueError(msg)
    if observed.size == 0:
        msg = "y: got no samples, want at least one"
        raise ValueError(msg)
    return observed


def _starts(p: int, eigenvalues: Any, b0: Any, check_finite: bool) -> tuple[Array, Array | None]:
    """Eigenvalues and b0 of all coordinates, checked."""
    problem = flow_problem(np.zeros(p), eigenvalues, b0, check_finite, name="coefficients")
    if problem.shape != (p,):
        msg = f"eigenvalues: got shape {problem.shape} with b0, want one or {p}, one a feature"
        raise ValueError(msg)
    given = [np.ascontiguousarray(a, np.float64) for a in problem.arrays[1:]]
    return given[0], given[1] if b0 is not None else None


@contextmanager
def reporting(progress: bool) -> Iterator[Report]:
    """Give what shows the steps."""
    if not progress:
        yield lambda n_steps, time: None
        return
    with progress_bar(unit=" steps") as bar:

        def report(n_steps: int, time: float) -> None:
            bar.update(n_steps - bar.n)
            bar.set_postfix_str(f"time {time:.4g}")

        yield report
