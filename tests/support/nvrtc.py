"""Compile with NVRTC, without a GPU: source text in, device binary out."""

from functools import cache

import pytest

nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")


def _checked(answer):
    status, *values = answer
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(f"NVRTC: {status}")
    return values[0] if len(values) == 1 else values


@cache
def compile_cubin(source: str, name: str, architecture: str, options: tuple[str, ...]) -> bytes:
    """Compile to a cubin; the compiler's log is in the error."""
    program = _checked(nvrtc.nvrtcCreateProgram(source.encode(), name.encode(), 0, [], []))
    flags = [f"--gpu-architecture={architecture}".encode(), *(o.encode() for o in options)]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(flags), flags)
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        log = b" " * _checked(nvrtc.nvrtcGetProgramLogSize(program))
        nvrtc.nvrtcGetProgramLog(program, log)
        raise RuntimeError(f"{name} for {architecture}:\n{log.decode()}")
    cubin = b" " * _checked(nvrtc.nvrtcGetCUBINSize(program))
    _checked((*nvrtc.nvrtcGetCUBIN(program, cubin), None))
    nvrtc.nvrtcDestroyProgram(program)
    return cubin
