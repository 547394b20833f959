"""Blocks of rows of sin(omega U V^T) and of the cosine: made when needed, then thrown away."""

from __future__ import annotations  # so that the docs can be built without PyTorch

import math
from typing import TYPE_CHECKING

import torch

from eigenflow._core import sine as _core
from eigenflow.nn import sine_cuda

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

# Entries of a block, large enough for BLAS: 4 MiB in float32, on a CUDA device 32 MiB.
_BLOCK, _CUDA_BLOCK = 1 << 20, 1 << 23


def phase_dtype(*tensors: Tensor) -> torch.dtype:
    """Return float64 if any tensor has it, else float32: phases have no lower precision."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


class Tiles:
    """``sin(omega U V^T)`` and ``cos(omega U V^T)`` by blocks of rows.

    The compiled kernels make them on the CPU and on CUDA devices, PyTorch elsewhere. Either way
    whole turns are dropped in half-turns, without rounding, and the error is that of the phase
    alone.
    """

    def __init__(self, U: Tensor, V: Tensor, omega: Tensor) -> None:
        self.dtype = phase_dtype(U, V)
        self.U, self.V = U.to(self.dtype), V.to(self.dtype)
        self.omega = omega.to(self.dtype)
        self.shape = U.shape[0], V.shape[0]
        self._kernels = sine_cuda.kernels_for(U)
        if self._kernels == "cpu":
            self._omega = float(omega)
        elif self._kernels == "cuda":
            self._matrix = sine_cuda.Matrix.of(self.U, self.V, omega)
        else:
            self._half_turns = half_turns(self.U, omega)

    def blocks(self) -> Iterator[slice]:
        """Rows of one block after the other."""
        m, n = self.shape
        size = _CUDA_BLOCK if self.U.device.type == "cuda" else _BLOCK
        step = max(1, size // max(n, 1))
        for begin in range(0, m, step):
            yield slice(begin, min(begin + step, m))

    def sine(self, rows: slice) -> Tensor:
        """``sin(omega U V^T)`` in these rows."""
        if self._kernels == "cpu":
            return self._entries(self.U[rows], self.V)
        if self._kernels == "cuda":
            return self._matrix[rows].sine()
        return self._reduced(rows).mul_(math.pi).sin_()

    def weights(self, rows: slice, gain: Tensor, base: Tensor | None, dtype: torch.dtype) -> Tensor:
        """``base + sin(omega U V^T) / gain`` in these rows, rounded once to the dtype."""
        gain = gain.to(self.dtype)
        base = None if base is None else base[rows]
        if self._kernels == "cuda" and self._matrix.makes_weights(base, dtype):
            return self._matrix[rows].weights(gain, base, dtype)
        weight = self.sine(rows).div_(gain)
        return (weight if base is None else weight.add_(base)).to(dtype)

    def times_cosine(self, rows: slice, G: Tensor) -> Tensor:
        """``cos(omega U V^T) o G`` in these rows."""
        if self._kernels == "cuda":
            return self._matrix[rows].times_cosine(G)
        return self._cosine(rows).mul_(G)

    def _cosine(self, rows: slice) -> Tensor:
        if self._kernels != "cpu":
            return self._reduced(rows).mul_(math.pi).cos_()
        # The sine of a phase that one more column moves by a quarter turn.
        U, V = self.U[rows], self.V
        if self._omega == 0:
            return U.new_ones(len(U), len(V))
        quarter = U.new_full((len(U), 1), math.pi / 2 / self._omega)
        return self._entries(torch.cat([U, quarter], 1), torch.cat([V, V.new_ones(len(V), 1)], 1))

    def _entries(self, U: Tensor, V: Tensor) -> Tensor:
        out = U.new_empty(len(U), len(V))
        left, right, to = (a.detach().numpy() for a in (U, V, out))
        _core.entries(left, right, to, self._omega, 1.0, False, torch.get_num_threads())
        return out

    def _reduced(self, rows: slice) -> Tensor:
        """Phases in half-turns, less an even number of them: in [-1, 1]."""
        t = _exact_product(self._half_turns[rows], self.V)
        return t.sub_((t / 2).round_(), alpha=2)


def half_turns(U: Tensor, omega: Tensor) -> Tensor:
    """``omega / pi U``, rounded once."""
    wide = torch.float32 if U.device.type == "mps" else torch.float64  # which has no float64
    return (U.to(wide) * (omega.to(wide) / math.pi)).to(U.dtype)


def _exact_product(U: Tensor, V: Tensor) -> Tensor:
    """``U V^T``; never in TF32, whose 11 bits would be felt in the phase."""
    rounded = U.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest"
    if not rounded:
        return U @ V.T
    t = U.new_zeros(len(U), len(V))
    for u, v in zip(U.T, V.T, strict=True):
        t.addcmul_(u[:, None], v[None])
    return t
