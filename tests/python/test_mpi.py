"""eigenflow.mpi on threads that act as ranks: the same algorithms, no MPI needed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eigenflow as ef
from support.ranks import cut, on_ranks, same_error, succeed

SIZES = [[50, 30, 20], [0, 97, 3], [1, 98, 1], [100]]


def low_rank_matrix(m, n, dtype=np.float64, decay=0.7, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((m, n)) * decay ** np.arange(n)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((m, n)) * decay ** np.arange(n)
    return (a @ np.linalg.qr(rng.standard_normal((n, n)))[0]).astype(dtype)


def joined(results):
    return np.vstack([r.U for r in results]), results[0].s, results[0].Vh


FRAMES = [
    {"center": True},
    {"row_weights": np.r_[np.zeros(50), np.linspace(0, 3, 50)]},
    {"center": True, "row_weights": np.linspace(0, 3, 100), "column_weights": np.arange(12.0)},
    {"power_iterations": 1},
    {"power_iterations": 0, "norm": "spectral", "center": True},
]


@pytest.mark.parametrize("sizes", SIZES[:3])
@pytest.mark.parametrize("dtype", ["f4", "c16"])
@pytest.mark.parametrize("frame", FRAMES)
def test_svd_by_pieces(frame, dtype, sizes):
    a = low_rank_matrix(sum(sizes), 12, dtype) + np.asarray(0.1, dtype)
    blocks = cut(a, sizes)
    weights = frame.get("row_weights")
    parts = None if weights is None else cut(weights, sizes)
    ours = {k: v for k, v in frame.items() if k != "row_weights"}

    def one(comm):
        local = {} if parts is None else {"row_weights_local": parts[comm.rank]}
        return ef.mpi.svd(blocks[comm.rank], 5, comm=comm, rng=3, **ours, **local)

    results = succeed(len(sizes), one)
    U, s, Vh = joined(results)
    want = ef.lowrank.svd(a, 5, rng=3, **frame)
    eps = np.finfo(a.dtype).eps
    np.testing.assert_allclose(s, want.s, rtol=1e3 * eps)
    np.testing.assert_allclose((U * s) @ Vh, (want.U * want.s) @ want.Vh, atol=3e3 * eps * s[0])
    assert U.dtype == Vh.dtype == a.dtype
    assert results[0].error == pytest.approx(want.error, rel=1e-3 if "norm" not in frame else 2)
    assert np.isfinite(results[0].residuals).all()
    if want.mean is not None:
        np.testing.assert_allclose(results[0].mean, want.mean, atol=100 * eps)
    for r in results[1:]:
        assert r.s.tobytes() == s.tobytes()
        assert r.Vh.tobytes() == Vh.tobytes()


def test_svd_by_pieces_refuses_on_all_ranks():
    a = low_rank_matrix(20, 6)

    def run(check_finite=True, **second):
        def one(comm):
            given = {"center": True, **(second if comm.rank else {})}
            block = given.pop("block", a[:10])
            rank = given.pop("rank", 3)
            return ef.mpi.svd(block, rank, comm=comm, check_finite=check_finite, **given)

        return on_ranks(2, one)

    bad = a[10:].copy()
    bad[4, 2] = np.nan
    found = run(check_finite=False, block=bad)
    same_error(found, ValueError, "A: got nan at position (14, 2), want finite values")
    same_error(run(center=False), ValueError, "center: got 0 on rank 1 and 1 on rank 0")
    same_error(run(row_weights_local=np.ones(10)), ValueError, "row_weights_local: got 0 on rank 0")
    same_error(run(power_iterations=1), ValueError, "power_iterations: got -1 on rank 0")

    def weighted(comm):
        return ef.mpi.svd(a[:10], 3, comm=comm, row_weights_local=np.full(10, -1.0 * comm.rank))

    same_error(on_ranks(2, weighted), ValueError, "row_weights_local: got -1.0 at position 0")

    def by_tolerance(comm):
        return ef.mpi.svd(a[:10], comm=comm, rtol=0.1, power_iterations=2)

    same_error(on_ranks(2, by_tolerance), ValueError, "power_iterations: got 2, which wants a rank")


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
def test_svd_by_rank(sizes, dtype):
    a = low_rank_matrix(sum(sizes), 12, dtype)
    blocks = cut(a, sizes)
    results = succeed(len(sizes), lambda c: ef.mpi.svd(blocks[c.rank], 5, comm=c, rng=3))
    U, s, Vh = joined(results)
    eps = np.finfo(a.dtype).eps
    want = ef.lowrank.svd(a, 5, rng=3)
    np.testing.assert_allclose(s, want.s, rtol=100 * eps)
    np.testing.assert_allclose((U * s) @ Vh, (want.U * want.s) @ want.Vh, atol=300 * eps * s[0])
    np.testing.assert_allclose(U.conj().T @ U, np.eye(5), atol=100 * eps)
    assert results[0].error == pytest.approx(want.error, rel=1e-3)
    for r in results[1:]:
        assert r.s.tobytes() == s.tobytes()
        assert r.Vh.tobytes() == Vh.tobytes()
        assert (r.error, r.method, r.passes) == (
            results[0].error,
            results[0].method,
            results[0].passes,
        )


@pytest.mark.parametrize("norm", ["fro", "spectral"])
def test_svd_krylov_by_tolerance(norm):
    a = low_rank_matrix(1500, 500, decay=0.8)
    blocks = cut(a, [700, 0, 800])
    results = succeed(3, lambda c: ef.mpi.svd(blocks[c.rank], comm=c, rtol=1e-3, norm=norm, rng=1))
    U, s, Vh = joined(results)
    assert results[0].method == "krylov"
    order = "fro" if norm == "fro" else 2
    error = np.linalg.norm(a - (U * s) @ Vh, order)
    assert error <= 1e-3 * np.linalg.norm(a, order)
    assert results[0].rank == ef.lowrank.svd(a, rtol=1e-3, norm=norm, rng=1).rank


def test_svd_needs_the_hold_out_error_and_householder():
    rng = np.random.default_rng(2)
    a = rng.standard_normal((400, 3)) @ rng.standard_normal((3, 200))
    blocks = cut(a, [399, 1])
    results = succeed(2, lambda c: ef.mpi.svd(blocks[c.rank], 20, comm=c, rng=1))
    U, s, Vh = joined(results)
    np.testing.assert_allclose((U * s) @ Vh, a, atol=1e-12 * s[0])
    np.testing.assert_allclose(U.T @ U, np.eye(20), atol=1e-12)
    assert results[0].error <= 1e-12 * s[0]


@pytest.mark.parametrize("sizes", [[3, 4], [7, 0], [0, 0, 0]])
def test_svd_of_a_wide_or_empty_matrix(sizes):
    a = np.random.default_rng(0).standard_normal((sum(sizes), 9))
    blocks = cut(a, sizes)
    U, s, Vh = joined(succeed(len(sizes), lambda c: ef.mpi.svd(blocks[c.rank], comm=c)))
    assert U.shape == (len(a), len(s))
    np.testing.assert_allclose((U * s) @ Vh, a, atol=1e-13)


@pytest.mark.parametrize("scale", [1e-200, 1e200, 1e-310, 0.0])
def test_svd_of_extreme_scales(scale):
    a = low_rank_matrix(60, 8) * scale
    blocks = cut(a, [20, 40])
    results = succeed(2, lambda c: ef.mpi.svd(blocks[c.rank], 4, comm=c, rng=0))
    U, s, _ = joined(results)
    np.testing.assert_allclose(s, np.linalg.svd(a)[1][:4], rtol=1e-6)
    np.testing.assert_allclose(U.T @ U, np.eye(4), atol=1e-12)


def test_svd_of_blocks_with_very_different_scales():
    a = low_rank_matrix(60, 8)
    a[:20] *= 1e-300
    blocks = cut(a, [20, 40])
    results = succeed(2, lambda c: ef.mpi.svd(blocks[c.rank], 4, comm=c, rng=0))
    np.testing.assert_allclose(results[0].s, np.linalg.svd(a)[1][:4], rtol=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    n=st.integers(1, 8),
    seed=st.integers(0, 2**16),
    fortran=st.booleans(),
)
def test_svd_of_any_blocks(sizes, n, seed, fortran):
    a = np.random.default_rng(seed).standard_normal((sum(sizes), n))
    blocks = [np.asarray(b, order="F" if fortran else "C") for b in cut(a, sizes)]
    results = succeed(len(sizes), lambda c: ef.mpi.svd(blocks[c.rank], comm=c))
    U, s, Vh = joined(results)
    np.testing.assert_allclose(s, np.linalg.svd(a, compute_uv=False), atol=1e-12)
    np.testing.assert_allclose((U * s) @ Vh, a, atol=1e-11)
    np.testing.assert_allclose(U.T @ U, np.eye(len(s)), atol=1e-12)


def test_svd_passes_what_a_sweep_needs_and_no_more():
    a = low_rank_matrix(2000, 600)
    blocks = cut(a, [1000, 1000])

    def run(comm):
        found = ef.mpi.svd(blocks[comm.rank], 10, comm=comm, rng=0)
        return found.passes, sum(n for _, n in comm.calls)

    passes, numbers = succeed(2, run)[0]
    assert numbers <= passes * 600 * 32 + 3 * 100**2


def test_an_error_on_one_rank_reaches_all():
    a = low_rank_matrix(30, 5)

    def one_nan(comm):
        block = a.copy()
        if comm.rank == 1:
            block[4, 2] = np.nan
        return ef.mpi.svd(block, 2, comm=comm)

    text = same_error(on_ranks(3, one_nan), ValueError, "A_local: got nan at position (4, 2)")
    assert text.endswith("(on rank 1 of 3)")

    def one_nan_unseen(comm):
        block = a.copy()
        if comm.rank == 1:
            block[4, 2] = np.nan
        return ef.mpi.svd(block, 2, comm=comm, check_finite=False)

    same_error(on_ranks(3, one_nan_unseen), ValueError, "A: want finite values")
    same_error(
        on_ranks(2, lambda c: ef.mpi.svd(a if c.rank else ["x"], 2, comm=c)), TypeError, "A_local"
    )


def test_ranks_that_disagree_get_the_same_message():
    a = low_rank_matrix(30, 5)
    same_error(
        on_ranks(2, lambda c: ef.mpi.svd(a[:, : 4 + c.rank], 2, comm=c)),
        ValueError,
        "A_local: got 4 on rank 0 and 5 on rank 1, want as many columns on every rank",
    )
    same_error(
        on_ranks(2, lambda c: ef.mpi.svd(a.astype("f4") if c.rank else a, 2, comm=c)),
        TypeError,
        "A_local: got float32 on rank 1 and float64 on rank 0, want one dtype",
    )
    same_error(on_ranks(2, lambda c: ef.mpi.svd(a, 2 + c.rank, comm=c)), ValueError, "rank: got 2")
    same_error(on_ranks(2, lambda c: ef.mpi.svd(a, 9, comm=c)), ValueError, "rank: got 9")
    same_error(on_ranks(2, lambda c: ef.mpi.svd(a, rtol=1e-30, comm=c)), ValueError, "rtol: got")

    def different_calls(comm):
        if comm.rank:
            return ef.mpi.flow([1.0], [1.0], [1.0], comm=comm)
        return ef.mpi.svd(a, 2, comm=comm)

    def different_products(comm):
        op = ef.mpi.SineLowRank(np.ones((3, 1)), np.ones((2, 1)), 1.0, comm=comm)
        return op.rmatmat(np.ones(3)) if comm.rank else op.vjp(np.ones(2), np.ones(3))

    for call in (different_calls, different_products):
        same_error(on_ranks(2, call), ValueError, "ranks: made different calls")


def test_a_rank_that_fails_in_the_middle():
    """The first failing message does not leave the others waiting: errors come from all."""
    a = low_rank_matrix(600, 300)

    def run(comm):
        if comm.rank == 1:
            send, left = comm.allreduce, [4]

            def broken(array, how):
                left[0] -= 1
                if left[0] < 0:
                    comm._shared["barrier"].abort()
                    raise OSError("cable")
                send(array, how)

            comm.allreduce = broken
        return ef.mpi.svd(a, 5, comm=comm)

    results = on_ranks(2, run)
    assert all(isinstance(r, RuntimeError) for r in results)
    assert "cable" in str(results[1])


def test_what_is_no_communicator_is_refused():
    with pytest.raises(TypeError, match="comm: got int without rank"):
        ef.mpi.svd(np.eye(3), 1, comm=3)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("sizes", SIZES)
def test_flow(sizes, dtype):
    rng = np.random.default_rng(0)
    z, lam = rng.standard_normal(sum(sizes)).astype(dtype), rng.random(sum(sizes)).astype(dtype)
    times = [0.5, 2.0, 8.0]
    want = ef.flow.solve(z, lam, times, depth=1, b0=0.3)
    zs, lams = cut(z, sizes), cut(lam, sizes)
    results = succeed(
        len(sizes),
        lambda c: ef.mpi.flow(zs[c.rank], lams[c.rank], times, comm=c, depth=1, b0=0.3),
    )
    assert np.hstack([r.theta for r in results]).tobytes() == want.tobytes()
    loss = ((want.astype(float) - z) ** 2).sum(axis=1) / 2
    for r in results:
        np.testing.assert_allclose(r.loss, loss, rtol=1e-12)
        assert r.loss.tobytes() == results[0].loss.tobytes()


def test_flow_of_grids_and_one_time():
    z = np.random.default_rng(0).standard_normal((6, 4))
    results = succeed(2, lambda c: ef.mpi.flow(z[3 * c.rank :][:3], 1.0, 2.0, comm=c))
    want = ef.flow.solve(z, 1.0, 2.0)
    np.testing.assert_array_equal(np.vstack([r.theta for r in results]), want)
    np.testing.assert_allclose(results[1].loss, ((want - z) ** 2).sum() / 2)


def test_flow_errors_reach_all_ranks():
    same_error(
        on_ranks(2, lambda c: ef.mpi.flow([1.0, np.nan], 1.0, [1.0], comm=c)),
        ValueError,
        "z_local: got nan at position 1",
    )
    same_error(
        on_ranks(2, lambda c: ef.mpi.flow([1.0], [1.0 - 2 * c.rank], [1.0], comm=c)),
        ValueError,
        "eigenvalues_local: got -1.0",
    )
    same_error(
        on_ranks(2, lambda c: ef.mpi.flow([1.0], [1.0], [1.0] * (1 + c.rank), comm=c)),
        ValueError,
        "times: got 1 on rank 0 and 2 on rank 1",
    )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("sizes", SIZES)
def test_sine(sizes, dtype):
    rng = np.random.default_rng(0)
    U = rng.uniform(-1, 1, (sum(sizes), 3)).astype(dtype)
    V = rng.uniform(-1, 1, (40, 3)).astype(dtype)
    X, Y = rng.standard_normal((40, 2)).astype(dtype), rng.standard_normal((len(U), 2))
    Y = Y.astype(dtype)
    whole = ef.sine.SineLowRank(U, V, 20.0)
    Us, Ys = cut(U, sizes), cut(Y, sizes)

    def run(comm):
        op = ef.mpi.SineLowRank(Us[comm.rank], V, 20.0, comm=comm)
        assert op.shape == whole.shape
        return op.rows, op @ X, op.rmatmat(Ys[comm.rank]), op.vjp(X, Ys[comm.rank])

    results = succeed(len(sizes), run)
    rtol = 1e-5 if dtype == "f4" else 1e-12
    scale = np.abs(whole.T @ Y).max()
    np.testing.assert_allclose(np.vstack([r[1] for r in results]), whole @ X, atol=rtol * scale)
    grads = whole.vjp(X, Y)
    got = np.vstack([r[3].U for r in results])
    np.testing.assert_allclose(got, grads.U, atol=rtol * np.abs(grads.U).max())
    for rows, _, back, local in results:
        assert back.tobytes() == results[0][2].tobytes()
        np.testing.assert_allclose(back, whole.T @ Y, atol=rtol * scale)
        for name in ("V", "X", "omega", "gain"):
            want = np.asarray(getattr(grads, name))
            np.testing.assert_allclose(
                getattr(local, name), want, atol=10 * rtol * np.abs(want).max()
            )
        assert rows.stop - rows.start in sizes


def test_sine_errors_reach_all_ranks():
    U, V = np.ones((3, 2)), np.ones((5, 2))
    bad = np.full((3, 2), np.nan)
    for run, name in [
        (lambda c: ef.mpi.SineLowRank(bad, V, 1.0, comm=c), "U_local"),
        (lambda c: ef.mpi.SineLowRank(U, V, 1.0, comm=c).rmatmat(bad), "Y_local"),
        (lambda c: ef.mpi.SineLowRank(U, V, 1.0, comm=c).vjp(V, bad), "grad_local"),
    ]:
        same_error(on_ranks(2, run), ValueError, f"{name}: got nan at position (0, 0)")
    same_error(
        on_ranks(2, lambda c: ef.mpi.SineLowRank(U, V[c.rank :], 1.0, comm=c)), ValueError, "V: got"
    )

    def narrower(which):
        def run(comm):
            given = {"U": U, "V": V, "X": V, "grad": U}
            if comm.rank == 1:
                given[which] = given[which][:, :1]
            op = ef.mpi.SineLowRank(given["U"], given["V"], 1.0, comm=comm)
            return op.vjp(given["X"], given["grad"])

        return run

    for which, name in ("U", "U_local"), ("V", "V"), ("X", "X"), ("grad", "grad_local"):
        said = f"{name}: got 1 on rank 1 and 2 on rank 0, want as many columns on every rank"
        assert same_error(on_ranks(3, narrower(which)), ValueError, said) == said

    def wrong_height(comm):
        return ef.mpi.SineLowRank(U, V, 1.0, comm=comm).rmatmat(np.ones((3 + comm.rank, 1)))

    text = same_error(on_ranks(2, wrong_height), ValueError, "Y_local: got shape (4, 1)")
    assert text.endswith("(on rank 1 of 2)")
