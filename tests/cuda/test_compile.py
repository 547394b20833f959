"""Every shipped kernel compiles for every supported architecture, on machines without a GPU."""

import re

import pytest

from eigenflow._gpu import sources
from support.nvrtc import compile_cubin

KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)')


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("entry", sources.entries())
def test_kernels_compile(entry, architecture):
    text = sources.entry_path(entry).read_text()
    kernels = KERNEL.findall(text)
    assert kernels
    cubin = compile_cubin(text, f"{entry}.cu", architecture, sources.compile_options())
    assert cubin[:4] == b"\x7fELF"
    for name in kernels:
        assert name.encode() in cubin


@pytest.mark.parametrize(
    ("entry", "depth", "columns"),
    [("sine_rows", 4, 1), ("sine_rows", 32, 4), ("sine_tiles", 32, 16), ("sine_weights", 32, 1)],
)
def test_kernels_compile_for_other_sizes(entry, depth, columns):
    defines = (f"-DEF_DEPTH={depth}", f"-DEF_COLUMNS={columns}")
    options = (*sources.compile_options(), *defines)
    text = sources.entry_path(entry).read_text()
    assert compile_cubin(text, f"{entry}.cu", "sm_90", options)[:4] == b"\x7fELF"


def test_a_kernel_that_does_not_compile_is_an_error():
    with pytest.raises(RuntimeError, match="undefined_name"):
        compile_cubin("__global__ void k() { undefined_name(); }", "bad.cu", "sm_90", ())


def test_the_source_hash_changes_with_a_header(tmp_path, monkeypatch):
    header = tmp_path / "include" / "eigenflow" / "hd" / "x.hpp"
    header.parent.mkdir(parents=True)
    monkeypatch.setattr(sources, "_includes", lambda: (tmp_path / "include", tmp_path))
    hashes = []
    for text in ("one", "two"):
        header.write_text(text)
        sources.source_hash.cache_clear()
        hashes.append(sources.source_hash())
    sources.source_hash.cache_clear()
    assert hashes[0] != hashes[1]
