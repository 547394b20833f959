"""Products with few rows of input, whose tiles of sines are never stored."""

from __future__ import annotations  # so that the docs can be built without PyTorch

import math
from typing import TYPE_CHECKING

import torch

from eigenflow._core import sine as _core
from eigenflow.nn import sine_cuda
from eigenflow.nn.sine_tiles import phase_dtype

if TYPE_CHECKING:
    from torch import Tensor

# Up to so many rows of input the fused kernels are faster than blocks of weights and BLAS, forward
# and backward. Measured on the CPU: 2048 x 2048, ranks 4 to 16, one thread.
_ROWS = {"cpu": (16, 64), "cuda": (64, 8)}


def takes(x: Tensor, *, backward: bool = False) -> bool:
    """Whether `apply`, or `gradients`, is the faster way for these rows of input."""
    kernels = sine_cuda.kernels_for(x)
    return kernels in _ROWS and len(x) <= _ROWS[kernels][backward]


def apply(U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, x: Tensor) -> Tensor:
    """``x S^T`` for x of shape (T, n): tiles stay in cache, nothing else is stored."""
    dtype = phase_dtype(U, V, x)
    left, right, wide = (a.detach().to(dtype) for a in (U, V, x))
    y = wide.new_empty(len(x), len(U))
    if sine_cuda.kernels_for(x) == "cuda":
        sine_cuda.Matrix.of(left, right, omega).product(wide.T, y.T, gain.to(dtype))
    else:
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
    """Gradients of `apply` in (U, V, omega, gain, x); empty where none is wanted.

    Sines and cosines of a tile are made again.
    """
    dtype = phase_dtype(U, V, x)
    like = (U, V, omega, gain, x)
    left, right, wide, grad = (a.detach().to(dtype).contiguous() for a in (U, V, x, dy))
    if sine_cuda.kernels_for(x) == "cuda":
        scalars = omega.detach().to(dtype), gain.detach().to(dtype)
        made = _gradients_on_device(left, right, *scalars, wide, grad, wanted)
    else:
        made = _gradients_on_host(left, right, omega, gain, wide, grad, wanted)
    return [g.to(t) if w else t.new_empty(0) for g, t, w in zip(made, like, wanted, strict=True)]


def _gradients_on_host(
    U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, x: Tensor, dy: Tensor, wanted: list[bool]
) -> list[Tensor]:
    """Sines and cosines of a tile serve all gradients."""
    dU, dV = torch.empty_like(U), torch.empty_like(V)
    dX = x.new_empty(x.shape[1], x.shape[0])
    given = [
        o.numpy() if w else None
        for o, w in zip((dU, dV, dX), (*wanted[:2], wanted[4]), strict=True)
    ]
    settings = (float(omega), float(gain), False, False, torch.get_num_threads())
    A, B, X, Y = (a.numpy() for a in (U, V, x.T, dy.T))
    numbers = _core.vjp(A, B, X, Y, given[0], given[1], given[2], *settings)
    domega, dgain = (torch.tensor(number, dtype=torch.float64) for number in numbers)
    return [dU, dV, domega, dgain, dX.T.contiguous()]


def _gradients_on_device(
    U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, x: Tensor, dy: Tensor, wanted: list[bool]
) -> list[Tensor]:
    """Each of the three products makes its tiles; omega and gain get theirs from what is made.

    With ``Q = cos(omega U V^T) o dy^T x``: ``dU = omega Q V / gain``, ``dV = omega Q^T U / gain``,
    ``domega = <U, Q V> / gain``; and with ``X = dy sin(omega U V^T)``: ``dx = X / gain``,
    ``dgain = -<x, X> / gain^2``.
    """
    dU, dV, dx = torch.empty_like(U), torch.empty_like(V), torch.empty_like(x)
    domega = dgain = x.new_empty(())
    if wanted[0] or wanted[2]:
        sine_cuda.Matrix.of(U, V, omega).slopes(dy.T, x.T, dU)
        domega = (U * dU).sum(dtype=torch.float64) / gain
        dU.mul_(omega / gain)
    turned = sine_cuda.Matrix.turned(U, V, omega)
    if wanted[1]:
        # omega U is pi times the half-turns, with which the kernel multiplies.
        turned.slopes(x.T, dy.T, dV)
        dV.mul_(math.pi / gain)
    if wanted[3] or wanted[4]:
        turned.product(dy.T, dx.T)
        dgain = -(x * dx).sum(dtype=torch.float64) / gain**2
        dx.div_(gain)
    return [dU, dV, domega, dgain, dx]
