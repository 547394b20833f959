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

from eigenflow._gpu import sine_launch as launch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_NUMPY: dict[Any, Any] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}
_KINDS: dict[Any, str] = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16"}


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


def _strided(t: Tensor) -> tuple[Any, ...]:
    return t.data_ptr(), *map(np.int64, t.stride())


def _number(t: Tensor | None) -> tuple[int, int, float]:
    """A float32 or float64 as kernels take it: they read it there, so that nobody waits for it."""
    if t is None or t.device.type == "cpu":
        return 0, 0, 1.0 if t is None else float(t)
    if t.dtype == torch.float32:
        return t.data_ptr(), 0, 0.0
    return 0, t.data_ptr(), 0.0


def _copied(factor: Tensor, omega: Tensor | None, *, turned: bool) -> Tensor:
    """A contiguous copy, times omega / pi if omega is given, and transposed if `turned`."""
    shape = factor.shape
    out = factor.new_empty(shape[::-1] if turned else shape)
    if out.numel():
        to = _strided(out.T if turned else out)
        scale = None if omega is None else _number(omega)
        launch.copy_factor(_NUMPY[out.dtype], _strided(factor), tuple(shape), scale, to)
    return out


class Matrix:
    """The phases ``omega U V^T``, or their transpose, as kernels take them.

    The left factor is row-major, the right one transposed. One is in half-turns: U's.
    """

    def __init__(self, left: Tensor, right: Tensor) -> None:
        self.left, self.right = left, right
        self.shape = len(left), right.shape[1]
        self._dtype = _NUMPY[left.dtype]
        self._shallow = left.shape[1] <= launch.MAX_DEPTH

    @classmethod
    def of(cls, U: Tensor, V: Tensor, omega: Tensor) -> Matrix:
        """Take factors of one dtype, float32 or float64."""
        omega = omega if omega.dtype in _NUMPY else omega.float()
        with _stream_of(U):
            return cls(_copied(U, omega, turned=False), _copied(V, None, turned=True))

    @classmethod
    def turned(cls, U: Tensor, V: Tensor, omega: Tensor) -> Matrix:
        """Take the factors of the transposed matrix."""
        omega = omega if omega.dtype in _NUMPY else omega.float()
        with _stream_of(U):
            return cls(V.contiguous(), _copied(U, omega, turned=True))

    def __getitem__(self, rows: slice) -> Matrix:
        return Matrix(self.left[rows], self.right)

    @property
    def _factors(self) -> launch.Factors:
        m, size = self.left.shape
        return launch.Factors(self.left.data_ptr(), self.right.data_ptr(), m, size, self.shape[1])

    @property
    def _any_factors(self) -> tuple[tuple[Any, ...], Tensor]:
        """For kernels of any depth; the tensor must live until they are launched."""
        right = self.right.T.contiguous()
        depth, gain = np.int64(right.shape[1]), self._dtype.type(1)
        return (self.left.data_ptr(), 0, right.data_ptr(), 0, depth, gain), right

    def weights(self, gain: Tensor | None, base: Tensor | None, dtype: torch.dtype) -> Tensor:
        """``base + sin(phases) / gain``, for a dtype that `makes_weights` allows."""
        out = self.left.new_empty(self.shape, dtype=dtype)
        if not out.numel():
            return out
        with _stream_of(out):
            if not self._shallow:
                factors, kept = self._any_factors
                launch.any_entries(self._dtype, factors, *self.shape, out.data_ptr())
                del kept
                return out
            kind = _KINDS[dtype]
            nothing = (0, np.int64(0), np.int64(0))
            at = nothing if base is None else _strided(base)
            launch.weights(kind, self._factors, _number(gain), at, out.data_ptr())
        return out

    def makes_weights(self, base: Tensor | None, dtype: torch.dtype) -> bool:
        """Whether one kernel adds the base, divides by the gain and rounds to the dtype."""
        wide = torch.float32 if dtype == torch.bfloat16 else dtype
        same = wide == self.left.dtype and (base is None or base.dtype == dtype)
        return self._shallow and dtype in _KINDS and same

    def sine(self) -> Tensor:
        """``sin(phases)``, in the dtype of the factors."""
        return self.weights(None, None, self.left.dtype)

    def times_cosine(self, G: Tensor) -> Tensor:
        """``cos(phases) o G``, for G in the dtype of the factors."""
        out = self.left.new_empty(self.shape)
        if not self._shallow:
            return self._quarter_turned().sine().mul_(G)
        if out.numel():
            with _stream_of(out):
                launch.cosines(self._dtype, self._factors, _strided(G), out.data_ptr())
        return out

    def _quarter_turned(self) -> Matrix:
        """Phases that one more column moves by a quarter turn: their sines are the cosines."""
        left, right = self.left, self.right
        halves, ones = left.new_full((len(left), 1), 0.5), right.new_ones(1, right.shape[1])
        return Matrix(torch.cat([left, halves], 1), torch.cat([right, ones]))

    def product(self, X: Tensor, Y: Tensor, gain: Tensor | None = None) -> None:
        """Fill Y (m, T) with ``sin(phases) X / gain``; both in any memory order, Y dense."""
        if not Y.numel():
            return
        n_cols, to = X.shape[1], _strided(Y)
        with _stream_of(Y):
            if not self._shallow:
                factors, kept = self._any_factors
                launch.any_product(self._dtype, factors, _strided(X), to, (*self.shape, n_cols))
                del kept
                Y.div_(1 if gain is None else gain.to(Y.dtype))
                return
            given = (self._dtype, self._factors, _strided(X), n_cols)
            if n_cols <= launch.FEW:
                launch.few_columns(*given, _number(gain), to)
                return
            parts = launch.n_parts(self._factors, n_cols)
            if parts == 1:
                launch.tiled_product(*given, 1, _number(gain), (*to, np.int64(0)))
                return
            sums = Y.new_empty(parts, Y.numel())
            strides = (*to[1:], np.int64(Y.numel()))
            launch.tiled_product(*given, parts, _number(gain), (sums.data_ptr(), *strides))
            torch.sum(sums, 0, out=Y.as_strided((Y.numel(),), (1,)))

    def slopes(self, a: Tensor, b: Tensor, Y: Tensor) -> None:
        """Fill Y (m, k) with ``(cos(phases) o a b^T) right^T``; a and b have few columns."""
        if not Y.numel():
            return
        with _stream_of(Y):
            if self._shallow:
                launch.few_slopes(
                    self._dtype, self._factors, _strided(a), _strided(b), a.shape[1], _strided(Y)
                )
                return
            factors, right = self._any_factors
            inner = (*_strided(a), *_strided(b), np.int64(a.shape[1]))
            shape = (*self.shape, right.shape[1])
            launch.any_product(self._dtype, factors, _strided(right), _strided(Y), shape, inner)
