"""Tables 1 and 2: how fast the expected error at its best stopping time falls with n."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from adaptivity import settings
from adaptivity.sequence import (
    Array,
    SequenceModel,
    Stop,
    find_stop,
    fit_line,
    start_of_b,
    universal_time,
)
from adaptivity.sum_rule import compress
from eigenflow import flow


@dataclass(frozen=True)
class Entry:
    """One entry of the tables."""

    depth: int
    gamma: float
    p: float
    q: float

    def model(self, scale: float = 1.0) -> SequenceModel:
        """Return the sequence model behind the entry."""
        return SequenceModel(self.p, self.q, self.gamma, settings.N_COORDINATES, scale)


def entries() -> Iterator[Entry]:
    """All 81 entries, in the order of the tables."""
    for key in product((0, 1, 2), settings.GAMMAS, settings.POWERS, settings.MISALIGNMENTS):
        yield Entry(*key)


def measure(quick: bool, tick: Callable[[], None]) -> dict[str, Any]:
    """Slope, oracle times and errors of every entry."""
    rows = []
    for entry in entries():
        stops = [*oracle_stops(entry.model(), entry.depth, samples(quick), tick)]
        rows.append(_row(entry, samples(quick), stops))
        tick()
    return {"n": list(samples(quick)), "entries": rows}


def n_ticks(quick: bool) -> int:
    """How often `measure` calls `tick`."""
    return len(settings.SLOPES) * 9 * (len(samples(quick)) + 1)


def samples(quick: bool) -> tuple[int, ...]:
    """Values of n."""
    return settings.SLOPE_SAMPLES[::5] if quick else settings.SLOPE_SAMPLES


def oracle_stops(
    model: SequenceModel, depth: int, samples: tuple[int, ...], tick: Callable[[], None]
) -> Iterator[Stop]:
    """Least expected error for each n; each search starts where the last one ended."""
    guess, near = universal_time(samples[0], depth), False
    previous = samples[0]
    for n in samples:
        guess *= universal_time(n, depth) / universal_time(previous, depth)
        stop = find_stop(expected_error(model, depth, n), guess, near=near)
        guess, near, previous = stop.time, True, n
        yield stop
        tick()


def expected_error(model: SequenceModel, depth: int, n: int) -> Callable[[Array], Array]:
    """Expected error as a function of time."""
    few = compress(model)

    def error_at(times: Array) -> Array:
        terms = flow.expected_risk(
            few.signal,
            few.eigenvalues,
            times,
            1 / n,
            depth=depth,
            b0=start_of_b(n, depth),
            axis=(),
            rtol=1e-5,
        )
        return np.asarray(terms @ few.weights)

    return error_at


def slope(model: SequenceModel, depth: int, samples: tuple[int, ...]) -> float:
    """-slope of ln error against ln n, the number that the tables hold."""
    errors = np.array([s.error for s in oracle_stops(model, depth, samples, lambda: None)])
    return -fit_line(np.array(samples), errors)[0]


def theory(entry: Entry) -> float:
    """Exponent of Theorems 3.1 and 3.2, logarithms left out."""
    return min(entry.p / (entry.p + 1), 1 - 1 / ((entry.depth + 2) * entry.gamma))


def sampling_error(
    entry: Entry, samples: tuple[int, ...], stop: Stop, *, repetitions: int = 32
) -> float:
    """Standard error of a slope that is fitted to means of 256 repetitions, as the paper's are.

    The spread of the error between repetitions is taken at the middle n, from a few of them.
    """
    n, model = samples[len(samples) // 2], entry.model()
    z = np.array([model.observe(n, np.random.default_rng([n, r])) for r in range(repetitions)])
    b0 = start_of_b(n, entry.depth)
    theta = flow.solve(z, model.eigenvalues, stop.time, depth=entry.depth, b0=b0)
    errors = np.sum((theta - model.signal) ** 2, axis=1)
    of_one_mean = np.std(errors, ddof=1) / np.mean(errors) / np.sqrt(settings.SLOPE_REPETITIONS)
    count = len(settings.SLOPE_SAMPLES)
    return float(of_one_mean / np.std(np.log(settings.SLOPE_SAMPLES)) / np.sqrt(count))


def _row(entry: Entry, samples: tuple[int, ...], stops: list[Stop]) -> dict[str, Any]:
    n = np.array(samples)
    errors, times = np.array([s.error for s in stops]), np.array([s.time for s in stops])
    paper = settings.paper_slope(entry.depth, entry.gamma, entry.p, entry.q)
    exact = -fit_line(n, errors)[0]
    return {
        "depth": entry.depth,
        "gamma": entry.gamma,
        "p": entry.p,
        "q": entry.q,
        "theory": theory(entry),
        "paper": paper,
        "exact": exact,
        "difference": exact - paper,
        "paper_standard_error": sampling_error(entry, samples, stops[len(stops) // 2]),
        "time_exponent": fit_line(n, times)[0],
        "errors": errors.tolist(),
        "times": times.tolist(),
    }
