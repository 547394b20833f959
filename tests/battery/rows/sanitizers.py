"""R11: AddressSanitizer and UBSan in the extension, under the Python tests and wrong arguments."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from battery.table import ROOT, Figure, Row

SHORT = ["test_flow.py", "test_lds_filter.py", "test_svd.py", "test_sine.py", "test_rng.py"]
# Their bars are bytes, which a sanitizer takes too, or their workers are killed for them.
MEMORY = ("test_flow_memory.py", "test_sine_memory.py", "test_dask_cluster.py")
REPORT = re.compile(r"ERROR: AddressSanitizer|runtime error:")


def build(folder: Path) -> Path:
    """Install the library with sanitizers into an environment of its own; return its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    # What the tests need; an editable install of the library is not followed from here.
    places = [place for place in sys.path if place.endswith("site-packages")]
    (site / "beside.pth").write_text("\n".join(places) + "\n")
    settings = [
        f"-Cbuild-dir={folder}-objects",
        "-Ccmake.build-type=RelWithDebInfo",
        "-Ccmake.define.EIGENFLOW_SANITIZE=address,undefined",
    ]
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--upgrade", "--target", site, *settings, ROOT], check=True)
    return python


def preload() -> str:
    """Libraries that must be there before Python's own: the sanitizer, and C++ for exceptions."""
    names = ("libasan.so", "libstdc++.so")
    found = [
        subprocess.run(
            ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in names
    ]
    return ":".join(os.path.realpath(path) for path in found)


def measure(full: bool) -> Figure:
    if shutil.which("gcc") is None or not sys.platform.startswith("linux"):
        return Figure("needs Linux and GCC", None)
    python = build(ROOT / "build" / "sanitized")
    env = os.environ | {
        "LD_PRELOAD": preload(),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONPATH": str(ROOT / "tests"),
    }
    if full:
        ignored = [f"--ignore=tests/python/{name}" for name in MEMORY]
        tests = ["tests/python", "tests/battery", *ignored]
    else:
        tests = [f"tests/python/{name}" for name in SHORT]
    run = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    suite = subprocess.run(run, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    said = suite.stdout + suite.stderr
    line = re.sub(r" in [\d.]+s.*", "", (suite.stdout.strip().splitlines() or [""])[-1])
    with tempfile.NamedTemporaryFile() as log:
        fuzz = [python, "-W", "ignore", "-m", "battery.rows.fuzz_bindings"]
        calls = 3000 if full else 100
        wrong = subprocess.run(
            [*fuzz, str(calls), log.name], env=env, capture_output=True, text=True, check=False
        )
    said += wrong.stdout + wrong.stderr
    reports = len(REPORT.findall(said))
    if reports or suite.returncode or wrong.returncode:
        print(said[-6000:], file=sys.stderr)
    text = f"Python tests: {line}; {calls} wrong calls a function: status {wrong.returncode}; "
    return Figure(f"{text}{reports} reports", not (reports or suite.returncode or wrong.returncode))


ROW = Row(
    "No read or write outside an array, and no undefined arithmetic.",
    "AddressSanitizer and UBSan under the Python tests (`--full`: all) and wrong arguments",
    "no report",
    measure,
)
