"""R11: AddressSanitizer and UBSan in the extension, under the Python tests and wrong arguments."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from hashlib import sha256
from pathlib import Path

from battery.table import ROOT, Figure, Row

SHORT = ["test_flow.py", "test_lds_filter.py", "test_svd.py", "test_sine.py", "test_rng.py"]
# Their bars are bytes, which a sanitizer takes too, or their workers are killed for them.
MEMORY = ("test_flow_memory.py", "test_sine_memory.py", "test_dask_cluster.py")
OTHERS = "not a_file_is_never_in_memory and not a_large_tensor_is_not_copied"
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


def files(full: bool) -> list[str]:
    """Files of tests, relative to the root."""
    if not full:
        return [f"tests/python/{name}" for name in SHORT]
    found = [*ROOT.glob("tests/python/test_*.py"), *ROOT.glob("tests/battery/test_*.py")]
    return sorted(str(file.relative_to(ROOT)) for file in found if file.name not in MEMORY)


class Passed:
    """Files that passed under this build, kept on disk: a run that was cut off goes on from there.

    A file runs again when it, or the extension, is another.
    """

    def __init__(self, place: Path) -> None:
        self._place = place.with_name("sanitized-passed.json")
        built = place.rglob("eigenflow/_core*.so")
        self._extension = b"".join(sorted(sha256(file.read_bytes()).digest() for file in built))
        self._all = json.loads(self._place.read_text()) if self._place.exists() else {}

    def _key(self, file: str) -> str:
        return sha256(self._extension + (ROOT / file).read_bytes()).hexdigest()

    def get(self, file: str) -> str | None:
        """Return what pytest said of it, if it passed."""
        line: str | None = self._all.get(self._key(file))
        return line

    def put(self, file: str, line: str) -> None:
        self._all[self._key(file)] = line
        self._place.write_text(json.dumps(self._all))


def run(python: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the Python with sanitizers."""
    env = os.environ | {
        "LD_PRELOAD": preload(),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONPATH": str(ROOT / "tests"),
    }
    command = [str(python), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def suite(python: Path, full: bool) -> tuple[str, int, int]:
    """Run the tests file by file; return their counts, the reports and the files that failed."""
    passed, counts, reports, failed = Passed(python.parents[1]), Counter[str](), 0, 0
    for file in files(full):
        line = passed.get(file)
        if line is None:
            done = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", OTHERS, file)
            said = done.stdout + done.stderr
            line = re.sub(r" in [\d.]+s.*", "", (done.stdout.strip().splitlines() or [""])[-1])
            seen = len(REPORT.findall(said))
            reports += seen
            if seen or done.returncode not in (0, 5):  # 5: all of it was left out
                failed += 1
                print(said[-6000:], file=sys.stderr)
            else:
                passed.put(file, line)
        print(file, line, file=sys.stderr, flush=True)
        counts.update({what: int(n) for n, what in re.findall(r"(\d+) (passed|failed)", line)})
    text = (
        f"{len(files(full))} files of tests, {counts['passed']} passed, {counts['failed']} failed"
    )
    return text, reports, failed


def measure(full: bool) -> Figure:
    if shutil.which("gcc") is None or not sys.platform.startswith("linux"):
        return Figure("needs Linux and GCC", None)
    python = build(ROOT / "build" / "sanitized")
    calls = 1000 if full else 100
    with tempfile.NamedTemporaryFile() as log:
        fuzz = run(python, "-W", "ignore", "-m", "battery.rows.fuzz_bindings", calls, log.name)
    said = fuzz.stdout + fuzz.stderr
    found = len(REPORT.findall(said))
    if found or fuzz.returncode:
        print(said[-6000:], file=sys.stderr)
    text, reports, failed = suite(python, full)
    torch = "with" if importlib.util.find_spec("torch") else "without"
    return Figure(
        f"{text} ({torch} PyTorch's); {calls} wrong calls a function: status {fuzz.returncode}; "
        f"{reports + found} reports",
        not (reports or found or failed or fuzz.returncode),
    )


ROW = Row(
    "No read or write outside an array, and no undefined arithmetic.",
    "AddressSanitizer and UBSan under the Python tests (`--full`: all) and wrong arguments",
    "no report",
    measure,
)
