import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eigenflow as ef
from reference import rank as reference

perturb = ef.lowrank.perturb


def pair(seed, shape, dtype=np.float64):
    rng = np.random.default_rng(seed)
    base = rng.normal(size=shape)
    return base.astype(dtype), (base + 0.3 * rng.normal(size=shape)).astype(dtype)


def distance_squared(a, b):
    return float(np.sum(np.square(a - b, dtype=np.float64)))


# ---- scales


@pytest.mark.parametrize("shape", [(5, 7), (6, 4, 3, 3), (1, 1), (4, 1), (1, 4), (3, 2, 1, 5)])
@pytest.mark.parametrize("passes", [1, 2, 5])
def test_scales_are_the_least_squares_of_the_reference(shape, passes):
    base, free = pair(1, shape)
    got = perturb(base, free, passes=passes)
    rows, cols = reference.scales(base, free, passes)
    np.testing.assert_allclose(got.row_scale, rows, rtol=1e-12)
    np.testing.assert_allclose(got.col_scale, cols, rtol=1e-12)


def test_more_passes_fit_better_and_two_are_almost_all():
    base, free = pair(2, (40, 30))
    free = free * np.linspace(0.2, 2, 30)
    residuals = [perturb(base, free, passes=k).residual_squared for k in (1, 2, 3, 30)]
    assert residuals == sorted(residuals, reverse=True)
    assert residuals[0] > residuals[1]
    assert residuals[1] <= 1.005 * residuals[3]


@pytest.mark.parametrize("shape", [(5, 7), (6, 4, 3, 3)])
def test_weights_that_are_scaled_base_weights_leave_nothing(shape):
    # One pass starts from S = 1, so it finds row scales exactly, and column scales when rows agree.
    base, _ = pair(3, shape)
    rng = np.random.default_rng(4)
    ones = (1,) * (len(shape) - 2)
    for free in (
        rng.uniform(0.5, 2, (shape[0], 1, *ones)) * base,
        -2.5 * base,
    ):
        got = perturb(base, free)
        assert got.residual_squared <= 1e-28 * distance_squared(free, 0)
        np.testing.assert_allclose(got.to_dense(), free, rtol=1e-13)
    both = rng.uniform(0.5, 2, (shape[0], 1, *ones)) * base * rng.uniform(0.5, 2, (shape[1], *ones))
    got = perturb(base, both, passes=300)
    assert got.residual_squared <= 1e-20 * distance_squared(both, 0)


def test_equal_weights_are_left_alone():
    base, _ = pair(5, (4, 6))
    got = perturb(base, base)
    np.testing.assert_allclose(got.row_scale, 1, rtol=1e-15)
    np.testing.assert_allclose(got.col_scale, 1, rtol=1e-15)
    np.testing.assert_allclose(got.s, 0, atol=1e-14)


# ---- factors


@pytest.mark.parametrize("shape", [(9, 6), (6, 9), (5, 4, 3, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_singular_values_give_the_weights_back(shape, dtype):
    base, free = pair(6, shape, dtype)
    got = perturb(base, free, conv="reshape")
    assert got.to_dense().dtype == got.left.dtype == got.row_scale.dtype == got.s.dtype == dtype
    np.testing.assert_allclose(got.to_dense(), free, atol=30 * np.finfo(dtype).eps)
    assert got.residual_squared == pytest.approx(np.sum(got.s.astype(float) ** 2), rel=1e-5)
    assert got.kernel_area == 1
    assert got.unreachable_squared == 0.0


@pytest.mark.parametrize("rank", [0, 1, 3, 6])
def test_truncation_is_the_best_of_its_rank(rank):
    base, free = pair(7, (9, 6))
    full = perturb(base, free)
    scaled = full.row_scale[:, None] * base * full.col_scale
    U, s, Vh = np.linalg.svd(free - scaled, full_matrices=False)
    cut = full.truncate(rank)
    assert (cut.rank, cut.left.shape, cut.right.shape) == (rank, (9, rank), (rank, 6))
    want = scaled + (U[:, :rank] * s[:rank]) @ Vh[:rank]
    np.testing.assert_allclose(cut.to_dense(), want, atol=1e-13)
    assert cut.residual_squared == full.residual_squared
    assert cut.error_squared == pytest.approx(distance_squared(want, free), abs=1e-12)
    assert cut.n_parameters == 9 + 6 + rank * 15
    assert full.rank == 6  # the original stays whole


def test_planted_rank_is_found_by_the_share_rule():
    rng = np.random.default_rng(8)
    base = rng.normal(size=(40, 30))
    base -= base.mean(1, keepdims=True)
    change = rng.normal(size=(40, 4)) @ rng.normal(size=(4, 30))
    # Make the change orthogonal to what scales can fit: the residual is then the change itself.
    got = perturb(np.zeros_like(base), change)
    assert ef.lowrank.allocate_ranks([got.s], [1.0], share=0.999999).ranks.tolist() == [4]
    np.testing.assert_allclose(got.truncate(4).to_dense(), change, atol=1e-12)


def test_the_product_is_what_counts_not_its_signs():
    base, free = pair(9, (6, 5))
    got = perturb(base, free)
    flipped = (got.left * -1) @ (got.right * -1)
    np.testing.assert_array_equal(got.left @ got.right, flipped)
    np.testing.assert_allclose((got.left**2).sum(0), got.s, rtol=1e-13)
    np.testing.assert_allclose((got.right**2).sum(1), got.s, rtol=1e-13)


# ---- convolutions


def test_kernel_means_are_added_at_every_tap():
    base, free = pair(10, (6, 5, 3, 2))
    got = perturb(base, free)
    scaled = got.row_scale[:, None, None, None] * base * got.col_scale[:, None, None]
    change = free - scaled
    mean = change.mean((2, 3))
    assert got.kernel_area == 6
    np.testing.assert_allclose(got.left @ got.right, mean, atol=1e-13)
    np.testing.assert_allclose(got.to_dense(), scaled + mean[:, :, None, None], atol=1e-13)
    assert got.residual_squared == pytest.approx(np.sum(mean**2), rel=1e-12)
    spread = np.sum((change - mean[:, :, None, None]) ** 2)
    assert got.unreachable_squared == pytest.approx(spread, rel=1e-12)
    for k in range(6):
        cut = got.truncate(k)
        assert cut.error_squared == pytest.approx(distance_squared(cut.to_dense(), free), rel=1e-11)


def test_a_change_that_is_constant_over_the_kernel_is_represented_exactly():
    rng = np.random.default_rng(11)
    change = rng.normal(size=(6, 2)) @ rng.normal(size=(2, 5))
    free = np.broadcast_to(change[:, :, None, None], (6, 5, 3, 3))
    got = perturb(np.zeros((6, 5, 3, 3)), free, max_rank=2)
    np.testing.assert_allclose(got.to_dense(), free, atol=1e-13)
    assert got.unreachable_squared <= 1e-28


def test_reshaping_represents_every_change():
    base, free = pair(12, (6, 5, 3, 3))
    got = perturb(base, free, conv="reshape")
    assert got.right.shape == (6, 45)
    np.testing.assert_allclose(got.to_dense(), free, atol=1e-13)
    means = perturb(base, free)
    assert got.truncate(5).error_squared < means.truncate(5).error_squared


def test_a_kernel_of_one_tap_is_a_matrix():
    base, free = pair(13, (6, 5))
    as_conv = perturb(base[:, :, None, None], free[:, :, None, None])
    np.testing.assert_allclose(as_conv.s, perturb(base, free).s, rtol=1e-12)


# ---- leading values only


def test_leading_values_and_the_whole_sum():
    base, free = pair(14, (50, 40))
    whole, some = perturb(base, free), perturb(base, free, max_rank=5, rng=0)
    assert some.rank == 5
    np.testing.assert_allclose(some.s, whole.s[:5], rtol=2e-2)
    assert some.residual_squared == pytest.approx(whole.residual_squared, rel=1e-12)
    ranks = ef.lowrank.allocate_ranks(
        [some.s], [1.0], totals=[some.residual_squared], share=0.2, shapes=[(50, 40)]
    ).ranks
    assert ranks.tolist() == reference.share_ranks([whole.s], [1.0], 0.2).tolist()
    with pytest.raises(ValueError, match=r"^rank: got 6, want at most the 5"):
        some.truncate(6)


@pytest.mark.parametrize("max_rank", [0, 1, 40, 1000])
def test_any_limit_works(max_rank):
    base, free = pair(15, (40, 30))
    assert perturb(base, free, max_rank=max_rank, rng=1).rank == min(max_rank, 30)


# ---- edge cases


def test_rows_and_columns_of_zeros_keep_scale_one():
    base, free = pair(16, (5, 4))
    base[1], base[:, 2] = 0, 0
    got = perturb(base, free)
    assert got.row_scale[1] == 1
    assert got.col_scale[2] == 1
    assert perturb(base, 1024 * free).row_scale[1] == 1
    np.testing.assert_allclose(got.to_dense(), free, atol=1e-13)
    for zero in (perturb(base, np.zeros((5, 4))), perturb(np.zeros((5, 4)), free)):
        assert np.isfinite(zero.to_dense()).all()


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (0, 3, 2, 2), (3, 2, 0, 2)])
@pytest.mark.parametrize("conv", ["kernel-mean", "reshape"])
def test_empty_layers(shape, conv):
    got = perturb(np.zeros(shape), np.zeros(shape), conv=conv)
    assert got.to_dense().shape == shape
    assert got.residual_squared == 0.0


@pytest.mark.parametrize("exponent", [-900, -300, 300, 900])
def test_scales_of_the_weights_do_not_matter(exponent):
    base, free = pair(17, (6, 5))
    want = perturb(base, free)
    got = perturb(np.ldexp(base, exponent), np.ldexp(free, exponent))
    np.testing.assert_array_equal(got.row_scale, want.row_scale)
    np.testing.assert_array_equal(got.s, np.ldexp(want.s, exponent))
    np.testing.assert_allclose(
        np.ldexp(got.truncate(2).to_dense(), -exponent), want.truncate(2).to_dense(), rtol=1e-10
    )
    uneven = perturb(np.ldexp(base, exponent // 3), free)
    np.testing.assert_array_equal(uneven.s, want.s)


def test_a_scale_that_fits_no_float_is_an_error():
    small, large = np.full((2, 2), 1e-30, np.float32), np.full((2, 2), 1e30, np.float32)
    with pytest.raises(ValueError, match=r"^W_base: "):
        perturb(small, large)


@given(seed=st.integers(0, 1000), exponent=st.integers(-40, 0))
def test_nearly_empty_rows_never_give_nan(seed, exponent):
    base, free = pair(seed, (4, 3))
    base[0] *= 10.0**exponent
    got = perturb(base, free)
    for part in (got.row_scale, got.col_scale, got.s):
        assert np.isfinite(part).all()
    np.testing.assert_allclose(got.to_dense(), free, atol=1e-12)


def test_any_kind_of_array_gives_the_same_and_stays_as_it_was():
    base, free = pair(18, (6, 5))
    want = perturb(base, free)
    frozen = base.copy()
    frozen.flags.writeable = False
    for same in (
        frozen,
        np.asfortranarray(base),
        np.repeat(base, 2, axis=1)[:, ::2],
        base[::-1, ::-1].copy()[::-1, ::-1],
        base.astype(">f8"),
        base.tolist(),
    ):
        got = perturb(same, free)
        np.testing.assert_allclose(got.s, want.s, rtol=1e-13)
        np.testing.assert_allclose(got.row_scale, want.row_scale, rtol=1e-13)
    assert perturb([[1, 2], [3, 4]], [[2, 4], [6, 8]]).row_scale.tolist() == [2.0, 2.0]
    assert perturb(base.astype(np.float32), free).s.dtype == np.float64
    np.testing.assert_array_equal(base, pair(18, (6, 5))[0])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([1.0], [1.0]), {}, ValueError, r"^W_base: got 1 dimensions"),
        ((np.ones((2, 2)), np.ones((2, 3))), {}, ValueError, r"^W_free: got shape \(2, 3\)"),
        ((np.ones((2, 2)), np.full((2, 2), np.nan)), {}, ValueError, r"^W_free: got nan at"),
        ((np.ones((2, 2)) * 1j, np.ones((2, 2))), {}, TypeError, r"^W_base: got dtype complex"),
        ((np.eye(2), np.eye(2)), {"conv": "same"}, ValueError, r"^conv: got 'same'"),
        ((np.eye(2), np.eye(2)), {"passes": 0}, ValueError, r"^passes: got 0"),
        ((np.eye(2), np.eye(2)), {"max_rank": -1}, ValueError, r"^max_rank: got -1"),
        ((np.eye(2), np.eye(2)), {"workers": 0}, ValueError, r"^workers: got 0"),
    ],
)
def test_what_is_wrong_is_named(arguments, options, error, message):
    with pytest.raises(error, match=message):
        perturb(*arguments, **options)
