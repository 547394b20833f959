"""R19: small faults planted in the validators; the tests must see them.

A mutant is one change of one module: a comparison, a connective, a `not`, a number, or an error
that is not raised. It lives in the memory of a test run of its own: no file is changed.
"""

import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from battery.children import with_tests
from battery.table import ROOT, Figure, Row

BAR = 0.85
UNCHANGED = -1
PATIENCE = 300  # seconds of a module's tests
# Modules that check arguments, and the tests that are theirs.
TARGETS = {
    "eigenflow._arrays": ["test_arrays.py", "test_array_api.py"],
    "eigenflow._flow_problem": ["test_flow_arguments.py", "test_flow_sure.py", "test_flow.py"],
    "eigenflow.lowrank.requests": ["test_svd_requests.py", "test_svd_arguments.py"],
    "eigenflow.dask.checkpoint": ["test_dask_checkpoint.py", "test_dask.py"],
    "eigenflow.sine.codec": ["test_sine_codec.py"],
}
# Of modules that do more than check, only the functions that check.
CHECKS = {
    "eigenflow.sine.codec": ("__post_init__", "quantize", "check_bits", "__init__", "_product"),
}
# Changes that no test can see, and why.
SAME = {
    "isinstance(x, np.ndarray) or 'dask' not in sys.modules -> "
    "isinstance(x, np.ndarray) and 'dask' not in sys.modules": "a short cut to the same answer",
    "math.prod(shape) * np.dtype(dtype).itemsize > sys.maxsize -> "
    "math.prod(shape) * np.dtype(dtype).itemsize >= sys.maxsize": "NumPy has no memory for either",
    "all((s == 0 for s in wide)) or len(wide) == 1 -> "
    "all((s == 0 for s in wide)) and len(wide) == 1": "another view of the same entries",
    "size > 8 -> size > 9": "no number has nine bytes",
    "size <= 4 -> size <= 5": "no number has five bytes",
    "1 << 15 -> 2 << 15": "the faster of two ways to one result, a little later",
    "1 << 15 -> 1 << 16": "the faster of two ways to one result, a little later",
    "norm if norm >= 0 else 1.0 -> norm if norm >= 0 else 2.0": "the unit of what is compared",
    "leading[-1][1] if leading else 0 -> leading[-1][1] if leading else 1": "no second row",
    "a.min() >= 0 -> a.min() > 0": "zeros are looked at again, and pass",
    "_length(archive, entry) > most -> _length(archive, entry) >= most": "a file has a header too",
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


def places(tree: ast.Module, functions: tuple[str, ...] = ()) -> Iterator[tuple[int, str]]:
    """Nodes that can be changed, by their number in a walk, and how; in these functions, or all."""
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name in functions
        for inner in ast.walk(node)
    }
    for at, node in enumerate(ast.walk(tree)):
        if functions and id(node) not in inside:
            continue
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
    # Of a number alone nobody could tell which one it is.
    shown = _holder(tree, node) if isinstance(node, ast.Constant) else node
    before = ast.unparse(shown)
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
    return ast.fix_missing_locations(tree), f"line {node.lineno}: {before} -> {ast.unparse(shown)}"


def _holder(tree: ast.Module, node: ast.AST) -> ast.AST:
    return next(n for n in ast.walk(tree) if node in ast.iter_child_nodes(n))


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
        self.origin = origin(name)
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


def origin(module: str) -> str:
    return str((ROOT / "python" / module.replace(".", "/")).with_suffix(".py"))


def survivors(module: str, numbers: list[int]) -> set[int]:
    """Which changes the tests of the module pass with, in a process that has no library yet."""
    # As a file: the package of the rows would import the library before a change is in place.
    command = [sys.executable, __file__, module, *map(str, numbers)]
    done = subprocess.run(
        command, cwd=ROOT, env=with_tests(), stdout=subprocess.PIPE, text=True, check=True
    )
    return {int(line) for line in done.stdout.split()}


def passes(module: str, at: int) -> bool:
    """Run the tests of a module with a change, in a copy of this process."""
    child = os.fork()
    if not child:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.meta_path.insert(0, Mutated(module, at))
        tests = [f"tests/python/{name}" for name in TARGETS[module]]
        early = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # what is imported already
        os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *early, *tests]))
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def measure(full: bool) -> Figure:
    if not hasattr(os, "fork"):
        return Figure("needs fork", None)
    rng = np.random.default_rng(0)
    tried, left = 0, []
    for module in TARGETS:
        tree = ast.parse(Path(origin(module)).read_bytes())
        said = {at: changed(tree, at)[1] for at, _ in places(tree, CHECKS.get(module, ()))}
        numbers = [at for at, text in said.items() if text.partition(": ")[2] not in SAME]
        chosen = rng.permutation(numbers)[: 20 if full else 5].tolist()
        found = survivors(module, [UNCHANGED, *chosen])
        if UNCHANGED not in found:
            return Figure(f"the tests of {module} fail without a fault", False)
        tried += len(chosen)
        unseen = [f"{module}, {said[at]}" for at in sorted(found - {UNCHANGED})]
        print(*unseen, sep="\n", file=sys.stderr, flush=True)
        left += unseen
    share = 1 - len(left) / tried
    text = f"{tried - len(left)} of {tried} changes in {len(TARGETS)} modules seen"
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
    # What every copy needs and no change touches.
    for name in ("hypothesis.extra.numpy", "scipy.linalg", "scipy.sparse.linalg"):
        importlib.import_module(name)
    for number in map(int, sys.argv[2:]):
        if passes(sys.argv[1], number):
            print(number, flush=True)
