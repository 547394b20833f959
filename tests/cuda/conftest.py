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
    monkeypatch.setenv("CUPY_CACHE_DIR", cupy_on_host.CACHE)
    monkeypatch.setitem(sys.modules, "cupy", cupy_on_host.module())
    cached = (gpu_compile._kernel, gpu_compile._module, gpu_compile._cache_folder)
    for function in cached:
        function.cache_clear()
    yield sys.modules["cupy"]
    for function in cached:
        function.cache_clear()
