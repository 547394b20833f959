"""Rules of direction: hd <- cpp <- bindings <- python, and cuda includes hd only."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
MAX_LINES = 440


def files(folder, *endings):
    found = [p for p in (ROOT / folder).rglob("*") if p.suffix in endings]
    assert found
    return found


def includes(path):
    return INCLUDE.findall(path.read_text())


@pytest.mark.parametrize("path", files("cpp/include/eigenflow/hd", ".hpp"), ids=lambda p: p.name)
def test_hd_includes_only_hd(path):
    # <cmath> is for Microsoft's compiler, which has no builtins; nvcc and NVRTC never see it.
    own = [name for name in includes(path) if (path.name, name) != ("config.hpp", "cmath")]
    assert all(name.startswith("eigenflow/hd/") for name in own)


@pytest.mark.parametrize("path", files("cuda", ".cuh", ".cu"), ids=lambda p: p.name)
def test_cuda_includes_only_hd_and_cuda(path):
    assert all(name.startswith(("eigenflow/hd/", "eigenflow/cuda/")) for name in includes(path))


def test_cpp_knows_neither_python_nor_cuda():
    for path in files("cpp", ".hpp", ".cpp"):
        for name in includes(path):
            assert not re.match(r"(pybind11|Python|cuda|cupy|eigenflow/cuda)", name), (path, name)


def test_hot_loops_instantiate_no_standard_templates():
    # The linker keeps one copy of a template, maybe the one that only new CPUs run.
    allowed = {"cstdint", "cstddef", "arm_neon.h", "immintrin.h"}
    for path in files("cpp/src/isa", ".cpp", ".hpp"):
        for name in includes(path):
            standard = "/" not in name and not name.endswith(".hpp")
            assert not standard or name in allowed, (path, name)


def test_bindings_see_public_headers_only():
    for path in files("bindings", ".hpp", ".cpp"):
        assert not any("isa" in name or "src" in name for name in includes(path)), path


def test_every_public_header_is_in_the_reference():
    pages = "".join(p.read_text() for p in files("docs", ".rst") if "cpp" in p.name)
    for path in (ROOT / "cpp/include/eigenflow").glob("*.h*"):
        assert f"cpp/include/eigenflow/{path.name}\n" in pages, path


def test_references_need_no_eigenflow():
    for path in files("tests/reference", ".py"):
        assert not re.search(r"^\s*(from|import) eigenflow", path.read_text(), re.MULTILINE), path


@pytest.mark.parametrize("folder", ["cpp", "cuda", "bindings", "python", "tests", "bench"])
def test_files_hold_one_thing(folder):
    for path in (ROOT / folder).rglob("*"):
        if path.suffix in {".py", ".cpp", ".hpp", ".cu", ".cuh"}:
            assert len(path.read_text().splitlines()) <= MAX_LINES, path


def test_sources_carry_their_licence():
    for folder in ("cpp", "cuda", "bindings"):
        for path in files(folder, ".hpp", ".cpp", ".cu", ".cuh"):
            assert "SPDX-License-Identifier: BSD-3-Clause" in path.read_text(), path
