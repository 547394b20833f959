"""What free-threaded interpreters need: the GIL stays off, and threads keep their own settings."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import eigenflow

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

IMPORT_ALL = """
import contextlib, importlib, pkgutil, sys, warnings
import eigenflow, eigenflow._core
assert not sys._is_gil_enabled()
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for module in pkgutil.walk_packages(eigenflow.__path__, "eigenflow.", lambda name: None):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # an extra that is not here
                importlib.import_module(module.name)
blamed = [str(w.message) for w in told if "(GIL) has been enabled" in str(w.message)]
assert not any("eigenflow" in text for text in blamed), blamed
assert blamed or not sys._is_gil_enabled()  # what an extra turned on is not ours
"""


@pytest.mark.skipif(not FREE_THREADED, reason="needs a free-threaded interpreter, such as 3.14t")
def test_no_module_turns_the_gil_on():
    subprocess.run([sys.executable, "-X", "gil=auto", "-c", IMPORT_ALL], check=True)


def test_the_package_leaves_the_warnings_of_the_interpreter_alone():
    # Their filters belong to all threads, unless the interpreter says otherwise.
    for path in Path(eigenflow.__file__).parent.rglob("*.py"):
        assert "catch_warnings" not in path.read_text(), path
