"""Adapters in one safetensors file, in full or with factors of one to five bits an entry."""

from __future__ import annotations  # so that the docs can be built without PyTorch

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from eigenflow.nn import archive
from eigenflow.nn.archive import json_object
from eigenflow.nn.sine_attach import adapted, attach_to
from eigenflow.nn.sine_bases import base_of
from eigenflow.nn.sine_lora import AdapterSettings, Change, SineLoRA
from eigenflow.nn.sine_packed import PackedAdapter
from eigenflow.sine import QuantizedFactor, quantize

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

FORMAT = "eigenflow-sine-adapters-1"
_WRITER = "save_adapters"
_FACTORS = ("U", "V")
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def save_adapters(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    bits: int | None = None,
) -> int:
    """Write adapters, and nothing else of the model, to a safetensors file.

    Parameters
    ----------
    model : torch.nn.Module
        With adapters.
    path : path-like
        An existing file is replaced at the end, at once.
    names : sequence of str, optional
        Which adapters; all by default.
    bits : int, optional
        1 to 5: U and V are stored as indices of this size into a table of ``2 ** bits`` values
        (SineLoRA-Delta, arXiv 2505.21895; see `eigenflow.sine.quantize`). In full by default.

    Returns
    -------
    int
        Bytes of all arrays in the file.

    Raises
    ------
    ValueError
        If the model has no adapter of a name, or `bits` is out of range.

    Examples
    --------
    >>> import tempfile, torch, eigenflow as ef
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64))
    >>> layers = ef.nn.attach(model, ["0"], rank=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ef.nn.save_adapters(model, folder + "/full.safetensors")
    ...     ef.nn.save_adapters(model, folder + "/small.safetensors", bits=2)
    2056
    168
    """
    layers = adapted(model)
    known = list(dict.fromkeys(name for _, layer in layers for name in layer.adapters))
    chosen = known if names is None else list(names)
    for name in chosen:
        if name not in known:
            msg = f"names: got {name!r}, want adapters of the model: {known}"
            raise ValueError(msg)
    if not chosen:
        msg = "model: got one without adapters, want one that `attach` was applied to"
        raise ValueError(msg)
    arrays: dict[str, Tensor] = {}
    packed: dict[str, Any] = {}
    entries: list[dict[str, Any]] = []
    for place, layer in layers:
        for name in chosen:
            if name in layer.adapters:
                adapter = layer.adapters[name]
                key = str(len(entries))
                entries.append(
                    {"adapter": name, "layer": place}
                    | {"settings": dataclasses.asdict(adapter.settings)}
                )
                for field, value in _fields(adapter).items():
                    _store(f"{key}.{field}", value, bits, arrays, packed)
    header = {"eigenflow": {"format": FORMAT, "entries": entries}, "packed": packed}
    archive.write(path, arrays, header)
    return sum(a.numel() * a.element_size() for a in arrays.values())


def _fields(adapter: Change) -> dict[str, Tensor | QuantizedFactor]:
    """Contents of an adapter for a file; of a packed one with its codes as they are."""
    if not isinstance(adapter, PackedAdapter):
        return {name: value.detach().cpu() for name, value in adapter.state_dict().items()}
    rest = {name: getattr(adapter, name) for name in ("omega", "gain", "magnitude")}
    numbers = {name: value.cpu() for name, value in rest.items() if value is not None}
    return {"U": adapter.left.quantized(), "V": adapter.right.quantized(), **numbers}


def _store(
    key: str,
    value: Tensor | QuantizedFactor,
    bits: int | None,
    arrays: dict[str, Tensor],
    packed: dict[str, Any],
) -> None:
    if isinstance(value, QuantizedFactor) and bits in (None, value.bits):
        factor = value
    else:
        full = torch.from_numpy(value.toarray()) if isinstance(value, QuantizedFactor) else value
        if bits is None or key.rpartition(".")[2] not in _FACTORS:
            arrays[key] = full.contiguous()
            return
        factor = quantize(full.float().numpy(), bits)
    arrays[f"{key}.codes"] = torch.from_numpy(factor.codes.copy())
    arrays[f"{key}.table"] = torch.from_numpy(factor.table.copy())
    packed[key] = {"shape": list(factor.shape), "bits": factor.bits}


def load_adapters(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    names: Sequence[str] | None = None,
    keep_codes: bool = False,
) -> list[str]:
    """Put adapters from a file of `save_adapters` on the same layers of a model, in place.

    Parameters
    ----------
    model : torch.nn.Module
        With layers of the same names and sizes; it may have other adapters. The loaded ones become
        active. Nothing changes if the file does not fit.
    path : path-like
        The file. Nothing in it is executed; sizes and values are checked before they are used.
    names : sequence of str, optional
        Which adapters; all by default.
    keep_codes : bool
        For inference: factors that the file has in 1 to 5 bits an entry stay so in memory, and
        nothing of these adapters can be learned. Linear layers decode them inside the kernel for
        up to 16 rows of input on the CPU; otherwise U and V are decoded for the time of a call.

    Returns
    -------
    list of str
        Names of the adapters.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is damaged, from another program, or does not fit the model, or if `keep_codes` is
        asked for and the file has factors in full.

    Examples
    --------
    >>> import tempfile, torch, eigenflow as ef
    >>> trained, fresh = (torch.nn.Sequential(torch.nn.Linear(4, 4)) for _ in range(2))
    >>> layers = ef.nn.attach(trained, ["0"], rank=1, adapter="cats")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     size = ef.nn.save_adapters(trained, folder + "/cats.safetensors")
    ...     ef.nn.load_adapters(fresh, folder + "/cats.safetensors")
    ['cats']
    """
    arrays, header = archive.read(path, _WRITER)
    try:
        found = _entries(arrays, header)
    except (TypeError, ValueError) as error:
        raise archive.not_written_by(path, _WRITER, error) from None
    known = list(dict.fromkeys(entry.adapter for entry in found))
    for name in names or ():
        if name not in known:
            msg = f"names: got {name!r}, want adapters of the file: {known}"
            raise ValueError(msg)
    found = [entry for entry in found if names is None or entry.adapter in names]
    for entry in found:
        _check_fit(model, entry)
        if keep_codes and len(entry.packed) < len(_FACTORS):
            msg = f"keep_codes: got True, but adapter {entry.adapter!r} is in full in the file, "
            raise ValueError(msg + "want one that save_adapters wrote with bits=1 to 5")
    for entry in found:
        attach_to(model, [entry.layer], entry.adapter, entry.settings)
        layer = model.get_submodule(entry.layer)
        if keep_codes:
            layer.adapters[entry.adapter] = PackedAdapter(
                entry.settings, entry.packed, entry.arrays, layer.weight
            )
        else:
            layer.adapters[entry.adapter].load_state_dict(entry.arrays)
    return list(dict.fromkeys(entry.adapter for entry in found))


@dataclasses.dataclass(frozen=True)
class _Entry:
    """One adapter of one layer."""

    adapter: str
    layer: str
    settings: AdapterSettings
    arrays: dict[str, Tensor]
    packed: dict[str, QuantizedFactor]


def _entries(arrays: dict[str, Tensor], header: dict[str, str]) -> list[_Entry]:
    about, packed = json_object(header, "eigenflow"), json_object(header, "packed")
    if about.get("format") != FORMAT or not isinstance(about.get("entries"), list):
        msg = f"its format is {about.get('format')!r}, want {FORMAT!r}"
        raise ValueError(msg)
    codes = _packed_factors(arrays, packed)
    left = {key: value for key, value in arrays.items() if key.rpartition(".")[0] not in codes}
    left |= {key: torch.from_numpy(factor.toarray()) for key, factor in codes.items()}
    found = []
    for i, entry in enumerate(about["entries"]):
        if not isinstance(entry, dict) or set(entry) != {"adapter", "layer", "settings"}:
            msg = f"entry {i} is no adapter"
            raise ValueError(msg)
        names = (entry["adapter"], entry["layer"])
        if not all(isinstance(name, str) for name in names) or not isinstance(
            entry["settings"], dict
        ):
            msg = f"entry {i} has no names or no settings"
            raise ValueError(msg)
        settings = AdapterSettings(**entry["settings"])
        fields = ["U", "V", "omega", "gain", *(["magnitude"] if settings.magnitude else [])]
        if missing := [f for f in fields if f"{i}.{f}" not in left]:
            msg = f"entry {i} lacks {missing}"
            raise ValueError(msg)
        mine = {f: left.pop(f"{i}.{f}") for f in fields}
        _check_values(i, mine)
        kept = {f: codes[f"{i}.{f}"] for f in _FACTORS if f"{i}.{f}" in codes}
        found.append(_Entry(*names, settings, mine, kept))
    if left or not found:
        msg = f"{next(iter(left))!r} belongs to no adapter" if left else "it has no adapter"
        raise ValueError(msg)
    if len({(entry.adapter, entry.layer) for entry in found}) < len(found):
        msg = "a layer has one adapter twice"
        raise ValueError(msg)
    return found


def _packed_factors(
    arrays: dict[str, Tensor], packed: dict[str, Any]
) -> dict[str, QuantizedFactor]:
    left, found = dict(arrays), {}
    for key, about in packed.items():
        parts = [f"{key}.codes", f"{key}.table"]
        if not isinstance(about, dict) or set(about) != {"shape", "bits"} or key in left:
            msg = f"{key!r} is packed in no known way"
            raise ValueError(msg)
        if not all(part in left and left[part].ndim == 1 for part in parts):
            msg = f"{key!r} lacks its codes or its table"
            raise ValueError(msg)
        codes, table = (left.pop(part).numpy() for part in parts)
        shape = about["shape"]
        if not isinstance(shape, list) or len(shape) != 2:
            msg = f"{key!r} has the shape {shape!r}, want two sizes"
            raise ValueError(msg)
        found[key] = QuantizedFactor(codes, table, tuple(shape), about["bits"])
    return found


def _check_values(i: int, arrays: dict[str, Tensor]) -> None:
    for name, value in arrays.items():
        if value.dtype not in _FLOATS or not bool(torch.isfinite(value).all()):
            msg = f"{name} of entry {i} has the dtype {value.dtype} or entries that are not finite"
            raise ValueError(msg)
    for name in ("omega", "gain"):
        if arrays[name].ndim != 0 or (name == "gain" and not arrays[name]):
            msg = f"{name} of entry {i} is no number that it may be"
            raise ValueError(msg)


def _check_fit(model: nn.Module, entry: _Entry) -> None:
    where = f"adapter {entry.adapter!r} of layer {entry.layer!r}"
    try:
        layer = model.get_submodule(entry.layer)
        base = layer.base if isinstance(layer, SineLoRA) else layer
        m, n = base_of(base).matrix_shape(base)
    except (AttributeError, TypeError) as error:
        msg = f"path: has the {where}, which the model cannot have ({error})"
        raise ValueError(msg) from None
    k = entry.settings.rank
    wanted = {"U": (m, k), "V": (n, k), "magnitude": (m,)}
    for name, shape in wanted.items():
        if name in entry.arrays and entry.arrays[name].shape != shape:
            msg = f"path: has {name} of shape {tuple(entry.arrays[name].shape)} in the {where}, "
            raise ValueError(msg + f"want {shape}")
    if isinstance(layer, SineLoRA) and entry.adapter in layer.adapters:
        msg = f"path: has the {where}, which the model has already"
        raise ValueError(msg)
