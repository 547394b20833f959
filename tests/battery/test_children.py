"""What a parent is told of a child that hangs, crashes or ends well."""

import os
import sys

import pytest

from battery.children import HANG, run_child

KID = """
import ctypes, os, sys
from battery.children import pet, say

def held():  # in C, with the GIL
    ctypes.PyDLL(None).sleep(60)

pet(0.5)
if sys.argv[1] == "hangs":
    held()
elif sys.argv[1] == "crashes":
    os.abort()
print("a line", file=sys.stderr)
say(well=sys.argv[1])
"""


@pytest.fixture
def kid(tmp_path, monkeypatch):
    (tmp_path / "kid.py").write_text(KID)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "kid"


def test_a_child_says_what_it_found(kid):
    assert run_child(kid, "ends") == (0, {"well": "ends"}, "a line\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals, and sleep of the C library")
def test_a_child_that_is_petted_no_more_ends_with_its_stacks(kid):
    status, said, errors = run_child(kid, "hangs")
    assert (status, said) == (HANG, None)
    assert errors.startswith("no life: ")
    assert "in held" in errors


@pytest.mark.skipif(sys.platform == "win32", reason="signals, and sleep of the C library")
def test_a_child_ends_in_time(kid):
    status, _, errors = run_child(kid, "hangs", seconds=0.2)
    assert status == HANG
    assert errors.startswith("no end after 0.2 s: ")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="statuses are signals on POSIX only")
def test_a_crash_is_a_signal_with_its_stack(kid):
    status, said, errors = run_child(kid, "crashes")
    assert status < 0
    assert said is None
    assert "Aborted" in errors
