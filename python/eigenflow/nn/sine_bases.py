"""What differs between layers whose weights are a matrix: linear, convolution and embedding.

Every function takes the layer first, or one of ours with the same attributes. `factors` are
(U, V, omega, gain) with U of shape (m, k) and V of shape (n, k), see `matrix_shape`.
"""

from __future__ import annotations  # so that the docs can be built without PyTorch

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from eigenflow.nn.layers import margins
from eigenflow.nn.sine_ops import sine_conv2d, sine_linear, sine_matrix

Factors = tuple[Tensor, Tensor, Tensor, Tensor]


def in_autocast(x: Tensor, *others: Tensor | None) -> tuple[Any, ...]:
    """Cast to the precision of `torch.autocast`, where it is on, as plain layers do."""
    kind = x.device.type
    if not torch.is_autocast_enabled(kind) or not x.is_floating_point():
        return (x, *others)
    dtype = torch.get_autocast_dtype(kind)
    return tuple(None if t is None else t.to(dtype) for t in (x, *others))


def check_dtype(x: Tensor, weight: Tensor | None) -> None:
    """Refuse inputs of another precision than the weights', as plain layers do."""
    if weight is not None and x.dtype != weight.dtype:
        msg = f"x: got {x.dtype}, want {weight.dtype} as the weights are"
        raise TypeError(msg)


class LinearBase:
    """Linear layers: weights (m, n) as they are."""

    has_outputs = True

    @staticmethod
    def matrix_shape(layer: Any) -> tuple[int, int]:
        """(m, n) of the weights as a matrix."""
        m, n = layer.weight.shape
        return m, n

    @staticmethod
    def check(layer: Any) -> None:
        """Refuse layers that the wrappers do not cover."""

    @staticmethod
    def plain(layer: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Apply the layer with other weights, in their own shape."""
        del layer
        return functional.linear(x, weight, bias)

    @staticmethod
    def sine(layer: Any, x: Tensor, factors: Factors, base: Tensor | None) -> Tensor:
        """Apply ``base + S`` without bias; base is (m, n) or None."""
        del layer
        x, base = in_autocast(x, base)
        check_dtype(x, base)
        return sine_linear(x, *factors, base)

    @staticmethod
    def low_rank(layer: Any, x: Tensor, U: Tensor, V: Tensor) -> Tensor:
        """Apply ``U V^T`` without bias."""
        del layer
        (x,) = in_autocast(x)
        return functional.linear(functional.linear(x, V.T.to(x.dtype)), U.to(x.dtype))

    @staticmethod
    def per_output(values: Tensor) -> Tensor:
        """Shape one value an output so that it broadcasts against the result."""
        return values


class Conv2dBase:
    """Convolutions: weights (m, n / (a b), a, b) as (m, n)."""

    has_outputs = True

    @staticmethod
    def matrix_shape(layer: Any) -> tuple[int, int]:
        """(m, n) of the weights as a matrix."""
        return layer.weight.shape[0], layer.weight[0].numel()

    @staticmethod
    def check(layer: Any) -> None:
        """Refuse layers that the wrappers do not cover."""

    @staticmethod
    def plain(layer: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Apply the layer with other weights, in their own shape."""
        x, padding = _padded(layer, x)
        return functional.conv2d(
            x, weight, bias, layer.stride, padding, layer.dilation, layer.groups
        )

    @staticmethod
    def sine(layer: Any, x: Tensor, factors: Factors, base: Tensor | None) -> Tensor:
        """Apply ``base + S`` without bias; base is (m, n) or None."""
        x, base = in_autocast(x, base)
        check_dtype(x, base)
        x, padding = _padded(layer, x)
        settings = (layer.kernel_size, layer.stride, padding, layer.dilation, layer.groups)
        if x.ndim == 3:
            return sine_conv2d(x[None], factors, base, *settings)[0]
        return sine_conv2d(x, factors, base, *settings)

    @staticmethod
    def low_rank(layer: Any, x: Tensor, U: Tensor, V: Tensor) -> Tensor:
        """Apply ``U V^T`` without bias."""
        (x,) = in_autocast(x)
        weight = (U @ V.T).reshape(len(U), -1, *layer.kernel_size).to(x.dtype)
        return Conv2dBase.plain(layer, x, weight, None)

    @staticmethod
    def per_output(values: Tensor) -> Tensor:
        """Shape one value an output so that it broadcasts against the result."""
        return values[:, None, None]


class EmbeddingBase:
    """Tables: row i of (m, n) is the vector of index i."""

    has_outputs = False  # magnitudes of rows would be magnitudes of words: no published method

    @staticmethod
    def matrix_shape(layer: Any) -> tuple[int, int]:
        """(m, n) of the weights as a matrix."""
        m, n = layer.weight.shape
        return m, n

    @staticmethod
    def check(layer: Any) -> None:
        """Refuse layers that the wrappers do not cover."""
        if layer.max_norm is not None:
            msg = f"base: got max_norm={layer.max_norm}, which changes weights in use, want None"
            raise ValueError(msg)

    @staticmethod
    def plain(layer: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Apply the layer with other weights, in their own shape."""
        del bias
        return functional.embedding(x, weight, layer.padding_idx)

    @staticmethod
    def sine(layer: Any, x: Tensor, factors: Factors, base: Tensor | None) -> Tensor:
        """Rows x of ``base + S``; base is (m, n) or None."""
        U, *rest = factors
        rows = functional.embedding(x, U, layer.padding_idx)
        return EmbeddingBase.sine_of_rows(layer, x, (rows, *rest), base)

    @staticmethod
    def sine_of_rows(layer: Any, x: Tensor, factors: Factors, base: Tensor | None) -> Tensor:
        """Apply `sine` to factors whose U has been looked up already: (..., k) for x (...)."""
        rows, V, omega, gain = factors
        chosen = None if base is None else functional.embedding(x, base, layer.padding_idx)
        flat = None if chosen is None else chosen.reshape(-1, len(V))
        made = sine_matrix(rows.reshape(-1, rows.shape[-1]), V, omega, gain, flat)
        return made.reshape(*x.shape, len(V))

    @staticmethod
    def low_rank(layer: Any, x: Tensor, U: Tensor, V: Tensor) -> Tensor:
        """Rows x of ``U V^T``."""
        return functional.embedding(x, U, layer.padding_idx) @ V.T


def _padded(layer: Any, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Pad x where the convolution cannot do it; return the padding that is left to it."""
    if layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        return x, layer.padding
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(x, margins(layer), mode=mode), (0, 0)


BASES: dict[type[nn.Module], Any] = {
    nn.Linear: LinearBase,
    nn.Conv2d: Conv2dBase,
    nn.Embedding: EmbeddingBase,
}


def base_of(layer: Any) -> Any:
    """Find what covers a layer; subclasses with a forward of their own are not covered."""
    for kind, base in BASES.items():
        if isinstance(layer, kind) and type(layer).forward is kind.forward:
            base.check(layer)
            return base
    known = ", ".join(kind.__name__ for kind in BASES)
    msg = f"base: got {type(layer).__name__}, want one of {known}"
    raise TypeError(msg)
