"""R9: no memory, at the i-th allocation of a call and under a limit of the address space."""

import ctypes
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np

import eigenflow as ef
from battery.calls import CALLS, SYSTEM, same_bits
from battery.children import pet, run_child, say
from battery.table import Figure, Row

SOURCE = Path(__file__).with_name("failing_malloc.c")
# A pool of Python's threads: Thread.start of CPython waits for ever if the new thread finds no
# memory; PyWavelets takes missing memory for a wrong name. The others are slow, and nothing but
# Python over the kernels of faster ones.
LEFT_OUT = ("lowrank.svd_many", "flow.WaveletDesign", "lds.fit_smoothing", "lds.phase_sweep")


def raised_elsewhere(error: BaseException) -> bool:
    """Tell whether NumPy or the standard library raised this.

    Ufuncs of NumPy 2.4 return an error without an exception when their iterator finds no memory
    (SystemError), and a lock of CPython is a RuntimeError. Our extension names its own functions.
    """
    if isinstance(error, SystemError):
        return not any(word in str(error) for word in ("pybind11", "PyCapsule"))
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    return not any(part in last for part in ("eigenflow", "battery"))


def starve(first: int, last: int) -> None:
    """Let every allocation of every call fail in turn; the next call must be right."""
    warnings.simplefilter("ignore")
    malloc = ctypes.CDLL(None)
    failed = tolerated = elsewhere = 0
    faults = []
    for call in CALLS:
        if call.name.startswith(LEFT_OUT):
            continue
        expected = call()
        for i in range(first, last + 1):
            pet(60)
            print(call.name, i, file=sys.stderr, flush=True)
            malloc.fail_at(i)
            try:
                result = call()
                seen = malloc.allocations()
                malloc.fail_at(0)
                if seen < i:
                    break
                tolerated += 1
                if not same_bits(result, expected):
                    faults.append(f"{call.name}, allocation {i}: another result")
            except MemoryError:
                malloc.fail_at(0)
                failed += 1
            except BaseException as error:
                malloc.fail_at(0)
                if raised_elsewhere(error):
                    elsewhere += 1
                else:
                    faults.append(f"{call.name}, allocation {i}: {error!r}")
            if not same_bits(call(), expected):
                faults.append(f"{call.name}, after allocation {i}: another result")
    said = {"failed": failed, "tolerated": tolerated, "elsewhere": elsewhere}
    say(**said, faults=faults[:40], n_faults=len(faults))


def confine() -> None:
    """Calls that need more address space than there is."""
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    ef.lowrank.svd(np.ones((50, 40)), 2, rng=0)  # buffers of BLAS
    limit = used + 700 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    row, wide = np.broadcast_to(0.5, 2**27), np.broadcast_to(0.5, (2**15, 2**13))
    calls = {
        "flow.solve": lambda: ef.flow.solve(row, 1.0, [0.5, 1.0], depth=1, b0=0.3),
        "flow.vanilla": lambda: ef.flow.vanilla(row, 1.0, 0.5),
        "lowrank.svd": lambda: ef.lowrank.svd(wide, 40, rng=0),
        "sine.toarray": lambda: ef.sine.SineLowRank(wide[:, :2], wide[:, :2], 1.0).toarray(),
        "lds.filter": lambda: ef.lds.filter(SYSTEM, row),
        "lds.simulate": lambda: ef.lds.simulate(SYSTEM, 2**27, rng=0),
    }
    outcomes = {}
    for name, call in calls.items():
        pet(120)
        try:
            call()
            outcomes[name] = "done"
        except MemoryError:
            outcomes[name] = "MemoryError"
        except BaseException as error:
            outcomes[name] = repr(error)
    say(outcomes=outcomes)


def measure(full: bool) -> Figure:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        return Figure("needs Linux and a C compiler", None)
    last = 200 if full else 25
    with tempfile.TemporaryDirectory() as folder:
        shim = Path(folder) / "failing_malloc.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), str(SOURCE)]
        subprocess.run(command, check=True)
        status, found, errors = run_child(
            "battery.rows.allocation", "starve", 1, last, seconds=7200, LD_PRELOAD=str(shim)
        )
    if status:
        return Figure(f"status {status}: {errors[-600:]}", False)
    status, limited, errors = run_child("battery.rows.allocation", "confine", seconds=900)
    if status:
        return Figure(f"address limit: status {status}: {errors[-600:]}", False)
    honest = set(limited["outcomes"].values()) <= {"done", "MemoryError"}
    for fault in found["faults"]:
        print(fault, file=sys.stderr)
    text = (
        f"{failed_and(found)}; under a limit of the address space "
        f"{sum(v == 'MemoryError' for v in limited['outcomes'].values())} of "
        f"{len(limited['outcomes'])} large calls end in MemoryError"
    )
    if found["n_faults"] or not honest:
        text += f"; faults: {found['n_faults']} {found['faults'][:5]} {limited['outcomes']}"
    return Figure(text, honest and not found["n_faults"])


def failed_and(found: dict[str, int]) -> str:
    total = found["failed"] + found["tolerated"] + found["elsewhere"]
    return (
        f"{total} failing allocations: {found['failed']} MemoryError, {found['tolerated']} without "
        f"effect, {found['elsewhere']} other errors raised inside NumPy or CPython"
    )


ROW = Row(
    "Without memory a call ends in MemoryError, and the next call is right.",
    "failure of the i-th allocation, i = 1 to 200, in every function; a limit of the address space",
    "MemoryError or the right result, no crash",
    measure,
)

if __name__ == "__main__":
    if sys.argv[1] == "starve":
        starve(int(sys.argv[2]), int(sys.argv[3]))
    else:
        confine()
