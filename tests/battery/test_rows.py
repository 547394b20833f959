"""What rows say of a run, and the faults that R19 plants."""

import ast
import json
import os
import sys
from pathlib import Path

import pytest

from battery import table
from battery.children import TESTS, with_tests
from battery.rows import ROWS, device, kernels, mutants, platforms

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


def test_the_page_says_of_every_row_what_the_row_is():
    shown = json.loads(table.RESULTS.read_text())
    assert shown.keys() == ROWS.keys()
    for name, row in ROWS.items():
        for part in ("promise", "test", "bar", "when"):
            assert shown[name][part] == getattr(row, part), (name, part)
        assert shown[name]["command"].startswith(row.command or f"python tests/battery {name}")


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


PYTHON = """

def check(x):
    if not 0 <= x < 3 and x is not None:
        raise ValueError("x + 1 < 2")
    return x + 1
"""


def test_changes_of_python():
    tree = ast.parse(PYTHON)
    found = {mutants.changed(tree, at)[1] for at, _ in mutants.places(tree)}
    assert found == {
        "line 4: not 0 <= x < 3 and x is not None -> not 0 <= x < 3 or x is not None",
        "line 4: not 0 <= x < 3 -> not not 0 <= x < 3",
        "line 4: 0 <= x < 3 -> 0 < x < 3",
        "line 4: x is not None -> x is None",
        "line 4: 0 <= x < 3 -> 1 <= x < 3",
        "line 4: 0 <= x < 3 -> 0 <= x < 4",
        "line 5: no raise ValueError('x + 1 < 2')",
        "line 6: x + 1 -> x - 1",
        "line 6: x + 1 -> x + 2",
    }
    assert list(mutants.places(tree, ("another",))) == []
    assert len(list(mutants.places(tree, ("check",)))) == len(found)
    assert ast.unparse(tree) == ast.unparse(ast.parse(PYTHON))


def test_what_is_left_out_is_still_there():
    code = ""
    for module in mutants.TARGETS:
        tree = ast.parse(Path(mutants.origin(module)).read_bytes())
        assert len(list(mutants.places(tree, mutants.CHECKS.get(module, ())))) > 20
        code += ast.unparse(tree)
    for same in mutants.SAME:
        assert same.partition(" -> ")[0] in code, same


CPP = """
#define TWICE(x) ((x) + (x))
template <int n, class T = vec<n>> T f(const T *x, T &&y) { // a < b
  /* 1 + 2 */ const char *text = "a && b";
  for (int i = 0; i < n; ++i)
    y += x[i] * -1
      + TWICE(i);
  return y;
}
"""


def test_changes_of_cpp():
    found = kernels.places(CPP)
    assert [operator for _, operator in found] == ["<", "+=", "*", "+"]
    text, said = kernels.changed(CPP, *found[0])
    assert text == CPP.replace("i < n;", "i <= n;")
    assert said == "line 5: for (int i = 0; i [< -> <=] n; ++i)"
    assert kernels.changed(CPP, *found[2])[0] == CPP.replace("x[i] * -1", "x[i] / -1")


@pytest.mark.parametrize("target", kernels.TARGETS)
def test_kernels_have_operators_and_tests(target):
    assert len(kernels.places((table.ROOT / target).read_text())) >= 10
    for name in kernels.TARGETS[target]:
        assert (TESTS / "python" / name).exists()


def test_bits_are_compared_where_levels_fuse_and_where_they_do_not():
    v3 = {"level": "v3", "a": "1", "b": "2"}
    arm, plain = v3 | {"level": "baseline", "b": "3"}, v3 | {"level": "baseline", "a": "4"}
    assert platforms.differing([(True, v3), (True, arm), (False, plain)]) == (2, ["b"])
    assert platforms.differing([(True, v3), (False, arm), (False, arm)]) == (2, [])
