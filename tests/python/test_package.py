"""One version everywhere, and no symbols but those that are meant."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import eigenflow as ef
from eigenflow import _core

ROOT = Path(__file__).parents[2]


def test_one_semantic_version():
    header = (ROOT / "cpp/include/eigenflow/version.hpp").read_text()
    version = re.search(r'EIGENFLOW_VERSION "(.*)"', header)[1]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert ef.__version__ == version == importlib.metadata.version("eigenflow")
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF symbols")
def test_the_extension_shows_python_its_entry_only():
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("there is no nm")
    command = [nm, "-D", "--defined-only", _core.__file__]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    own = ["PyInit__core", "eigenflow_get_num_threads", "eigenflow_set_num_threads"]
    assert sorted(line.split()[-1] for line in lines) == own


def test_the_c_header_is_c():
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    header = ROOT / "cpp/include/eigenflow/eigenflow.h"
    command = [compiler, "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run([*command, "-fsyntax-only", "-x", "c", str(header)], check=True)
