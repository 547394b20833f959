"""R19: small faults planted in the validators; the tests must see them.

A mutant is one change of one module: a comparison, a connective, a `not`, a number, or an error
that is not raised. It lives in the memory of a test run of its own: no file is changed.
"""

import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from battery.children import with_tests
from battery.table import ROOT, Figure, Row

BAR = 0.85
UNCHANGED = -1
# Modules that check arguments, and the tests that are theirs.
TARGETS = {
    "eigenflow._arrays": ["test_arrays.py", "test_array_api.py"],
    "eigenflow._flow_problem": ["test_flow_arguments.py", "test_flow.py"],
    "eigenflow.lowrank.requests": ["test_svd_arguments.py", "test_svd_weights.py"],
    "eigenflow.dask.checkpoint": ["test_dask_checkpoint.py", "test_dask.py"],
    "eigenflow.sine.codec": ["test_sine_codec.py"],
}
SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}


def places(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Nodes that can be changed, by their number in a walk, and how."""
    for at, node in enumerate(ast.walk(tree)):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            yield at, "comparison"
        elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in SWAPS:
            yield at, "connective"
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield at, "not"
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield at, "number"
        elif isinstance(node, ast.Raise) and node.exc is not None:
            yield at, "raise"


def changed(tree: ast.Module, at: int) -> tuple[ast.Module, str]:
    """Return the tree with node `at` changed, and what that was."""
    tree = copy.deepcopy(tree)
    node: Any = list(ast.walk(tree))[at]
    before = ast.unparse(node)
    match node:
        case ast.Compare():
            node.ops[0] = SWAPS[type(node.ops[0])]()
        case ast.BoolOp() | ast.BinOp():
            node.op = SWAPS[type(node.op)]()
        case ast.UnaryOp():
            node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
        case ast.Constant():
            node.value += 1
        case ast.Raise():
            node.exc, node.cause = ast.Constant(None), None
    if isinstance(node, ast.Raise):  # a statement that does nothing
        _replace(tree, node, ast.copy_location(ast.Pass(), node))
        return ast.fix_missing_locations(tree), f"line {node.lineno}: no {before}"
    return ast.fix_missing_locations(tree), f"line {node.lineno}: {before} -> {ast.unparse(node)}"


def _replace(tree: ast.Module, old: ast.stmt, new: ast.stmt) -> None:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list) and old in body:
                body[body.index(old)] = new


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Imports one module with a change."""

    def __init__(self, module: str, at: int) -> None:
        self.module, self.at = module, at

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.module:
            return None
        self.origin = _origin(name)
        return importlib.util.spec_from_file_location(name, self.origin, loader=self)

    def get_filename(self, fullname: str) -> str:
        return self.origin

    def get_data(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def get_code(self, fullname: str) -> Any:
        tree = ast.parse(self.get_data(self.origin))
        if self.at != UNCHANGED:
            tree, _ = changed(tree, self.at)
        return compile(tree, self.origin, "exec")


def _origin(module: str) -> str:
    return str((ROOT / "python" / module.replace(".", "/")).with_suffix(".py"))


def survives(module: str, at: int) -> bool:
    """Tell whether the tests of the module pass with the change."""
    tests = [f"tests/python/{name}" for name in TARGETS[module]]
    # As a file: the package of the rows would import the library before the change is in place.
    command = [sys.executable, __file__, module, str(at), *tests]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=with_tests(),
            capture_output=True,
            timeout=300,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def measure(full: bool) -> Figure:
    rng = np.random.default_rng(0)
    killed, survivors = 0, []
    for module in TARGETS:
        tree = ast.parse(Path(_origin(module)).read_bytes())
        found = list(places(tree))
        count = min(len(found), 60 if full else 5)
        if not survives(module, UNCHANGED):
            return Figure(f"the tests of {module} fail without a fault", False)
        for i in rng.choice(len(found), count, replace=False):
            if survives(module, found[i][0]):
                survivors.append(f"{module}, {changed(tree, found[i][0])[1]}")
                print(survivors[-1], file=sys.stderr, flush=True)
            else:
                killed += 1
    share = killed / (killed + len(survivors))
    text = f"{killed} of {killed + len(survivors)} mutants in {len(TARGETS)} modules seen"
    return Figure(f"{text} ({share:.0%})", share >= BAR)


ROW = Row(
    "Tests see a fault in a check of arguments.",
    "comparisons, connectives, numbers and errors changed one by one in modules that check "
    "arguments, each under that module's own tests",
    "at least 85 % seen",
    measure,
    when="release",
)

if __name__ == "__main__":
    import pytest

    sys.meta_path.insert(0, Mutated(sys.argv[1], int(sys.argv[2])))
    sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[3:]]))
