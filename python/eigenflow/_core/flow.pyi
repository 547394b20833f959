from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

def evolve(
    z: Array,
    eigenvalues: Array,
    b0: Array | None,
    times: Array,
    depth: int,
    separate: bool,
    out: dict[str, Array],
    workers: int,
    check: str = ...,
) -> bool: ...
def vanilla(z: Array, eigenvalues: Array, times: Array, out: Array, workers: int) -> None: ...
def learned_eigenvalues(
    theta: Array,
    eigenvalues: Array,
    b0: Array | None,
    depth: int,
    separate: bool,
    out: Array,
    workers: int,
) -> None: ...
def link(
    v: Array,
    eigenvalues: Array,
    b0: Array | None,
    depth: int,
    separate: bool,
    out: dict[str, Array],
    workers: int,
) -> None: ...
def sure(
    z: Array,
    eigenvalues: Array,
    b0: Array | None,
    noise_variance: Array,
    times: Array,
    depth: int,
    separate: bool,
    out: Array,
    workers: int,
) -> None: ...
def expected_risk(
    signal: Array,
    eigenvalues: Array,
    b0: Array | None,
    noise_variance: Array,
    times: Array,
    rtol: float,
    depth: int,
    separate: bool,
    out: Array,
    workers: int,
) -> None: ...
def hitting_time(
    z: Array,
    eigenvalues: Array,
    b0: Array | None,
    fractions: Array,
    depth: int,
    separate: bool,
    out: Array,
    workers: int,
) -> None: ...
def descend(
    z: Array,
    eigenvalues: Array,
    b0: Array | None,
    step_size: float,
    n_steps: int,
    record: list[int],
    depth: int,
    separate: bool,
    out: dict[str, Array],
    workers: int,
) -> None: ...
