"""Dask arrays in the ordinary functions, and eigenflow.dask."""

import errno
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import eigenflow as ef
from reference import lowrank as truth

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

RAGGED = ((0, 300, 1, 99, 0, 600), (300,))


def matrix(spectrum="harmonic", shape=(1000, 300), dtype=np.float64):
    return truth.with_spectrum(shape, truth.decay(spectrum, min(shape)), seed=4, dtype=dtype)


def lazy(A, chunks=RAGGED):
    return da.from_array(A, chunks=chunks)


class Reads:
    """Counts how often blocks are made, and refuses when nobody may look."""

    def __init__(self, A):
        self.A, self.count, self.allowed = A, 0, True

    def array(self, rows=250):
        def block(block_id):
            assert self.allowed, "the array was computed unasked"
            self.count += 1
            begin = block_id[0] * rows
            return self.A[begin : begin + rows]

        m, n = self.A.shape
        chunks = (tuple(min(rows, m - i) for i in range(0, m, rows)), (n,))
        empty = np.empty((0, 0), self.A.dtype)
        return da.map_blocks(block, chunks=chunks, dtype=self.A.dtype, meta=empty)


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128, np.int32])
def test_a_dask_array_goes_in_where_an_array_could(dtype):
    A = matrix(dtype=np.complex128 if np.dtype(dtype).kind == "c" else np.float64)
    A = (A * 1e6).astype(dtype) if dtype == np.int32 else A.astype(dtype)
    result = ef.lowrank.svd(lazy(A), rank=6, rng=0)
    want = np.linalg.svd(truth.wide(A), compute_uv=False)
    kept = np.dtype(np.float64) if dtype == np.int32 else np.dtype(dtype)
    eps = float(np.finfo(kept).eps)
    assert isinstance(result.U, da.Array)
    assert isinstance(result.s, np.ndarray)
    assert isinstance(result.Vh, np.ndarray)
    assert result.U.chunks == (RAGGED[0], (6,))
    assert (result.U.dtype, result.Vh.dtype) == (kept, kept)
    U, s, Vh = result
    U = U.compute()
    assert U.dtype == kept
    np.testing.assert_allclose(s, want[:6], rtol=1e-4)
    rest = np.linalg.norm(truth.wide(A) - (truth.wide(U) * s) @ truth.wide(Vh))
    assert rest == pytest.approx(result.error, rel=1e3 * eps)
    assert result.error == pytest.approx(np.linalg.norm(want[6:]), rel=2e-5)
    assert result.relative_error == pytest.approx(result.error / np.linalg.norm(want))
    assert np.abs(U.conj().T @ U - np.eye(6)).max() < 200 * eps


def test_reads_are_what_passes_says_and_u_is_one_more():
    A = matrix(shape=(1000, 300))
    for kwargs, reads in (({"passes": 3}, 3), ({"method": "exact"}, 1), ({"passes": 2}, 2)):
        source = Reads(A)
        array = source.array()
        source.allowed = False
        _ = array + 1  # lazy work is free
        source.allowed = True
        result = ef.dask.svd(array, rank=5, rng=0, **kwargs)
        assert (result.passes, source.count) == (reads, 4 * reads)
        result.U.compute()
        assert source.count == 4 * (reads + 1)


def test_accuracy_for_each_read_beats_svd_compressed():
    A = matrix("root")
    best = np.linalg.norm(truth.decay("root", 300)[10:])

    def excess(U, s, Vh):
        return np.linalg.norm(A - (np.asarray(U) * np.asarray(s)) @ np.asarray(Vh)) / best - 1

    ours = ef.dask.svd(lazy(A), rank=10, passes=3, rng=0)
    theirs = da.linalg.svd_compressed(lazy(A, (250, 300)), 10, n_power_iter=2, seed=0)  # 6 reads
    theirs = dask.compute(*theirs)
    assert excess(ours.U.compute(), ours.s, ours.Vh) < excess(*theirs)


def test_tasks_of_a_read_are_the_blocks_and_a_small_tree():
    from eigenflow._map_reduce import lowrank as pieces
    from eigenflow.dask.rows import DaskRows
    from eigenflow.dask.running import Runner

    A = Reads(matrix()).array(10)
    tree = DaskRows(Runner(), A).tree(pieces.fused, pieces.add, np.ones((300, 9)), 1.0)
    ours = len(dict(tree.__dask_graph__()))
    assert ours <= 1.2 * 100  # blocks are made in the task that works on them
    theirs = dask.optimize(*da.linalg.svd_compressed(A, 9, n_power_iter=2, seed=0))
    assert 3 * ours < len(dict(theirs[1].__dask_graph__())) / 4


def test_both_axes_cut_and_few_tall_blocks():
    A = matrix()
    for chunks in ((100, 77), (1000, 100), (1000, 300)):
        result = ef.lowrank.svd(lazy(A, chunks), rank=4, rng=0)
        np.testing.assert_allclose(result.s, truth.decay("harmonic", 300)[:4], rtol=1e-5)
        assert sum(result.U.chunks[0]) == 1000


def test_the_same_bytes_again_and_from_a_generator():
    A = lazy(matrix("root"))
    first = ef.lowrank.svd(A, rank=5, rng=7)
    again = ef.lowrank.svd(A, rank=5, rng=7)
    other = ef.lowrank.svd(A, rank=5, rng=8)
    assert first.s.tobytes() == again.s.tobytes() != other.s.tobytes()
    with dask.config.set(scheduler="threads"):
        threaded = ef.lowrank.svd(A, rank=5, rng=7)
    assert first.Vh.tobytes() == threaded.Vh.tobytes()


@pytest.mark.parametrize("rtol", [0.2, 1e-10])
def test_by_tolerance(rtol):
    A = matrix("exponential")
    result = ef.lowrank.svd(lazy(A), rtol=rtol)
    U, s, Vh = result
    assert np.linalg.norm(A - (U.compute() * s) @ Vh) <= rtol * np.linalg.norm(A) * (1 + 1e-6)
    values = np.linalg.svd(A, compute_uv=False)
    assert np.linalg.norm(values[result.rank - 1 :]) > rtol * np.linalg.norm(A)


def test_first_bad_entry_of_all_blocks_is_named():
    A = matrix()
    A[399, 3] = A[700, 1] = np.inf
    with pytest.raises(ValueError, match=r"^A: got inf at position \(399, 3\), want finite values"):
        ef.lowrank.svd(lazy(A), rank=3)


def test_refusals():
    A = lazy(matrix())
    for arguments, error, message in [
        ({"rank": 301}, ValueError, "rank: got 301, want 0 to 300"),
        ({"rank": 3, "norm": "max"}, ValueError, "norm: got 'max'"),
        ({"rtol": 0.1, "power_iterations": 2}, ValueError, "power_iterations: got 2, which wants"),
        ({"rank": 3, "row_weights": np.ones(9)}, ValueError, "row_weights: got 9 weights"),
        ({"rank": 3, "row_weights": -np.ones(1000)}, ValueError, "row_weights: got -1"),
        ({"rank": 3, "row_weights": da.ones(9)}, ValueError, "row_weights: got 9 weights"),
        ({"rank": 3, "row_weights": -da.ones(1000)}, ValueError, "row_weights: got -1"),
        ({"rank": 3, "column_weights": np.zeros(300)}, ValueError, "column_weights: got zeros"),
        ({"rtol": 1e-17}, ValueError, "rtol: got 1e-17"),
        ({"rtol": 1e-3, "passes": 3}, ValueError, "passes: got 3, which wants a rank"),
    ]:
        with pytest.raises(error, match=f"^{message}"):
            ef.lowrank.svd(A, **arguments)
    with pytest.raises(ValueError, match=r"^method: got 'fast'"):
        ef.dask.svd(A, rank=3, method="fast")
    with pytest.raises(ValueError, match=r"^passes: got 1 with method='krylov'"):
        ef.dask.svd(A, rank=3, method="krylov", passes=1)
    with pytest.raises(TypeError, match=r"^client: got str"):
        ef.dask.svd(A, rank=3, client="tcp://127.0.0.1")
    with pytest.raises(TypeError, match=r"^A: got ndarray, want a dask.array.Array"):
        ef.dask.svd(np.eye(3), rank=1)
    with pytest.raises(TypeError, match=r"^A: got dtype"):
        ef.lowrank.svd(da.from_array(np.array([["a"]])), rank=1)
    with pytest.raises(TypeError, match=r"^A: got blocks of MaskedArray"):
        ef.lowrank.svd(da.ma.masked_less(A, 0), rank=1)
    with pytest.raises(ValueError, match=r"^A: got chunks of unknown size"):
        ef.lowrank.svd(A[A[:, 0] > 0], rank=1)
    with pytest.raises(ValueError, match=r"^A: got 1 dimensions"):
        ef.lowrank.svd(A[:, 0], rank=1)


def test_functions_that_do_not_know_dask_say_so_and_compute_nothing():
    source = Reads(matrix())
    A = source.array()
    source.allowed = False
    for call in (
        lambda: ef.lowrank.range_finder(A, 3),
        lambda: ef.lowrank.perturb(A, A),
        lambda: ef.sine.fit(A, 2),
        lambda: ef.lds.smooth(ef.lds.LinearSystem(1.0, 1.0, 1.0, 1.0), A[:, 0]),
    ):
        with pytest.raises(TypeError, match=r"got a Dask array, want one in memory"):
            call()
    assert source.count == 0


def test_memory_is_judged_before_anything_runs():
    source = Reads(matrix())
    A = source.array(1000)
    with pytest.raises(
        MemoryError, match=r"^A: got blocks of 1000 x 300 .*at most (\d+) rows"
    ) as at:
        ef.dask.svd(A, rank=3, passes=3, max_memory="7 MB")
    assert source.count == 0
    rows = int(str(at.value).split("at most ")[1].split(" ")[0])
    assert 1 <= rows < 1000
    ef.dask.svd(A.rechunk((rows, 300)), rank=3, passes=3, max_memory="7 MB")
    with pytest.raises(MemoryError, match="want workers with more memory"):
        ef.dask.svd(A, rank=3, max_memory=1e4)
    with pytest.raises(TypeError, match=r"^max_memory: got 'much'"):
        ef.dask.svd(A, rank=3, max_memory="much")


class BrokenReadError(Exception):
    pass


def interrupted_after(A, passes):
    """The same matrix, which breaks when it is read once more."""
    source = Reads(A)
    array = source.array()

    def maybe(block):
        if source.count > 4 * passes:
            raise BrokenReadError
        return block

    return array.map_blocks(maybe, dtype=array.dtype, meta=np.empty((0, 0)))


def test_checkpoint_loses_at_most_a_read(tmp_path):
    A, path = matrix("root"), tmp_path / "state.npz"
    whole = ef.dask.svd(interrupted_after(A, 99), rank=5, passes=4, rng=3)
    with pytest.raises(BrokenReadError):
        ef.dask.svd(interrupted_after(A, 2), rank=5, passes=4, rng=3, checkpoint=path)
    assert path.exists()
    source = Reads(A)
    # Another seed: the numbers of the first call are in the file.
    rest = ef.dask.svd(source.array(), rank=5, passes=4, rng=9, checkpoint=path)
    assert source.count == 2 * 4
    assert rest.passes == 4
    assert rest.s.tobytes() == whole.s.tobytes()
    assert rest.Vh.tobytes() == whole.Vh.tobytes()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit of a file's size")
def test_a_checkpoint_that_cannot_be_written_leaves_the_older_one(tmp_path):
    import resource

    A, path = matrix("root"), tmp_path / "state.npz"
    whole = ef.dask.svd(interrupted_after(A, 99), rank=5, passes=4, rng=3)
    with pytest.raises(BrokenReadError):
        ef.dask.svd(interrupted_after(A, 1), rank=5, passes=4, rng=3, checkpoint=path)
    older = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(older) // 2, hard))  # as a disk that is full
    try:
        with pytest.raises(OSError, match=r"^checkpoint: could not write .*is kept$") as failure:
            ef.dask.svd(Reads(A).array(), rank=5, passes=4, checkpoint=path)
        with pytest.raises(OSError, match=r"^checkpoint: could not write .*there is none$"):
            ef.dask.svd(Reads(A).array(), rank=5, passes=4, checkpoint=tmp_path / "other.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failure.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == older
    rest = ef.dask.svd(Reads(A).array(), rank=5, passes=4, checkpoint=path)
    assert rest.Vh.tobytes() == whole.Vh.tobytes()


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path):
    A, path = matrix("root"), tmp_path / "state.npz"
    with pytest.raises(BrokenReadError):
        ef.dask.svd(interrupted_after(A, 2), rank=5, passes=4, checkpoint=path)
    good = path.read_bytes()

    def again(**kwargs):
        array = Reads(A).array()
        ef.dask.svd(array, checkpoint=path, **{"rank": 5, "passes": 4, **kwargs})

    with pytest.raises(ValueError, match=r"^checkpoint: got .*another job"):
        again(rank=6)
    for cut in (0, 10, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:cut])
        with pytest.raises(ValueError, match=r"^checkpoint: got .*damaged"):
            again()
    path.write_bytes(good)
    with np.load(path) as data:
        arrays = dict(data)
    for name, value in {
        "V": arrays["V"][:7],
        "gram": arrays["gram"] * np.nan,
        "numbers": arrays["numbers"][:2],
        "job": np.frombuffer(json.dumps([1]).encode(), np.uint8),
        "past0": np.array([object()], dtype=object),
    }.items():
        np.savez(path, **{**arrays, name: value})
        with pytest.raises(ValueError, match=r"^checkpoint: got .*damaged"):
            again()
    np.savez_compressed(path, **arrays)
    with pytest.raises(ValueError, match=r"^checkpoint: got .*damaged"):
        again()
    path.write_bytes(good)
    assert zipfile.is_zipfile(path)
    again()


def test_progress_shows_reads(capsys):
    pytest.importorskip("tqdm")
    ef.dask.svd(lazy(matrix()), rank=3, passes=3, progress=True)
    assert "3/3" in capsys.readouterr().err


def test_the_package_is_imported_only_when_it_is_used():
    code = "import sys, eigenflow as ef; ef.lowrank.svd([[1.0]]); print('dask' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
