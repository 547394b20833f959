"""Adapters on frozen layers: sine-activated, plain low-rank, and with learned magnitudes."""

from __future__ import annotations  # so that the docs can be built without PyTorch

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from eigenflow.nn.sine_bases import base_of, in_autocast
from eigenflow.nn.sine_factors import Mergeable, SineFactors, check_number, check_rank
from eigenflow.nn.sine_ops import sine_matrix, sine_row_norms

if TYPE_CHECKING:
    from collections.abc import Sequence

_ACTIVATIONS = ("sine", "identity")


@dataclass(frozen=True)
class AdapterSettings:
    """What an adapter is made of besides its tensors.

    Attributes
    ----------
    rank : int
        Columns of U and V.
    alpha : float, optional
        The change of the weights is multiplied by ``alpha / rank``; by 1 if None.
    omega : float
        Frequency.
    gain : float, optional
        Divisor; ``sqrt(n)`` if None.
    activation : {"sine", "identity"}
        "sine" changes the weights by ``alpha / rank * sin(omega U V^T) / gain``. "identity" leaves
        the sine out and keeps the scale: the control that tells whether the sine or the factor
        ``omega / gain`` helps. With ``omega=1, gain=1`` it is plain LoRA.
    dropout : float
        Share of inputs that the adapter does not see in training.
    learn_omega, learn_gain : bool
        Whether they are parameters.
    magnitude : bool
        Whether row norms of the weights are learned apart from directions (DoRA).
    """

    rank: int
    alpha: float | None = None
    omega: float = 200.0
    gain: float | None = None
    activation: Literal["sine", "identity"] = "sine"
    dropout: float = 0.0
    learn_omega: bool = False
    learn_gain: bool = False
    magnitude: bool = False

    def __post_init__(self) -> None:
        check_rank(self.rank)
        check_number(self.omega, "omega")
        if self.gain is not None:
            check_number(self.gain, "gain", nonzero=True)
        if self.alpha is not None:
            check_number(self.alpha, "alpha", positive=True)
        if self.activation not in _ACTIVATIONS:
            msg = f"activation: got {self.activation!r}, want one of {_ACTIVATIONS}"
            raise ValueError(msg)
        if not 0 <= check_number(self.dropout, "dropout") < 1:
            msg = f"dropout: got {self.dropout}, want a share in [0, 1)"
            raise ValueError(msg)
        for name in ("learn_omega", "learn_gain", "magnitude"):
            if not isinstance(getattr(self, name), bool):
                msg = f"{name}: got {getattr(self, name)!r}, want True or False"
                raise TypeError(msg)

    @property
    def scaling(self) -> float:
        """``alpha / rank``, or 1."""
        return 1.0 if self.alpha is None else self.alpha / self.rank


class Change(nn.Module):  # type: ignore[misc]
    """One change of one layer's weights, whatever its factors are stored as."""

    U: Tensor
    V: Tensor
    omega: Tensor
    gain: Tensor
    magnitude: Tensor | None
    settings: AdapterSettings

    def factors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(U, V, omega, gain), the scaling taken into the gain."""
        return self.U, self.V, self.omega, self.gain / self.settings.scaling

    def scaled_left(self) -> Tensor:
        """U such that ``U V^T`` is the change without the sine."""
        U, _, omega, gain = self.factors()
        return U * (omega / gain).to(U.dtype)

    def matrix(self) -> Tensor:
        """Return the (m, n) change of the weights, in the precision of the phases."""
        if self.settings.activation == "identity":
            return self.scaled_left() @ self.V.T
        return sine_matrix(*self.factors())

    def sine(self, kind: Any, layer: nn.Module, x: Tensor, base: Tensor | None) -> Tensor:
        """Apply ``base + S`` to the input of a layer, without bias; base is (m, n) or None."""
        y: Tensor = kind.sine(layer, x, self.factors(), base)
        return y


class Adapter(Change, SineFactors):
    """Factors that are learned; they start as no change, U = 0."""

    def __init__(
        self, shape: tuple[int, int], settings: AdapterSettings, norms: Tensor | None, **place: Any
    ) -> None:
        names = ("omega", "gain", "learn_omega", "learn_gain")
        chosen = {name: getattr(settings, name) for name in names}
        super().__init__(shape[0], shape[1], settings.rank, **chosen, **place)
        self.settings = settings
        self.reset_parameters(zero=True)
        self.magnitude = None if norms is None else nn.Parameter(norms.to(self.U.dtype))


class SineLoRA(Mergeable):
    r"""A frozen layer whose weights are changed by ``alpha / rank * sin(omega U V^T) / gain``.

    Parameters
    ----------
    base : torch.nn.Linear, torch.nn.Conv2d or torch.nn.Embedding
        The layer; its weights are frozen and never changed. U is (m, k) and V is (n, k) for its
        weights as an m x n matrix. U starts at 0, so nothing changes at first.
    rank, alpha, omega, gain, activation, dropout, learn_omega, learn_gain
        See `AdapterSettings`.
    adapter : str
        Name of this adapter; `add_adapter` adds others.

    Raises
    ------
    TypeError
        For another kind of layer.
    ValueError
        For values out of range; the message starts with the argument's name.

    Notes
    -----
    As long as U is small, ``sin(omega U V^T) / gain`` is ``omega / gain U V^T``: the layer starts
    as LoRA with alpha multiplied by ``omega / gain``, here ``omega / sqrt(n)``. A comparison with
    LoRA at equal alpha therefore measures scale as well; ``activation="identity"`` measures the
    scale alone.

    Base and change are multiplied as one matrix, made block by block and never kept: 6 m n T flops
    for forward and backward passes of T rows, against 10 of a separate branch that PyTorch
    differentiates. Dropout needs the separate branch. On the CPU few rows (16 forward, 64 backward)
    go through the fused kernels instead, which make the sines in cache.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> layer = ef.nn.SineLoRA(torch.nn.Linear(64, 32), rank=2)
    >>> x = torch.randn(4, 64)
    >>> bool((layer(x) == layer.base(x)).all())
    True
    >>> [name for name, p in layer.named_parameters() if p.requires_grad]
    ['adapters.default.U', 'adapters.default.V']
    """

    _magnitude = False

    def __init__(
        self,
        base: nn.Module,
        rank: int = 8,
        *,
        alpha: float | None = None,
        omega: float = 200.0,
        gain: float | None = None,
        activation: Literal["sine", "identity"] = "sine",
        dropout: float = 0.0,
        learn_omega: bool = False,
        learn_gain: bool = False,
        adapter: str = "default",
    ) -> None:
        super().__init__()
        self._kind = base_of(base)
        if self._magnitude and not self._kind.has_outputs:
            msg = f"base: got {type(base).__name__}, whose rows are no outputs, want Linear, Conv2d"
            raise TypeError(msg)
        self.base = base.requires_grad_(False)
        self.adapters = nn.ModuleDict()
        self.active: tuple[str, ...] = ()
        self.enabled = True
        settings = AdapterSettings(
            rank,
            alpha,
            omega,
            gain,
            activation,
            dropout,
            learn_omega,
            learn_gain,
            self._magnitude,
        )
        self.add_adapter(adapter, settings)

    def add_adapter(self, name: str, settings: AdapterSettings) -> None:
        """Add an adapter that changes nothing yet, and make it the active one."""
        if not isinstance(name, str) or not name or "." in name or hasattr(nn.ModuleDict, name):
            msg = f"adapter: got {name!r}, want a name without dots"
            raise ValueError(msg)
        if name in self.adapters:
            msg = f"adapter: got {name!r}, which this layer has, want a new name"
            raise ValueError(msg)
        if settings.magnitude != self._magnitude:
            msg = f"magnitude: got {settings.magnitude}, want {self._magnitude} in this layer"
            raise ValueError(msg)
        weight = self.base.weight
        place = {"device": weight.device, "dtype": weight.dtype}
        norms = torch.linalg.vector_norm(self._matrix(weight), dim=1) if self._magnitude else None
        shape = self._kind.matrix_shape(self.base)
        self.adapters[name] = Adapter(shape, settings, norms, **place)
        self.activate([name])

    def activate(self, names: Sequence[str]) -> None:
        """Use the adapters of these names; their changes add up."""
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            if name not in self.adapters:
                msg = f"adapter: got {name!r}, want one of {list(self.adapters)}"
                raise ValueError(msg)
        if self._magnitude and len(names) > 1:
            msg = f"adapter: got {names}, want one: magnitudes of several do not add up"
            raise ValueError(msg)
        self.unmerge()
        self.active = tuple(dict.fromkeys(names))

    @property
    def weight(self) -> Tensor:
        """The base's own weights."""
        weight: Tensor = self.base.weight
        return weight

    @property
    def bias(self) -> Tensor | None:
        """The base's own bias."""
        return getattr(self.base, "bias", None)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.reshape(self._kind.matrix_shape(self.base))

    def _active(self) -> list[Any]:
        return [self.adapters[name] for name in self.active]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the changed layer."""
        if not self.enabled or not self.active:
            result: Tensor = self.base(x)
            return result
        if self.merged_weight is not None:
            x, weight, bias = in_autocast(x, self.merged_weight, self.bias)
            merged: Tensor = self._kind.plain(self.base, x, weight, bias)
            return merged
        y = self._scaled(self._changed(x))
        return y if self.bias is None else y + self._kind.per_output(self.bias.to(y.dtype))

    def _changed(self, x: Tensor) -> Tensor:
        """Apply base and changes, without bias."""
        base: Tensor | None = self._matrix(self.weight)
        y = None
        rest = []
        for adapter in self._active():
            apart = self.training and adapter.settings.dropout > 0
            if base is None or apart or adapter.settings.activation != "sine":
                rest.append(adapter)
            else:  # one product with the sum of base and change
                y = adapter.sine(self._kind, self.base, x, base)
                base = None
        if y is None:
            y = self._kind.plain(self.base, *in_autocast(x, self.weight), None)
        for adapter in rest:
            y = y + self._change(adapter, x)
        return y

    def _change(self, adapter: Change, x: Tensor) -> Tensor:
        settings = adapter.settings
        if x.is_floating_point():
            x = functional.dropout(x, settings.dropout, self.training)
        if settings.activation == "sine":
            y: Tensor = adapter.sine(self._kind, self.base, x, None)
        else:
            y = self._kind.low_rank(self.base, x, adapter.scaled_left(), adapter.V)
        return (
            y if x.is_floating_point() else functional.dropout(y, settings.dropout, self.training)
        )

    def _scaled(self, y: Tensor) -> Tensor:
        return y

    def effective_weight(self) -> Tensor:
        """Return base and active changes as one tensor of the base's shape, with gradients."""
        total = self._matrix(self.weight)
        for adapter in self._active():
            total = (total + adapter.matrix()).to(self.weight.dtype)
        return total.reshape(self.weight.shape)

    def dense(self) -> nn.Module:
        """Return a plain layer with the active changes in its weights; the base stays as it is."""
        import copy

        layer = copy.deepcopy(self.base)
        with torch.no_grad():
            layer.weight.copy_(self.effective_weight())
        return layer.train(self.training)

    def extra_repr(self) -> str:
        """Show what is active."""
        return f"active={list(self.active)}, enabled={self.enabled}, merged={self.merged}"


class SineDoRA(SineLoRA):
    r"""`SineLoRA` with learned magnitudes: ``magnitude * (W0 + D) / |W0 + D|``, row by row.

    D is the change that `SineLoRA` describes; `magnitude` starts as the row norms of the base's
    weights W0, so nothing changes at first. Parameters are those of `SineLoRA`.

    Notes
    -----
    As in DoRA the norms count as constants in the gradient. The sine acts on the weights in
    training and when merged alike. The norms cost one more making of the sines.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> layer = ef.nn.SineDoRA(torch.nn.Linear(64, 32), rank=2)
    >>> tuple(layer.adapters["default"].magnitude.shape)
    (32,)
    """

    _magnitude = True

    def _ratios(self) -> Tensor:
        """Learned magnitudes over row norms; 1 for a row of zeros that keeps magnitude 0."""
        (adapter,) = self._active()
        base = self._matrix(self.weight)
        with torch.no_grad():
            if adapter.settings.activation == "sine":
                U, V, omega, gain = adapter.factors()
                norms = sine_row_norms(U, V, omega, gain, base)
            else:
                norms = torch.linalg.vector_norm(base + adapter.matrix(), dim=1)
        safe = torch.where(norms > 0, norms, torch.ones_like(norms))
        return adapter.magnitude / safe

    def _scaled(self, y: Tensor) -> Tensor:
        return y * self._kind.per_output(self._ratios()).to(y.dtype)

    def effective_weight(self) -> Tensor:
        """Return the changed weights in the base's shape; norms are constants in the gradient."""
        changed = self._matrix(super().effective_weight())
        return (changed * self._ratios()[:, None]).to(self.weight.dtype).reshape(self.weight.shape)
