"""What explains the entries that exact flow does not reproduce."""

from collections.abc import Callable
from typing import Any

import numpy as np

from adaptivity import settings
from adaptivity.sequence import fit_line, lowest, start_of_b, universal_time
from adaptivity.slopes import Entry, expected_error, slope, theory
from eigenflow import flow

CAPPED = (1, 3.0)  # depth and gamma of the row of Table 2 that falls behind
CAPS = (500.0, 540.0)


def measure(quick: bool, tick: Callable[[], None]) -> dict[str, Any]:
    """Each explanation tried out."""
    n = settings.SLOPE_SAMPLES[::5] if quick else settings.SLOPE_SAMPLES
    capped = {}
    for cap in CAPS:
        for p in settings.POWERS:
            capped[f"{cap:g} {p:g}"] = [capped_slope(p, q, cap, n) for q in settings.MISALIGNMENTS]
            tick()
    depths = []
    for depth in (0, 1, 2):
        entry = Entry(depth, 1.1, 3.0, 1.0)
        depths.append(
            {
                "depth": depth,
                "theory": theory(entry),
                "universal": universal_slope(entry, n),
                "oracle": slope(entry.model(), depth, n),
                "paper": settings.paper_slope(depth, entry.gamma, entry.p, entry.q),
            }
        )
        tick()
    return {"capped": capped, "depths": depths, "rate": [rate_formula(d) for d in (1, 2, 3)]}


def n_ticks(quick: bool) -> int:
    """How often `measure` calls `tick`."""
    return len(CAPS) * len(settings.POWERS) + 3


def capped_slope(p: float, q: float, cap: float, samples: tuple[int, ...]) -> float:
    """Slope when no path is followed beyond a time."""
    depth, gamma = CAPPED
    model = Entry(depth, gamma, p, q).model()
    times = cap * np.exp(-0.05 * np.arange(30)[::-1])
    errors = [lowest(times, expected_error(model, depth, n)(times)).error for n in samples]
    return -fit_line(np.array(samples), np.array(errors))[0]


def universal_slope(entry: Entry, samples: tuple[int, ...]) -> float:
    """Slope at the time that Corollary 3.3 prescribes, with the constant 1."""
    errors = [
        expected_error(entry.model(), entry.depth, n)(np.array([universal_time(n, entry.depth)]))[0]
        for n in samples
    ]
    return -fit_line(np.array(samples), np.array(errors))[0]


def rate_formula(depth: int) -> dict[str, Any]:
    """Rate theta' / (z - theta), from the flow and from equation (34) with depth^2 and depth."""
    z, eigenvalue, b0, time = 0.8, 0.01, start_of_b(100, depth), 5.0
    near = flow.solve(z, eigenvalue, time * (1 + 1e-5 * np.array([-1, 1])), depth=depth, b0=b0)
    state = flow.state(z, eigenvalue, time, depth=depth, b0=b0)
    measured = float(np.diff(near)[0] / (2e-5 * time) / state.residual)
    rest = 1 / state.a**2 + 1 / state.beta**2
    corrected, printed = (
        float(state.theta**2 * (rest + c / state.b**2)) for c in (depth**2, depth)
    )
    return {"depth": depth, "flow": measured, "depth^2": corrected, "printed": printed}
