"""The device, or its double on the host."""

import sys

import pytest

from eigenflow._gpu import compile as gpu_compile
from support import cupy_on_host


@pytest.fixture(params=[pytest.param("device", marks=pytest.mark.gpu), "host"])
def cupy(request, monkeypatch):
    """CuPy on a CUDA device, and the double that runs the same kernels on the host."""
    if request.param == "device":
        real = pytest.importorskip("cupy", reason="CuPy is not installed")
        if not real.cuda.is_available():
            pytest.skip("CuPy finds no CUDA device")
        yield real
        return
    if reason := cupy_on_host.missing():
        pytest.skip(reason)
    double = cupy_on_host.module()
    monkeypatch.setitem(sys.modules, "cupy", double)
    for cached in (gpu_compile.kernel, gpu_compile._module):
        cached.cache_clear()
    yield double
    for cached in (gpu_compile.kernel, gpu_compile._module):
        cached.cache_clear()
