"""The experiments: exact risks, counts and lengths, and one run on simulated trajectories."""

import math
from typing import Any

import numpy as np

from eigenflow import lds
from stability import settings


def figure_1(quick: bool) -> dict[str, Any]:
    """ln(1 + mean risk) of the learner of the top left block, exact and from trajectories."""
    panels = []
    for eigenvalue in settings.EIGENVALUES:
        system = settings.observed(settings.figure_1(eigenvalue))
        sweep = lds.phase_sweep(system, lds.TopLeftBlock, settings.SIZES, settings.HORIZONS)
        long = lds.phase_sweep(system, lds.TopLeftBlock, settings.SIZES, settings.LONG_HORIZONS)
        panels.append(
            {
                "eigenvalue": eigenvalue,
                "exact": sweep.log1p_mean.tolist(),
                "from data": _from_trajectories(system, quick),
                "log mean": np.maximum(long.log_mean, -1e300).tolist(),
                "growth": np.minimum(long.growth[:, -1], 1e300).tolist(),
                "transition": sweep_transition(long),
            }
        )
    return {"panels": panels}


def sweep_transition(sweep: lds.PhaseSweep) -> int:
    """Count from which on the risk is bounded, 0 for none."""
    return sweep.transition_count or 0


def _from_trajectories(system: lds.LinearSystem, quick: bool) -> list[list[float]]:
    """The paper's experiment: estimate the block from trajectories, then its exact risk."""
    n_series = 500 if quick else settings.TRAJECTORIES
    start = lds.LinearSystem(system.A, system.C, system.Q, system.R, cov0=system.Q)
    table = np.empty((len(settings.SIZES), 2))
    for j, horizon in enumerate((settings.HORIZONS[0], settings.HORIZONS[-1])):
        states = lds.simulate(start, horizon, n_series=n_series, rng=j).states
        for i, size in enumerate(settings.SIZES):
            fitted = lds.TopLeftBlock(size).fit(states)
            table[i, j] = lds.risk(system, fitted, horizon).log1p_mean
    return table.tolist()


def counts(quick: bool) -> dict[str, Any]:
    """The paper's two counts beside the sharp ones."""
    rows = []
    for name, A in settings.COUNTED.items():
        found = lds.min_parameters(A)
        rows.append(
            {
                "name": name,
                "n": found.state_dim,
                "k": found.unstable_dim,
                "paper": [found.paper_any_perturbation, found.paper_fixed_spectrum],
                "sharp": [found.any_perturbation, found.fixed_spectrum, found.linear_class],
            }
        )
    return {"rows": rows, "counterexample": _counterexample()}


def _counterexample() -> dict[str, Any]:
    """Mean risk of 1.2 I, without any parameter, for diag(1.2, 1.2, .4) in a random basis."""
    V = np.random.default_rng(0).standard_normal((3, 3))
    system = settings.observed(np.linalg.solve(V, np.diag([1.2, 1.2, 0.4]) @ V))
    horizons = [10, 20, 40, 80]
    learners = {"1.2 I": 1.2 * np.eye(3), "1.19 I": 1.19 * np.eye(3)}
    return {"horizons": horizons} | {
        name: [lds.risk(system, lds.FixedTransition(B), t).mean for t in horizons]
        for name, B in learners.items()
    }


def walk(quick: bool) -> dict[str, Any]:
    """The noisy random walk: bounded and unbounded risks, and lengths by three criteria."""
    horizons = [10**k for k in range(2, 13)]
    learners = {
        "last value, h = 1": lds.FirFilter([1.0]),
        "best of length 4": lds.fir_predictor(settings.WALK, 4),
        "Kalman cut off, h = 4": lds.truncated_kalman(settings.WALK, 4),
        "Kalman cut off, h = 16": lds.truncated_kalman(settings.WALK, 16),
        "smoothing, gain 0.3": lds.exponential_smoothing(0.3),
    }
    risks = {
        name: [lds.risk(settings.WALK, learner, t).mean for t in horizons]
        for name, learner in learners.items()
    }
    return {"horizons": horizons, "risks": risks, "lengths": [_lengths(*w) for w in settings.WALKS]}


def _lengths(ratio: float, horizon: int) -> dict[str, Any]:
    system = lds.LinearSystem(1.0, 1.0, ratio, 1.0)
    log_rho = -2 * math.asinh(math.sqrt(ratio) / 2)
    tol = settings.TOLERANCE
    return {
        "ratio": ratio,
        "horizon": horizon,
        "rho": math.exp(log_rho),
        "printed": math.log(horizon) / abs(math.log(-math.expm1(log_rho))),
        "mean": lds.filter_length_for(system, horizon, tol=tol),
        "total": lds.filter_length_for(system, horizon, tol=1.0, criterion="total"),
        "truncated": lds.filter_length_for(system, horizon, tol=tol, criterion="truncated"),
        "estimated": lds.best_filter_length(system, horizon),
    }


def filters(quick: bool) -> dict[str, Any]:
    """Mean excess of the best fixed filter below and at the observability index."""
    rows = []
    for name, system in settings.FILTERED.items():
        index = lds.min_filter_length(system.A, system.C)
        for length in range(max(1, index - 1), index + 1):
            excess = [lds.fir_predictor(system, length, horizon=10**k).excess for k in (4, 6)]
            limit = lds.fir_predictor(system, length).excess if length >= index else None
            row = {"name": name, "index": index, "length": length, "excess": excess, "limit": limit}
            rows.append(row)
    margins = [
        {"name": name, "horizon": lds.stability_margins(A).representable_horizon}
        for name, A in {
            "J1(1)": settings.jordan(1, 1.0),
            "J2(1)": settings.jordan(2, 1.0),
            "J3(1)": settings.jordan(3, 1.0),
            "J4(1)": settings.jordan(4, 1.0),
            "1.1": np.array([[1.1]]),
        }.items()
    ]
    return {"rows": rows, "margins": margins}
