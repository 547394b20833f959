"""Figures 1 and 3: error at the oracle stopping time, and that time, against n."""

from collections.abc import Callable
from typing import Any

import numpy as np

from adaptivity import settings
from adaptivity.sequence import Array, SequenceModel, Stop, fit_line, lowest, universal_time
from eigenflow import flow

METHODS = ("adaptive", "vanilla")
STEP = 1.1  # ratio of neighbouring times; the parabola through three of them does the rest


def measure(quick: bool, tick: Callable[[], None]) -> dict[str, Any]:
    """Mean and standard deviation over repetitions of the least error and of its time."""
    return {"columns": [_column(setting, quick, tick) for setting in settings.RATE_SETTINGS]}


def n_ticks(quick: bool) -> int:
    """How often `measure` calls `tick`."""
    return len(settings.RATE_SETTINGS) * len(samples(quick))


def samples(quick: bool) -> tuple[int, ...]:
    """Values of n."""
    return settings.RATE_SAMPLES[::4] if quick else settings.RATE_SAMPLES


def _column(setting: settings.RateSetting, quick: bool, tick: Callable[[], None]) -> dict[str, Any]:
    model = SequenceModel(settings.P, settings.Q, setting.gamma, setting.n_coordinates)
    repetitions = 8 if quick else settings.REPETITIONS
    stops: dict[str, list[list[Stop]]] = {name: [] for name in (*METHODS, "vanilla, capped")}
    for n in samples(quick):
        trials = [trial(model, n, repetition) for repetition in range(repetitions)]
        for name, listed in stops.items():
            listed.append([t[name] for t in trials])
        tick()
    return {
        "gamma": setting.gamma,
        "n": list(samples(quick)),
        "repetitions": repetitions,
        **{name: _summary(np.array(samples(quick)), listed) for name, listed in stops.items()},
    }


def trial(model: SequenceModel, n: int, repetition: int) -> dict[str, Stop]:
    """Oracle stops of one draw of the noise, the same draw for all methods."""
    z = model.observe(n, np.random.default_rng([n, repetition]))
    signal, eigenvalues = model.signal, model.eigenvalues
    times = _grid(universal_time(n, 0), 0.1, 12)
    adaptive = _loss(flow.solve(z, eigenvalues, times), signal)
    fixed_times = _grid(vanilla_time(model, n), 0.005, 20)
    fixed = _loss(flow.vanilla(z, eigenvalues, fixed_times), signal)
    allowed = fixed_times <= settings.VANILLA_TIME_CAP
    return {
        "adaptive": lowest(times, adaptive),
        "vanilla": lowest(fixed_times, fixed),
        "vanilla, capped": lowest(fixed_times[allowed], fixed[allowed]),
    }


def vanilla_time(model: SequenceModel, n: int) -> float:
    """Order of the best time with fixed eigenvalues, n^(q gamma / (p + q))."""
    return float(n ** (model.q * model.gamma / (model.p + model.q)))


def _grid(centre: float, low: float, high: float) -> Array:
    return centre * STEP ** np.arange(
        np.floor(np.log(low) / np.log(STEP)), np.log(high) / np.log(STEP)
    )


def _loss(path: Array, signal: Array) -> Array:
    path -= signal
    return np.einsum("tj,tj->t", path, path)


def _summary(n: Array, stops: list[list[Stop]]) -> dict[str, Any]:
    errors = np.array([[s.error for s in row] for row in stops])
    times = np.array([[s.time for s in row] for row in stops])
    return {
        "error": {"mean": errors.mean(1).tolist(), "sd": errors.std(1, ddof=1).tolist(),
                  "line": fit_line(n, errors.mean(1))},
        "time": {"mean": times.mean(1).tolist(), "sd": times.std(1, ddof=1).tolist(),
                 "line": fit_line(n, times.mean(1))},
    }  # fmt: skip
