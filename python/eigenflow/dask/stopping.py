"""When to stop the flow of coordinates that are blocks of Dask arrays."""

from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow.dask import coordinates
from eigenflow.flow.risk import sure
from eigenflow.flow.stopping import CHUNK, Noise, bounds, search_of

_PANEL = (66.0, 66.0 * CHUNK)  # bytes of `bounds` besides its block: see `Need`
_SETTINGS = ("rule", "points_per_decade", "tau", "axis")


def stopping_time(function: Any, given: dict[str, Any], lead: str | None) -> Any:
    """Return one time for all coordinates, by reads of them; by `axis`, lazy times."""
    search = search_of(given["rule"], given["points_per_decade"], given["tau"])
    if given["axis"] is not None:
        return coordinates.run_whole(function, given)
    return search(_Everywhere(given))


class _Everywhere:
    """Coordinates that stop together, in blocks; see `eigenflow.flow.stopping.Together`."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._flow = {k: v for k, v in given.items() if k not in _SETTINGS}
        self.depth = given["depth"]
        first, last, total, count = coordinates.reduced(bounds, self._flow, _widest, _PANEL)
        self._span, self._noise = (float(first), float(last)), Noise(float(total), int(count))

    def sure(self, times: Any) -> Array:
        when = np.atleast_1d(np.asarray(times, float))
        return np.asarray(
            coordinates.run_sum(sure, {**self._flow, "axis": None, "times": when}, "times")
        )

    def misfit(self, time: float) -> float:
        silent = {**self._flow, "axis": None, "noise_variance": 0.0, "times": time}
        return float(coordinates.run_sum(sure, silent, "times"))

    def span(self) -> tuple[float, float]:
        return self._span

    def noise(self) -> Noise:
        return self._noise


def _widest(a: Array, b: Array) -> Array:
    return np.array([min(a[0], b[0]), max(a[1], b[1]), a[2] + b[2], a[3] + b[3]])
