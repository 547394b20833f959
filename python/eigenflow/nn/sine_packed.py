"""Adapters whose factors stay codes of one to five bits an entry, for inference."""

from __future__ import annotations  # so that the docs can be built without PyTorch

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from eigenflow.nn import sine_kernels as kernels
from eigenflow.nn.sine_bases import EmbeddingBase, LinearBase, check_dtype, in_autocast
from eigenflow.nn.sine_factors import keeping_wide
from eigenflow.nn.sine_lora import Change
from eigenflow.nn.sine_ops import sine_packed_linear
from eigenflow.sine import QuantizedFactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from eigenflow.nn.sine_lora import AdapterSettings


class PackedFactor(nn.Module):  # type: ignore[misc]
    """A `QuantizedFactor` as buffers; its table stays in float32."""

    codes: Tensor
    table: Tensor

    def __init__(self, factor: QuantizedFactor, device: Any) -> None:
        super().__init__()
        self.shape, self.bits = factor.shape, factor.bits
        self.register_buffer("codes", torch.from_numpy(factor.codes.copy()).to(device))
        self.register_buffer("table", torch.from_numpy(factor.table.copy()).to(device))

    def rows(self, index: Tensor | None = None) -> Tensor:
        """Decode all rows, or those of an index."""
        m, k = self.shape
        at = torch.arange(m, device=self.codes.device) if index is None else index
        return kernels.decoded(self.codes, self.table, [m, k, self.bits], at)

    @property
    def parts(self) -> tuple[Tensor, Tensor, list[int]]:
        """Codes, table, and (rows, columns, bits)."""
        return self.codes, self.table, [*self.shape, self.bits]

    def quantized(self) -> QuantizedFactor:
        """Return what this was made of."""
        codes, table = (t.detach().cpu().numpy() for t in (self.codes, self.table))
        return QuantizedFactor(codes, table, self.shape, self.bits)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PackedFactor:
        keeping_wide(self, ("table",), lambda: super(PackedFactor, self)._apply(fn, recurse))
        return self

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"{self.shape[0]}x{self.shape[1]}, bits={self.bits}"


class PackedAdapter(Change):
    """The change of an `Adapter` whose factors are kept as codes. Nothing in it can be learned.

    Up to 16 rows of input to a linear layer on the CPU go through the kernel that decodes entries
    where a tile of sines needs them. Otherwise U and V, and nothing larger, are decoded for the
    time of a call; of an embedding only the rows that are looked up.
    """

    omega: Tensor
    gain: Tensor

    def __init__(
        self,
        settings: AdapterSettings,
        factors: dict[str, QuantizedFactor],
        rest: dict[str, Tensor],
        weight: Tensor,
    ) -> None:
        super().__init__()
        self.settings = settings
        place = weight.device
        self.left, self.right = (PackedFactor(factors[name], place) for name in ("U", "V"))
        for name in ("omega", "gain"):
            self.register_buffer(name, rest[name].clone().to(place))
        magnitude = rest["magnitude"].to(weight) if settings.magnitude else None
        self.register_buffer("magnitude", magnitude)

    @property
    def U(self) -> Tensor:
        """The left factor, decoded."""
        return self.left.rows()

    @property
    def V(self) -> Tensor:
        """The right factor, decoded."""
        return self.right.rows()

    def sine(self, kind: Any, layer: nn.Module, x: Tensor, base: Tensor | None) -> Tensor:
        """Apply ``base + S`` without bias; base is (m, n) or None."""
        gain = self.gain / self.settings.scaling
        if kind is LinearBase:
            x, base = in_autocast(x, base)
            check_dtype(x, base)
            return sine_packed_linear(x, self.left.parts, self.right.parts, self.omega, gain, base)
        if kind is EmbeddingBase:
            factors = (self.left.rows(x), self.V, self.omega, gain)
            return EmbeddingBase.sine_of_rows(layer, x, factors, base)
        return super().sine(kind, layer, x, base)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PackedAdapter:
        keep = ("omega", "gain")
        keeping_wide(self, keep, lambda: super(PackedAdapter, self)._apply(fn, recurse))
        return self
