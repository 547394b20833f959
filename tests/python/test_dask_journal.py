"""A regression on a Dask array that goes on where it was broken off."""

import errno
import sys

import numpy as np
import pytest

import eigenflow as ef

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

TIMES = [0.5, 2.0, 4.0]
SETTINGS = {"rtol": 1e-2, "depth": 1, "b0": 0.5}


class BrokenReadError(Exception):
    pass


class Reads:
    """The columns of a matrix in two blocks, which may break off."""

    def __init__(self, n=12, p=40):
        rng = np.random.default_rng(0)
        self.E = rng.normal(size=(n, p))
        self.y = self.E[:, 0] - 0.5 * self.E[:, p // 2] + 0.1 * rng.normal(size=n)
        self.count = 0

    def fit(self, most=10**9, y=None, **kwargs):
        self.count = 0

        def block(columns):
            self.count += 1
            if self.count > most:
                raise BrokenReadError
            return columns

        lazy = da.from_array(self.E, chunks=(12, 20)).map_blocks(block, meta=np.empty((0, 0)))
        given = self.y if y is None else y
        return ef.dask.fit(lazy, given, 0.05, TIMES, **SETTINGS, **kwargs)


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def broken(tmp_path):
    """A source, its whole result and number of reads, and a file of half of them."""
    source, path = Reads(), tmp_path / "fit.journal"
    whole, reads = source.fit(), source.count
    with pytest.raises(BrokenReadError):
        source.fit(reads // 2, checkpoint=path)
    return source, whole, reads, path


def assert_same(got, want):
    for name in ("dual", "fitted_values", "error_estimate", "reached"):
        assert getattr(got, name).tobytes() == getattr(want, name).tobytes()
    assert got.coefficients.compute().tobytes() == want.coefficients.compute().tobytes()


def test_no_read_is_done_twice(broken):
    source, whole, reads, path = broken
    assert path.exists()
    again = source.fit(checkpoint=path)
    assert source.count <= reads - reads // 2 + 2  # the blocks of the read that broke
    assert_same(again, whole)
    assert list(path.parent.iterdir()) == []


def test_also_with_exponential_steps(monkeypatch, tmp_path):
    from eigenflow.flow import _dual

    monkeypatch.setattr(_dual, "SMALL", 0)
    source, path = Reads(), tmp_path / "fit.journal"
    whole, reads = source.fit(), source.count
    for most in (reads // 3, reads // 3):
        with pytest.raises(BrokenReadError):
            source.fit(most, checkpoint=path)
    assert_same(source.fit(checkpoint=path), whole)
    assert source.count < reads // 2


def test_a_file_that_ends_anywhere(broken):
    source, whole, _, path = broken
    good = path.read_bytes()
    for length in (0, 3, 200, len(good) // 2, len(good) - 5):
        path.write_bytes(good[:length])
        assert_same(source.fit(checkpoint=path), whole)
        assert not path.exists()


def test_files_that_are_damaged_or_of_another_call(broken):
    source, _, _, path = broken
    good = path.read_bytes()
    with pytest.raises(ValueError, match=r"^checkpoint: got .*fit\.journal of another call"):
        source.fit(y=source.y[::-1], checkpoint=path)
    assert path.read_bytes() == good
    for damaged in (
        b"x" * 500,
        good.replace(b"<f8", b"|O8"),
        good.replace(b"NUMPY\x01", b"NUMPY\x03"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"^checkpoint: got .*journal, which is damaged"):
            source.fit(checkpoint=path)
        assert path.read_bytes() == damaged
    path.write_bytes(good.replace(b"(12,)", b"(92,)"))  # still within the file
    with pytest.raises(ValueError, match=r"^checkpoint: got"):
        source.fit(checkpoint=path)


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit of a file's size")
def test_a_full_disk(broken):
    import resource

    source, whole, _, path = broken
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, hard))
    try:
        with pytest.raises(OSError, match=r"^checkpoint: could not write .*is kept$") as failure:
            source.fit(checkpoint=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failure.value.errno == errno.EFBIG
    assert_same(source.fit(checkpoint=path), whole)
