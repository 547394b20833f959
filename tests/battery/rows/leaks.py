"""R13: memory that calls leave behind."""

import gc
import os
import sys
import time
import warnings
from pathlib import Path

from battery.calls import CALLS
from battery.children import pet, run_child, say
from battery.table import Figure, Row

PAGE = os.sysconf("SC_PAGE_SIZE")
SLOPE = 1000.0  # bytes a call
SLOW = 1e-3  # seconds of a call of which a twentieth must do


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def slope_of(call: object, repeats: int) -> float:
    """Growth of the memory in bytes a call, over the second half of the calls.

    The first half fills caches and the allocator's arenas. The least of three blocks counts: a leak
    is in all of them, an arena that grows once is not.
    """
    for _ in range(repeats // 2):
        call()
    slopes = []
    for _ in range(3):
        gc.collect()
        before = resident()
        for _ in range(repeats // 6):
            call()
        gc.collect()
        slopes.append((resident() - before) / max(repeats // 6, 1))
    return min(slopes)


def main(repeats: int) -> None:
    warnings.simplefilter("ignore")
    slopes, fewer = {}, 0
    for call in CALLS:
        pet(1800)
        call()  # fills caches
        began = time.process_time()
        call()
        slow = time.process_time() - began > SLOW
        slopes[call.name] = slope_of(call, repeats // 20 if slow else repeats)
        fewer += slow
    worst = max(slopes, key=slopes.__getitem__)
    leaks = [name for name, slope in slopes.items() if slope > SLOPE]
    say(n=len(slopes), fewer=fewer, worst=worst, slope=slopes[worst], leaks=leaks)


def measure(full: bool) -> Figure:
    repeats = 10_000 if full else 600
    status, found, errors = run_child("battery.rows.leaks", repeats, seconds=7200)
    if status:
        return Figure(f"status {status}: {errors}", False)
    slope = f"worst {max(found['slope'], 0):.0f} bytes a call ({found['worst']})"
    many, fewer = found["n"] - found["fewer"], found["fewer"]
    text = f"{many} functions with {repeats} calls each, {fewer} slow ones with {repeats // 20}"
    return Figure(f"{text}; {slope}", not found["leaks"])


ROW = Row(
    "Calls leave no memory behind.",
    "growth of the resident memory over 10,000 calls of each function",
    "under 1 kB a call",
    measure,
)

if __name__ == "__main__":
    main(int(sys.argv[1]))
