"""Hostile files for the loader of a checkpoint of `ef.dask.svd`: zips of arrays that lie."""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np

import eigenflow as ef


def matrix(reads: int | None = None) -> Any:
    """A matrix in two blocks, that can be read so many times."""
    left = iter(range(10**9 if reads is None else 2 * reads))

    def block(block_id: Any = None) -> np.ndarray:
        if next(left, None) is None:
            raise InterruptedError
        return np.random.default_rng(block_id[0]).standard_normal((150, 120))

    return da.map_blocks(block, chunks=((150, 150), (120,)), dtype=float, meta=np.empty((0, 0)))


def resume(path: Path, reads: int | None = None) -> None:
    """Go on from a checkpoint; the result must be finite numbers."""
    with dask.config.set(scheduler="synchronous"):
        found = ef.dask.svd(matrix(reads), 3, passes=4, method="krylov", rng=1, checkpoint=path)
    if not (np.isfinite(found.s).all() and np.isfinite(found.Vh).all()):
        raise ArithmeticError("NaN from a checkpoint")


def good_file(path: Path) -> bytes:
    """The state after two of four reads."""
    try:
        resume(path, 2)
    except InterruptedError:
        return path.read_bytes()
    raise AssertionError("the job ended")


def arrays_of(good: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(good)) as data:
        return dict(data)


def packed(arrays: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays, **options)
    return file.getvalue()


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return file.getvalue()


def entry(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An array file with any header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def shape(text: str, descr: str = "'<f8'") -> bytes:
    return entry(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {text}}}", bytes(64))


def by_hand(good: bytes) -> dict[str, bytes]:
    """Files that lie."""
    arrays = arrays_of(good)
    job = json.loads(arrays["job"].tobytes())
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}

    def saying(text: bytes) -> bytes:
        return packed({**arrays, "job": np.frombuffer(text, np.uint8)})

    def keyed(key: str) -> bytes:
        return saying(json.dumps({**job, "key": 7}).replace('"key": 7', f'"key": {key}').encode())

    def holding(name: str, array: Any) -> bytes:
        return packed({**arrays, name: array})

    def with_entry(data: bytes) -> bytes:
        return zipped({**entries, "V.npy": data})

    V, numbers = arrays["V"], arrays["numbers"]
    return {
        "empty": b"",
        "half": good[: len(good) // 2],
        "no zip": b"\x93NUMPY" + bytes(100),
        "a zip of nothing": zipped({}),
        "compressed": zipped(entries, zipfile.ZIP_DEFLATED),
        "a bomb": zipped({**entries, "V.npy": bytes(10**8)}, zipfile.ZIP_DEFLATED),
        "an entry that is no array": zipped({**entries, "x": b"x"}),
        "a shape of 2^40": with_entry(shape(f"({2**40},)")),
        "a shape of 2^33 squared": with_entry(shape(f"({2**33}, {2**33})")),
        "a negative shape": with_entry(shape("(-4, 3)")),
        "a shape of words": with_entry(shape("('x',)")),
        "a shape of expressions": with_entry(shape("(2**40,)")),
        "objects": with_entry(shape("(3,)", "'|O'")),
        "an unknown type": with_entry(shape("(3,)", "'<f7'")),
        "a type of types": with_entry(shape("(3,)", "[('a', '<f8'), ('b', 'O')]")),
        "a header of brackets": with_entry(entry("(" * 9000)),
        "a header of 60,000 bytes": with_entry(entry(" " * 60_000)),
        "a version of the future": with_entry(entry("{}", version=b"\x09\x09")),
        "no job": packed({k: v for k, v in arrays.items() if k != "job"}),
        "no JSON": saying(b"{"),
        "a list": saying(b"[1]"),
        "a word": saying(b'"x"'),
        "brackets": saying(b"[" * 100_000),
        "not UTF-8": saying(b"\xff\xfe"),
        "another job": saying(json.dumps({**job, "rank": 4}).encode()),
        "a job of floats": holding("job", np.ones(9)),
        **{f"key {key}": keyed(key) for key in ("-1", "1e400", "null", "[]", '"x"', str(2**70))},
        "V of floats32": holding("V", V.astype("f4")),
        "V of NaN": holding("V", np.full_like(V, np.nan)),
        "V huge": holding("V", V * 1e300),
        "V zero": holding("V", 0 * V),
        "V of one dimension": holding("V", V.ravel()),
        "V without columns": holding("V", V[:, :0]),
        "V too wide": holding("V", np.hstack([V] * 5)),
        "gram huge": holding("gram", arrays["gram"] * 1e300),
        "gram negative": holding("gram", -arrays["gram"]),
        "gram empty": holding("gram", np.zeros((0, 0))),
        "coupling too large": holding("coupling", np.eye(99)),
        "coupling of NaN": holding("coupling", arrays["coupling"] * np.nan),
        "numbers short": holding("numbers", numbers[:2]),
        "numbers zero": holding("numbers", 0 * numbers),
        "numbers negative": holding("numbers", -numbers),
        "numbers huge": holding("numbers", numbers * 1e300),
        "numbers tiny": holding("numbers", numbers * 1e-300),
        "a past of words": holding("past0", np.array(["x"])),
        "a past of NaN": holding("past0", np.full(3, np.nan)),
        "a past that is long": holding("past0", np.ones(10_000)),
        "a past that is empty": holding("past0", np.ones(0)),
    }


def loader(folder: Path) -> tuple[bytes, Callable[[Path], Any]]:
    """A good file and what reads it; the file is removed when the work is done."""
    return good_file(folder / "state"), resume
