"""When to stop the flow of coordinates that are blocks of Dask arrays."""

from typing import Any

from eigenflow.dask import coordinates
from eigenflow.flow.risk import sure
from eigenflow.flow.stopping import CHUNK, Spread, bounds, joined, search_of

_PANEL = (66.0, 66.0 * CHUNK)  # bytes of `bounds` besides its block: see `Need`
_SETTINGS = ("rule", "points_per_decade", "tau", "axis")


def stopping_time(function: Any, given: dict[str, Any], lead: str | None) -> Any:
    """Return one time for all coordinates, by reads of them; by `axis`, lazy times."""
    search = search_of(given["rule"], given["points_per_decade"], given["tau"])
    if given["axis"] is not None:
        return coordinates.run_whole(function, given)
    flow = {k: v for k, v in given.items() if k not in _SETTINGS}

    def risk(times: Any, variance: Any = given["noise_variance"]) -> Any:
        wanted = {**flow, "noise_variance": variance, "axis": None, "times": times}
        return coordinates.run_sum(sure, wanted, "times")

    found = coordinates.reduced(bounds, flow, joined, _PANEL)
    return search(Spread(given["depth"], risk, found))
