"""Every way to multiply, forced and compared, and the choice between them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eigenflow._core import sine as _core
from eigenflow.sine import SineLowRank, methods
from reference import sine as reference

DTYPES = [np.float32, np.float64]


def problem(m, n, k, t, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    U, V = (rng.uniform(-1, 1, (rows, k)).astype(dtype) for rows in (m, n))
    return U, V, rng.normal(size=(n, t)).astype(dtype)


def assert_within_bound(op, X):
    want = reference.dense(op.U, op.V, op.omega, op.gain) @ X.astype(float)
    size = np.abs(X).astype(float).sum(axis=0)
    eps = float(np.finfo(op.dtype).eps)
    got = np.asarray(op @ X, float)
    assert (
        np.abs(got - want).max(axis=0, initial=0) <= size * (op.info.error_bound + 50 * eps)
    ).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("method", "k", "omega"),
    [
        ("anchors", 1, 3.0),
        ("anchors", 1, 300.0),
        ("anchors", 2, 8.0),
        ("anchors", 3, 2.0),
        ("taylor", 1, 1.5),
        ("taylor", 2, 0.9),
        ("taylor", 5, 0.1),
        ("nufft", 1, 40.0),
        ("nufft", 2, 10.0),
        ("nufft", 3, 3.0),
    ],
)
@pytest.mark.parametrize("t", [1, 7])
def test_each_method_keeps_its_bound(method, k, omega, t, dtype):
    if method == "nufft":
        pytest.importorskip("finufft", reason="finufft is not installed")
    U, V, X = problem(150, 220, k, t, dtype)
    for rtol in (None, 1e-4):
        op = SineLowRank(U, V, omega, method=method, rtol=rtol, workers=1)
        assert op.info.method == method
        assert (op @ X).dtype == dtype
        assert_within_bound(op, X)
        assert_within_bound(op.T, op @ X)
        target = rtol or (1e-6 if dtype == np.float32 else 1e-13)
        rounding = SineLowRank(U, V, omega, rtol=2, method="fused").info.error_bound
        assert op.info.error_bound <= rounding + (10 if method == "nufft" else 1) * target
    np.testing.assert_array_equal(op @ X[:, 0], (op @ X[:, :1])[:, 0])
    submatrix = op.submatrix(slice(5, 90), slice(3, 70))
    assert submatrix.info.method == method
    assert_within_bound(submatrix, X[3:70])


def test_a_bound_is_not_far_above_the_error():
    U, V, _ = problem(300, 300, 1, 1)
    for rtol in (1e-3, 1e-6, 1e-9):
        op = SineLowRank(U, V, 20.0, method="anchors", rtol=rtol)
        error = np.abs(op @ np.eye(300) - op.toarray()).max() * op.gain
        assert 1e-3 * op.info.error_bound * op.gain <= error <= op.info.error_bound * op.gain


def test_anchors_are_few():
    U, V, _ = problem(300, 300, 1, 1)
    for omega in (10.0, 100.0):
        n_terms = SineLowRank(U, V, omega, method="anchors", rtol=1e-6).info.n_terms
        assert omega / 2 < n_terms < omega / 2 + 16  # half of the nodes of a band of omega


@settings(deadline=None, max_examples=30)
@given(
    m=st.integers(0, 40),
    n=st.integers(0, 60),
    k=st.integers(1, 2),
    t=st.integers(0, 5),
    scale=st.sampled_from([0.0, 1e-30, 1.0]),
    method=st.sampled_from(["anchors", "taylor"]),
)
def test_any_shape(m, n, k, t, scale, method):
    U, V, X = problem(m, n, k, t)
    op = SineLowRank(U, scale * V, 0.7, method=method)
    assert (op @ X).shape == (m, t)
    assert_within_bound(op, X)
    assert np.isfinite(op @ X).all()


def test_the_choice_follows_the_costs():
    def chosen(n, k, omega, t=1, dtype=np.float32, **settings):
        U, V, _ = problem(n, n, k, 1, dtype)
        return SineLowRank(U, V, omega, rtol=settings.pop("rtol", None), **settings).plan(t).method

    assert chosen(100, 1, 1.0) == "fused"
    assert chosen(8192, 1, 50.0, t=64) == "anchors"
    assert chosen(4096, 8, 10.0) == "fused"
    assert chosen(8192, 8, 1e-3, t=64) == "taylor"
    assert chosen(8192, 1, 50.0, exact_phase=True) == "fused"
    U, V, _ = problem(4000, 4000, 1, 1)
    reason = SineLowRank(U, V, 30.0).info.reason
    assert "fused" in reason
    assert "anchors" in reason


def test_the_choice_is_only_among_those_that_are_accurate_enough():
    U, V, X = problem(2000, 2000, 1, 64, np.float32)
    op = SineLowRank(U, V, 50.0)
    assert op.plan(64).method == "anchors"
    assert_within_bound(op, X)
    assert (op @ X.astype(float)).dtype == np.float64  # and is fused, in double throughout
    exact = reference.dense(U, V, 50.0) @ X
    np.testing.assert_allclose(op @ X.astype(float), exact, atol=1e-11)


@pytest.mark.parametrize(
    ("method", "k", "omega"),
    [("anchors", 4, 1.0), ("anchors", 2, 1e4), ("taylor", 2, 50.0), ("nufft", 5, 1.0)],
)
def test_methods_out_of_reach_are_refused(method, k, omega):
    if method == "nufft":
        pytest.importorskip("finufft", reason="finufft is not installed")
    with pytest.raises(ValueError, match=f"^method: got '{method}' with k={k}"):
        SineLowRank(*problem(50, 60, k, 1)[:2], omega, method=method)


def test_exact_phases_are_the_fused_tiles():
    U, V, _ = problem(20, 30, 1, 1)
    with pytest.raises(
        ValueError, match=r"^method: got 'anchors', want 'auto' or 'fused' with exact"
    ):
        SineLowRank(U, V, 1.0, method="anchors", exact_phase=True)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(methods, "_has_finufft", lambda: False)
    U, V, _ = problem(700, 700, 1, 1)
    with pytest.raises(
        ImportError, match=r"^method: got 'nufft'.*pip install 'eigenflow\[nufft\]'"
    ):
        SineLowRank(U, V, 1.0, method="nufft")
    assert "nufft" not in SineLowRank(U, V, 1.0).info.reason


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("counts", "n", "t"),
    [((2,), 5, 1), ((6,), 3000, 3), ((20,), 100, 700), ((4, 6), 200, 5), ((2, 4, 6), 150, 17)],
)
def test_anchors_are_the_interpolant(counts, n, t, dtype):
    U, V, X = problem(37, n, len(counts), t, dtype)
    half_widths = [1.0, 1.5, 2.0][: len(counts)]
    V[0] = [w * reference.chebyshev_nodes(c)[0] for w, c in zip(half_widths, counts, strict=True)]
    want = reference.interpolated(U, V, 1.7, counts, half_widths) @ X.astype(float) / 3
    got = np.empty((37, t), dtype)
    _core.apply_anchors(U, V, X, got, counts, half_widths, 1.7, 3.0, 2)
    np.testing.assert_allclose(got, want, atol=300 * np.finfo(dtype).eps * n**0.5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("k", "order", "n", "t"), [(1, 9, 3000, 3), (4, 5, 150, 20), (8, 3, 90, 1)]
)
def test_monomials_make_the_polynomial(k, order, n, t, dtype):
    U, V, X = problem(137, n, k, t, dtype)
    phase = 0.9 * U.astype(float) @ V.T.astype(float)
    polynomial = sum(
        (-1) ** (p // 2) * phase**p / math.factorial(p) for p in range(1, order + 1, 2)
    )
    got = np.empty((137, t), dtype)
    # The sizes of the factors must not matter, only that of the phase.
    small = dtype(2.0**-100)
    _core.apply_taylor(U / small, V * small, X, got, order, 0.9, -2.0, 2)
    atol = 300 * np.finfo(dtype).eps * n**0.5
    np.testing.assert_allclose(got, polynomial @ X / -2, atol=atol)


@pytest.mark.parametrize("method", ["anchors", "taylor"])
def test_any_number_of_workers_gives_the_same_bytes(method):
    U, V, X = problem(500, 20_000, 1, 5, np.float32)
    op = SineLowRank(U, V, 1.5, method=method)
    one = op.matmat(X, workers=1)
    for workers in (2, 3):
        np.testing.assert_array_equal(op.matmat(X, workers=workers), one)


def test_sums_and_grids_that_the_kernels_refuse():
    U, V, X = problem(3, 4, 1, 2)
    out = np.empty((3, 2))
    for counts, widths in (((3,), (1.0,)), ((2,), (0.0,)), ((2, 2), (1.0, 1.0)), ((0,), (1.0,))):
        with pytest.raises(ValueError, match=r"^grid: want"):
            _core.apply_anchors(U, V, X, out, counts, widths, 1.0, 1.0, 1)
    for order in (0, 2, -1):
        with pytest.raises(ValueError, match=r"^order: want an odd"):
            _core.apply_taylor(U, V, X, out, order, 1.0, 1.0, 1)
