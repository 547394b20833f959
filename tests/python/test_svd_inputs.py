"""Matrices that are not plain arrays: mapped files, sparse matrices, operators."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import eigenflow as ef
from reference import lowrank as truth

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
ENGINES = {
    "krylov": ({}, 6, "krylov"),
    "q=0": ({"power_iterations": 0}, 6, "subspace"),
    "q=2": ({"power_iterations": 2}, 6, "subspace"),
    "exact": ({}, 90, "exact"),
}


def matrix(shape=(420, 300), dtype=np.float64, spectrum="harmonic"):
    return truth.with_spectrum(shape, truth.decay(spectrum, min(shape)), seed=4, dtype=dtype)


def on_disk(tmp_path, a, dtype=None, order="C"):
    path = tmp_path / "a.bin"
    held = np.memmap(path, dtype or a.dtype, "w+", shape=a.shape, order=order)
    held[...] = a
    held.flush()
    return np.memmap(path, dtype or a.dtype, "r", shape=a.shape, order=order)


class Known:
    """Products and nothing else."""

    def __init__(self, a):
        self.a, self.shape, self.dtype = a, a.shape, a.dtype
        self.blocks = []

    def matmat(self, X):
        self.blocks.append(X)
        return self.a @ X

    def rmatmat(self, Y):
        return self.a.conj().T @ Y


def agree(got, want, a):
    """The same triplets up to what another path of rounding and a converged basis may differ."""
    assert got.rank == want.rank
    assert got.U.dtype == want.U.dtype
    gap = np.linalg.norm((got.U * got.s) @ got.Vh - (want.U * want.s) @ want.Vh)
    assert gap <= 200 * np.finfo(got.s.dtype).eps + 5e-3 * truth.distance(a, *want)


# ---- mapped files


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(420, 300), (300, 420)])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_mapped_file_gives_what_memory_gives(engine, shape, order, dtype, tmp_path):
    options, rank, method = ENGINES[engine]
    a = matrix(shape, dtype)
    got = ef.lowrank.svd(on_disk(tmp_path, a, order=order), rank, rng=0, **options)
    assert got.method == method
    agree(got, ef.lowrank.svd(a, rank, rng=0, **options), a)
    assert got.error == pytest.approx(truth.distance(a, *got), rel=1e-2)
    assert not isinstance(got.U, np.memmap)


@pytest.mark.parametrize("dtype", [">f8", "<i2", np.float16, ">c8"])
@pytest.mark.parametrize("shape", [(420, 300), (300, 420)])
def test_mapped_files_of_other_types_are_converted_block_by_block(shape, dtype, tmp_path):
    a = (1000 * matrix(shape)).astype(dtype)
    mapped = on_disk(tmp_path, a)
    got = ef.lowrank.svd(mapped, 5, rng=0)
    want = ef.lowrank.svd(a, 5, rng=0)
    np.testing.assert_allclose(got.s, want.s, rtol=1e-5)
    part = ef.lowrank.svd(mapped[::2, 10:], 5, rng=0)
    np.testing.assert_allclose(part.s, ef.lowrank.svd(a[::2, 10:], 5, rng=0).s, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales_in_a_file(scale, tmp_path):
    a = matrix(dtype=np.float32) * np.float32(scale)
    for dtype in (np.float32, ">f4"):
        got = ef.lowrank.svd(on_disk(tmp_path, a, dtype), 5, rng=0)
        np.testing.assert_allclose(got.s, scale / np.arange(1.0, 6), rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float64, ">f8"])
def test_a_bad_entry_in_a_file_is_named(dtype, tmp_path):
    a = matrix()
    a[411, 7] = np.nan
    mapped = on_disk(tmp_path, a, dtype)
    with pytest.raises(ValueError, match=r"^A: got nan at position \(411, 7\)"):
        ef.lowrank.svd(mapped, 3)
    with pytest.raises(ValueError, match=r"^A: got NaN or infinity"):
        ef.lowrank.svd(mapped, 3, check_finite=False)
    with pytest.raises(ValueError, match=r"^A: got 1 dimensions"):
        ef.lowrank.svd(mapped[0])


def test_small_values_of_a_mapped_file_fall_back_to_the_whole_image(tmp_path):
    a = truth.with_spectrum((420, 300), 10.0 ** -np.arange(0, 14, 1.0))
    got = ef.lowrank.svd(on_disk(tmp_path, a), 12, rng=0)
    np.testing.assert_allclose(got.s, 10.0 ** -np.arange(12.0), atol=1e-14)
    assert np.abs(got.U.T @ got.U - np.eye(12)).max() < 1e-14


MEMORY = """
import sys, threading, time
import numpy as np
import eigenflow as ef

def anonymous():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

a = np.memmap(sys.argv[1], sys.argv[2], "r", shape=(60000, 400))
ef.lowrank.svd(a[:2000], 8, rng=0)  # buffers that BLAS keeps
before, peak, over = anonymous(), 0, False
def watch():
    global peak
    while not over:
        peak = max(peak, anonymous())
        time.sleep(0.002)
thread = threading.Thread(target=watch)
thread.start()
result = ef.lowrank.svd(a, 8, rng=0)
over = True
thread.join()
print(result.method, peak - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_a_file_is_never_in_memory_nor_is_its_image(dtype, tmp_path):
    """A is 96 MB, its image on the basis 20 MB or more; the results are 2 MB."""
    path = tmp_path / "a.bin"
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(60000, 40)).astype(np.float32), rng.normal(size=(40, 400))
    (factors[0] @ (factors[1] / np.arange(1.0, 41)[:, None])).astype(dtype).tofile(path)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path), dtype],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    method, grown = done.stdout.split()
    assert method == "krylov"
    assert float(grown) < (12 if dtype == "<f4" else 64)  # blocks of 16 MB to convert


# ---- sparse


def sparse(dtype=np.float64, shape=(400, 300)):
    rng = np.random.default_rng(3)
    a = sp.random_array(shape, density=0.05, rng=rng, format="csr").astype(dtype)
    if a.dtype.kind == "c":
        a.data += 1j * rng.normal(size=a.nnz).astype(a.data.real.dtype)
    return sp.diags_array(1.0 / np.arange(1, shape[0] + 1)).astype(dtype) @ a


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "bsr", "dok"])
@pytest.mark.parametrize("make", [sp.csr_array, sp.csr_matrix])
def test_sparse_matrices_give_what_dense_ones_give(make, form, dtype):
    a = make(sparse(dtype)).asformat(form)
    dense = a.toarray()
    got = ef.lowrank.svd(a, 6, rng=0)
    assert (got.method, got.error_kind) == ("krylov", "tail-energy")
    agree(got, ef.lowrank.svd(dense, 6, rng=0), dense)
    assert got.error == pytest.approx(truth.distance(dense, *got), rel=1e-3)
    assert isinstance(got.U, np.ndarray)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("shape", [(400, 300), (300, 400)])
def test_every_engine_takes_sparse_matrices(shape, engine):
    options, rank, method = ENGINES[engine]
    a = sparse(shape=shape)
    got = ef.lowrank.svd(a, rank, rng=0, **options)
    assert got.method == method
    assert got.error == pytest.approx(truth.distance(a.toarray(), *got), rel=1e-2)
    Q = ef.lowrank.range_finder(a, 6, rng=0)
    np.testing.assert_allclose(Q, ef.lowrank.range_finder(a.toarray(), 6, rng=0), atol=1e-9)


def test_duplicates_count_as_their_sum_and_stay_in_place():
    entries = ([3.0, 4.0, 5.0], ([0, 0, 1], [1, 1, 2]))
    a = sp.coo_array(entries, shape=(3, 4)).tocsr(copy=True)
    twice = sp.csr_array((np.array([3.0, 4.0, 5.0]), [1, 1, 2], [0, 2, 3, 3]), shape=(3, 4))
    for b in (a, twice):
        nnz = b.nnz
        np.testing.assert_allclose(ef.lowrank.svd(b, 2).s, [7, 5], rtol=1e-12)
        assert b.nnz == nnz


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_extreme_scales_of_sparse_matrices(scale):
    a = sparse()
    got = ef.lowrank.svd(a * scale, 4, rng=0)
    np.testing.assert_allclose(got.s / scale, ef.lowrank.svd(a, 4, rng=0).s, rtol=1e-8)


def test_refused_and_empty_sparse_matrices():
    a = sparse().tocsr()
    a.data[5] = np.inf
    row, col = a.tocoo().row[5], a.tocoo().col[5]
    with pytest.raises(ValueError, match=rf"^A: got inf at position \({row}, {col}\)"):
        ef.lowrank.svd(a, 2)
    assert ef.lowrank.svd(sp.csr_array((30, 20)), 2).s.tolist() == [0, 0]
    assert ef.lowrank.svd(sp.csr_array((0, 5))).rank == 0
    integers = sp.csr_array(np.diag([3, 2, 1]))
    np.testing.assert_allclose(ef.lowrank.svd(integers).s, [3, 2, 1], rtol=1e-14)


# ---- operators


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("shape", [(420, 300), (300, 420)])
@pytest.mark.parametrize("spectrum", ["root", "harmonic", "exponential"])
@pytest.mark.parametrize("engine", ENGINES)
def test_an_operator_of_unknown_norm_has_an_honest_error(engine, spectrum, shape, dtype):
    options, rank, method = ENGINES[engine]
    a = matrix(shape, dtype, spectrum)
    got = ef.lowrank.svd(Known(a), rank, rng=0, **options)
    assert got.method == method
    true = truth.distance(a, *got)
    assert 0.5 <= got.error / true <= 3
    kind = {"exact": "tail-energy", "q=0": "leave-one-out"}.get(engine, "hold-out")
    assert got.error_kind == kind
    probability = got.failure_probability
    assert np.isnan(probability) if kind == "leave-one-out" else 0 <= probability < 1e-4
    assert got.relative_error == pytest.approx(true / np.linalg.norm(a), rel=0.5)


@pytest.mark.parametrize("options", [{}, {"power_iterations": 0}, {"power_iterations": 1}])
@pytest.mark.parametrize("rtol", [0.5, 0.2, 0.05])
def test_a_relative_tolerance_without_the_norm(rtol, options):
    a = matrix()
    got = ef.lowrank.svd(aslinearoperator(a), rtol=rtol, rng=0, **options)
    assert got.error <= got.error / got.relative_error * rtol * (1 + 1e-12)
    true = truth.distance(a, *got) / np.linalg.norm(a)
    assert true <= 1.5 * rtol
    best = truth.best_rank(a, rtol * np.linalg.norm(a))
    assert 0.6 * best - 2 <= got.rank <= 1.6 * best + 3
    absolute = ef.lowrank.svd(aslinearoperator(a), atol=rtol * np.linalg.norm(a), rng=0, **options)
    assert abs(absolute.rank - got.rank) <= 0.6 * best + 2


def test_tolerances_out_of_reach_without_the_norm():
    a = matrix()
    with pytest.raises(ValueError, match=r"^rtol: got 1e-17, want at least"):
        ef.lowrank.svd(Known(a), rtol=1e-17)
    with pytest.raises(ValueError, match=r"^atol: got 1e-17"):
        ef.lowrank.svd(Known(a), atol=1e-17)
    exact = ef.lowrank.svd(Known(a), atol=1e-12)
    assert (exact.rank, exact.method) == (300, "exact")


def test_blocks_are_copies_that_a_callback_may_keep():
    known = Known(matrix())
    ef.lowrank.svd(known, 3, rng=0)
    kept = [block.copy() for block in known.blocks]
    ef.lowrank.svd(known, 3, rng=1)
    for block, copy in zip(known.blocks, kept, strict=False):
        np.testing.assert_array_equal(block, copy)


def test_vectors_are_enough_and_a_sine_operator_is_one():
    a = matrix((40, 25))
    by_vectors = LinearOperator(a.shape, matvec=lambda x: a @ x, rmatvec=lambda y: a.T @ y)
    np.testing.assert_allclose(ef.lowrank.svd(by_vectors, 3).s, [1, 1 / 2, 1 / 3], rtol=1e-10)

    class Vectors:
        shape, dtype = a.shape, a.dtype
        matvec, rmatvec = staticmethod(lambda x: a @ x), staticmethod(lambda y: a.T @ y)

    np.testing.assert_allclose(ef.lowrank.svd(Vectors(), 3).s, [1, 1 / 2, 1 / 3], rtol=1e-10)
    rng = np.random.default_rng(0)
    op = ef.sine.SineLowRank(rng.normal(size=(30, 2)), rng.normal(size=(20, 2)), 3.0)
    np.testing.assert_allclose(
        ef.lowrank.svd(op, 4).s, np.linalg.svd(op.toarray())[1][:4], rtol=1e-9
    )


class Failing(Known):
    def rmatmat(self, Y):
        msg = "the disk is gone"
        raise OSError(msg)


def test_what_a_callback_raises_comes_out():
    a = matrix()
    with pytest.raises(OSError, match="the disk is gone"):
        ef.lowrank.svd(Failing(a), 3)
    half = Known(a)
    half.rmatmat = None
    with pytest.raises(TypeError, match=r"^A: got dtype object"):
        ef.lowrank.svd(half, 3)
    wrong = Known(a)
    wrong.matmat = lambda X: X
    with pytest.raises(ValueError, match=r"^A: matmat gave shape \(300, 1\), want \(420, 1\)"):
        ef.lowrank.svd(wrong, 3)
    wrong.matmat = lambda X: 1j * (a @ X)
    with pytest.raises(TypeError, match=r"^A: matmat gave dtype complex128, want float64"):
        ef.lowrank.svd(wrong, 3)
    bad = a.copy()
    bad[3, 4] = np.nan
    for rank in (3, 200):
        with pytest.raises(ValueError, match="not finite"):
            ef.lowrank.svd(Known(bad), rank)


def test_callbacks_run_in_the_calling_thread_while_others_go_on():
    a, seen = matrix(), []

    class Watched(Known):
        def matmat(self, X):
            seen.append(threading.get_ident())
            return super().matmat(X)

    threads = [
        threading.Thread(target=lambda: ef.lowrank.svd(Watched(a), 4, rng=0)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    identities = {thread.ident for thread in threads}
    for thread in threads:
        thread.join()
    assert set(seen) == identities


def test_an_interrupt_in_a_callback_comes_out():
    class Interrupted(Known):
        def matmat(self, X):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ef.lowrank.svd(Interrupted(matrix()), 4)


def test_zero_and_empty_operators():
    for shape in ((30, 20), (400, 300)):
        got = ef.lowrank.svd(Known(np.zeros(shape)), 2, rng=0)
        assert (got.s.tolist(), got.error, got.relative_error) == ([0, 0], 0, 0)
        assert np.abs(got.U.T @ got.U - np.eye(2)).max() < 1e-14
    assert ef.lowrank.svd(Known(np.zeros((0, 4)))).rank == 0
    nothing = ef.lowrank.svd(Known(matrix()), 0, rng=0)
    assert nothing.error_kind == "hold-out"
    assert nothing.error == pytest.approx(np.linalg.norm(matrix()), rel=0.5)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("shape", [(80, 60), (60, 80), (420, 300)])
@pytest.mark.parametrize("center", [False, True])
def test_operators_of_extreme_scale(shape, scale, center):
    A = truth.with_spectrum(shape, truth.decay("harmonic", min(shape)), seed=6) + 0.1
    given = aslinearoperator(A * scale)
    result = ef.lowrank.svd(given, 5, center=center, rng=0)
    plain = ef.lowrank.svd(A, 5, center=center, rng=0)
    np.testing.assert_allclose(result.s / scale, plain.s, rtol=1e-5)
    assert 0.5 <= result.error / scale / plain.error <= 2
    if center:
        np.testing.assert_allclose(result.mean / scale, plain.mean, rtol=1e-10)
    by_error = ef.lowrank.svd(given, atol=plain.error * 1.2 * scale, center=center, rng=0)
    assert 1 <= by_error.rank <= 7


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_single_precision_operators_of_extreme_scale(dtype):
    A = truth.with_spectrum((420, 300), truth.decay("harmonic", 300), seed=6, dtype=dtype)
    for scale in (1e-30, 1e30):
        result = ef.lowrank.svd(aslinearoperator((A * scale).astype(dtype)), 5, rng=0)
        np.testing.assert_allclose(result.s / scale, 1 / np.arange(1.0, 6), rtol=1e-3)
