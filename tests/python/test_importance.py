import numpy as np
import pytest

import eigenflow as ef
from reference import pruning as reference

low = ef.lowrank


def batches(seed=0, n=4):
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=(3, 2)), rng.normal(size=(2, 3, 2, 2))] for _ in range(n)]


# ---- gradients


def test_moments_and_importance_are_those_of_the_reference():
    data, sizes = batches(), [5, 5, 5, 2]
    want = reference.gradient_moments(data, sizes)
    got = low.gradient_moments(iter(data), batch_sizes=sizes)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    means = low.gradient_importance(data, batch_sizes=sizes)
    np.testing.assert_allclose(means, [m.mean() for m in want], rtol=1e-14)
    norms = low.gradient_importance(data, batch_sizes=sizes, norm="fro")
    np.testing.assert_allclose(norms, [m.sum() for m in want], rtol=1e-14)


def test_the_published_formula_differs_by_a_common_factor():
    data, sizes = batches(1), [4, 4, 4, 3]
    published = [
        sum(np.mean(b[i] ** 2) * n / len(data) for b, n in zip(data, sizes, strict=True))
        for i in range(2)
    ]
    ratio = low.gradient_importance(data, batch_sizes=sizes) / published
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-14)


def test_float32_is_summed_in_float64():
    tiny = [[np.full((10, 10), 1e-25, np.float32)]]
    np.testing.assert_allclose(low.gradient_importance(tiny), 1e-50, rtol=1e-6)


# ---- weighted norms


def test_activation_factor_measures_the_change_of_the_output():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5))
    change = rng.normal(size=(4, 5))
    C = low.activation_factor(x, damping=1e-12)
    want = np.mean(np.sum((x @ change.T) ** 2, axis=1))
    assert np.sum((change @ C) ** 2) == pytest.approx(want, rel=1e-9)
    assert not np.triu(C, 1).any()
    np.testing.assert_allclose(low.activation_factor(iter([x[:70], x[70:]]), damping=1e-12), C)


def test_inputs_of_low_rank_still_give_a_factor():
    x = np.outer(np.arange(1.0, 6.0), [1.0, 2.0, 0.0])
    C = low.activation_factor(x)
    assert (np.diag(C) > 0).all()
    assert np.isfinite(low.activation_factor(np.zeros((3, 2)))).all()


@pytest.mark.parametrize("rank", [0, 1, 3, 6])
def test_weighted_factors_are_the_best_in_their_norm(rank):
    rng = np.random.default_rng(3)
    A = rng.normal(size=(6, 8))
    w = rng.uniform(0.1, 10, 6)
    C = np.linalg.cholesky(np.cov(rng.normal(size=(8, 100))))
    left, right = got = low.weighted_factors(A, rank, row_weights=w, col_factor=C)
    weighted = np.sqrt(w)[:, None] * A @ C
    U, s, Vh = np.linalg.svd(weighted, full_matrices=False)
    best = (U[:, :rank] * s[:rank]) @ Vh[:rank]
    np.testing.assert_allclose(np.sqrt(w)[:, None] * (left @ right) @ C, best, atol=1e-12)
    np.testing.assert_allclose(got.s, s[:rank], rtol=1e-12)
    error = np.sum((np.sqrt(w)[:, None] * (A - left @ right) @ C) ** 2)
    assert error == pytest.approx(got.total_squared - np.sum(got.s**2), abs=1e-10)


def test_without_weights_it_is_the_plain_decomposition():
    A = np.random.default_rng(4).normal(size=(5, 4)).astype(np.float32)
    left, right = got = low.weighted_factors(A)
    assert left.dtype == right.dtype == got.s.dtype == np.float32
    np.testing.assert_allclose(left @ right, A, atol=1e-5)


def test_zero_weights_cost_nothing_and_give_no_nan():
    A = np.random.default_rng(5).normal(size=(4, 4))
    left, right = low.weighted_factors(A, 2, row_weights=[1.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose((left @ right)[[0, 3]], A[[0, 3]], atol=1e-5)
    assert np.isfinite(left @ right).all()
    left, right = low.weighted_factors(A, row_weights=np.zeros(4))
    np.testing.assert_allclose(left @ right, A, atol=1e-12)


def test_empty_matrices():
    left, right = low.weighted_factors(np.zeros((0, 3)))
    assert (left @ right).shape == (0, 3)
    assert low.activation_factor(np.zeros((2, 0))).shape == (0, 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: low.gradient_importance([]), ValueError, r"^gradients: got no batch"),
        (lambda: low.gradient_importance([[[1.0]]], norm="max"), ValueError, r"^norm: got 'max'"),
        (lambda: low.gradient_importance([[[1.0]], []]), ValueError, r"^gradients\[1\]: got other"),
        (
            lambda: low.gradient_importance([[[np.nan]]]),
            ValueError,
            r"^gradients\[0\]\[0\]: got nan",
        ),
        (
            lambda: low.gradient_importance([[[1.0]]] * 2, batch_sizes=[1]),
            ValueError,
            r"^batch_sizes: got 1 numbers",
        ),
        (
            lambda: low.gradient_importance([[[1.0]]], batch_sizes=[-1]),
            ValueError,
            r"^batch_sizes\[0\]: got -1",
        ),
        (lambda: low.activation_factor(np.zeros((0, 2))), ValueError, r"^inputs: got no sample"),
        (lambda: low.activation_factor([[1.0]], damping=0), ValueError, r"^damping: got 0"),
        (
            lambda: low.activation_factor(iter([[[1.0]], [[1.0, 2.0]]])),
            ValueError,
            r"^inputs\[1\]: got 2 columns, want 1",
        ),
        (
            lambda: low.weighted_factors(np.eye(2), row_weights=[1.0]),
            ValueError,
            r"^row_weights: got 1 numbers",
        ),
        (
            lambda: low.weighted_factors(np.eye(2), row_weights=[1.0, -2.0]),
            ValueError,
            r"^row_weights: got -2",
        ),
        (
            lambda: low.weighted_factors(np.eye(2), col_factor=np.eye(3)),
            ValueError,
            r"^col_factor: got shape \(3, 3\)",
        ),
        (
            lambda: low.weighted_factors(np.eye(2), col_factor=np.ones((2, 2))),
            ValueError,
            r"^col_factor: want a lower triangular",
        ),
    ],
)
def test_what_is_wrong_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
