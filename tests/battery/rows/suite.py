"""The rows that the test suite runs on every change; here they are run alone, to count."""

import os
import re
import subprocess
import sys
from collections.abc import Callable

from battery.table import ROOT, Figure, Row


def pytest_run(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run pytest and return its status and its last line, without the time."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines() or [done.stderr[-300:]]
    if done.returncode:
        print(*lines[-40:], sep="\n", file=sys.stderr)
    return done.returncode, re.sub(r" in [\d.]+s.*", "", lines[-1])


def properties(full: bool) -> Figure:
    examples = "1000" if full else "100"
    status, line = pytest_run("-m", "hypothesis", EIGENFLOW_EXAMPLES=examples)
    count = re.search(r"(\d+) passed", line)
    enough = count is not None and int(count.group(1)) >= 50
    return Figure(f"{line}; at least {examples} examples each", status == 0 and enough)


def hostile(full: bool) -> Figure:
    from battery.calls import CALLS
    from battery.hostile import KINDS, NUMBERS

    status, line = pytest_run("tests/battery/test_hostile.py")
    arrays, scalars = (sum(len(getattr(c, what)) for c in CALLS) for what in ("arrays", "scalars"))
    text = (
        f"{len(KINDS)} kinds in {arrays} array arguments, {len(NUMBERS)} in {scalars} numbers, "
        f"{len(CALLS)} functions: {line}"
    )
    return Figure(text, status == 0)


def nonfinite(full: bool) -> Figure:
    from battery.children import run_child

    status, found, errors = run_child("battery.nonfinite", 10 if full else 6)
    if status:
        return Figure(f"status {status}: {errors[-900:]}", False)
    text = f"{found['calls']} calls, {found['n_faults']} wrong, no hang"
    return Figure(text, not found["n_faults"] and found["calls"] >= 10_000)


def threads(full: bool) -> Figure:
    from battery.test_threads import FORKS, QUICK, ROUNDS, THREADS

    status, line = pytest_run("tests/battery/test_threads.py")
    text = (
        f"{THREADS} threads x {ROUNDS} calls of {len(QUICK)} functions, {2 * FORKS} forks: {line}"
    )
    return Figure(text, status == 0)


def reproducible(full: bool) -> Figure:
    from battery.test_reproducible import LISTS, ORDERS, THREADED

    status, line = pytest_run("tests/battery/test_reproducible.py")
    text = (
        f"{len(THREADED)} functions with 1 to 8 workers, {ORDERS} orders, {LISTS} lists of blocks: "
        f"{line}"
    )
    return Figure(text, status == 0)


def _row(promise: str, test: str, bar: str, measure: Callable[[bool], Figure]) -> Row:
    return Row(promise, test, bar, measure, "every change")


PROPERTIES = _row(
    "Identities hold for any numbers.",
    "properties: orthogonality, order, scaling, permutation, parts and whole, limits",
    "at least 50 properties, 1,000 examples each with `--full`, no failure",
    properties,
)
HOSTILE = _row(
    "Every wrong argument is refused by its name, every right one gives the right answer.",
    "hostile arrays and numbers in every argument of every public function",
    "the outcome of a written table",
    hostile,
)
NONFINITE = _row(
    "NaN and infinity are refused with their position, and never hang a call.",
    "one bad entry at every position, with and without the check",
    "at least 10,000 calls, no hang",
    nonfinite,
)
THREADS = _row(
    "Calls are safe from any thread and after a fork.",
    "8 threads x 1,000 mixed calls, and objects that they share from the first use on; forks after "
    "use and while threads compute",
    "the same bits, no hang",
    threads,
)
REPRODUCIBLE = _row(
    "A seed gives the same bits for any number of workers.",
    "1 to 8 workers, shuffled orders, lists of blocks",
    "the same bits; other lists of blocks within 1e-13",
    reproducible,
)
