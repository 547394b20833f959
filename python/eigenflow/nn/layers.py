"""Linear and convolution layers whose weights are scaled shared weights plus low rank."""

from __future__ import annotations  # so that the docs can be built without PyTorch

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from eigenflow.lowrank.perturbation import Perturbation


class _LowRank(nn.Module):  # type: ignore[misc]
    """``W = diag(row_scale) base_weight diag(col_scale) + left @ right``.

    The shared base weight is no parameter and not in the state: `HALRP` keeps it once.
    """

    base_weight: Tensor

    def __init__(
        self, base_weight: Tensor, bias: Tensor | None, factors: dict[str, Tensor]
    ) -> None:
        super().__init__()
        self.register_buffer("base_weight", base_weight.detach(), persistent=False)
        for name in ("row_scale", "col_scale", "left", "right"):
            self.register_parameter(name, nn.Parameter(factors[name].to(base_weight)))
        copied = None if bias is None else nn.Parameter(bias.detach().clone())
        self.register_parameter("bias", copied)

    @property
    def rank(self) -> int:
        """Number of columns of `left`."""
        return int(self.left.shape[1])

    @property
    def weight(self) -> Tensor:
        """The dense weights, computed anew at each access."""
        ones = (1,) * (self.base_weight.ndim - 2)
        scaled = (
            self.row_scale.reshape(-1, 1, *ones)
            * self.base_weight
            * self.col_scale.reshape(1, -1, *ones)
        )
        product = self.left @ self.right
        per_tap = product.shape[1] == self.base_weight[0].numel()
        shape = self.base_weight.shape
        return scaled + (product.reshape(shape) if per_tap else product.reshape(*shape[:2], *ones))

    def extra_repr(self) -> str:
        """Show the shape and the rank."""
        return f"{tuple(self.base_weight.shape)}, rank={self.rank}"


class LowRankLinear(_LowRank):
    """A linear layer with its own scales and low rank on shared weights.

    ``y = R (B (S x)) + L (N x) + bias``. Costs one product with the base weights B and
    ``rank * (n_in + n_out)`` a sample; no gradient of B is computed.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply to inputs of shape (..., n_in)."""
        scaled = functional.linear(x * self.col_scale, self.base_weight) * self.row_scale
        added = functional.linear(functional.linear(x, self.right), self.left)
        return scaled + added if self.bias is None else scaled + added + self.bias

    def dense(self) -> nn.Linear:
        """Return a plain layer with the same function."""
        m, n = self.base_weight.shape
        layer = nn.Linear(n, m, self.bias is not None, dtype=self.base_weight.dtype)
        return _filled(layer, self)


class LowRankConv2d(_LowRank):
    """A 2-D convolution with its own scales and low rank on shared weights.

    With `right` of shape (k, n) the low rank is the same at every kernel tap: a 1 x 1 convolution
    to k channels, sums over the window, a 1 x 1 convolution to the outputs. With (k, n a b) it is a
    convolution to k channels, then a 1 x 1 one. Dilated kernel-constant and grouped layers use the
    dense weights instead.
    """

    def __init__(
        self,
        like: nn.Conv2d,
        base_weight: Tensor,
        bias: Tensor | None,
        factors: dict[str, Tensor],
    ) -> None:
        super().__init__(base_weight, bias, factors)
        self.kernel_size = tuple(like.kernel_size)
        self.stride = tuple(like.stride)
        self.padding = like.padding
        self.dilation = tuple(like.dilation)
        self.groups = like.groups
        self.padding_mode = like.padding_mode
        self._margins = margins(like)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to inputs of shape (batch, n_in, height, width) or without the batch."""
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        if any(self._margins):
            x = functional.pad(x, self._margins, mode=mode)
        per_tap = self.right.shape[1] == self.base_weight[0].numel()
        constant = not per_tap or self.kernel_size == (1, 1)
        if self.groups > 1 or (constant and self.dilation != (1, 1)):
            return self._convolve(x, self.weight, self.bias)
        scaled = self._convolve(x * self.col_scale.reshape(-1, 1, 1), self.base_weight)
        scaled = scaled * self.row_scale.reshape(-1, 1, 1)
        total = scaled
        if self.rank > 0:  # convolutions to no channel are refused
            projected = self._project(x, constant)
            total = scaled + functional.conv2d(projected, self.left[:, :, None, None])
        return total if self.bias is None else total + self.bias.reshape(-1, 1, 1)

    def _project(self, x: Tensor, constant: bool) -> Tensor:
        if not constant:
            kernels = self.right.reshape(-1, *self.base_weight.shape[1:])
            return self._convolve(x, kernels)
        channels = functional.conv2d(x, self.right[:, :, None, None])
        return functional.avg_pool2d(channels, self.kernel_size, self.stride, divisor_override=1)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return functional.conv2d(x, weight, bias, self.stride, 0, self.dilation, self.groups)

    def dense(self) -> nn.Conv2d:
        """Return a plain layer with the same function."""
        m, n = self.base_weight.shape[:2]
        layer = nn.Conv2d(
            n * self.groups,
            m,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            self.bias is not None,
            self.padding_mode,
            dtype=self.base_weight.dtype,
        )
        return _filled(layer, self)


def low_rank(layer: nn.Module, base_weight: Tensor, factors: dict[str, Tensor]) -> _LowRank:
    """Put scales and factors in the place of a plain layer's weights; its bias is copied."""
    if isinstance(layer, nn.Conv2d):
        return LowRankConv2d(layer, base_weight, layer.bias, factors)
    return LowRankLinear(base_weight, layer.bias, factors)


def factors_of(perturbation: Perturbation) -> dict[str, Tensor]:
    """Return scales and factors as tensors of their own."""
    names = ("row_scale", "col_scale", "left", "right")
    return {name: torch.tensor(getattr(perturbation, name)) for name in names}


def margins(layer: nn.Conv2d) -> list[int]:
    """Padding as `torch.nn.functional.pad` wants it: last axis first."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        pairs = [(t // 2, t - t // 2) for t in totals]
    else:
        pairs = [(p, p) for p in layer.padding]
    return [*pairs[1], *pairs[0]]


def _filled(layer: Any, source: _LowRank) -> Any:
    layer.to(source.base_weight.device)
    with torch.no_grad():
        layer.weight.copy_(source.weight)
        if source.bias is not None:
            layer.bias.copy_(source.bias)
    return layer
