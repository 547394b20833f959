"""R5: one NaN or infinity at every position of small arguments; a process that must not hang."""

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import eigenflow as ef
from battery.calls import A, C, Q, R, grid
from battery.children import pet, say

SIZES = range(1, 11)
VALUES = (np.nan, np.inf, -np.inf)
TYPES = (np.float32, np.float64, np.complex64, np.complex128)
# What a function may say without its check; anything else is a fault of ours.
SAID = (ValueError, ef.ConvergenceError)


def matrices(n: int) -> Iterator[tuple[str, Any, np.ndarray]]:
    """Functions of a matrix, and a matrix for each."""
    square, tall = grid(n, n, low=-1.0), grid(n + 1, n, low=-1.0)
    for dtype in TYPES:
        yield "svd", lambda a, **o: ef.lowrank.svd(a, 1, rng=0, **o), square.astype(dtype)
        yield "svd", lambda a, **o: ef.lowrank.svd(a, rtol=0.1, rng=0, **o), tall.astype(dtype)
        symmetric = (square + square.T).astype(dtype)
        yield "eigh", lambda a, **o: ef.lowrank.eigh(a, 1, rng=0, **o), symmetric
    for name in ("pivoted_qr", "interpolative"):
        function = getattr(ef.lowrank, name)
        yield name, lambda a, function=function, **o: function(a, 1, rng=0, **o), square
    yield "range_finder", lambda a, **o: ef.lowrank.range_finder(a, 1, rng=0, **o), square
    yield "quantize", lambda a, **o: ef.sine.quantize(a, 2, **o), square
    yield "factors", lambda a, **o: ef.sine.SineLowRank(a, square, 1.0, **o).toarray(), square
    operator = ef.sine.SineLowRank(square, square, 1.0)
    yield "matmat", lambda a, **o: operator.matmat(a, **o), square


def vectors(n: int) -> Iterator[tuple[str, Any, np.ndarray]]:
    """Functions of a vector, and a vector for each."""
    z, rates, times = grid(n, low=-1.0), grid(n), [0.5, 2.0]
    for dtype in (np.float32, np.float64):
        values = z.astype(dtype)
        for depth, b0 in ((0, None), (1, 0.5), (2, 0.5)):
            o = {"depth": depth, "b0": b0}
            yield "solve", lambda a, o=o, **c: ef.flow.solve(a, rates, times, **o, **c), values
            yield "rates", lambda a, o=o, **c: ef.flow.solve(z, a, times, **o, **c), np.abs(values)
        yield "hitting_time", lambda a, **c: ef.flow.hitting_time(0.5, a, rates, **c), values
        yield "sure", lambda a, **c: ef.flow.sure(a, rates, times, 0.1, **c), values
    system = ef.lds.LinearSystem(A, C, Q, R)
    yield "filter", lambda a, **c: ef.lds.filter(system, a, **c), z
    yield "smooth", lambda a, **c: ef.lds.smooth(system, a, **c), z
    yield "log_likelihood", lambda a, **c: ef.lds.log_likelihood(system, a, **c), z


def spoiled(a: np.ndarray, position: tuple[int, ...], value: float) -> np.ndarray:
    out = a.copy()
    out[position] = value
    return out


def refused(name: str, value: float) -> bool:
    """NaN is a missing observation of a system; everything else is an error."""
    return not (np.isnan(value) and name in ("filter", "smooth", "log_likelihood"))


def main(sizes: range = SIZES) -> None:
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    calls, faults = 0, []
    for n in sizes:
        for name, function, good in (*matrices(n), *vectors(n)):
            for position in np.ndindex(good.shape):
                for value in VALUES:
                    bad = spoiled(good, position, value)
                    for check in (True, False):
                        pet()
                        calls += 1
                        case = (name, str(good.dtype), n, position, value, check)
                        try:
                            function(bad, check_finite=check)
                            if check and refused(name, value):
                                faults.append((*case, "taken"))
                        except SAID as error:
                            if check and "got" not in str(error):
                                faults.append((*case, repr(error)))
                        except Exception as error:
                            faults.append((*case, repr(error)))
    say(calls=calls, faults=[str(fault) for fault in faults[:20]], n_faults=len(faults))


if __name__ == "__main__":
    main(range(1, int(sys.argv[1]) + 1) if len(sys.argv) > 1 else SIZES)
