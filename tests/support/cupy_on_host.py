"""CuPy's double for machines without a GPU: arrays are NumPy's, kernels run under g++.

It has what `eigenflow._gpu` uses and no more, and is as strict as CuPy where that matters: NumPy
takes no device array, and device functions take no NumPy array. Kernels are the shipped sources,
compiled through tests/cpp/cuda_shim.hpp, which knows barriers and shared memory, and launched with
the launcher's own arguments, each checked against its parameter's type.
"""

import ctypes
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import types
from contextlib import nullcontext
from pathlib import Path

import numpy as np

_SHIM = Path(__file__).parents[1] / "cpp" / "cuda_shim.hpp"
_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(([^)]*)\)'
)
_TYPES = {
    "float": (np.float32, ctypes.c_float),
    "double": (np.float64, ctypes.c_double),
    "int": (np.int32, ctypes.c_int),
    "long long": (np.int64, ctypes.c_longlong),
    "unsigned long long": (np.uint64, ctypes.c_ulonglong),
    "void": (None, None),
}
_PYTHON_TYPES = {int: np.int64, float: np.float64, bool: np.bool_}

# What the package may use, by name.
_ATTRIBUTES = """T all any argmax argmin astype conj dtype flags get item max mean min ndim ravel
    reshape shape size strides sum transpose view"""
_FUNCTIONS = """arange ascontiguousarray broadcast_to clip concatenate einsum empty empty_like
    flatnonzero full isfinite ldexp maximum may_share_memory ones sqrt square stack where zeros
    zeros_like"""
_LINALG = "eigh qr"
_OPERATORS = """lt le gt ge eq ne add sub mul matmul truediv pow invert abs iadd imul radd rsub
    rmul"""


class ndarray:  # noqa: N801
    """A device array: NumPy's, but NumPy cannot get at it."""

    __module__ = "cupy"

    def __init__(self, host):
        self._host = np.asarray(host)

    def __array__(self, *_, **__):
        msg = "Implicit conversion to a NumPy array is not allowed. Please use `.get()`"
        raise TypeError(msg)

    def __array_function__(self, *_):
        return NotImplemented

    __array_ufunc__ = None

    def get(self):
        return self._host.copy()

    def __getattr__(self, name):
        if name not in _ATTRIBUTES.split():
            raise AttributeError(name)
        value = getattr(self._host, name)
        return _lifted(value) if callable(value) else _wrap(value)

    def __getitem__(self, key):
        return _wrap(self._host[_bare(key)])

    def __setitem__(self, key, value):
        self._host[_bare(key)] = _bare(value)

    def __len__(self):
        return len(self._host)

    def __str__(self):
        return str(self._host)


def _forward(name):
    return lambda self, *others: _lifted(getattr(self._host, name))(*others)


for _name in _OPERATORS.split():
    setattr(ndarray, f"__{_name}__", _forward(f"__{_name}__"))
for _name in ("bool", "int", "float", "index"):
    setattr(ndarray, f"__{_name}__", lambda self, _n=f"__{_name}__": getattr(self._host, _n)())


def _bare(x):
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, np.ndarray):
        msg = f"Unsupported type {type(x)}"
        raise TypeError(msg)
    return type(x)(map(_bare, x)) if isinstance(x, tuple | list) else x


def _wrap(x):
    if isinstance(x, tuple) and any(isinstance(part, np.ndarray) for part in x):
        return tuple(map(_wrap, x))
    return ndarray(x) if isinstance(x, np.ndarray | np.generic) else x


def _lifted(function):
    def on_device(*args, **kwargs):
        bare = {key: _bare(value) for key, value in kwargs.items()}
        return _wrap(function(*map(_bare, args), **bare))

    return on_device


_folder = tempfile.TemporaryDirectory(prefix="eigenflow-kernels-")
CACHE = _folder.name
VERSION = "on the host"
_SOURCE = b"\n// kernels of this library\n"


def _compile_using_nvrtc(code, options, filename):
    """Return a shared library, with its source behind it."""
    assert filename.endswith(".cu")
    return _compiled(code, options).read_bytes() + _SOURCE + code.encode(), None


class RawModule:
    """Kernels of one source text, as a shared library."""

    def __init__(self, *, path):
        self._library = ctypes.CDLL(path)
        code = Path(path).read_bytes().rpartition(_SOURCE)[2].decode()
        self._parameters = dict(_KERNEL.findall(code))

    def get_function(self, name):
        return _Kernel(self._library, name, self._parameters[name])


class _Kernel:
    def __init__(self, library, name, parameters):
        self._call = getattr(library, f"host_{name}")
        self._call.restype = None
        self._types = _split(parameters)

    def __call__(self, grid, block, arguments):
        assert len(arguments) == len(self._types)
        values = [
            _argument(x, kind, name) for x, (kind, name) in zip(arguments, self._types, strict=True)
        ]
        addresses = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        shape = (ctypes.c_uint * 4)(*(*grid, 1)[:2], *(*block, 1)[:2])
        self._call(shape, addresses)


def _split(parameters):
    """(type, name) of each parameter; the name of a pointer keeps its star."""
    pairs = [p.replace("const", "").rsplit(maxsplit=1) for p in parameters.split(",")]
    return [(kind.strip(), name) for kind, name in pairs]


def _host_entry(name, parameters):
    """C++ that launches a kernel with the addresses of its arguments."""
    values = ", ".join(
        f"*static_cast<{kind} *{'*' if star.startswith('*') else ''}>(a[{i}])"
        for i, (kind, star) in enumerate(_split(parameters))
    )
    return (
        f'extern "C" void host_{name}(const unsigned *shape, void **a) {{\n'
        "  cuda_shim::launch_blocks({shape[0], shape[1]}, {shape[2], shape[3]},\n"
        f"                           [=] {{ {name}({values}); }});\n}}\n"
    )


def _argument(x, kind, name):
    dtype, c_type = _TYPES[kind]
    if name.startswith("*"):
        if isinstance(x, ndarray):
            assert x.dtype == dtype, (name, x.dtype)
            return ctypes.c_void_p(x._host.ctypes.data)
        assert type(x) is int, (name, x)  # an address
        return ctypes.c_void_p(x)
    own = _PYTHON_TYPES.get(type(x)) or type(x)
    assert own is dtype, (name, type(x), kind)
    return c_type(x)


def _compiled(code, options):
    source = Path(CACHE) / f"{hashlib.sha256(code.encode()).hexdigest()[:8]}.cpp"
    library = source.with_suffix(".so")
    entries = "".join(_host_entry(*found) for found in _KERNEL.findall(code))
    source.write_text(f'#include "{_SHIM}"\n{code}\n{entries}')
    flags = [o for o in options if o.startswith(("-I", "-D"))]
    command = ["g++", "-std=c++20", "-O1", "-march=native", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run([*command, *flags, source, "-o", library], check=True)
    return library


class _Device(nullcontext):
    compute_capability = "host"


def missing():
    """Say why kernels cannot be built here, if so."""
    return None if sys.platform == "linux" and shutil.which("g++") else "no g++ for the kernels"


def module():
    """Return the double, to stand in `sys.modules`."""
    double = types.ModuleType("cupy")
    double.ndarray = ndarray
    double.RawModule = RawModule
    for name in _FUNCTIONS.split():
        setattr(double, name, _lifted(getattr(np, name)))
    double.linalg = types.ModuleType("cupy.linalg")
    for name in _LINALG.split():
        setattr(double.linalg, name, _lifted(getattr(np.linalg, name)))
    double.asarray = _to_device
    double.__version__ = VERSION
    double.cuda = types.ModuleType("cupy.cuda")
    double.cuda.Device = _Device
    double.cuda.ExternalStream = lambda *_: nullcontext()
    double.cuda.nvrtc = types.SimpleNamespace(getVersion=lambda: (0, 0))
    double.cuda.compiler = types.SimpleNamespace(compile_using_nvrtc=_compile_using_nvrtc)
    return double


def _to_device(x, dtype=None):
    """Copy what is on the host; the only function that takes host arrays."""
    if isinstance(x, ndarray):
        return x if dtype is None else x.astype(dtype, copy=False)
    return ndarray(np.array(x, dtype=dtype))
