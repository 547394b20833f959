"""Public names of eigenflow.nn are documented, and their examples are true."""

import doctest
import inspect
import re

import pytest

pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

import eigenflow as ef

NAMES = [name for name in ef.nn.__all__ if name != "PRESETS"]


@pytest.mark.parametrize("name", NAMES)
def test_public_names_are_documented(name):
    thing = getattr(ef.nn, name)
    assert thing.__doc__
    if inspect.isfunction(thing):
        sections = re.findall(r"^ *(\w+)\n *-{3,}$", thing.__doc__, re.MULTILINE)
        assert {"Parameters", "Returns", "Raises", "Examples"} <= set(sections)
        for argument in inspect.signature(thing).parameters:
            assert re.search(rf"\b{argument}\b", thing.__doc__), argument


@pytest.mark.parametrize("name", NAMES)
def test_examples_in_docstrings_are_true(name):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder().find(getattr(ef.nn, name), name, globs={"ef": ef}):
        runner.run(test)
    assert runner.failures == 0
