"""Section lds: the level of the Nile, how far back to look, and when predictions stay stable."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import scipy.linalg
import scipy.optimize

from eigenflow import lds
from eigenflow.demo import nile
from eigenflow.demo.report import COLOURS, Picture, Section, Table, subplots

N_STEPS = 4

_BAND = 0.9
_TOL = 0.01
_HORIZONS = [10**k for k in range(2, 10)]
_Criterion = Literal["mean", "total", "truncated"]
_CRITERIA: tuple[_Criterion, ...] = ("mean", "total", "truncated")
_TOLERANCES = {"mean": _TOL, "total": 1.0, "truncated": _TOL}
_LABELS = {
    "mean": f"mean excess within {_TOL:.0%}, weights fitted to the length",
    "total": "total excess within one innovation variance",
    "truncated": f"mean excess within {_TOL:.0%}, Kalman filter cut off",
}
_EIGENVALUES = (1.0, 1.1)
_TIMES = (10, 20, 30, 40, 50, 60, 70)
_SIZES = (1, 2, 3, 4, 5, 6, 7)


@dataclass(frozen=True)
class _Level:
    """The local level model of the Nile at its maximum likelihood."""

    system: lds.LinearSystem
    log_likelihood: float
    convention: str
    filtered: Any
    filtered_std: Any
    smoothed: Any
    smoothed_std: Any
    predicted: Any


def run(step: Callable[[str], None]) -> Section:
    """Filter the Nile, search filter lengths, and compute the paper's Figure 1 exactly."""
    step("lds: fit and smooth the level of the Nile")
    level = _nile_level()
    step("lds: search the filter lengths")
    lengths = _lengths(level.system)
    step("lds: compute the risk of Figure 1")
    risks = {eigenvalue: _block_risks(eigenvalue) for eigenvalue in _EIGENVALUES}
    step("lds: draw")
    return Section(
        title="lds",
        question="how many parameters until predictions stay stable?",
        text=(_nile_text(level), _length_text(level, lengths), _risk_text(risks)),
        summary=_summary(level, lengths, risks),
        tables=(_length_table(lengths), _risk_table(risks)),
        pictures=(_nile_picture(level), _length_picture(lengths), _risk_picture(risks)),
    )


def _nile_level() -> _Level:
    y = np.array(nile.FLOW, dtype=np.float64)

    def system(log_variances: Any) -> lds.LinearSystem:
        noise, steps = np.exp(log_variances)
        return lds.LinearSystem(1.0, 1.0, steps, noise)

    def loss(log_variances: Any) -> float:
        return -float(lds.log_likelihood(system(log_variances), y))

    best = scipy.optimize.minimize(
        loss,
        np.log(np.array([0.5, 0.1]) * y.var()),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-11},
    )
    fitted = system(best.x)
    forward = lds.filter(fitted, y, store=("filtered_mean", "filtered_cov", "predicted_mean"))
    both = lds.smooth(fitted, y, store=("smoothed_mean", "smoothed_cov"))
    return _Level(
        system=fitted,
        log_likelihood=float(forward.log_likelihood),
        convention=forward.diffuse_convention.partition(":")[0],
        filtered=forward.filtered_mean[:, 0],
        filtered_std=_std(forward.filtered_cov),
        smoothed=both.smoothed_mean[:, 0],
        smoothed_std=_std(both.smoothed_cov),
        predicted=forward.predicted_mean[:, 0],
    )


def _std(covs: Any) -> Any:
    return np.sqrt(covs.dense()[:, 0, 0])


def _lengths(system: lds.LinearSystem) -> dict[str, list[int]]:
    return {
        criterion: [
            lds.filter_length_for(system, t, tol=_TOLERANCES[criterion], criterion=criterion)
            for t in _HORIZONS
        ]
        for criterion in _CRITERIA
    }


def _block_risks(eigenvalue: float) -> Any:
    """ln(1 + mean risk), one row a horizon, one column a block size."""
    block = eigenvalue * np.eye(4) + np.eye(4, k=1)
    A = scipy.linalg.block_diag(block, 0.4 * np.eye(3))
    system = lds.LinearSystem(A, np.eye(7), np.eye(7), np.zeros((7, 7)))
    return np.array(
        [[lds.risk(system, lds.TopLeftBlock(k), t).log1p_mean for k in _SIZES] for t in _TIMES]
    )


def _one_step_errors(level: _Level, length: int) -> tuple[float, float]:
    """Root mean squares of one-step errors on the Nile: the filter of this length, and Kalman's."""
    y = np.array(nile.FLOW, dtype=np.float64)
    weights = lds.fir_predictor(level.system, length).weights[:, 0, 0]
    predicted = np.convolve(y, weights)[length - 1 : len(y) - 1]
    errors = y[length:] - predicted
    kalman = y[length:] - level.predicted[length:]
    return float(np.sqrt(np.mean(errors**2))), float(np.sqrt(np.mean(kalman**2)))


def _nile_text(level: _Level) -> str:
    noise, steps = float(level.system.R[0, 0]), float(level.system.Q[0, 0])
    return (
        f"The {len(nile.FLOW)} annual flows of the Nile are read as a level that takes random "
        "steps and is measured with noise. The likelihood is largest at noise variance "
        f"{noise:.1f} and step variance {steps:.1f}, where its logarithm is "
        f"{level.log_likelihood:.6f} ({level.convention}). Other conventions for the unknown first "
        "level shift this number, which is why it is named."
    )


def _length_text(level: _Level, lengths: dict[str, list[int]]) -> str:
    length = lengths["mean"][-1]
    fixed, kalman = _one_step_errors(level, length)
    least = lds.min_filter_length(level.system.A, level.system.C)
    return (
        "How many past flows must a predictor with fixed weights read? To keep the mean risk "
        f"bounded for ever, {least}; to be within {_TOL:.0%} of the Kalman filter, at most "
        f"{length}, whatever the horizon. On the flows, {length} weights predict the next year "
        f"with a root mean square error of {fixed:.1f}, the Kalman filter with {kalman:.1f}. Only "
        "the total risk, summed over time, and a Kalman filter that is cut off without fitting its "
        "weights again need a length that grows like the logarithm of the horizon. The paper's "
        "Theorem 4 states that growth for the mean risk, where it does not hold as printed: even "
        "the last flow alone keeps the mean risk bounded."
    )


def _risk_text(risks: dict[float, Any]) -> str:
    A = scipy.linalg.block_diag(np.eye(4) + np.eye(4, k=1), 0.4 * np.eye(3))
    counts = lds.min_parameters(A)
    before, after = risks[1.1][-1, 2], risks[1.1][-1, 3]
    return (
        "The paper's Figure 1: a state of 7 numbers, 4 of them in one chain that does not die out, "
        "and a learner that estimates only the top left k x k block of the transition matrix from "
        "unlimited data. Its risk is computed exactly here, without simulation. It explodes with "
        f"the horizon until k reaches 4 and then collapses: at T = {_TIMES[-1]} and eigenvalue 1.1 "
        f"ln(1 + risk) falls from {before:.2f} to {after:.2f}. These "
        f"{counts.paper_any_perturbation} parameters are enough because the learner knows where "
        "the chain lies. Against every small perturbation of the matrix the count is larger: "
        f"{counts.any_perturbation}."
    )


def _summary(
    level: _Level, lengths: dict[str, list[int]], risks: dict[float, Any]
) -> list[tuple[str, str]]:
    def range_of(criterion: str) -> str:
        return f"{lengths[criterion][0]} to {lengths[criterion][-1]}"

    span = f"T = {_power(_HORIZONS[0])} to {_power(_HORIZONS[-1])}"
    fall = " to ".join(f"{risks[1.1][-1, k]:.2f}" for k in (2, 3))
    return [
        (f"Nile, log-likelihood ({level.convention})", f"{level.log_likelihood:.6f}"),
        (f"filter length for the mean risk, {span}", range_of("mean")),
        (f"filter length for the total risk, {span}", range_of("total")),
        (f"filter length, truncated Kalman, {span}", range_of("truncated")),
        ("Figure 1, ln(1 + risk) from k = 3 to k = 4, eigenvalue 1.1", fall),
    ]


def _power(t: int) -> str:
    return f"1e{round(np.log10(t))}"


def _length_table(lengths: dict[str, list[int]]) -> Table:
    return Table(
        ("criterion", *(f"T = {_power(t)}" for t in _HORIZONS)),
        [(_LABELS[c], *(str(n) for n in lengths[c])) for c in _CRITERIA],
        "Past flows that a fixed filter needs for the Nile model, by three criteria.",
    )


def _risk_table(risks: dict[float, Any]) -> Table:
    rows = [
        (f"{eigenvalue:g}", str(t), *(f"{value:.2f}" for value in row))
        for eigenvalue, table in risks.items()
        for t, row in zip(_TIMES, table, strict=True)
    ]
    return Table(
        ("eigenvalue", "T", *(f"k = {k}" for k in _SIZES)),
        rows,
        "ln(1 + mean risk) of the learner of the top left k x k block, exact.",
    )


def _nile_picture(level: _Level) -> Picture:
    figure, axes = subplots(2, width=9.0, height=3.6)
    years = nile.FIRST_YEAR + np.arange(len(nile.FLOW))
    z = NormalDist().inv_cdf((1 + _BAND) / 2)
    curves = (
        ("filtered: flows up to the year", level.filtered, level.filtered_std, "orange"),
        ("smoothed: all flows", level.smoothed, level.smoothed_std, "blue"),
    )
    for axis, (title, mean, std, colour) in zip(axes, curves, strict=True):
        axis.plot(years, nile.FLOW, ".", color=COLOURS["grey"], markersize=5, label="flow")
        axis.fill_between(
            years,
            mean - z * std,
            mean + z * std,
            color=COLOURS[colour],
            alpha=0.2,
            linewidth=0,
            label=f"{_BAND:.0%} band",
        )
        axis.plot(years, mean, color=COLOURS[colour], label="level")
        axis.set(title=title, xlabel="year", ylim=(300, 1450))
        axis.legend(loc="lower left", ncols=3, fontsize=8, frameon=False)
    axes[0].set_ylabel("flow, $10^8$ m$^3$ a year")
    axes[1].tick_params(labelleft=False)
    return Picture(
        "lds-nile",
        figure,
        f"The level of the Nile with its {_BAND:.0%} band. The smoothed level uses later years as "
        "well: its band is narrower inside the record, and it falls fastest in "
        f"{years[1 + int(np.argmin(np.diff(level.smoothed)))]}.",
    )


def _length_picture(lengths: dict[str, list[int]]) -> Picture:
    figure, axis = subplots(width=7.5, height=3.8)
    colours = {"mean": "green", "total": "orange", "truncated": "blue"}
    markers = {"mean": "o", "total": "s", "truncated": "^"}
    for criterion in reversed(_CRITERIA):
        axis.semilogx(
            _HORIZONS,
            lengths[criterion],
            marker=markers[criterion],
            color=COLOURS[colours[criterion]],
            label=_LABELS[criterion],
        )
    axis.set(
        xlabel="horizon T", ylabel="past flows needed", ylim=(0, 1.35 * lengths["truncated"][-1])
    )
    axis.legend(loc="upper left", fontsize=9, frameon=False)
    return Picture(
        "lds-filter-length",
        figure,
        "Length of a fixed filter for the Nile model against the horizon. For a small mean excess "
        f"{max(lengths['mean'])} flows are enough at every horizon; the other two lengths grow "
        "like log T.",
    )


def _risk_picture(risks: dict[float, Any]) -> Picture:
    from matplotlib import colormaps

    figure, axes = subplots(2, width=9.0, height=3.8)
    shades = colormaps["viridis"](np.linspace(0.9, 0.1, len(_TIMES)))
    for axis, (eigenvalue, table) in zip(axes, risks.items(), strict=True):
        for t, row, shade in zip(_TIMES, table, shades, strict=True):
            axis.plot(_SIZES, row, marker="o", markersize=4, color=shade, label=f"T = {t}")
        axis.axvline(4, color=COLOURS["grey"], linewidth=1, linestyle="--", zorder=0)
        axis.set(
            title=f"eigenvalue {eigenvalue:g}",
            xlabel="block size k ($k^2$ parameters)",
            ylim=(-1, 29),
            xticks=_SIZES,
        )
    axes[0].set_ylabel("ln(1 + mean risk)")
    axes[1].legend(fontsize=8, loc="upper right", frameon=False)
    axes[0].annotate(
        "size of the chain\nthat does not die out",
        (4, 20),
        (4.15, 20),
        fontsize=9,
        color="#555a61",
        va="center",
    )
    return Picture(
        "lds-phase-transition",
        figure,
        "Exact risk of the learner of the top left k x k block, the paper's Figure 1. Below k = 4 "
        "it grows with the horizon, from k = 4 on it stays low at every horizon.",
    )
