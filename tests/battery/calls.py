"""One small, well-formed call of every public function: what the rows of the battery vary."""

import dataclasses
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import eigenflow as ef

_RNG = np.random.default_rng(7)


def grid(*shape: int, low: float = 0.25, high: float = 2.0) -> np.ndarray:
    """Draw multiples of 1/64, which every float type holds exactly."""
    return np.round(_RNG.uniform(low, high, shape) * 64) / 64


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """A public function with arguments that it takes.

    `arrays` are the array arguments that rows replace by hostile ones, `scalars` the numbers,
    `fixed` all else. `run` takes all of them by name; by default it is the function itself.
    """

    name: str
    arrays: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    scalars: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    run: Callable[..., Any] | None = None
    called: Mapping[str, str] = dataclasses.field(default_factory=dict)  # the name in messages

    def __str__(self) -> str:
        return self.name

    @property
    def function(self) -> Callable[..., Any]:
        return operator.attrgetter(self.name)(ef)

    def takes(self, keyword: str) -> bool:
        """Tell whether the function has this keyword, such as `workers` or `check_finite`."""
        return keyword in inspect.signature(self.function).parameters

    def __call__(self, **changed: Any) -> Any:
        run = self.function if self.run is None else self.run
        return run(**{**self.arrays, **self.scalars, **self.fixed, **changed})


def outputs(result: Any) -> Iterator[Any]:
    """Walk over the arrays, numbers and strings that a result is made of."""
    if isinstance(result, np.ndarray | np.generic | float | int | str | None):
        yield result
    elif dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            yield from outputs(getattr(result, field.name))
    elif isinstance(result, Mapping):
        for value in result.values():
            yield from outputs(value)
    elif isinstance(result, list | tuple):
        for value in result:
            yield from outputs(value)
    elif hasattr(result, "toarray"):
        yield result.toarray()


def same_bits(a: Any, b: Any) -> bool:
    """Tell whether two results are equal to the last bit; NaN equals NaN."""
    left, right = list(outputs(a)), list(outputs(b))
    return len(left) == len(right) and all(_same(x, y) for x, y in zip(left, right, strict=True))


def _same(x: Any, y: Any) -> bool:
    if x is None or isinstance(x, str):
        return bool(x == y)
    x, y = np.asarray(x), np.asarray(y)
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


Z, EIGENVALUES, TIMES = grid(6, low=-2.0), np.sort(grid(6))[::-1].copy(), grid(3, high=4.0)
FEATURES, RESPONSE = grid(7, 4, low=-1.0), grid(7, low=-1.0)
TALL, SQUARE, SYMMETRIC = grid(12, 8, low=-1.0), grid(5, 5, low=-1.0), grid(8, 8, low=-1.0)
SYMMETRIC = SYMMETRIC + SYMMETRIC.T
U, V, X = grid(10, 2, low=-1.0), grid(8, 2, low=-1.0), grid(8, 3, low=-1.0)
SERIES = grid(24, low=-1.0)
A = np.array([[0.875, 0.25], [0.0, 0.5]])
C, Q, R = np.array([[1.0, 0.5]]), np.eye(2) / 4, np.eye(1) / 2
SYSTEM = ef.lds.LinearSystem(A, C, Q, R)
OPERATOR = ef.sine.SineLowRank(U, V, 2.0)
FIELDS = ("filtered_mean", "filtered_cov", "innovations", "log_likelihood_terms")

_flow = {"arrays": {"z": Z, "eigenvalues": EIGENVALUES, "times": TIMES}, "fixed": {"depth": 1}}
_b0 = {"b0": 0.25}


def _flow_call(name: str, **changed: Any) -> Call:
    arrays = _flow["arrays"] | changed.pop("arrays", {})
    return Call(name, arrays, _b0 | changed.pop("scalars", {}), _flow["fixed"] | changed)


FLOW = [
    _flow_call("flow.solve"),
    _flow_call("flow.state"),
    _flow_call("flow.derivatives"),
    _flow_call("flow.jvp", tangents={"z": np.ones(6)}),
    _flow_call("flow.vjp", arrays={"grad_output": grid(3, 6)}),
    _flow_call("flow.sure", scalars={"noise_variance": 0.25}),
    Call("flow.vanilla", _flow["arrays"]),
    Call(
        "flow.learned_eigenvalues", {"theta": Z / 4, "eigenvalues": EIGENVALUES}, _b0, {"depth": 1}
    ),
    Call(
        "flow.expected_risk",
        {"signal": Z, "eigenvalues": EIGENVALUES, "times": TIMES},
        {"noise_variance": 0.25},
    ),
    Call(
        "flow.hitting_time",
        {"fraction": grid(6, high=0.75), "z": Z, "eigenvalues": EIGENVALUES},
        _b0,
        {"depth": 1},
    ),
    Call(
        "flow.descend",
        {"z": Z, "eigenvalues": EIGENVALUES},
        {"step_size": 0.125, "n_steps": 5, "b0": 0.25},
        {"depth": 1},
    ),
    Call(
        "flow.landweber", {"z": Z, "eigenvalues": EIGENVALUES}, {"step_size": 0.125, "n_steps": 5}
    ),
    Call(
        "flow.stopping_time",
        {"z": Z, "eigenvalues": EIGENVALUES},
        {"noise_variance": 0.25, "b0": 0.25},
        {"depth": 1},
    ),
    Call("flow.universal_choice", scalars={"noise_variance": 0.25}, fixed={"depth": 1}),
    Call("flow.diagonal_network", {"z": Z, "scale": grid(6), "times": TIMES}),
    Call(
        "flow.misalignment_report",
        {"coefficients": Z, "eigenvalues": EIGENVALUES},
        {"noise_variance": 0.25, "b0": 0.25},
        {"depth": 1},
    ),
    Call("flow.signal_set", {"coefficients": Z}, {"level": 0.5}),
    Call("flow.signal_size", {"coefficients": Z, "levels": TIMES}),
    Call("flow.tail_energy", {"coefficients": Z, "levels": TIMES}),
    Call("flow.signal_span", {"coefficients": Z, "levels": TIMES}),
    Call("flow.span_exponent", {"coefficients": grid(40, low=0.25, high=4.0)}),
    Call("flow.effective_span_dimension", {"coefficients": Z}, {"noise_variance": 0.25}),
    Call(
        "flow.fit",
        {"features": FEATURES, "y": RESPONSE, "eigenvalues": EIGENVALUES[:4], "times": TIMES},
        _b0,
        {"depth": 1},
    ),
    *(
        Call(
            f"flow.{design}.{way}",
            {argument: SERIES.reshape(4, 6)},
            run=lambda x=None, design=design, way=way, argument=argument, **o: getattr(
                getattr(ef.flow, design)((4, 6)), way
            )(o.pop(argument), **o),
        )
        for design in ("CosineDesign", "FourierDesign", "HaarDesign", "WaveletDesign")
        for way, argument in (("analysis", "y"), ("synthesis", "theta"))
    ),
]

_keep = {"rank": 3}
LOWRANK = [
    Call("lowrank.svd", {"A": TALL}, _keep, {"rng": 0}),
    Call("lowrank.eigh", {"A": SYMMETRIC}, _keep, {"rng": 0}),
    Call("lowrank.pivoted_qr", {"A": TALL}, _keep, {"rng": 0}),
    Call("lowrank.interpolative", {"A": TALL}, _keep, {"rng": 0}),
    Call("lowrank.range_finder", {"A": TALL}, {"size": 3}, {"rng": 0}),
    Call(
        "lowrank.svd_many",
        {"matrix": TALL},
        run=lambda matrix, **o: ef.lowrank.svd_many([matrix, TALL], 3, **o),
        called={"matrix": "matrices[0]"},
    ),
    Call(
        "lowrank.select_rank",
        {"s": np.sort(grid(8))[::-1].copy()},
        {"share": 0.75},
        {"shape": (12, 8)},
    ),
    Call(
        "lowrank.allocate_ranks",
        {"spectrum": np.sort(grid(8))[::-1].copy(), "importance": grid(2)},
        {"share": 0.75},
        run=lambda spectrum, importance, share: ef.lowrank.allocate_ranks(
            [spectrum, [2.0, 1.0]], importance, share=share
        ),
        called={"spectrum": "spectra[0]"},
    ),
    Call("lowrank.perturb", {"W_base": grid(6, 5), "W_free": grid(6, 5)}),
    Call(
        "lowrank.perturb_layers",
        {"W_base": grid(6, 5), "W_free": grid(6, 5), "importance": grid(1)},
        {"share": 0.75},
        run=lambda W_base, W_free, importance, **o: ef.lowrank.perturb_layers(
            [W_base], [W_free], importance, **o
        ),
        called={"W_base": "W_base[0]", "W_free": "W_free[0]"},
    ),
    Call(
        "lowrank.prune",
        {"left": grid(6, 2), "right": grid(2, 5)},
        {"share": 0.5},
        run=lambda left, right, **o: ef.lowrank.prune([[(left, right)]], **o),
        called={"left": "tasks[0][0][0]", "right": "tasks[0][0][1]"},
    ),
    Call("lowrank.pruning_share", scalars={"growth": 1.5, "budget": 0.25}),
    *(
        Call(
            f"lowrank.{name}",
            {"gradient": grid(6, 5, low=-1.0)},
            run=lambda gradient, name=name, **o: getattr(ef.lowrank, name)([[gradient]], **o),
            called={"gradient": "gradients[0][0]"},
        )
        for name in ("gradient_importance", "gradient_moments")
    ),
    Call("lowrank.activation_factor", {"inputs": TALL}),
    Call(
        "lowrank.weighted_factors",
        {"A": TALL, "row_weights": grid(12), "col_factor": np.tril(grid(8, 8))},
        _keep,
        {"rng": 0},
    ),
]

SINE = [
    Call("sine.SineLowRank", {"U": U, "V": V}, {"omega": 2.0}),
    *(
        Call(
            f"sine.SineLowRank.{name}",
            {argument: values},
            run=lambda name=name, argument=argument, **o: getattr(OPERATOR, name)(
                o.pop(argument), **o
            ),
        )
        for name, argument, values in (
            ("matmat", "X", X),
            ("matvec", "X", X[:, 0].copy()),
            ("rmatmat", "Y", grid(10, 3)),
            ("rmatvec", "Y", grid(10)),
        )
    ),
    Call(
        "sine.SineLowRank.vjp",
        {"X": X, "grad_output": grid(10, 3)},
        run=lambda **o: OPERATOR.vjp(**o),
    ),
    Call(
        "sine.SineLowRank.jvp",
        {"X": X, "tangent": U},
        run=lambda X, tangent, **o: OPERATOR.jvp(X, {"U": tangent}, **o),
        called={"tangent": "tangents['U']"},
    ),
    Call("sine.SineLowRank.toarray", run=lambda **o: OPERATOR.toarray(**o)),
    Call("sine.SineLowRank.stable_rank", run=lambda **o: OPERATOR.stable_rank(rng=0, **o)),
    Call("sine.fit", {"W": TALL}, _keep, {"max_iterations": 5}),
    Call("sine.choose_frequency", {"U": U, "V": V}, {"target": 0.5}, {"rng": 0}),
    Call("sine.quantize", {"factor": U}, {"bits": 4}),
    Call(
        "sine.QuantizedSine.matmat",
        {"X": X},
        run=lambda **o: ef.sine.QuantizedSine(
            ef.sine.quantize(U, 4), ef.sine.quantize(V, 4), 2.0
        ).matmat(**o),
    ),
]

_system = {"system": SYSTEM}
_fir = ef.lds.fir_predictor(SYSTEM, 3)
LDS = [
    Call("lds.LinearSystem", {"A": A, "C": C, "Q": Q, "R": R}),
    Call("lds.filter", {"y": SERIES}, {}, _system | {"store": FIELDS}),
    Call("lds.smooth", {"y": SERIES}, {}, _system),
    Call("lds.log_likelihood", {"y": SERIES}, {}, _system),
    Call("lds.forecast", {"y": SERIES}, {"steps": 3}, _system),
    Call("lds.diagnose", {"y": SERIES}, {"lags": 5}, _system),
    Call("lds.standardized_residuals", {"y": SERIES}, {}, _system),
    Call("lds.score", {"y": SERIES}, {}, _system),
    Call(
        "lds.filter_blocks",
        {"block": SERIES},
        {},
        _system,
        run=lambda system, block, **o: list(ef.lds.filter_blocks(system, [block, SERIES], **o)),
        called={"block": "blocks[0]"},
    ),
    Call("lds.steady_state", {}, {}, _system),
    Call("lds.simulate", {}, {"n_steps": 9}, _system | {"rng": 0}),
    Call("lds.fit", {"y": SERIES}, {}, {"model": ef.lds.local_level(), "max_iterations": 4}),
    Call("lds.identify", {"y": grid(120, low=-1.0)}, {"state_dim": 1, "lags": 4}),
    Call("lds.fit_filter", {"y": SERIES}, {"length": 2}),
    Call("lds.fit_arx", {"y": SERIES, "inputs": grid(24, low=-1.0)}, {"length": 2}),
    Call("lds.fit_smoothing", {"y": SERIES}),
    Call("lds.min_filter_length", {"A": A, "C": C}),
    Call("lds.filter_length_for", {}, {"horizon": 9, "tol": 0.125}, _system),
    Call("lds.best_filter_length", {}, {"horizon": 9}, _system),
    Call("lds.fir_predictor", {}, {"length": 3}, _system),
    Call("lds.truncated_kalman", {}, {"length": 3}, _system),
    Call("lds.risk", {}, {"horizon": 9}, _system | {"learner": _fir}),
    Call(
        "lds.simulated_risk",
        {},
        {"horizon": 9},
        _system | {"learner": _fir, "n_series": 8, "rng": 0},
    ),
    Call("lds.kl_divergence", {}, {"horizon": 9}, _system | {"learner": _fir}),
    Call(
        "lds.phase_sweep",
        {},
        {},
        _system | {"learner": ef.lds.fir_predictor, "counts": [1, 2], "horizons": [4, 8]},
    ),
    Call("lds.stability_margins", {"A": A}),
    Call("lds.unstable_structure", {"A": A}),
    Call("lds.min_parameters", {"A": A}),
    Call("lds.kalman_predictor", {}, {}, _system),
    Call("lds.balanced_predictor", {}, {"order": 1}, _system),
    Call("lds.exponential_smoothing", {}, {"gain": 0.5}),
    Call(
        "lds.RecursivePredictor.predict",
        {"y": SERIES},
        run=lambda y: ef.lds.exponential_smoothing(0.5).predict(y),
    ),
    Call("lds.free_matrices", {}, {}, _system),
    Call("lds.arma", {}, {"p": 1, "q": 1}),
    Call("lds.structural", {}, {"seasonal": 4}),
    Call("lds.local_level"),
    Call("lds.local_linear_trend"),
    Call("lds.full_matrix", {}, {"state_dim": 2}),
]

CALLS = [*FLOW, *LOWRANK, *SINE, *LDS]
