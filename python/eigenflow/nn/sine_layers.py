"""Layers whose weights are sin(omega U V^T) / gain: as many parameters as U and V."""

from __future__ import annotations  # so that the docs can be built without PyTorch

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from eigenflow.nn.sine_bases import Conv2dBase, EmbeddingBase, LinearBase
from eigenflow.nn.sine_factors import Mergeable, SineFactors


class _SineLayer(Mergeable):
    """Factors, an optional bias, and the choice between dense weights and factors."""

    _base: Any
    bias: Tensor | None

    def __init__(self, m: int, n: int, rank: int, bias: bool, **settings: Any) -> None:
        super().__init__()
        self.factors = SineFactors(m, n, rank, **settings)
        zeros = self.factors.U.new_empty(m) if bias else None
        self.bias = None if zeros is None else nn.Parameter(zeros)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew: U in +-1/sqrt(k), V and bias in +-1/sqrt(n)."""
        self.factors.reset_parameters()
        if self.bias is not None:
            bound = 1 / math.sqrt(max(self.factors.V.shape[0], 1))
            nn.init.uniform_(self.bias, -bound, bound)

    def _weight_shape(self) -> tuple[int, ...]:
        return self.factors.U.shape[0], self.factors.V.shape[0]

    def effective_weight(self) -> Tensor:
        """Return the dense weights, made anew, with gradients."""
        return self.factors.matrix().reshape(self._weight_shape())

    @property
    def weight(self) -> Tensor:
        """The dense weights: the merged ones, or made at each access."""
        return self.effective_weight() if self.merged_weight is None else self.merged_weight

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer; nothing of the size of the weights is kept for the gradient."""
        if self.merged_weight is not None:
            return self._base.plain(self, x, self.merged_weight, self.bias)
        f = self.factors
        y: Tensor = self._base.sine(self, x, (f.U, f.V, f.omega, f.gain), None)
        return y if self.bias is None else y + self._base.per_output(self.bias.to(y.dtype))

    def _filled(self, layer: Any) -> Any:
        layer.to(self.factors.U)
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            if self.bias is not None:
                layer.bias.copy_(self.bias)
        return layer.train(self.training)


class SineLinear(_SineLayer):
    r"""A linear layer with weights ``sin(omega U V^T) / gain``.

    Parameters
    ----------
    in_features, out_features : int
        Sizes n and m.
    rank : int
        Columns k of U (m, k) and V (n, k); the layer has ``k (m + n)`` weights, and the bias.
    omega : float
        Frequency. The phases start with deviation ``omega / (3 sqrt(n))``; from about 1 on the
        matrix has the stable rank of a dense one (`eigenflow.sine.choose_frequency`).
    gain : float, optional
        Divisor; the authors' ``sqrt(in_features)`` by default, which gives entries of variance
        ``1 / (2 n)``.
    bias : bool
        Whether to learn a bias.
    learn_omega, learn_gain : bool
        Whether they are parameters. The paper fixes both.
    device, dtype
        Of the factors, as in PyTorch. Phases are float32 at least, whatever the dtype.

    Raises
    ------
    TypeError, ValueError
        For a rank below 1, an omega that is not finite, and a gain of 0.

    Notes
    -----
    On the CPU up to 16 rows of input go through the fused kernel: 2 m n T flops and the sines, no
    buffer. With more, rows of the weights are made block by block (4 MiB) and multiplied by BLAS.
    The backward pass makes them again, so a layer saves its inputs and factors only.

    On a CUDA device the kernels are those of CuPy's route (extra ``cuda13`` or ``cuda12``): few
    rows go through fused products, more through blocks of 32 MiB that one kernel writes. They run
    on PyTorch's current stream and wait for nothing, so a training step can be a CUDA graph.
    Without CuPy, and on other devices, PyTorch makes the blocks.

    From Ji et al., "Efficient learning with sine-activated low-rank matrices", arXiv 2403.19243.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> layer = ef.nn.SineLinear(256, 256, rank=4)
    >>> sum(p.numel() for p in layer.parameters())
    2304
    >>> layer(torch.randn(5, 256)).shape
    torch.Size([5, 256])
    >>> bool(torch.linalg.matrix_rank(layer.weight) > 200)
    True
    """

    _base = LinearBase

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        *,
        omega: float = 200.0,
        gain: float | None = None,
        bias: bool = True,
        learn_omega: bool = False,
        learn_gain: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            out_features,
            in_features,
            rank,
            bias,
            omega=omega,
            gain=gain,
            learn_omega=learn_omega,
            learn_gain=learn_gain,
            device=device,
            dtype=dtype,
        )
        self.in_features, self.out_features = in_features, out_features

    def dense(self) -> nn.Linear:
        """Return a plain layer with the same function."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None)
        return self._filled(layer)


class SineConv2d(_SineLayer):
    """A 2-D convolution with weights ``sin(omega U V^T) / gain``.

    The matrix has a row for each output channel and ``n = in_channels / groups * a * b`` columns
    for a kernel of a x b, as `torch.nn.Conv2d`'s weights flattened.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, rank : int
        Sizes; `kernel_size` may be a pair. The factors have ``rank (out_channels + n)`` entries.
    stride, padding, dilation, groups, padding_mode
        As in `torch.nn.Conv2d`.
    omega, gain, bias, learn_omega, learn_gain, device, dtype
        As in `SineLinear`; `gain` is ``sqrt(n)`` by default.

    Notes
    -----
    The weights are one buffer during the forward pass, and again with their gradient during the
    backward pass; neither is kept in between.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> layer = ef.nn.SineConv2d(16, 32, 3, rank=2, padding=1)
    >>> layer(torch.randn(1, 16, 8, 8)).shape
    torch.Size([1, 32, 8, 8])
    """

    _base = Conv2dBase

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        rank: int,
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | str = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        omega: float = 200.0,
        gain: float | None = None,
        bias: bool = True,
        learn_omega: bool = False,
        learn_gain: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        # A plain layer on no device checks the arguments and holds what they become.
        shape = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        like = nn.Conv2d(*shape, False, padding_mode, device="meta")
        super().__init__(
            out_channels,
            like.weight[0].numel(),
            rank,
            bias,
            omega=omega,
            gain=gain,
            learn_omega=learn_omega,
            learn_gain=learn_gain,
            device=device,
            dtype=dtype,
        )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = _pair(kernel_size), like.stride
        self.padding, self.dilation = like.padding, like.dilation
        self.padding_mode = padding_mode

    def _weight_shape(self) -> tuple[int, ...]:
        return self.out_channels, self.in_channels // self.groups, *self.kernel_size

    def dense(self) -> nn.Conv2d:
        """Return a plain layer with the same function."""
        shape = (self.in_channels, self.out_channels, self.kernel_size, self.stride)
        rest = (self.padding, self.dilation, self.groups, self.bias is not None, self.padding_mode)
        return self._filled(nn.Conv2d(*shape, *rest))


class SineEmbedding(_SineLayer):
    """A table of vectors whose row i is ``sin(omega U_i V^T) / gain``.

    Only the rows that are looked up are computed; the table itself is never made.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Number m of vectors and their size n.
    rank : int
        Columns of U (m, k) and V (n, k).
    padding_idx : int, optional
        This row of U is 0 and does not learn: its vector is 0.
    omega, gain, learn_omega, learn_gain, device, dtype
        As in `SineLinear`; `gain` is ``sqrt(embedding_dim)`` by default.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> table = ef.nn.SineEmbedding(10_000, 64, rank=4, padding_idx=0)
    >>> table(torch.tensor([[3, 0, 3]])).shape
    torch.Size([1, 3, 64])
    """

    _base = EmbeddingBase

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        rank: int,
        *,
        padding_idx: int | None = None,
        omega: float = 200.0,
        gain: float | None = None,
        learn_omega: bool = False,
        learn_gain: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._padding = padding_idx
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            msg = f"padding_idx: got {padding_idx}, want an index of {num_embeddings} vectors"
            raise ValueError(msg)
        super().__init__(
            num_embeddings,
            embedding_dim,
            rank,
            False,
            omega=omega,
            gain=gain,
            learn_omega=learn_omega,
            learn_gain=learn_gain,
            device=device,
            dtype=dtype,
        )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim

    @property
    def padding_idx(self) -> int | None:
        """Index of the vector that stays 0."""
        return self._padding

    def reset_parameters(self) -> None:
        """Draw both factors anew; the row of `padding_idx` is 0."""
        super().reset_parameters()
        if self._padding is not None:
            with torch.no_grad():
                self.factors.U[self._padding] = 0

    def dense(self) -> nn.Embedding:
        """Return a plain table with the same vectors."""
        return self._filled(nn.Embedding(self.num_embeddings, self.embedding_dim, self._padding))
