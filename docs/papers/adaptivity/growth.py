"""Figures 2 and 4: the learned eigenvalues grow where there is signal, at depth 0, 1 and 3."""

from collections.abc import Callable
from typing import Any

import numpy as np

from adaptivity import settings
from adaptivity.sequence import Array, SequenceModel, start_of_b, universal_time
from eigenflow import flow

DEPTHS = tuple(settings.GROWTH_END)


def measure(quick: bool, tick: Callable[[], None]) -> dict[str, Any]:
    """Error curves over repetitions, and eigenvalue terms a b^depth of one draw at three times."""
    model = SequenceModel(
        settings.P, settings.Q, settings.GROWTH_GAMMA, settings.GROWTH_COORDINATES
    )
    return {"depths": [_one_depth(model, depth, quick, tick) for depth in DEPTHS]}


def n_ticks(quick: bool) -> int:
    """How often `measure` calls `tick`."""
    return len(DEPTHS) * _repetitions(quick)


def _repetitions(quick: bool) -> int:
    return 3 if quick else settings.GROWTH_REPETITIONS


def _one_depth(
    model: SequenceModel, depth: int, quick: bool, tick: Callable[[], None]
) -> dict[str, Any]:
    n = settings.GROWTH_SAMPLES
    times = np.linspace(0, settings.GROWTH_END[depth], 101)
    curves = []
    for repetition in range(_repetitions(quick)):
        z = model.observe(n, np.random.default_rng([n, repetition]))
        path = flow.solve(z, model.eigenvalues, times, depth=depth, b0=start_of_b(n, depth))
        curves.append(np.sum((path - model.signal) ** 2, axis=1))
        tick()
    return {
        "depth": depth,
        "universal_time": universal_time(n, depth),
        "times": times.tolist(),
        "error": np.mean(curves, axis=0).tolist(),
        "error_sd": np.std(curves, axis=0, ddof=1).tolist(),
        "snapshots": [_snapshot(model, depth, t) for t in settings.GROWTH_SNAPSHOTS[depth]],
    }


def _snapshot(model: SequenceModel, depth: int, time: float) -> dict[str, Any]:
    terms = eigenvalue_terms(model, depth, time)
    start = np.sqrt(model.eigenvalues) * (start_of_b(settings.GROWTH_SAMPLES, depth) or 1) ** depth
    first, last = settings.GROWTH_SHOWN
    shown = slice(first - 1, last)
    signal = np.abs(model.signal[shown])
    reached = terms[shown][signal > 0] / scaled_signal(signal[signal > 0], depth)
    grown = (terms / start)[shown][signal == 0]
    return {
        "time": time,
        "terms": terms[shown].tolist(),
        "signal_least_share": float(reached.min()),
        "noise_median_growth": float(np.median(grown)),
        "noise_most_growth": float(grown.max()),
        "gap": float(terms[shown][signal > 0].min() / terms[shown][signal == 0].max()),
    }


def eigenvalue_terms(model: SequenceModel, depth: int, time: float) -> Array:
    """Terms a b^depth, whose square is the learned eigenvalue, of the first draw."""
    n = settings.GROWTH_SAMPLES
    z = model.observe(n, np.random.default_rng([n, 0]))
    state = flow.state(z, model.eigenvalues, time, depth=depth, b0=start_of_b(n, depth))
    return np.sqrt(state.learned_eigenvalues)


def scaled_signal(signal: Array, depth: int) -> Array:
    """|signal|^((depth + 1) / (depth + 2)), where Proposition 3.4 puts the terms of a signal."""
    return np.abs(signal) ** ((depth + 1) / (depth + 2))
