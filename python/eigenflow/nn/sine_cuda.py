"""PyTorch's tensors on a CUDA device, given to the kernels that `eigenflow._gpu` compiles.

Kernels take the addresses of tensors: nothing is copied, and PyTorch owns all memory. They run on
PyTorch's current stream, omega and gain stay tensors, and nothing here waits for the device, so a
training step can be captured as a CUDA graph (after one that compiles the kernels).
"""

from __future__ import annotations  # so that the docs can be built without PyTorch

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from eigenflow._gpu import sine as launches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_NUMPY: dict[Any, Any] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}


@cache
def _has_kernels() -> bool:
    try:
        import cupy  # noqa: F401
    except ImportError:
        return False
    return torch.version.cuda is not None


def reaches(t: Tensor) -> bool:
    """Whether kernels take this tensor: on a CUDA device, with CuPy installed."""
    return t.device.type == "cuda" and _has_kernels()


def kernels_for(t: Tensor) -> str:
    """Whose kernels take this tensor: "cpu" and "cuda" are this package's, "torch" PyTorch's."""
    if reaches(t):
        return "cuda"
    return "cpu" if t.device.type == "cpu" else "torch"


@contextmanager
def _stream_of(t: Tensor) -> Iterator[None]:
    """Make PyTorch's device and stream CuPy's."""
    import cupy

    index = t.device.index
    stream = torch.cuda.current_stream(t.device).cuda_stream
    with cupy.cuda.Device(index), cupy.cuda.ExternalStream(stream, index):
        yield


def _factors(left: Tensor, right: Tensor) -> tuple[Any, ...]:
    gain = _NUMPY[left.dtype].type(1)
    depth = np.int64(left.shape[1])
    return left.data_ptr(), 0, right.data_ptr(), 0, depth, gain


def _strided(t: Tensor) -> tuple[Any, ...]:
    return t.data_ptr(), *map(np.int64, t.stride())


def entries(left: Tensor, right: Tensor) -> Tensor:
    """``sin(pi left right^T)``, for contiguous factors of one dtype."""
    out = left.new_empty(len(left), len(right))
    if out.numel():
        arguments = (_factors(left, right), len(left), len(right), out.data_ptr())
        with _stream_of(out):
            launches.launch_entries(_NUMPY[out.dtype], *arguments)
    return out


def times_cosine(left: Tensor, right: Tensor, G: Tensor) -> Tensor:
    """``cos(pi left right^T) o G``, for contiguous factors of one dtype, which is also G's."""
    out = left.new_empty(len(left), len(right))
    if out.numel():
        arguments = (_factors(left, right), _strided(G), len(left), len(right), out.data_ptr())
        with _stream_of(out):
            launches.launch_times_cosine(_NUMPY[out.dtype], *arguments)
    return out


def product(
    left: Tensor, right: Tensor, X: Tensor, Y: Tensor, inner: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Fill Y (m, T) with ``sin(pi left right^T) X``, for X (n, T); both in any memory order.

    With ``inner = (a, b)`` the matrix is ``cos(pi left right^T) o a b^T`` instead.
    """
    if not Y.numel():
        return Y
    extra: tuple[Any, ...] = ()
    if inner is not None:
        extra = (*_strided(inner[0]), *_strided(inner[1]), np.int64(inner[0].shape[1]))
    arguments = (_factors(left, right), _strided(X), _strided(Y), (len(left), *X.shape), extra)
    with _stream_of(Y):
        launches.launch_product(_NUMPY[Y.dtype], *arguments)
    return Y
