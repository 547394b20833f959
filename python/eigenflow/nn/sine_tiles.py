"""Blocks of rows of sin(omega U V^T) and of the cosine: made when needed, then thrown away."""

from __future__ import annotations  # so that the docs can be built without PyTorch

import math
from typing import TYPE_CHECKING

import torch

from eigenflow._core import sine as _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

_BLOCK = 1 << 20  # entries of a block: large enough for BLAS, 4 MiB in float32


def phase_dtype(*tensors: Tensor) -> torch.dtype:
    """Return float64 if any tensor has it, else float32: phases have no lower precision."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


class Tiles:
    """``sin(omega U V^T)`` and ``cos(omega U V^T)`` by blocks of rows.

    The compiled kernel makes them on the CPU, PyTorch elsewhere. Either way whole turns are dropped
    in half-turns, without rounding, and the error is that of the phase alone.
    """

    def __init__(self, U: Tensor, V: Tensor, omega: Tensor) -> None:
        self.dtype = phase_dtype(U, V)
        self.U, self.V = U.to(self.dtype), V.to(self.dtype)
        self.omega = omega.to(self.dtype)
        self.shape = U.shape[0], V.shape[0]
        self._compiled = U.device.type == "cpu"
        self._omega = float(omega) if self._compiled else math.nan
        if not self._compiled:
            self._half_turns = half_turns(self.U, omega)

    def blocks(self) -> Iterator[slice]:
        """Rows of one block after the other."""
        m, n = self.shape
        step = max(1, _BLOCK // max(n, 1))
        for begin in range(0, m, step):
            yield slice(begin, min(begin + step, m))

    def sine(self, rows: slice) -> Tensor:
        """``sin(omega U V^T)`` in these rows."""
        if not self._compiled:
            t = self._reduced(rows)
            return t.mul_(math.pi).sin_()
        return self._entries(self.U[rows], self.V)

    def cosine(self, rows: slice) -> Tensor:
        """``cos(omega U V^T)`` in these rows."""
        if not self._compiled:
            t = self._reduced(rows)
            return t.mul_(math.pi).cos_()
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


def apply(U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, x: Tensor) -> Tensor:
    """``x S^T`` for x of shape (T, n) on the CPU: tiles stay in cache, nothing else is stored."""
    dtype = phase_dtype(U, V, x)
    left, right, wide = (a.detach().to(dtype) for a in (U, V, x))
    y = wide.new_empty(len(x), len(U))
    settings = (float(omega), float(gain), False, False, torch.get_num_threads())
    _core.apply(left.numpy(), right.numpy(), wide.numpy().T, y.numpy().T, *settings)
    return y.to(x.dtype)


def apply_packed(
    left: tuple[Tensor, Tensor, list[int]],
    right: tuple[Tensor, Tensor, list[int]],
    omega: Tensor,
    gain: Tensor,
    x: Tensor,
) -> Tensor:
    """`apply` for factors as (codes, table, (rows, columns, bits)), decoded in the kernel."""
    wide = x.detach().to(phase_dtype(x))
    y = wide.new_empty(len(x), left[2][0])
    a, b = ((codes.numpy(), table.numpy(), *about) for codes, table, about in (left, right))
    threads = torch.get_num_threads()
    _core.apply_packed(a, b, wide.numpy().T, y.numpy().T, float(omega), float(gain), False, threads)
    return y.to(x.dtype)


def gradients(
    U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, x: Tensor, dy: Tensor, wanted: list[bool]
) -> list[Tensor]:
    """Gradients of `apply` in (U, V, omega, gain, x), on the CPU; empty where none is wanted.

    Sines and cosines of a tile are made again, once for all of them.
    """
    dtype = phase_dtype(U, V, x)
    left, right, wide, grad = (a.detach().to(dtype).contiguous() for a in (U, V, x, dy))
    dU, dV = torch.empty_like(left), torch.empty_like(right)
    dX = wide.new_empty(wide.shape[1], wide.shape[0])
    outputs = (dU, dV, dX)
    given = [
        o.numpy() if w else None for o, w in zip(outputs, (*wanted[:2], wanted[4]), strict=True)
    ]
    settings = (float(omega), float(gain), False, False, torch.get_num_threads())
    A, B, X, Y = (a.numpy() for a in (left, right, wide.T, grad.T))
    domega, dgain = _core.vjp(A, B, X, Y, given[0], given[1], given[2], *settings)
    scalars = [torch.tensor(s, dtype=t.dtype) for s, t in ((domega, omega), (dgain, gain))]
    made = [dU.to(U.dtype), dV.to(V.dtype), *scalars, dX.T.contiguous().to(x.dtype)]
    like = (U, V, omega, gain, x)
    return [g if w else t.new_empty(0) for g, t, w in zip(made, like, wanted, strict=True)]
