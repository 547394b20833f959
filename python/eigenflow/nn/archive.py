"""Arrays with settings in one safetensors file; nothing is ever unpickled."""

from __future__ import annotations  # so that the docs can be built without PyTorch

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def write(
    path: str | os.PathLike[str], arrays: dict[str, Tensor], header: dict[str, dict[str, Any]]
) -> None:
    """Write to a file beside it, then rename: a reader never sees half a file."""
    target = Path(path)
    beside = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        save_file(arrays, beside, {key: json.dumps(value) for key, value in header.items()})
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def read(
    path: str | os.PathLike[str], writer: str, place: torch.device | str = "cpu"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Arrays and header of a file that `writer` should have written."""
    if not Path(path).is_file():
        msg = f"path: got {os.fspath(path)!r}, want a file that {writer} wrote"
        raise FileNotFoundError(msg)
    try:
        with safe_open(path, framework="pt", device=str(place)) as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return arrays, file.metadata() or {}
    except SafetensorError as error:
        msg = f"path: got {os.fspath(path)!r}, which is no safetensors file ({error})"
        raise ValueError(msg) from None


def json_object(header: dict[str, str], key: str) -> dict[str, Any]:
    """Parse one entry of a header, which must be a JSON object."""
    try:
        found = json.loads(header.get(key, ""))
    except (RecursionError, ValueError):
        found = None
    if not isinstance(found, dict):
        msg = f"{key!r} in its header is no JSON object"
        raise ValueError(msg)
    return found


def not_written_by(path: str | os.PathLike[str], writer: str, error: Exception | str) -> ValueError:
    """Make the error for a file whose contents do not hold together."""
    return ValueError(f"path: got {os.fspath(path)!r}, which {writer} did not write ({error})")
