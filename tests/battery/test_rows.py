"""What rows say of a run: that it could not be, what a tool reported, that no test ended."""

import json
import os
import sys

import pytest

from battery import table
from battery.children import TESTS, with_tests
from battery.rows import ROWS, device

SANITIZER = """\
#!{python}
import json, os, sys
with open({log!r}, "w") as file:
    json.dump([sys.argv[1:], os.environ["PYTHONPATH"]], file)
print({says!r})
sys.exit({status})
"""


def test_a_given_path_stays(monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert with_tests()["PYTHONPATH"] == str(TESTS)
    monkeypatch.setenv("PYTHONPATH", "/a" + os.pathsep + "/b")
    assert with_tests()["PYTHONPATH"].split(os.pathsep) == [str(TESTS), "/a", "/b"]
    assert with_tests(OTHER="x")["OTHER"] == "x"


def test_the_device_row_does_not_run_without_its_tool(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    figure = table.measure(ROWS["R17"], full=True)
    assert figure.holds is None
    assert figure.text == "could not run here: there is no compute-sanitizer"


@pytest.mark.skipif(sys.platform == "win32", reason="runs a script by its first line")
@pytest.mark.parametrize(
    ("says", "status", "good"),
    [
        ("12 passed in 3.1s\n========= ERROR SUMMARY: 0 errors", 0, True),
        ("12 passed in 3.1s\n========= ERROR SUMMARY: 2 errors", 0, False),
        ("12 passed\n========= RACECHECK SUMMARY: 1 hazard displayed", 0, False),
        ("1 failed, 12 passed\n========= ERROR SUMMARY: 0 errors", 1, False),
        ("========= ERROR SUMMARY: 0 errors", 0, False),
        ("12 passed", 0, False),
    ],
)
def test_the_device_row_believes_a_tool_that_ran_tests(says, status, good, monkeypatch, tmp_path):
    """The tool is one of our own, which writes down how it was called."""
    log, program = tmp_path / "called", tmp_path / "compute-sanitizer"
    text = SANITIZER.format(python=sys.executable, log=str(log), says=says, status=status)
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", "/given")
    said, holds = device.checked("memcheck", full=False)
    assert holds is good
    assert said.startswith("memcheck: ")
    arguments, path = json.loads(log.read_text())
    assert arguments[:2] == ["--tool", "memcheck"]
    assert path.split(os.pathsep) == [str(TESTS), "/given"]
    module = arguments.index("-m")
    assert arguments[module - 1 : module + 2] == [sys.executable, "-m", "battery.rows.device"]
    for name in (*device.OWN, device.SKETCH):
        assert name in arguments
        assert (TESTS.parent / name.partition("::")[0]).exists()
