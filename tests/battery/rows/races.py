"""R11, second half: the C++ tests under ThreadSanitizer and, where it is there, valgrind."""

import re
import shutil
import subprocess
import sys

from battery.table import ROOT, Figure, Row

# Programs of the preset `release`, those that take no hours; valgrind has no AVX-512, and says so.
VALGRIND = ("test_parallel", "test_rng", "test_flow", "test_eigh")


def cmake(preset: str) -> subprocess.CompletedProcess[str]:
    steps = (
        ["cmake", "--preset", preset, "-G", "Ninja"],
        ["cmake", "--build", "--preset", preset],
        ["ctest", "--preset", preset],
    )
    for step in steps:
        done = subprocess.run(step, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-3000:], file=sys.stderr)
            break
    return done


def measure(full: bool) -> Figure:
    if shutil.which("cmake") is None or shutil.which("ninja") is None:
        return Figure("needs CMake and Ninja", None)
    done = cmake("tsan")
    passed = re.search(r"(\d+)% tests passed.*out of (\d+)", done.stdout)
    text = f"ThreadSanitizer: {passed.group(0) if passed else done.stdout[-200:]}"
    holds = done.returncode == 0
    if full and shutil.which("valgrind"):
        reports = 0
        for name in VALGRIND:
            program = ROOT / "build" / "release" / "tests" / "cpp" / name
            if program.exists():
                run = subprocess.run(
                    ["valgrind", "-q", "--error-exitcode=9", program],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                reports += run.returncode == 9
        text += f"; valgrind: {reports} reports"
        holds = holds and reports == 0
    return Figure(text, holds)


ROW = Row(
    "Threads share nothing that they write.",
    "the C++ tests under ThreadSanitizer (preset `tsan`)",
    "no report",
    measure,
)
