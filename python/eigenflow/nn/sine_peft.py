"""Sine-activated adapters inside Hugging Face PEFT, by the door that it leaves open."""

from __future__ import annotations  # so that the docs can be built without PyTorch

from typing import Any

import torch
from torch import Tensor, nn

from eigenflow.nn.sine_bases import LinearBase
from eigenflow.nn.sine_lora import AdapterSettings
from eigenflow.nn.sine_ops import sine_matrix
from eigenflow.sine._phases import gain_of


def register_peft(config: Any, *, omega: float = 200.0, gain: float | None = None) -> Any:
    """Let a PEFT configuration put the sine on its LoRA changes of linear layers.

    Parameters
    ----------
    config : peft.LoraConfig
        Before `peft.get_peft_model`. Its rank, alpha, dropout, targets and start hold; the change
        of the weights becomes ``scaling * sin(omega B A) / gain``.
    omega : float
        Frequency.
    gain : float, optional
        Divisor; ``sqrt(in_features)`` of each layer by default.

    Returns
    -------
    peft.LoraConfig
        The same configuration.

    Raises
    ------
    TypeError
        If `config` has no door for other layers (``_register_custom_module``).
    ValueError
        If `omega` or `gain` is out of range, or the configuration asks for a variant of LoRA.

    Notes
    -----
    PEFT does not store custom layers: a saved adapter has to be loaded with a configuration that
    was registered in the same way, ``PeftModel.from_pretrained(model, path, config=config)``, or
    it silently becomes plain LoRA. `save_adapters` has no such trap. Merging keeps the weights
    from before, so unmerging is exact. The door is experimental in PEFT; tested with 0.21.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> from peft import LoraConfig, get_peft_model  # doctest: +SKIP
    >>> config = ef.nn.register_peft(LoraConfig(r=4, target_modules=["0"]))  # doctest: +SKIP
    >>> model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(8, 8)), config)  # doctest: +SKIP
    """
    settings = AdapterSettings(rank=1, omega=omega, gain=gain)  # checks both
    if not hasattr(config, "_register_custom_module"):
        msg = f"config: got {type(config).__name__}, want a peft.LoraConfig"
        raise TypeError(msg)
    if getattr(config, "use_dora", False):
        msg = "config: got use_dora=True, want False; eigenflow.nn.SineDoRA has magnitudes"
        raise ValueError(msg)
    config._register_custom_module({nn.Linear: _layer_class(settings)})
    return config


def _layer_class(settings: AdapterSettings) -> Any:
    from peft.tuners.lora import layer as lora

    variant = _variant_class(settings)

    class SineLoraLinear(lora.Linear):  # type: ignore[misc]
        """PEFT's LoRA layer whose only variant is the sine."""

        @property
        def lora_variants(self) -> dict[tuple[str, ...], Any]:
            return {(): variant}

        def get_delta_weight(self, adapter: str) -> Tensor:
            return sine_matrix(*_factors(self, adapter, settings))

        def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
            if not self.merged:
                self._base_weight = self.get_base_layer().weight.detach().clone()
            super().merge(safe_merge, adapter_names)

        def unmerge(self) -> None:
            super().unmerge()
            self.get_base_layer().weight.data = self.__dict__.pop(
                "_base_weight", self.get_base_layer().weight.data
            )

    return SineLoraLinear


def _variant_class(settings: AdapterSettings) -> Any:
    from peft.tuners.lora.layer import LoraVariant

    class SineVariant(LoraVariant):  # type: ignore[misc]
        """What PEFT asks of a variant; the change is made by the layer."""

        @staticmethod
        def init(module: Any, adapter_name: str, **keywords: Any) -> None:
            """Nothing beyond A and B."""

        @staticmethod
        def merge_safe(module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:
            """Weights with the change."""
            return _with_change(orig_weight, module.get_delta_weight(active_adapter))

        @staticmethod
        def merge_unsafe(module: Any, active_adapter: str, orig_weight: Tensor) -> None:
            """Change the weights in place."""
            delta = module.get_delta_weight(active_adapter)
            orig_weight.data = _with_change(orig_weight.data, delta)

        @staticmethod
        def unmerge(module: Any, active_adapter: str, orig_weight: Tensor) -> Tensor:
            """The layer puts the kept weights back."""
            return orig_weight.data

        @staticmethod
        def forward(
            module: Any, active_adapter: str, x: Tensor, result: Tensor, **keywords: Any
        ) -> Tensor:
            """Add the change's product."""
            dropped = module.lora_dropout[active_adapter](x)
            factors = _factors(module, active_adapter, settings)
            return result + LinearBase.sine(module, dropped, factors, None).to(result.dtype)

    return SineVariant


def _with_change(weight: Tensor, delta: Tensor) -> Tensor:
    with torch.no_grad():
        return (weight + delta).to(weight.dtype)


def _factors(
    module: Any, adapter: str, settings: AdapterSettings
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(U, V, omega, gain) of PEFT's B and A; the scaling is in the gain."""
    U, V = module.lora_B[adapter].weight, module.lora_A[adapter].weight.T
    wide = torch.float64 if U.dtype == torch.float64 else torch.float32
    gain = gain_of(settings.gain, len(V))
    scalars = (settings.omega, gain / module.scaling[adapter])
    omega, divisor = (torch.tensor(s, dtype=wide, device=U.device) for s in scalars)
    return U, V, omega, divisor
