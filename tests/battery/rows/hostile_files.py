"""R7: hostile files for every loader, made by hand and by mutation."""

import importlib.util
import json
import resource
import struct
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from battery.children import pet, run_child, say
from battery.table import Figure, Row

SLACK = 64 * 2**20  # memory that a loader may take besides twice the file


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and arrays of a safetensors file."""
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header: Any, arrays: bytes, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + arrays


def by_hand(good: bytes) -> dict[str, bytes]:
    """Thirty files that lie."""
    header, arrays = split(good)
    name = next(key for key in header if key != "__metadata__")
    about = header["__metadata__"]

    def with_entry(**changed: Any) -> bytes:
        return joined(header | {name: header[name] | changed}, arrays)

    def saying(**changed: Any) -> bytes:
        said = {key: json.loads(value) for key, value in about.items()}
        said = {**said, **changed}
        told = {key: json.dumps(value) for key, value in said.items()}
        return joined(header | {"__metadata__": told}, arrays)

    packed = {f"{name}": {"shape": [2**31, 2**31], "bits": 2}}
    text = json.dumps(header).encode()
    return {
        "empty": b"",
        "seven bytes": good[:7],
        "no header": good[:8],
        "half a header": good[:20],
        "half the arrays": good[: -len(arrays) // 2],
        "one byte short": good[:-1],
        "one byte long": good + b"x",
        "header of 2^60 bytes": joined(header, arrays, 2**60),
        "header of 2^64 - 1 bytes": joined(header, arrays, 2**64 - 1),
        "header of no bytes": joined(b"", arrays),
        "header no JSON": joined(b"{" * 100, arrays),
        "header a list": joined([1, 2], arrays),
        "header nested deeply": joined(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, arrays),
        "header not UTF-8": joined(text.replace(b"F32", b"F\xff2"), arrays),
        "duplicate key": joined(text[:-1] + b"," + text[1:], arrays),
        "shape that overflows": with_entry(shape=[2**32, 2**32]),
        "shape of 2^63": with_entry(shape=[2**63]),
        "negative shape": with_entry(shape=[-1]),
        "shape no list": with_entry(shape="x"),
        "offsets beyond the end": with_entry(data_offsets=[0, 2**40]),
        "offsets backwards": with_entry(data_offsets=[8, 0]),
        "offsets that overlap": joined(dict.fromkeys(("a", "b"), header[name]), arrays),
        "unknown type": with_entry(dtype="F31"),
        "integers": with_entry(dtype="I32"),
        "no metadata": joined({k: v for k, v in header.items() if k[0] != "_"}, arrays),
        "metadata no JSON": joined(header | {"__metadata__": dict.fromkeys(about, "{")}, arrays),
        "metadata a bomb": joined(
            header | {"__metadata__": dict.fromkeys(about, "[" * 50_000)}, arrays
        ),
        "settings of another type": saying(eigenflow=[1]),
        "settings emptied": saying(eigenflow={}),
        "packed without an end": saying(packed=packed),
        "a pickle": b"\x80\x04\x95" + b"cos\nsystem\n(S'true'\ntR." * 4,
        "a zip": b"PK\x03\x04" + bytes(200),
        "NaN in the arrays": joined(header, np.full(len(arrays) // 4, np.nan, "f4").tobytes()),
        "zeros in the arrays": joined(header, bytes(len(arrays))),
    }


def mutation(good: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut, repeat, or change a number of the header."""
    data = bytearray(good)
    size = min(struct.unpack("<Q", good[:8])[0] + 8, len(good))
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(max(1, min(len(data), size if rng.integers(4) else len(data)))))
        match rng.integers(5):
            case 0:
                data[at : at + 1] = bytes([int(rng.integers(256))])
            case 1:
                del data[at : at + int(rng.integers(1, 9))]
            case 2:
                data[at:at] = data[at : at + int(rng.integers(1, 30))]
            case 3:
                text = np.frombuffer(bytes(data[8:size]), np.uint8)
                digits = 8 + np.flatnonzero((text >= ord("0")) & (text <= ord("9")))
                if len(digits):
                    data[int(rng.choice(digits))] = int(rng.integers(48, 58))
            case _:
                data[at : at + 2] = rng.choice([b"-1", b"[]", b"{}", b'""', b"9e", b"nu"])
    return bytes(data)


Loader = tuple[bytes, Callable[[bytes], dict[str, bytes]], Callable[[Path], Any]]


def loaders(folder: Path) -> dict[str, Loader]:
    """A good file for every loader, what lies like it, and the loader."""
    import torch

    import eigenflow as ef
    from battery.rows import hostile_checkpoints

    def network() -> Any:
        return torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))

    def adapters(bits: int | None) -> bytes:
        model = network()
        ef.nn.attach(model, ["0"], rank=2)
        ef.nn.save_adapters(model, folder / "good", bits=bits)
        return (folder / "good").read_bytes()

    inputs, classes = torch.linspace(-1, 1, 48).reshape(8, 6), torch.arange(8) % 3
    learner = ef.nn.HALRP(network(), ef.nn.HALRPSettings(epochs=1, max_rank=2))
    learner.fit_task("first", [(inputs, classes)])
    learner.fit_task("second", [(inputs, classes)])
    learner.save(folder / "good")
    saved = (folder / "good").read_bytes()
    files: dict[str, Loader] = {
        "HALRP.load": (saved, by_hand, lambda p: ef.nn.HALRP.load(p, network()))
    }
    for bits in (None, 2):
        files[f"load_adapters, bits={bits}"] = (
            adapters(bits),
            by_hand,
            lambda p: ef.nn.load_adapters(network(), p),
        )
    state, resume = hostile_checkpoints.loader(folder)
    files["a checkpoint of svd"] = (state, hostile_checkpoints.by_hand, resume)
    return files


def main(mutations: int, folder: str) -> None:
    warnings.simplefilter("ignore")
    place = Path(folder)
    bad, files, loaded, faults = place / "bad", 0, 0, []
    hand = 0
    for name, (good, lies, load) in loaders(place).items():
        (place / "good").write_bytes(good)
        load(place / "good")
        rng = np.random.default_rng(len(good))
        made = lies(good)
        hand += len(made)
        # Files of many kilobytes take several times as long as a header with a few numbers.
        count = mutations if len(good) < 10_000 else mutations // 5
        cases = [*made.items(), *((f"mutation {i}", None) for i in range(count))]
        for case, data in cases:
            lie = mutation(good, rng) if data is None else data
            bad.write_bytes(lie)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            pet(20)
            files += 1
            try:
                load(bad)
                loaded += 1
            except (ValueError, FileNotFoundError):
                pass
            except BaseException as error:
                faults.append(f"{name}, {case}: {error!r}")
            more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
            if more > 2 * len(lie) + SLACK:
                faults.append(f"{name}, {case}: took {more} bytes")
    say(files=files, hand=hand, loaded=loaded, faults=faults[:30], n_faults=len(faults))


def measure(full: bool) -> Figure:
    if not all(importlib.util.find_spec(name) for name in ("torch", "safetensors", "dask")):
        return Figure("needs PyTorch, safetensors and Dask", None)
    with tempfile.TemporaryDirectory() as folder:
        mutations = 20_000 if full else 1000
        status, found, errors = run_child(
            "battery.rows.hostile_files", mutations, folder, seconds=7200
        )
    if status:
        return Figure(f"status {status}: {errors[-1200:]}", False)
    print(*found["faults"], sep="\n", file=sys.stderr)
    text = (
        f"{found['files']} files for four loaders, {found['hand']} of them made by hand; "
        f"{found['loaded']} harmless ones loaded; {found['n_faults']} other errors or hangs"
    )
    return Figure(text, not found["n_faults"])


ROW = Row(
    "A hostile model file is refused by name; nothing in a file is executed.",
    "files made by hand and mutations of good files, for every loader",
    "ValueError, memory at most twice the file plus 64 MiB",
    measure,
)

if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
