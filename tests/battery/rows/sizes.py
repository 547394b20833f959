"""R8: arguments of more than 2^31 and 2^33 elements."""

import sys
import warnings
from typing import Any

import numpy as np

import eigenflow as ef
from battery.children import pet, run_child, say
from battery.table import Figure, Row

MANY = 2**31 + 1
FAR = 2**33


def constant(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    """An array of one number, with strides of zero."""
    return np.broadcast_to(np.asarray(0.5, dtype), shape)


def flow_sum() -> None:
    """The risk of 2^31 + 1 equal coordinates is that of one, times their number."""
    one = ef.flow.sure(constant(1), 1.0, 0.5, 0.1)
    all_of_them = ef.flow.sure(constant(MANY), 1.0, 0.5, 0.1)
    np.testing.assert_allclose(all_of_them, MANY * one, rtol=1e-9)


def sine_rows() -> None:
    """Rows beyond 2^31 and 2^33 of an operator."""
    for rows in (MANY, FAR):
        op = ef.sine.SineLowRank(constant(rows, 1), constant(4, 1), 2.0, gain=1.0)
        want = np.full(4, np.sin(2.0 * 0.25))
        np.testing.assert_allclose(op[rows - 1], want, rtol=1e-14)
        block = op.submatrix(slice(rows - 3, rows), slice(0, 4))
        np.testing.assert_allclose(block.toarray(), np.tile(want, (3, 1)), rtol=1e-14)


def refused() -> None:
    """What cannot fit says so, at once."""
    for call in (
        lambda: ef.flow.solve(constant(2**40), 1.0, [1.0, 2.0], check_finite=False),
        lambda: ef.flow.state(constant(2**40), 1.0, 1.0, depth=1, b0=0.5, check_finite=False),
        lambda: ef.sine.SineLowRank(constant(FAR, 1), constant(FAR, 1), 1.0).toarray(),
        lambda: ef.lds.simulate(ef.lds.LinearSystem(0.5, 1.0, 1.0, 1.0), 2**40, rng=0),
    ):
        try:
            call()
        except MemoryError:
            continue
        raise AssertionError("no MemoryError")


def far_position() -> None:
    """The position of a NaN beyond 2^31 in an array that is really there."""
    a = np.zeros(2**31 + 2**20, np.float32)
    a[2**31 + 5] = np.nan
    said = ""
    try:
        ef.flow.vanilla(a, 1.0, 1.0)
    except ValueError as error:
        said = str(error)
    assert "at position 2147483653," in said, said


def long_series() -> None:
    """The likelihood of 2^31 + 1 observations, all zero, by that of fewer."""
    system = ef.lds.LinearSystem(0.5, 1.0, 1.0, 1.0)
    zeros = np.broadcast_to(np.float64(0.0), MANY)
    short, longer = (ef.lds.log_likelihood(system, np.zeros(n)) for n in (10_000, 20_000))
    step = (longer - short) / 10_000
    got = ef.lds.log_likelihood(system, zeros)
    np.testing.assert_allclose(got, short + step * (MANY - 10_000), rtol=1e-9)


QUICK = {"sine_rows": sine_rows, "refused": refused}
SLOW = {"flow_sum": flow_sum, "far_position": far_position, "long_series": long_series}


def main(name: str) -> None:
    warnings.simplefilter("ignore")
    pet(1200)
    (QUICK | SLOW)[name]()
    say(done=name)


def measure(full: bool) -> Figure:
    names = [*QUICK, *(SLOW if full else ())]
    faults = []
    for name in names:
        status, found, errors = run_child("battery.rows.sizes", name, seconds=1800)
        if status or found is None:
            faults.append(f"{name}: status {status}: {errors[-400:]}")
    print(*faults, sep="\n", file=sys.stderr)
    text = f"{len(names) - len(faults)} of {len(names)} groups right: {', '.join(names)}"
    return Figure(text, not faults)


ROW = Row(
    "Sizes are 64-bit everywhere; what cannot fit is a MemoryError.",
    "views of 2^31 + 1 and 2^33 elements, real arrays of 2^31 + 2^20 with `--full`",
    "right, or MemoryError",
    measure,
)

if __name__ == "__main__":
    main(sys.argv[1])
