"""Which files `ef.dask.svd` goes on from, and which it refuses."""

import json
import zipfile

import numpy as np
import pytest

pytest.importorskip("dask")

from eigenflow.dask.checkpoint import Checkpoint

JOB = {"shape": [40, 7], "wide": "float64", "rank": 3}
DAMAGED = r"^checkpoint: got .*state.npz, which is damaged .*want a file of svd$"


def state(rows=7, columns=5, known=2, wide=np.float64):
    """What is known after some reads: five directions, two of them joined."""
    rng = np.random.default_rng(3)
    return {
        "V": rng.standard_normal((rows, columns)).astype(wide),
        "gram": np.eye(known, dtype=wide),
        "coupling": np.eye(columns - known, dtype=wide),
        "numbers": np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    }


def numbers(at, value):
    return state()["numbers"] * (np.arange(6) != at) + value * (np.arange(6) == at)


def with_entry(array, value):
    array = array.copy()
    array.flat[-1] = value
    return array


GOOD = {
    "as it is": {},
    "as many directions as there are": state(columns=7),
    "none joined": state(known=0),
    "one left": state(columns=3, known=2),
    "a past": {"past0": np.ones(3), "past1": np.ones(2), "past2": np.zeros(0)},
    "the smallest numbers": {"numbers": np.array([5e-324, 0, 0, 0, 0, 0])},
    "the largest numbers": {"numbers": np.array([1e300, 9e149, *(4 * [2.0**31 - 1])])},
}


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("key", [0, 2**64 - 1])
def test_a_state_comes_back_as_it_was(case, key, tmp_path):
    saved = Checkpoint(tmp_path / "state.npz", JOB)
    assert saved.load() is None
    written = {**state(), **GOOD[case]}
    saved.save(written, key)
    got, found = saved.load()
    assert got == key
    assert found.keys() == written.keys()
    for name, array in written.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    saved.remove()
    assert saved.load() is None
    saved.remove()


@pytest.mark.parametrize("coupling", [np.complex128, np.float64])
def test_a_complex_state(coupling, tmp_path):
    saved = Checkpoint(tmp_path / "state.npz", {**JOB, "wide": "complex128"})
    written = state(wide=np.complex128) | {"coupling": np.eye(3, dtype=coupling)}
    saved.save(written, 1)
    assert saved.load()[1]["coupling"].dtype == coupling


LIES = {
    "V of another length": state(rows=6),
    "V of three dimensions": {"V": state()["V"][None]},
    "V and gram of one dimension": {"V": np.ones(7), "gram": np.ones(2)},
    "V of another type": {"V": state()["V"].astype(np.float32)},
    "gram of another type": {"gram": np.eye(2, dtype=np.float32)},
    "all of another type": state(wide=np.float32),
    "more directions than there are": state(columns=8),
    "gram not square": {"gram": np.ones((2, 3))},
    "gram as wide as V": {"gram": np.eye(5), "coupling": np.zeros((0, 0))},
    "coupling too large": {"coupling": np.eye(4)},
    "coupling too small": {"coupling": np.eye(2)},
    "coupling not square": {"coupling": np.ones((3, 2))},
    "coupling of another type": {"coupling": np.eye(3, dtype=np.float32)},
    "coupling complex": {"coupling": np.eye(3, dtype=complex)},
    "too many numbers": {"numbers": np.ones(7)},
    "numbers of another type": {"numbers": np.ones(6, np.float32)},
    "no norm": {"numbers": numbers(0, 0.0)},
    "a negative norm": {"numbers": numbers(0, -1.0)},
    "a negative scale": {"numbers": numbers(1, -1e-300)},
    "a scale that overflows": {"numbers": numbers(1, 1e150)},
    **{f"count {i} of -1": {"numbers": numbers(i, -1.0)} for i in range(2, 6)},
    **{f"count {i} of 2^31": {"numbers": numbers(i, 2.0**31)} for i in range(2, 6)},
    "a past of two dimensions": {"past0": np.ones((2, 2))},
    "a past of another type": {"past1": np.ones(2, np.float32)},
    **{
        f"{value} in {name}": {name: with_entry(array, value)}
        for name, array in {**state(), "past0": np.ones(2), "past2": np.ones(2)}.items()
        for value in (np.nan, np.inf)
    },
}


@pytest.mark.parametrize("lie", LIES)
def test_a_state_that_cannot_be_is_refused(lie, tmp_path):
    saved = Checkpoint(tmp_path / "state.npz", JOB)
    saved.save({**state(), **LIES[lie]}, 5)
    with pytest.raises(ValueError, match=DAMAGED):
        saved.load()


@pytest.mark.parametrize("name", ["V", "gram", "coupling", "numbers", "job"])
def test_a_file_without_an_array_is_refused(name, tmp_path):
    saved = Checkpoint(tmp_path / "state.npz", JOB)
    saved.save(state(), 5)
    with np.load(tmp_path / "state.npz") as data:
        left = {k: v for k, v in data.items() if k != name}
    np.savez(tmp_path / "state.npz", **left)
    with pytest.raises(ValueError, match=DAMAGED):
        saved.load()


@pytest.mark.parametrize("key", [-1, 2**64, "x", None])
def test_a_key_that_is_none_is_refused(key, tmp_path):
    saved = Checkpoint(tmp_path / "state.npz", JOB)
    text = json.dumps({**JOB, "key": key}).encode()
    np.savez(tmp_path / "state.npz", **state(), job=np.frombuffer(text, np.uint8))
    with pytest.raises(ValueError, match=DAMAGED):
        saved.load()


def test_another_job_is_refused_by_what_differs(tmp_path):
    path = tmp_path / "state.npz"
    Checkpoint(path, {**JOB, "rank": 4}).save(state(), 5)
    with pytest.raises(ValueError, match=r"^checkpoint: .* another job \(\{'rank': 4\}\), want"):
        Checkpoint(path, JOB).load()


def test_nothing_in_a_file_may_swell(tmp_path):
    """A header that promises more than the file holds, and an entry that is compressed."""
    path = tmp_path / "state.npz"
    saved = Checkpoint(path, JOB)
    saved.save(state(), 5)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    # The array of 7 x 5 is 280 bytes, the file about 2,000.
    assert b"(7, 5), " in entries["V.npy"]
    swollen = {**entries, "V.npy": entries["V.npy"].replace(b"(7, 5), ", b"(7, 999)")}
    for compression, held in [(zipfile.ZIP_STORED, swollen), (zipfile.ZIP_DEFLATED, entries)]:
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in held.items():
                archive.writestr(name, data)
        with pytest.raises(ValueError, match=r"which is damaged \(entry 'V.npy'|entry 'job.npy'"):
            saved.load()


def test_a_place_that_is_no_folder_keeps_the_system_s_reason(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    saved = Checkpoint(tmp_path / "file" / "state.npz", JOB)
    with pytest.raises(OSError, match=r"^checkpoint: could not write .*\(Not a directory\); there"):
        saved.save(state(), 1)
