"""Every public function is documented, and the examples in its docstring are true."""

import doctest
import inspect
import re
from pathlib import Path

import pytest

import eigenflow as ef

ROOT = Path(__file__).parents[2]
MODULES = [ef.flow, ef.lowrank, ef.sine, ef.lds, ef.mpi, ef.plot, ef.estimators]
PUBLIC = [
    pytest.param(getattr(module, name), id=f"{module.__name__.rpartition('.')[2]}.{name}")
    for module in MODULES
    for name in getattr(module, "__all__", ())
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("thing", PUBLIC)
def test_public_names_are_documented(thing):
    assert thing.__doc__
    if not inspect.isfunction(thing):
        return
    sections = re.findall(r"^ *(\w+)\n *-{3,}$", thing.__doc__, re.MULTILINE)
    parameters = inspect.signature(thing).parameters
    assert {"Returns", *["Parameters"] * bool(parameters)} <= set(sections)
    documented = thing.__doc__
    for name in parameters:
        assert re.search(rf"\b{name}\b", documented), name


@pytest.mark.parametrize("module", ["flow", "lowrank", "sine", "lds"])
def test_a_page_of_the_reference_says_what_each_function_is_for(module):
    page = (ROOT / f"docs/reference/{module}.rst").read_text()
    public = getattr(ef, module)
    for name in public.__all__:
        if inspect.isfunction(getattr(public, name)):
            assert f":func:`{name}`" in page, name


@pytest.mark.parametrize("thing", PUBLIC)
def test_examples_in_docstrings_are_true(thing):
    finder = doctest.DocTestFinder(recurse=True)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in finder.find(thing, thing.__name__, globs={"ef": ef}):
        runner.run(test)
    assert runner.failures == 0
