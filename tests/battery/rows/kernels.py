"""R19, second half: small faults planted in the kernels; the Python tests must see them.

The C++ sources are copied to ``build/mutants``. There one operator of one file is changed, the
extension is built again, and the tests of that file run with it.
"""

import importlib.abc
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from battery.children import with_tests
from battery.table import ROOT, Figure, Row

BAR = 0.85
TREE = ROOT / "build" / "mutants"
SOURCES = ("cpp", "cuda", "bindings", "CMakeLists.txt")
# Kernels that build in seconds, and the tests that are theirs.
TARGETS = {
    "cpp/include/eigenflow/hd/philox.hpp": ["test_rng.py"],
    "cpp/include/eigenflow/hd/gaussian.hpp": ["test_gaussian.py"],
    "cpp/include/eigenflow/hd/flow_hitting.hpp": ["test_flow_inverse.py", "test_flow_stopping.py"],
    "cpp/src/rank.cpp": ["test_selection_rules.py", "test_selection.py"],
    "cpp/src/isa/sine.cpp": ["test_sine.py", "test_sine_gradients.py", "test_sine_methods.py"],
    "cpp/src/lds_step.cpp": ["test_lds_filter.py", "test_lds_general.py"],
    "cpp/src/svd_bounds.cpp": ["test_svd_spectral.py", "test_svd.py"],
}
SWAPS = [("<", "<="), (">", ">="), ("==", "!="), ("&&", "||"), ("+", "-"), ("*", "/")]
SWAPS += [("+=", "-="), ("*=", "/="), ("<<", ">>")]
OTHER = dict(SWAPS) | {b: a for a, b in SWAPS}
# Operators stand between blanks, the brackets of templates do not; comments and words are passed.
TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|^[ \t]*#[^\n]*|\"(?:\\.|[^\"\\])*\""
    r"|(?<=\s)(?P<operator><=|>=|==|!=|&&|\|\||[+*/-]=|<<|>>|[<>+*/-])(?=\s)",
    re.DOTALL | re.MULTILINE,
)


def places(text: str) -> list[tuple[int, str]]:
    """Where operators of a source stand that can be changed, and which they are."""
    found = [(m.start(), m["operator"]) for m in TOKEN.finditer(text) if m["operator"]]
    return [(at, operator) for at, operator in found if operator in OTHER]


def changed(text: str, at: int, operator: str) -> tuple[str, str]:
    """Return the source with one operator changed, and what that was."""
    other = OTHER[operator]
    line = text.count("\n", 0, at) + 1
    begin = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    said = f"line {line}: {text[begin:at].strip()} [{operator} -> {other}]"
    said += text[at + len(operator) : end].rstrip()
    return text[:at] + other + text[at + len(operator) :], said


def copy_sources() -> None:
    """Bring the copy up to date; what is the same stays as old as it is, and is not built again."""
    for name in SOURCES:
        top = ROOT / name
        for path in [top] if top.is_file() else [p for p in top.rglob("*") if p.is_file()]:
            to = TREE / path.relative_to(ROOT)
            if not to.exists() or to.read_bytes() != path.read_bytes():
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(path.read_bytes())


def configure() -> None:
    cmakedir = subprocess.run(
        [sys.executable, "-m", "pybind11", "--cmakedir"], capture_output=True, text=True, check=True
    ).stdout.strip()
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "EIGENFLOW_PYTHON": "ON",
        "CMAKE_INTERPROCEDURAL_OPTIMIZATION": "OFF",  # links in a second
        "EIGENFLOW_HAS_X86_LEVELS": "OFF",  # one object a source
        "pybind11_DIR": cmakedir,
        "Python_EXECUTABLE": sys.executable,
    }
    given = [f"-D{name}={value}" for name, value in options.items()]
    command = ["cmake", "-S", TREE, "-B", TREE / "build", "-G", "Ninja", *given]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def builds() -> bool:
    """Build the extension of the copy; tell whether its sources compile."""
    command = ["cmake", "--build", TREE / "build", "--target", "_core"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def extension() -> Path:
    (found,) = (TREE / "build" / "bindings").glob("_core.*.*")
    return found


def survives(target: str) -> bool:
    """Tell whether the tests of a source pass with the extension as it is built."""
    tests = [f"tests/python/{name}" for name in TARGETS[target]]
    # As a file: the package of the rows would import the library before the extension is chosen.
    command = [sys.executable, __file__, str(extension()), *tests]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=with_tests(), capture_output=True, timeout=180, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def measure(full: bool) -> Figure:
    if shutil.which("cmake") is None or shutil.which("ninja") is None:
        return Figure("needs CMake and Ninja", None)
    copy_sources()
    configure()
    rng = np.random.default_rng(0)
    killed, survivors, stillborn = 0, [], 0
    for target in TARGETS:
        if not (builds() and survives(target)):
            return Figure(f"the tests of {target} fail without a fault", False)
        text = (ROOT / target).read_text()
        found = places(text)
        wanted = min(len(found), 4 if full else 1)
        try:
            for i in rng.permutation(len(found)):
                fault, said = changed(text, *found[i])
                (TREE / target).write_text(fault)
                if not builds():
                    stillborn += 1
                    continue
                if survives(target):
                    survivors.append(f"{target}, {said}")
                    print(survivors[-1], file=sys.stderr, flush=True)
                else:
                    killed += 1
                wanted -= 1
                if not wanted:
                    break
        finally:
            (TREE / target).write_text(text)
    share = killed / (killed + len(survivors))
    said = f"{killed} of {killed + len(survivors)} changed operators in {len(TARGETS)} kernels seen"
    return Figure(f"{said} ({share:.0%}); {stillborn} more did not compile", share >= BAR)


class Chosen(importlib.abc.MetaPathFinder):
    """Imports the extension from a given file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "eigenflow._core":
            return None
        return importlib.util.spec_from_file_location(name, self.path)


ROW = Row(
    "Tests see a fault in a kernel.",
    "comparisons, signs and products changed one by one in C++ sources, the extension built again, "
    "each under the Python tests of that source",
    "at least 85 % seen",
    measure,
    when="release",
)

if __name__ == "__main__":
    import pytest

    sys.meta_path.insert(0, Chosen(sys.argv[1]))
    sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[2:]]))
