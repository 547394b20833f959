"""Adapters on the layers of a model: attach, choose, disable, merge, take off."""

from __future__ import annotations  # so that the docs can be built without PyTorch

import contextlib
import re
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from eigenflow.nn.network import replace
from eigenflow.nn.sine_bases import base_of
from eigenflow.nn.sine_lora import AdapterSettings, SineDoRA, SineLoRA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Targets = str | Sequence[str] | Callable[[str, nn.Module], bool]


def attach(
    model: nn.Module,
    targets: Targets,
    *,
    rank: int = 8,
    alpha: float | None = None,
    omega: float = 200.0,
    gain: float | None = None,
    activation: Literal["sine", "identity"] = "sine",
    magnitude: bool = False,
    dropout: float = 0.0,
    learn_omega: bool = False,
    learn_gain: bool = False,
    adapter: str = "default",
    freeze: bool = True,
) -> list[str]:
    """Put adapters on layers of a model, in place.

    Parameters
    ----------
    model : torch.nn.Module
        Its linear, 2-D convolution and embedding layers can be targets.
    targets : str, sequence of str, or callable
        A regular expression that the whole name of a layer must match; or names, or ends of names
        after a dot, such as ``["q_proj", "v_proj"]``; or a function of name and plain layer.
    rank, alpha, omega, gain, activation, magnitude, dropout, learn_omega, learn_gain
        See `AdapterSettings`.
    adapter : str
        Name of the new adapter, which becomes the active one. Layers that have adapters get a
        further one.
    freeze : bool
        Whether all other parameters of the model stop learning; the targets' own weights do in any
        case.

    Returns
    -------
    list of str
        Names of the layers that got an adapter.

    Raises
    ------
    ValueError
        If no layer matches, or a setting is out of range.
    TypeError
        If a match is no linear, 2-D convolution or embedding layer.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    >>> ef.nn.attach(model, ["0"], rank=2)
    ['0']
    >>> sum(p.numel() for p in model.parameters() if p.requires_grad)
    48
    """
    settings = AdapterSettings(
        rank, alpha, omega, gain, activation, dropout, learn_omega, learn_gain, magnitude
    )
    names = _matching(model, targets)
    attach_to(model, names, adapter, settings)
    if freeze:
        for parameter in _not_of_adapters(model):
            parameter.requires_grad_(False)
    return names


def attach_to(model: nn.Module, names: list[str], adapter: str, settings: AdapterSettings) -> None:
    """Put one adapter on each layer of these names; nothing changes if one of them cannot."""
    layers = [model.get_submodule(name) for name in names]
    for name, layer in zip(names, layers, strict=True):
        _check_target(name, layer, adapter, settings)
    for name, layer in zip(names, layers, strict=True):
        if isinstance(layer, SineLoRA):
            layer.add_adapter(adapter, settings)
        else:
            replace(model, name, _wrapped(layer, adapter, settings))


def _wrapped(layer: nn.Module, adapter: str, settings: AdapterSettings) -> SineLoRA:
    kind = SineDoRA if settings.magnitude else SineLoRA
    return kind(
        layer,
        settings.rank,
        alpha=settings.alpha,
        omega=settings.omega,
        gain=settings.gain,
        activation=settings.activation,
        dropout=settings.dropout,
        learn_omega=settings.learn_omega,
        learn_gain=settings.learn_gain,
        adapter=adapter,
    ).train(layer.training)


def _check_target(name: str, layer: nn.Module, adapter: str, settings: AdapterSettings) -> None:
    if name == "":
        msg = "targets: got the model itself, want layers in it, or SineLoRA(model)"
        raise ValueError(msg)
    if isinstance(layer, SineLoRA):
        if adapter in layer.adapters:
            msg = f"adapter: got {adapter!r}, which {name!r} has, want a new name"
            raise ValueError(msg)
        if isinstance(layer, SineDoRA) != settings.magnitude:
            msg = f"magnitude: got {settings.magnitude}, want what {name!r} has already"
            raise ValueError(msg)
        return
    try:
        kind = base_of(layer)
    except (TypeError, ValueError) as error:
        msg = f"targets: {name!r} cannot have an adapter ({error})"
        raise type(error)(msg) from None
    if settings.magnitude and not kind.has_outputs:
        msg = f"targets: {name!r} is an embedding, which has no magnitudes"
        raise TypeError(msg)


def _matching(model: nn.Module, targets: Targets) -> list[str]:
    inside = tuple(f"{name}." for name, _ in adapted(model))
    layers = [(n, m) for n, m in model.named_modules() if not n.startswith(inside or ("\0",))]
    if isinstance(targets, str):
        found = [name for name, _ in layers if re.fullmatch(targets, name)]
    elif callable(targets):
        found = [name for name, layer in layers if targets(name, _below(layer))]
    else:
        ends = tuple(f".{target}" for target in targets)
        found = [name for name, _ in layers if f".{name}".endswith(ends)]
    if not found:
        msg = f"targets: got {targets!r}, which match no layer of the model"
        raise ValueError(msg)
    return found


def _below(layer: nn.Module) -> nn.Module:
    below: nn.Module = layer.base if isinstance(layer, SineLoRA) else layer
    return below


def _not_of_adapters(model: nn.Module) -> Iterator[Any]:
    own = {id(p) for _, layer in adapted(model) for p in layer.adapters.parameters()}
    return (p for p in model.parameters() if id(p) not in own)


def adapted(model: nn.Module) -> list[tuple[str, SineLoRA]]:
    """Return names and layers of a model that have adapters.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    list of (str, SineLoRA)

    Raises
    ------
    TypeError
        If `model` is no module.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> ef.nn.adapted(torch.nn.Linear(2, 2))
    []
    """
    if not isinstance(model, nn.Module):
        msg = f"model: got {type(model).__name__}, want a torch.nn.Module"
        raise TypeError(msg)
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, SineLoRA)]


def _with_adapters(model: nn.Module) -> list[tuple[str, SineLoRA]]:
    layers = adapted(model)
    if not layers:
        msg = "model: got one without adapters, want one that `attach` was applied to"
        raise ValueError(msg)
    return layers


def activate_adapters(model: nn.Module, names: str | Sequence[str]) -> None:
    """Choose which adapters a model uses; the changes of several add up.

    Parameters
    ----------
    model : torch.nn.Module
        With adapters.
    names : str or sequence of str
        Adapters; layers that have none of them use their base alone.

    Returns
    -------
    None

    Raises
    ------
    ValueError
        If no layer has an adapter of a name.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    >>> for name in ("cats", "dogs"):
    ...     layers = ef.nn.attach(model, ["0"], rank=1, adapter=name)
    >>> ef.nn.activate_adapters(model, "cats")
    >>> model[0].active
    ('cats',)
    """
    layers = _with_adapters(model)
    wanted = [names] if isinstance(names, str) else list(names)
    known = {name for _, layer in layers for name in layer.adapters}
    for name in wanted:
        if name not in known:
            msg = f"names: got {name!r}, want adapters of the model: {sorted(known)}"
            raise ValueError(msg)
    for _, layer in layers:
        layer.activate([name for name in wanted if name in layer.adapters])


@contextlib.contextmanager
def disabled_adapters(model: nn.Module) -> Iterator[None]:
    """Use the layers below the adapters for a while, also when they are merged.

    Parameters
    ----------
    model : torch.nn.Module
        With adapters.

    Returns
    -------
    context manager

    Raises
    ------
    ValueError
        If the model has no adapters.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    >>> layers = ef.nn.attach(model, ["0"], rank=1)
    >>> with ef.nn.disabled_adapters(model):
    ...     model[0].enabled
    False
    """
    layers = [layer for _, layer in _with_adapters(model)]
    before = [layer.enabled for layer in layers]
    try:
        for layer in layers:
            layer.enabled = False
        yield
    finally:
        for layer, enabled in zip(layers, before, strict=True):
            layer.enabled = enabled


def merge_adapters(model: nn.Module) -> None:
    """Make dense weights of all active adapters; the bases are kept beside them.

    Parameters
    ----------
    model : torch.nn.Module
        With adapters. `train()`, choosing other adapters and loading a state unmerge.

    Returns
    -------
    None

    Raises
    ------
    ValueError
        If the model has no adapters.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    >>> layers = ef.nn.attach(model, ["0"], rank=1)
    >>> ef.nn.merge_adapters(model)
    >>> ef.nn.unmerge_adapters(model)  # the same bits as before
    """
    for _, layer in _with_adapters(model):
        layer.merge()


def unmerge_adapters(model: nn.Module) -> None:
    """Drop the dense weights of `merge_adapters`.

    Parameters
    ----------
    model : torch.nn.Module
        With adapters.

    Returns
    -------
    None

    Raises
    ------
    ValueError
        If the model has no adapters.

    Examples
    --------
    See `merge_adapters`.
    """
    for _, layer in _with_adapters(model):
        layer.unmerge()


def detach_adapters(model: nn.Module, *, merge: bool = True) -> None:
    """Replace all layers with adapters by plain ones, in place.

    Parameters
    ----------
    model : torch.nn.Module
        With adapters.
    merge : bool
        Whether the changes of the active adapters go into the weights; if False, the layers are
        those from before `attach`.

    Returns
    -------
    None

    Raises
    ------
    ValueError
        If the model has no adapters.

    Examples
    --------
    >>> import torch, eigenflow as ef
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    >>> layers = ef.nn.attach(model, ["0"], rank=1)
    >>> ef.nn.detach_adapters(model)
    >>> model
    Sequential(
      (0): Linear(in_features=4, out_features=4, bias=True)
    )
    """
    for name, layer in _with_adapters(model):
        replace(model, name, layer.dense() if merge and layer.enabled else layer.base)
