"""Centring, weights, the spectral norm and small values in the svd of a Dask array."""

import numpy as np
import pytest

import eigenflow as ef
from reference import lowrank as truth

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

CHUNKS = ((0, 300, 1, 99, 0, 600), (300,))


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def matrix(spectrum="harmonic", dtype=np.float64):
    return truth.with_spectrum((1000, 300), truth.decay(spectrum, 300), seed=4, dtype=dtype)


def lazy(A):
    return da.from_array(A, chunks=CHUNKS)


FRAMES = [
    {"center": True},
    {"row_weights": np.r_[np.zeros(200), np.linspace(0, 3, 800)]},
    {"column_weights": np.linspace(0, 2, 300)},
    {
        "center": True,
        "row_weights": np.linspace(0, 3, 1000),
        "column_weights": np.linspace(0.5, 2, 300),
    },
]


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("method", ["exact", "krylov"])
@pytest.mark.parametrize("frame", FRAMES)
def test_centring_and_weights(frame, method, dtype):
    A = matrix(dtype=np.complex128) + 0.01
    A = A.astype(dtype) if np.dtype(dtype).kind == "c" else np.ascontiguousarray(A.real, dtype)
    got = ef.dask.svd(lazy(A), 6, method=method, rng=0, **frame)
    want = ef.lowrank.svd(A, 6, rng=0, **frame)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(got.s, want.s, rtol=5e-5)
    assert got.error == pytest.approx(want.error, rel=2e-5)
    assert got.relative_error == pytest.approx(want.relative_error, rel=2e-5)
    assert (got.mean is None) == (want.mean is None)
    if got.mean is not None:
        np.testing.assert_allclose(got.mean, want.mean, rtol=1e-6, atol=1e-9)
    U = got.U.compute()
    assert U.dtype == A.dtype
    assert got.U.chunks == (CHUNKS[0], (6,))
    assert np.abs(U.conj().T @ U - np.eye(6)).max() < 500 * eps
    framed = truth.wide(A)
    weights = frame.get("row_weights", np.ones(1000))
    if "center" in frame:
        framed = framed - weights @ framed / weights.sum()
    framed = np.sqrt(weights)[:, None] * framed * np.sqrt(frame.get("column_weights", np.ones(300)))
    rest = np.linalg.norm(framed - (truth.wide(U) * got.s) @ got.Vh)
    assert rest == pytest.approx(got.error, rel=1e-3)


def test_lazy_weights_and_a_bad_entry():
    A, weights = matrix(), np.linspace(0, 3, 1000)
    want = ef.dask.svd(lazy(A), 4, row_weights=weights, center=True, rng=0)
    same = da.from_array(weights, chunks=300)
    got = ef.dask.svd(lazy(A), 4, row_weights=same, center=True, rng=0)
    np.testing.assert_allclose(got.s, want.s, rtol=1e-12)
    A[431, 7] = np.inf
    for center in (False, True):
        with pytest.raises(ValueError, match=r"^A: got inf at position \(431, 7\), want finite"):
            ef.lowrank.svd(lazy(A), 4, row_weights=weights, center=center)


@pytest.mark.parametrize("method", ["exact", "krylov"])
@pytest.mark.parametrize("limit", [{"rtol": 0.021}, {"atol": 0.05}, {"rtol": 0.3, "rank": 9}])
def test_tolerances_in_the_spectral_norm(method, limit):
    A = matrix()
    values = np.linalg.svd(A, compute_uv=False)
    got = ef.dask.svd(lazy(A), norm="spectral", method=method, rng=0, **limit)
    allowed = max(limit.get("atol", 0), limit.get("rtol", 0) * values[0])
    U, s, Vh = got
    true = np.linalg.norm(A - (U.compute() * s) @ Vh, 2)
    assert true <= got.error * (1 + 1e-12)
    assert true <= allowed
    assert got.rank <= int(np.sum(values > allowed)) + 1
    assert got.relative_error == pytest.approx(got.error / values[0], rel=1e-6)
    assert got.error <= 2.5 * true
    if method == "exact":
        assert got.error_kind == "next-value"
        assert got.error == pytest.approx(values[got.rank])


@pytest.mark.parametrize("rank", [0, 5])
def test_the_spectral_error_of_a_rank(rank):
    A = matrix()
    values = np.linalg.svd(A, compute_uv=False)
    got = ef.lowrank.svd(lazy(A), rank, norm="spectral", rng=0)
    assert values[rank] * (1 - 1e-6) <= got.error <= 2.5 * values[rank]
    swept = ef.dask.svd(lazy(A), 5, norm="spectral", passes=4, rng=0)
    assert swept.error_kind == "power-bound"
    assert values[5] * (1 - 1e-6) <= swept.error <= 2.5 * values[5]
    assert swept.failure_probability == 1e-10


def test_small_values_by_iteration_with_an_orthonormal_image():
    values = np.geomspace(1, 1e-12, 300)
    A = truth.with_spectrum((1000, 300), values, seed=1)
    rank = 260  # down to 4e-11
    got = ef.lowrank.svd(lazy(A), rank, power_iterations=2, oversampling=20, rng=0)
    assert got.method == "subspace"
    assert got.passes in (7, 10)
    np.testing.assert_allclose(got.s, values[:rank], rtol=1e-4)
    U = got.U[:, :60].compute()
    assert np.abs(U.T @ U - np.eye(60)).max() < 1e-10
    again = ef.lowrank.svd(lazy(A), 3, power_iterations=0, rng=0)
    np.testing.assert_allclose(again.s, values[:3], rtol=0.2)


def test_iteration_on_a_matrix_of_rank_one():
    A = np.outer(np.arange(1.0, 1001), np.ones(300))
    got = ef.lowrank.svd(lazy(A), 3, power_iterations=1, rng=0)
    assert got.s[0] == pytest.approx(np.linalg.norm(A))
    assert got.s[1] < 1e-13 * got.s[0]
    assert ef.lowrank.svd(lazy(0 * A), 3, power_iterations=1, rng=0).s.tolist() == [0, 0, 0]


def test_a_checkpoint_keeps_a_spectral_tolerance(tmp_path):
    A, path = matrix("root"), tmp_path / "state.npz"
    settings = {"rtol": 0.35, "norm": "spectral", "method": "krylov", "rng": 0, "center": True}
    whole = ef.dask.svd(lazy(A), **settings)
    count = 0

    class StopError(Exception):
        pass

    def watched(block):
        nonlocal count
        count += 1
        if count > 15:
            raise StopError
        return block

    breaks = lazy(A).map_blocks(watched, dtype=A.dtype, meta=np.empty((0, 0)))
    with pytest.raises(StopError):
        ef.dask.svd(breaks, checkpoint=path, **settings)
    assert path.exists()
    rest = ef.dask.svd(lazy(A), checkpoint=path, **settings)
    assert rest.s.tobytes() == whole.s.tobytes()
    assert (rest.error, rest.passes) == (whole.error, whole.passes)
    assert not path.exists()
