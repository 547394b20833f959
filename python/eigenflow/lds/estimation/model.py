"""A linear system as a function of parameters, with its derivatives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array, as_float_array
from eigenflow.lds.estimation.scoring import FIELDS, ScoreResult, scored
from eigenflow.lds.estimation.transforms import KINDS, Transform
from eigenflow.lds.system import LinearSystem

_STEP = float(np.finfo(np.float64).eps) ** 0.2
_CENTRAL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))
_FORWARD = ((0, -25 / 12), (1, 4.0), (2, -3.0), (3, 4 / 3), (4, -1 / 4))


@dataclass(frozen=True, eq=False)
class StateSpaceModel:
    """Parameters, what they may be, and the linear system that they make.

    Parameters
    ----------
    names : sequence of str
        One for each parameter.
    build : callable
        ``build(params)`` returns a LinearSystem, or the arguments of one as a dict; then the
        parameters may leave their range by a little while derivatives are taken.
    kinds : sequence of str, optional
        For each parameter: "free", "variance" (not negative), or, for neighbours taken together,
        "stationary" and "invertible" (coefficients of an autoregression and of a moving average
        with roots outside the unit circle). All free by default.
    start : callable, optional
        ``start(y)`` returns parameters to start a search from, y of shape (T, p). By default 0,
        and a share of the variance of y for variances.
    em_step : callable, optional
        ``em_step(params, score_result, system)`` returns the parameters after one step of the EM
        algorithm.
    derivatives : callable, optional
        ``derivatives(params)`` returns, for each parameter, a dict of the matrices that depend on
        it and how fast they change. By default by differences of `build`.
    """

    names: tuple[str, ...]
    build: Callable[[Array], LinearSystem | dict[str, Any]]
    kinds: tuple[str, ...] | None = None
    start: Callable[[Array], Array] | None = None
    em_step: Callable[[Array, ScoreResult, LinearSystem], Array] | None = None
    derivatives: Callable[[Array], list[dict[str, Array]]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        kinds = ("free",) * len(self.names) if self.kinds is None else tuple(self.kinds)
        if len(kinds) != len(self.names) or not set(kinds) <= set(KINDS):
            msg = f"kinds: got {kinds}, want one of {', '.join(KINDS)} for each parameter"
            raise ValueError(msg)
        object.__setattr__(self, "kinds", kinds)

    def system(self, params: Any) -> LinearSystem:
        """Return the system at these parameters."""
        made = self.build(self.read(params))
        return LinearSystem(**made) if isinstance(made, dict) else made

    def read(self, params: Any) -> Array:
        """Check the number of parameters; a dict goes by their names."""
        if isinstance(params, dict):
            if set(params) != set(self.names):
                msg = f"params: got the names {sorted(params)}, want {sorted(self.names)}"
                raise ValueError(msg)
            params = [params[name] for name in self.names]
        a = as_float_array(params, "params", ndim=1, dtype=np.float64)
        if a.shape != (len(self.names),):
            msg = f"params: got {a.size} numbers, want {len(self.names)}: {', '.join(self.names)}"
            raise ValueError(msg)
        return a

    def jacobian(self, params: Any) -> list[dict[str, Array]]:
        """Derivative of every matrix of the system, one dict for each parameter.

        Those of the model, or differences of fourth order of the matrices, which are simple
        functions: their relative error is about 1e-13, and where a matrix is linear in a
        parameter, rounding.
        """
        at = self.read(params)
        if self.derivatives is not None:
            return self.derivatives(at)
        out = []
        for i, kind in enumerate(self.transform().kinds):
            h = _STEP * max(abs(at[i]), 1e-3 * float(np.max(np.abs(at), initial=0.0)), 1e-300)
            rule = _FORWARD if kind == "variance" and at[i] < 2 * h else _CENTRAL
            column: dict[str, Array] = {}
            for k, weight in rule:
                moved = at.copy()
                moved[i] += k * h
                for name, value in self._matrices(moved).items():
                    column[name] = column.get(name, 0.0) + weight / h * value
            out.append({name: dx for name, dx in column.items() if np.any(dx)})
        return out

    def score(
        self, params: Any, y: Any, *, inputs: Any = None, workers: int | None = None
    ) -> tuple[float, Array]:
        """Log-likelihood, of all series together, and its exact gradient in the parameters."""
        found = scored(self.system(params), y, inputs, workers, moments=False)
        return float(np.sum(found.log_likelihood)), self.gradient(params, found)

    def gradient(self, params: Any, found: ScoreResult) -> Array:
        """Chain rule from the derivatives in the matrices."""
        return np.array([found.along(change) for change in self.jacobian(params)])

    def start_params(self, y: Array) -> Array:
        """Parameters to start from."""
        if self.start is not None:
            return self.read(self.start(y))
        scale = float(np.nanvar(y)) or 1.0
        n_variances = max(1, self.transform().kinds.count("variance"))
        share = {"variance": scale / n_variances}
        return np.array([share.get(kind, 0.0) for kind in self.transform().kinds])

    def transform(self, scale: float = 1.0) -> Transform:
        """Return the map from unconstrained numbers to the parameters."""
        return Transform(self.kinds or (), scale)

    def _matrices(self, params: Array) -> dict[str, Array]:
        made = self.build(params)
        if isinstance(made, dict):
            parts = {name: made.get(name) for name in FIELDS}
        else:
            parts = {name: getattr(made, name) for name in FIELDS}
        return {k: np.asarray(v, np.float64) for k, v in parts.items() if v is not None}
