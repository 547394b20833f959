"""Products with sin(omega U V^T) / gain and their gradients, a block of rows at a time.

`sine_ops` makes PyTorch operations of them.
"""

from __future__ import annotations  # so that the docs can be built without PyTorch

import math
from typing import Any

import torch
from torch import Tensor

from eigenflow.nn import sine_fused as fused
from eigenflow.nn.sine_cuda import kernels_for
from eigenflow.nn.sine_tiles import Tiles

N_FACTORS = 5  # gradients that every backward operation returns first, in this order


class _FactorGradients:
    """Sums dU, dV, domega and dgain over blocks of rows of G = dL/dW.

    With ``C = cos(omega U V^T)`` and ``Q = (C o G) V / gain``: ``dU = omega Q``,
    ``domega = <U, Q>``, ``dV = omega (C o G)^T U / gain`` and ``dgain = -<S, G> / gain``.
    """

    def __init__(self, tiles: Tiles, gain: Tensor, base: Tensor | None, wanted: list[bool]) -> None:
        self.tiles, self.gain = tiles, gain.to(tiles.dtype)
        self.wanted = dict(zip(("U", "V", "omega", "gain", "base"), wanted, strict=True))
        self.Q, self.dV = torch.zeros_like(tiles.U), torch.zeros_like(tiles.V.T)
        self.dgain = torch.zeros_like(self.gain)
        self.dbase = torch.empty_like(base) if base is not None and self.wanted["base"] else None

    @property
    def any(self) -> bool:
        return any(self.wanted.values())

    def add(self, rows: slice, G: Tensor) -> None:
        """Take in rows of G."""
        if self.dbase is not None:
            self.dbase[rows] = G.to(self.dbase.dtype)
        G = G.to(self.tiles.dtype)
        if self.wanted["gain"]:
            sine = self.tiles.sine(rows)
            self.dgain -= torch.dot(sine.reshape(-1), G.reshape(-1)) / self.gain**2
        if self.wanted["U"] or self.wanted["V"] or self.wanted["omega"]:
            P = self.tiles.times_cosine(rows, G)
            # BLAS is several times faster with the long side last.
            self.Q[rows] = (self.tiles.V.T @ P.T).T
            self.dV += self.tiles.U[rows].T @ P

    def finished(self, like: tuple[Tensor, ...]) -> list[Tensor]:
        """Gradients in the dtypes of (U, V, omega, gain) and base; empty where none is wanted."""
        Q, omega = self.Q / self.gain, self.tiles.omega
        found = (Q * omega, self.dV.T * (omega / self.gain), (self.tiles.U * Q).sum(), self.dgain)
        names = ("U", "V", "omega", "gain")
        made = [
            g.to(t).reshape(t.shape) if self.wanted[name] else t.new_empty(0)
            for g, t, name in zip(found, like, names, strict=True)
        ]
        return [*made, like[0].new_empty(0) if self.dbase is None else self.dbase]


# ---- x W^T


def _rows(x: Tensor) -> Tensor:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def linear(
    x: Tensor, U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, base: Tensor | None
) -> Tensor:
    """``x (base + S)^T``: fused for few rows of x, else by blocks of weights."""
    flat = _rows(x)
    if fused.takes(flat):
        y = fused.apply(U, V, omega, gain, flat)
        y = y if base is None else y.add_(torch.nn.functional.linear(flat, base))
    else:
        tiles = Tiles(U, V, omega)
        y = flat.new_empty(len(flat), U.shape[0])
        for rows in tiles.blocks():
            torch.mm(flat, tiles.weights(rows, gain, base, x.dtype).T, out=y[:, rows])
    return y.reshape(*x.shape[:-1], U.shape[0])


def linear_backward(
    grad: Tensor,
    x: Tensor,
    U: Tensor,
    V: Tensor,
    omega: Tensor,
    gain: Tensor,
    base: Tensor | None,
    wanted: list[bool],
) -> list[Tensor]:
    """Gradients of `linear`: of the factors, then of x."""
    flat, dy = _rows(x), _rows(grad)
    if fused.takes(flat, backward=True) and (base is None or not wanted[4]):
        *made, dx = fused.gradients(U, V, omega, gain, flat, dy, [*wanted[:4], wanted[-1]])
        if base is not None and wanted[-1]:
            dx = dx.add_(dy @ base)
        return [*made, U.new_empty(0), dx.reshape(x.shape) if wanted[-1] else dx]
    tiles = Tiles(U, V, omega)
    factors = _FactorGradients(tiles, gain, base, wanted[:N_FACTORS])
    low = x.dtype not in (torch.float32, torch.float64)  # sums over blocks need more digits
    dx = torch.zeros_like(flat, dtype=tiles.dtype if low else x.dtype) if wanted[-1] else None
    for rows in tiles.blocks():
        if dx is not None:
            block, weight = dy[:, rows], tiles.weights(rows, gain, base, x.dtype)
            dx = dx.add_(block @ weight) if low else dx.addmm_(block, weight)
        if factors.any:
            factors.add(rows, dy[:, rows].T @ flat)
    dx = x.new_empty(0) if dx is None else dx.to(x.dtype).reshape(x.shape)
    return [*factors.finished((U, V, omega, gain)), dx]


# ---- x W^T with factors that are codes


def decoded(codes: Tensor, table: Tensor, about: list[int], rows: Tensor | None = None) -> Tensor:
    """Rows of a factor of (rows, columns, bits): all of them, or those of an index."""
    m, k, bits = about
    at = torch.arange(m, device=codes.device) if rows is None else rows
    bit = (at[..., None] * k + torch.arange(k, device=at.device)) * bits
    byte, shift = bit // 8, bit % 8
    low, high = codes[byte], codes[(byte + 1).clamp(max=max(len(codes) - 1, 0))]
    wide = low.to(torch.int32) | (high.to(torch.int32) << 8)  # a code is in at most two bytes
    return table[(wide >> shift) & (2**bits - 1)]


def packed_linear(
    x: Tensor,
    u_codes: Tensor,
    u_table: Tensor,
    u_about: list[int],
    v_codes: Tensor,
    v_table: Tensor,
    v_about: list[int],
    omega: Tensor,
    gain: Tensor,
    base: Tensor | None,
) -> Tensor:
    """`linear` for factors that are codes: few rows on the CPU decode them in the fused kernel."""
    left, right = (u_codes, u_table, u_about), (v_codes, v_table, v_about)
    flat = _rows(x)
    if kernels_for(x) != "cpu" or not fused.takes(flat):
        return linear(x, decoded(*left), decoded(*right), omega, gain, base)
    y = fused.apply_packed(left, right, omega, gain, flat)
    y = y if base is None else y.add_(torch.nn.functional.linear(flat, base))
    return y.reshape(*x.shape[:-1], u_about[0])


# ---- the matrix itself


def matrix(U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, base: Tensor | None) -> Tensor:
    """``base + S``."""
    tiles = Tiles(U, V, omega)
    out = torch.empty(tiles.shape, dtype=(U if base is None else base).dtype, device=U.device)
    for rows in tiles.blocks():
        out[rows] = tiles.weights(rows, gain, base, out.dtype)
    return out


def matrix_backward(
    grad: Tensor,
    U: Tensor,
    V: Tensor,
    omega: Tensor,
    gain: Tensor,
    base: Tensor | None,
    wanted: list[bool],
) -> list[Tensor]:
    """Gradients of `matrix`."""
    tiles = Tiles(U, V, omega)
    factors = _FactorGradients(tiles, gain, base, wanted)
    for rows in tiles.blocks():
        factors.add(rows, grad[rows])
    return factors.finished((U, V, omega, gain))


def row_norms(U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, base: Tensor | None) -> Tensor:
    """Euclidean norms of the rows of ``base + S``."""
    tiles = Tiles(U, V, omega)
    norms = tiles.U.new_empty(tiles.shape[0])
    for rows in tiles.blocks():
        weight = tiles.weights(rows, gain, base, tiles.dtype)
        norms[rows] = torch.linalg.vector_norm(weight, dim=1)
    return norms


# ---- convolution with W as its weights


def _kernels(x: Tensor, factors: tuple[Any, ...], kernel: list[int], groups: int) -> Tensor:
    weight = matrix(*factors).to(x.dtype)
    return weight.reshape(len(weight), x.shape[-3] // groups, *kernel)


def conv2d(
    x: Tensor,
    U: Tensor,
    V: Tensor,
    omega: Tensor,
    gain: Tensor,
    base: Tensor | None,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """Convolution whose kernels are the rows of ``base + S``."""
    weight = _kernels(x, (U, V, omega, gain, base), kernel, groups)
    return torch.conv2d(x, weight, None, stride, padding, dilation, groups)


def conv2d_backward(
    grad: Tensor,
    x: Tensor,
    U: Tensor,
    V: Tensor,
    omega: Tensor,
    gain: Tensor,
    base: Tensor | None,
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    wanted: list[bool],
) -> list[Tensor]:
    """Gradients of `conv2d`: of the factors, then of x."""
    weight = _kernels(x, (U, V, omega, gain, base), kernel, groups)
    needs = [wanted[-1], any(wanted[:N_FACTORS]), False]
    dx, G, _ = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, dilation, False, [0, 0], groups, needs
    )
    tiles = Tiles(U, V, omega)
    factors = _FactorGradients(tiles, gain, base, wanted[:N_FACTORS])
    if factors.any:
        G = G.reshape(tiles.shape)
        for rows in tiles.blocks():
            factors.add(rows, G[rows])
    return [*factors.finished((U, V, omega, gain)), x.new_empty(0) if dx is None else dx]
