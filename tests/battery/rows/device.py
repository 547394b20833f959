"""R17: the kernels of a GPU under the tools of compute-sanitizer, and what they return."""

import importlib.util
import re
import shutil
import subprocess
import sys

from battery.children import with_tests
from battery.rows.suite import pytest_run
from battery.table import ROOT, Figure, Row

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
# Our own kernels; what is left of svd runs in the device's LAPACK.
OWN = ["tests/cuda/test_flow.py", "tests/cuda/test_lds.py", "tests/cuda/test_sine.py"]
SKETCH = "tests/cuda/test_lowrank.py::test_the_sketch_is_that_of_the_host"
SHORT = "solve_and_state or sums or many_series or entries or products or sketch"
SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)")
PATIENCE = {False: 240, True: 3600}  # seconds of one tool, by `full`


def without() -> str:
    """What is missing here, or nothing."""
    if shutil.which("compute-sanitizer") is None:
        return "compute-sanitizer"
    if importlib.util.find_spec("cupy") is None:
        return "CuPy"
    import cupy

    return "" if cupy.is_available() else "a CUDA device"


def checked(tool: str, full: bool) -> tuple[str, bool]:
    """Run the tests of our kernels under a tool; say what it reported, and whether that is good."""
    chosen = [*OWN, SKETCH] if full else [*OWN, SKETCH, "-k", SHORT]
    sanitizer = ["compute-sanitizer", "--tool", tool, "--report-api-errors", "no"]
    tests = [sys.executable, "-m", "battery.rows.device", "-q", "-x", "-m", "gpu", *chosen]
    try:
        done = subprocess.run(
            [*sanitizer, *tests],
            cwd=ROOT,
            env=with_tests(),
            capture_output=True,
            text=True,
            timeout=PATIENCE[full],
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{tool}: no end within {PATIENCE[full]} s", False
    said = done.stdout + done.stderr
    summaries = [int(number) for number in SUMMARY.findall(said)]
    passed = re.search(r"(\d+) passed", said)
    good = bool(summaries) and not sum(summaries) and passed is not None and done.returncode == 0
    if not good:
        print(said[-6000:], file=sys.stderr)
    tests_passed = f"{passed.group(1)} tests" if passed else f"status {done.returncode}"
    text = f"{tool}: {sum(summaries) if summaries else 'no'} reports in {tests_passed}"
    print(text, file=sys.stderr, flush=True)
    return text, good


def measure(full: bool) -> Figure:
    if missing := without():
        return Figure(f"could not run here: there is no {missing}", None)
    status, line = pytest_run("-m", "gpu", "tests/cuda", "tests/python")
    print(line, file=sys.stderr, flush=True)
    found = [checked(tool, full) for tool in TOOLS]
    text = "; ".join([f"against the CPU and with little memory: {line}", *(t for t, _ in found)])
    return Figure(text, status == 0 and all(good for _, good in found))


ROW = Row(
    "Kernels of a GPU stay inside their arrays and agree with the CPU; a full device is a "
    "MemoryError.",
    "all tests of a device; those of our kernels under memcheck, racecheck, initcheck and "
    "synccheck of compute-sanitizer",
    "no report, no failure",
    measure,
)

if __name__ == "__main__":
    import cupy
    import pytest

    # Each array is an allocation of the device: a pool would hide a read past the end of one.
    cupy.cuda.set_allocator(None)
    sys.exit(pytest.main(["-p", "no:cacheprovider", *sys.argv[1:]]))
