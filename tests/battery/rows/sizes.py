"""R8: arguments of more than 2^31 and 2^33 elements."""

import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
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


def too_large() -> dict[str, Callable[[], object]]:
    """Calls whose results fit nowhere: some have more bytes than there are addresses."""
    system = ef.lds.LinearSystem(0.5, 1.0, 1.0, 1.0)
    wide = ef.lds.LinearSystem(np.eye(2) / 2, np.eye(2), np.eye(2), np.eye(2))
    times, options = np.linspace(1, 2, 16), {"depth": 1, "b0": 0.5}
    long, longer = constant(2**40), constant(2**59)
    tall, column = constant(2**40, 1), np.ones(4)
    operator = ef.sine.SineLowRank(tall, constant(4, 1), 1.0)
    both = ef.sine.SineLowRank(constant(FAR, 1), constant(FAR, 1), 1.0)
    square = constant(2**20, 2**20)
    return {
        "solve": lambda: ef.flow.solve(long, 1.0, times),
        "solve, beyond addresses": lambda: ef.flow.solve(longer, 1.0, times, **options),
        "state": lambda: ef.flow.state(longer, 1.0, times, **options),
        "derivatives": lambda: ef.flow.derivatives(longer, 1.0, times, **options),
        "hitting_time": lambda: ef.flow.hitting_time(times[:, None] / 3, longer, 1.0, **options),
        "vanilla": lambda: ef.flow.vanilla(longer, 1.0, times),
        "learned_eigenvalues": lambda: ef.flow.learned_eigenvalues(long, 1.0, **options),
        "descend": lambda: ef.flow.descend(long, 1.0, 0.1, 3, **options),
        "landweber": lambda: ef.flow.landweber(longer, 1.0, 0.1, range(16)),
        "diagonal_network": lambda: ef.flow.diagonal_network(longer, 1.0, times),
        "toarray": lambda: both.toarray(),
        "matvec": lambda: operator @ column,
        "stable_rank": lambda: operator.stable_rank(rng=0),
        "quantize": lambda: ef.sine.quantize(tall, 4),
        "filter": lambda: ef.lds.filter(system, long),
        "smooth": lambda: ef.lds.smooth(wide, constant(2**58, 2)),
        "simulate": lambda: ef.lds.simulate(system, 2**40, rng=0),
        "simulate many": lambda: ef.lds.simulate(wide, 2**40, n_series=2**40, rng=0),
        "forecast": lambda: ef.lds.forecast(wide, np.ones((5, 2)), 2**40),
        "svd": lambda: ef.lowrank.svd(constant(2**40, 5), 2, rng=0),
        "perturb": lambda: ef.lowrank.perturb(square, square),
        "select_rank": lambda: ef.lowrank.select_rank(long, (2**40, 2**40), share=0.5),
    }


def refused() -> None:
    """What cannot fit says so, at once."""
    for name, call in too_large().items():
        pet(60)
        try:
            call()
        except MemoryError:
            continue
        raise AssertionError(f"{name}: no MemoryError")


def far_position() -> None:
    """The position of a bad entry beyond 2^31, in a file of 17 GB that is nearly all holes."""
    n, at, cols = 2**31 + 2**20, 2**31 + 5, 2**15
    with tempfile.TemporaryDirectory() as folder:
        a = np.memmap(Path(folder) / "holes", np.float64, "w+", shape=(n,))
        a[at] = np.inf
        system = ef.lds.LinearSystem(0.5, 1.0, 1.0, 1.0)
        where, row = str(at), divmod(at, cols)
        calls = {
            "flow.sure": (lambda: ef.flow.sure(a, 1.0, 1.0, 0.1), where),
            "flow.sure, eigenvalues": (lambda: ef.flow.sure(a[:1], a, 1.0, 0.1), where),
            "lds.log_likelihood": (lambda: ef.lds.log_likelihood(system, a), where),
            "sine": (lambda: ef.sine.SineLowRank(a[:, None], a[:3, None], 1.0), str((at, 0))),
            "lowrank.svd": (lambda: ef.lowrank.svd(a.reshape(-1, cols), 1, rng=0), str(row)),
        }
        for name, (call, position) in calls.items():
            pet(600)
            said = ""
            try:
                call()
            except ValueError as error:
                said = str(error)
            assert f"at position {position}" in said, f"{name}: {said}"


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
