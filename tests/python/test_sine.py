import math
import warnings

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import aslinearoperator

import eigenflow as ef
from eigenflow._core import runtime
from eigenflow._core import sine as core
from eigenflow.sine import PhaseWarning, SineLowRank
from reference import sine as reference

DTYPES = [np.float32, np.float64]
SHAPES = [(1, 1, 1, 1), (5, 7, 3, 2), (130, 257, 8, 64), (33, 100, 1, 5), (40, 50, 600, 3)]


def factors(m, n, k, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    U, V = rng.uniform(-1, 1, (m, k)), rng.uniform(-1, 1, (n, k))
    return U.astype(dtype), V.astype(dtype), rng


def product_tolerance(op, X):
    """Entry error times the sum of |X|, and the rounding of a sum of that size."""
    size = np.abs(X).sum(axis=0).max(initial=0)
    return size * (op.info.error_bound + 300 * np.finfo(op.dtype).eps / abs(op.gain))


@pytest.mark.parametrize("exact_phase", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n", "k", "t"), SHAPES)
def test_products_and_entries_are_within_their_bound_of_float64(m, n, k, t, dtype, exact_phase):
    U, V, rng = factors(m, n, k, dtype)
    X, Y = rng.normal(size=(n, t)).astype(dtype), rng.normal(size=(m, t)).astype(dtype)
    op = SineLowRank(U, V, 3.0, exact_phase=exact_phase, rtol=2)
    W = reference.dense(U, V, 3.0)
    tiny = 4e-16 * 3 * k  # the reference's own rounding
    assert np.abs(op.toarray() - W).max() <= op.info.error_bound + tiny
    assert np.abs(op @ X - W @ X).max() <= product_tolerance(op, X)
    assert np.abs(op.T @ Y - W.T @ Y).max() <= product_tolerance(op, Y)
    assert (op @ X).dtype == op.toarray().dtype == dtype
    np.testing.assert_array_equal(op.T.toarray(), op.toarray().T)


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize(("m", "n", "k", "t"), [(700, 500, 5, 3), (300, 90, 2, 600)])
def test_any_number_of_workers_gives_the_same_bytes(m, n, k, t, workers):
    U, V, rng = factors(m, n, k, np.float32)
    X = rng.normal(size=(n, t)).astype(np.float32)
    op = SineLowRank(U, V, 20.0)
    assert op.matmat(X, workers=workers).tobytes() == op.matmat(X, workers=1).tobytes()
    assert op.toarray(workers=workers).tobytes() == op.toarray(workers=1).tobytes()
    assert SineLowRank(U, V, 20.0, workers=workers).T.matmat(op @ X).tobytes() == (
        op.T.matmat(op @ X, workers=1).tobytes()
    )


def test_an_entry_is_the_same_in_every_product_that_holds_it():
    U, V, _ = factors(150, 120, 4, np.float32)
    op = SineLowRank(U, V, 50.0)
    W = op.toarray()
    np.testing.assert_array_equal(op @ np.eye(120, dtype=np.float32), W)
    np.testing.assert_array_equal(op.T @ np.eye(150, dtype=np.float32), W.T)
    rows, cols = np.array([3, 140, 7]), slice(5, 100, 9)
    part = op.submatrix(rows, cols)
    np.testing.assert_array_equal(part.toarray(), W[rows][:, cols])
    assert part.gain == op.gain == op.T.gain == math.sqrt(120)


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        slice(2, 9, 3),
        [4, 4, -1],
        np.arange(20) % 3 == 0,
        (slice(None), 5),
        (slice(None), [1, 2]),
        (2, 3),
        (np.int64(-2), slice(None, None, -1)),
        ([5, 1], 7),
        [],
    ],
)
def test_indexing_is_that_of_the_matrix(key):
    op = SineLowRank(*factors(20, 30, 3)[:2], 2.0)
    rows = np.array(key, int) if isinstance(key, list) else key
    want = op.toarray()[rows]
    got = op[key]
    np.testing.assert_array_equal(got, want)
    assert np.ndim(got) == np.ndim(want)


@pytest.mark.parametrize("key", [20, (0, -31), (0, 0, 0), ([1], [2]), 1.5, [[1]], None])
def test_wrong_indices_are_index_errors(key):
    with pytest.raises(IndexError):
        SineLowRank(*factors(20, 30, 3)[:2], 2.0)[key]


@settings(deadline=None, max_examples=60)
@given(
    m=st.integers(0, 70),
    n=st.integers(0, 200),
    k=st.integers(0, 9),
    t=st.integers(0, 9),
    step=st.sampled_from([1, -1, 2]),
    order=st.sampled_from("CF"),
    omega=st.sampled_from([0.0, -1.0, 7.5, 1e3]),
    transposed=st.booleans(),
    dtype=st.sampled_from(DTYPES),
)
def test_any_shape_and_stride(m, n, k, t, step, order, omega, transposed, dtype):
    U, V, rng = factors(abs(step) * m, abs(step) * n, k, dtype)
    X = rng.normal(size=(abs(step) * (m if transposed else n), abs(step) * t)).astype(dtype)
    U, V, X = U[::step], V[::step], np.array(X, order=order)[::step, ::step]
    for a in (U, V, X):
        a.flags.writeable = False
    op = SineLowRank(U, V, omega, rtol=2)
    W = op.toarray()
    assert W.shape == (m, n)
    error = np.abs(W - reference.dense(U, V, omega)).max(initial=0)
    assert error <= op.info.error_bound + 4e-16 * abs(omega) * max(k, 1)
    op, W = (op.T, W.T) if transposed else (op, W)
    assert (op @ X).shape == (op.shape[0], t)
    bound = product_tolerance(op, X)
    assert np.abs(op @ X - W.astype(float) @ X).max(initial=0) <= bound
    for j in range(t):
        np.testing.assert_array_equal(op @ X[:, j], (op @ X)[:, j])


def test_other_inputs_give_what_their_float_copy_gives():
    U, V, rng = factors(30, 40, 3)
    X = rng.normal(size=(40, 5))
    want = SineLowRank(U, V, 4.0) @ X
    swapped = SineLowRank(U.astype(">f8"), np.asfortranarray(V), 4.0) @ X.astype(">f8")
    np.testing.assert_array_equal(swapped, want)
    np.testing.assert_array_equal(SineLowRank(U.tolist(), V, 4.0) @ X, want)
    integer = SineLowRank([[1, 2]], [[3, 4], [5, 6]], 1)
    assert integer.dtype == np.float64
    np.testing.assert_allclose(integer.toarray(), np.sin([[11, 17]]) / math.sqrt(2), rtol=1e-14)
    np.testing.assert_array_equal(integer @ [1, 0], integer @ np.array([1.0, 0.0]))


def test_mixed_precision_is_computed_in_the_higher_one():
    U, V, rng = factors(30, 40, 3, np.float32)
    X = rng.normal(size=(40, 5))
    mixed = SineLowRank(U, V, 4.0) @ X
    assert mixed.dtype == np.float64
    np.testing.assert_array_equal(mixed, SineLowRank(U.astype(float), V.astype(float), 4.0) @ X)
    assert SineLowRank(U, V.astype(float), 4.0).dtype == np.float64


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 8, 32])
def test_exact_phase_holds_up_to_a_hundred_thousand_half_turns(k, dtype):
    U, V, _ = factors(8, 9, k, dtype, seed=k)
    omega = 1e5 * math.pi / k
    want = reference.exact_dense(U, V, omega)
    exact = SineLowRank(U, V, omega, gain=1, exact_phase=True)
    error = np.abs(exact.toarray() - want).max()
    eps = np.finfo(dtype).eps
    assert error <= min(exact.info.error_bound, 200 * eps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PhaseWarning)
        plain = SineLowRank(U, V, omega, gain=1)
    assert np.abs(plain.toarray() - want).max() > 1000 * eps
    np.testing.assert_array_equal(exact.T.toarray(), exact.toarray().T)


def test_the_plain_chain_keeps_its_bound_and_warns_when_it_is_large():
    U, V, _ = factors(8, 9, 8, np.float32)
    for omega in (1.0, 100.0, 1e4):
        op = SineLowRank(U, V, omega, gain=1, rtol=2)
        error = np.abs(op.toarray() - reference.exact_dense(U, V, omega)).max()
        assert error <= op.info.error_bound
        assert op.info.error_bound <= 40 * max(error, 1e-7)  # a bound worth stating
    with pytest.warns(PhaseWarning, match=r"^omega: phases reach up to .* half-turns"):
        SineLowRank(U, V, 1e5)
    with pytest.warns(PhaseWarning, match="rtol=1e-09"):
        SineLowRank(U, V, 1.0, rtol=1e-9)


@pytest.mark.parametrize("exact_phase", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_phases_stay_finite_and_overflow_is_refused(dtype, exact_phase):
    U, V, _ = factors(6, 7, 2, dtype)
    with pytest.warns(PhaseWarning):
        op = SineLowRank(U, V, 1e20, gain=1, exact_phase=exact_phase)
    assert np.abs(op.toarray()).max() <= 1 + 4 * np.finfo(dtype).eps
    assert op.info.error_bound == 2
    with pytest.raises(ValueError, match=r"^omega: got 1e\+300, with which phases"):
        SineLowRank(U * np.finfo(dtype).max, V, 1e300, exact_phase=exact_phase)
    zero = SineLowRank(U * 0, V, 1e300 if dtype == np.float64 else 1e20)
    assert not zero.toarray().any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_sine_and_cosine_of_half_turns_against_mpmath(dtype):
    rng = np.random.default_rng(1)
    t = np.concatenate(
        [
            rng.uniform(-1, 1, 1500),
            np.ldexp(rng.uniform(0.5, 1, 500), -rng.integers(0, 40, 500)),
            np.round(rng.uniform(-40, 40, 800)) / 2 + rng.normal(size=800) * 1e-4,
            rng.uniform(-1e6, 1e6, 300),
            np.arange(-9, 10) / 4,
        ]
    ).astype(dtype)
    sine, cosine = np.empty_like(t), np.empty_like(t)
    core.sincospi(t, sine, cosine)
    ulp = 4 if runtime.cpu_level() == "baseline" else 3
    with mp.workdps(40):
        for got, function in ((sine, mp.sinpi), (cosine, mp.cospi)):
            want = [function(mp.mpf(float(x))) for x in t]
            error = [abs(mp.mpf(float(g)) - w) for g, w in zip(got, want, strict=True)]
            spacing = np.spacing(np.abs(np.array(want, float)).astype(dtype))
            worst = max(float(e) / s for e, s in zip(error, spacing, strict=True))
            assert worst <= ulp


def test_it_is_a_linear_operator_for_scipy():
    U, V, rng = factors(30, 20, 3)
    op = SineLowRank(U, V, 5.0)
    A, W = aslinearoperator(op), op.toarray()
    x, y, X = rng.normal(size=20), rng.normal(size=30), rng.normal(size=(20, 4))
    assert A.shape == (30, 20)
    assert A.dtype == np.float64
    np.testing.assert_allclose(A @ x, W @ x, atol=1e-13)
    np.testing.assert_allclose(A.matmat(x[:, None]), (W @ x)[:, None], atol=1e-13)
    np.testing.assert_allclose(A.rmatvec(y), W.T @ y, atol=1e-13)
    np.testing.assert_allclose(A.matmat(X), W @ X, atol=1e-13)
    np.testing.assert_allclose(A.rmatmat(W @ X), W.T @ W @ X, atol=1e-13)
    np.testing.assert_allclose(y @ op, y @ W, atol=1e-13)
    np.testing.assert_allclose(X.T @ op.T, X.T @ W.T, atol=1e-13)


def test_out_is_used_and_checked():
    U, V, rng = factors(30, 20, 3)
    op, X = SineLowRank(U, V, 5.0), rng.normal(size=(20, 4))
    out = np.full((30, 4), np.nan)
    assert op.matmat(X, out=out) is out
    np.testing.assert_array_equal(out, op @ X)
    vector = np.empty(30)
    assert op.matvec(X[:, 0], out=vector) is vector
    assert op.toarray(out=np.empty((30, 20))).shape == (30, 20)
    for wrong in (np.empty((4, 30)).T, np.empty((30, 5)), np.empty((30, 4), np.float32), [1]):
        with pytest.raises((ValueError, TypeError), match=r"^out: "):
            op.matmat(X, out=wrong)
    square = SineLowRank(U, U, 5.0)
    with pytest.raises(ValueError, match=r"^out: shares memory"):
        square.matmat(U, out=U)


def bad(**changes):
    U, V, _ = factors(3, 4, 2)
    return {"U": U, "V": V, "omega": 1.0, **changes}


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (bad(U=np.ones(3)), ValueError, r"^U: got 1 dimensions"),
        (bad(V=np.ones((4, 3))), ValueError, r"^V: got 3 columns, want 2"),
        (bad(U=np.full((3, 2), np.nan)), ValueError, r"^U: got nan at position \(0, 0\)"),
        (bad(U=np.ones((3, 2), complex)), TypeError, r"^U: got dtype complex128"),
        (bad(V=np.ones((4, 2), object)), TypeError, r"^V: got dtype object"),
        (bad(omega=math.inf), ValueError, r"^omega: got inf"),
        (bad(omega="fast"), TypeError, r"^omega: got 'fast'"),
        (bad(gain=0), ValueError, r"^gain: got 0"),
        (bad(gain=1e-310), ValueError, r"^gain: got 1e-310"),
        (bad(rtol=-1), ValueError, r"^rtol: got -1"),
        (bad(gain=math.nan), ValueError, r"^gain: got nan"),
        (bad(method="fast"), ValueError, r"^method: got 'fast'.*'auto', 'fused'"),
        (bad(workers=0), ValueError, r"^workers: got 0"),
    ],
)
def test_bad_arguments_are_named(arguments, error, match):
    U, V, omega = (arguments.pop(name) for name in ("U", "V", "omega"))
    with pytest.raises(error, match=match):
        SineLowRank(U, V, omega, **arguments)


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        (np.ones(5), ValueError, r"^X: got shape \(5,\), want 4 rows"),
        (np.ones((4, 2, 2)), ValueError, r"^X: got 3 dimensions"),
        (np.ones(4) * 1j, TypeError, r"^X: got dtype complex128"),
        ([1, 2, math.inf, 4], ValueError, r"^X: got inf at position 2"),
    ],
)
def test_bad_right_hand_sides_are_named(X, error, match):
    with pytest.raises(error, match=match):
        SineLowRank(*factors(3, 4, 2)[:2], 1.0) @ X


def test_unchecked_nan_spreads_and_the_operator_is_no_array():
    op = SineLowRank(*factors(3, 4, 2)[:2], 1.0)
    assert np.isnan(op.matvec(np.array([1, np.nan, 0, 0]), check_finite=False)).all()
    with pytest.raises(TypeError, match=r"want op\.toarray"):
        np.asarray(op)


def test_arrays_of_another_memory_are_refused():
    class ndarray:  # noqa: N801
        __module__ = "cupy"

    op = SineLowRank(*factors(3, 4, 2)[:2], 1.0)
    with pytest.raises(TypeError, match="got arrays of different libraries"):
        op @ ndarray()


def test_nothing_is_modified():
    U, V, rng = factors(50, 60, 3)
    X = rng.normal(size=(60, 4))
    copies = [a.copy() for a in (U, V, X)]
    op = SineLowRank(U, V, 100.0)
    op @ X, op.toarray(), op[3]
    for a, copy in zip((U, V, X), copies, strict=True):
        np.testing.assert_array_equal(a, copy)


def test_at_small_frequency_it_is_the_low_rank_product():
    U, V, rng = factors(40, 50, 3)
    X = rng.normal(size=(50, 2))
    omega = 1e-6
    np.testing.assert_allclose(
        SineLowRank(U, V, omega, gain=omega) @ X, U @ (V.T @ X), rtol=1e-10, atol=1e-10
    )


def test_frobenius_norm_grows_strictly_below_a_quarter_turn():
    U, V, _ = factors(40, 50, 3)
    limit = math.pi / 2 / np.abs(U @ V.T).max()
    norms = [
        np.linalg.norm(SineLowRank(U, V, omega).toarray()) for omega in np.linspace(0, limit, 30)
    ]
    assert (np.diff(norms) > 0).all()


@pytest.mark.parametrize(("k", "order"), [(1, 1), (2, 3), (3, 5)])
def test_taylor_polynomial_bounds_the_distance_to_low_rank(k, order):
    U, V, _ = factors(60, 70, k)
    W = SineLowRank(U, V, 1.5, gain=1).toarray()
    phase = 1.5 * U @ V.T
    odd = range(1, order + 1, 2)
    polynomial = sum((-1) ** (p // 2) * phase**p / math.factorial(p) for p in odd)
    radius = np.abs(phase).max()
    bound = radius ** (order + 2) / math.factorial(order + 2)
    assert np.abs(W - polynomial).max() <= bound + 1e-15
    rank = reference.taylor_rank(k, order)
    s = np.linalg.svd(W, compute_uv=False)
    assert s[rank] <= bound * math.sqrt(W.size)
    assert np.linalg.matrix_rank(polynomial) == rank


@pytest.mark.parametrize(
    ("n", "k", "omega", "want"),
    [(128, 1, 400, 6.07), (256, 1, 200, 3.26), (256, 5, 100, 11.5), (256, 5, 400, 64.7)],
)
def test_stable_ranks_at_the_authors_start(n, k, omega, want):
    ranks = []
    for seed in range(5):
        U, V = reference.kaiming_factors(np.random.default_rng(seed), n, k)
        ranks.append(reference.stable_rank(SineLowRank(U, V, omega).toarray()))
    assert np.mean(ranks) == pytest.approx(want, rel=0.12)


def test_spread_phases_reach_the_stable_rank_of_a_random_matrix():
    U, V = reference.kaiming_factors(np.random.default_rng(0), 256, 5)
    rank = reference.stable_rank(SineLowRank(U, V, 1000.0).toarray())
    assert rank == pytest.approx(256 / 4, rel=0.05)


def test_torch_tensors_come_back_as_tensors():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    U, V, rng = factors(6, 5, 2)
    op = ef.sine.SineLowRank(torch.from_numpy(U), torch.from_numpy(V), 2.0)
    X = rng.normal(size=(5, 3))
    assert isinstance(op @ torch.from_numpy(X), torch.Tensor)
    assert isinstance(op.toarray(), torch.Tensor)
    np.testing.assert_array_equal((op @ torch.from_numpy(X)).numpy(), SineLowRank(U, V, 2.0) @ X)


def test_ranges_and_lists_select_like_slices():
    rng = np.random.default_rng(0)
    op = SineLowRank(rng.standard_normal((6, 2)), rng.standard_normal((5, 2)), 3.0)
    expected = op.toarray()[1:4][:, [0, 3]]
    np.testing.assert_array_equal(op.submatrix(range(1, 4), [0, 3]).toarray(), expected)
