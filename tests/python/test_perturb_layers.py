import numpy as np
import pytest

import eigenflow as ef
from reference import rank as reference

perturb_layers = ef.lowrank.perturb_layers


def networks(seed, shapes, decay=0.7, dtype=np.float64):
    """Random base weights, and changes whose spectra decay like a power."""
    rng = np.random.default_rng(seed)
    base, free = [], []
    for i, shape in enumerate(shapes):
        m, n = shape[0], int(np.prod(shape[1:]))
        k = min(m, n)
        factors = [rng.normal(size=(side, k)) / np.sqrt(side) for side in (m, n)]
        values = np.arange(1, k + 1) ** -(decay + 0.1 * i)
        change = ((factors[0] * values) @ factors[1].T).reshape(shape)
        base.append(rng.normal(size=shape).astype(dtype))
        free.append((base[-1] + change).astype(dtype))
    return base, free


def full_ranks(base, free, importance, share, cap, conv="kernel-mean"):
    whole = [ef.lowrank.perturb(b, f, conv=conv) for b, f in zip(base, free, strict=True)]
    weights = [w * p.kernel_area for w, p in zip(importance, whole, strict=True)]
    return reference.share_ranks([p.s for p in whole], weights, share, max_rank=cap)


# ---- the share rule with leading values only


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("cap", [1, 5, 12])
def test_ranks_are_those_of_full_decompositions(share, cap, dtype):
    base, free = networks(1, [(60, 80), (90, 40), (50, 50)], dtype=dtype)
    importance = [1.0, 3.0, 0.2]
    got = perturb_layers(base, free, importance, share=share, max_rank=cap, oversampling=2, rng=0)
    want = full_ranks(base, free, importance, share, cap)
    np.testing.assert_array_equal(got.ranks, want)
    assert [p.rank for p in got.layers] == want.tolist()


@pytest.mark.parametrize("seed", range(2))
def test_ranks_from_the_randomized_way_are_exact(seed):
    # Large enough for block Krylov, whose values are not exact.
    base, free = networks(seed, [(500, 700), (640, 420)], decay=0.4, dtype=np.float32)
    got = perturb_layers(base, free, share=0.3, max_rank=10, rng=seed, workers=1)
    np.testing.assert_array_equal(got.ranks, full_ranks(base, free, [1, 1], 0.3, 10))


def test_the_basis_grows_only_where_the_condition_fails():
    base, free = networks(2, [(80, 70), (70, 60)])
    # A share that few values reach: nothing beyond the first ones is needed.
    easy = perturb_layers(base, free, share=0.3, max_rank=20, oversampling=3)
    assert easy.n_computed.tolist() == [23, 23]
    # Almost everything counts in the sort, although no rank exceeds two.
    hard = perturb_layers(base, free, share=0.999, max_rank=2, oversampling=3)
    assert hard.n_computed.tolist() == [70, 60]
    assert hard.ranks.tolist() == [2, 2]
    # One layer's unseen values lie above the mark; the other layer's do not.
    free[0] = base[0] + 30 * (free[0] - base[0])
    mixed = perturb_layers(base, free, share=0.9, max_rank=2, oversampling=3)
    assert mixed.n_computed[0] > 5
    assert mixed.n_computed[1] == 5
    np.testing.assert_array_equal(mixed.ranks, full_ranks(base, free, [1, 1], 0.9, 2))


def test_unseen_values_use_up_share():
    # Layer 0 has forty equal values; capped at one, they still stand before those of layer 1.
    base = [np.zeros((40, 40)), np.zeros((10, 10))]
    free = [np.eye(40), np.diag(np.r_[0.9, np.full(9, 0.01)])]
    got = perturb_layers(base, free, share=0.5, max_rank=1, min_rank=0, oversampling=0)
    assert got.ranks.tolist() == [1, 0]
    assert got.n_computed[0] > 20


def test_share_one_keeps_all():
    base, free = networks(3, [(12, 9), (7, 8)])
    got = perturb_layers(base, free, share=1)
    assert got.ranks.tolist() == [9, 7]
    assert got.kept_share == pytest.approx(1)


def test_importance_decides_which_layer_is_served_first():
    base, free = networks(4, [(30, 30), (30, 30)])
    change = free[0] - base[0]
    got = perturb_layers([0 * change] * 2, [change] * 2, [100.0, 1.0], share=0.6)
    assert got.ranks[0] > 1
    assert got.ranks[1] == 1
    even = perturb_layers([0 * change] * 2, [change] * 2, share=0.6)
    assert even.ranks[0] == even.ranks[1] > 1


# ---- convolutions


@pytest.mark.parametrize("conv", ["kernel-mean", "reshape"])
def test_convolutions_and_matrices_together(conv):
    base, free = networks(5, [(12, 8, 3, 3), (20, 30), (6, 12, 1, 5)])
    got = perturb_layers(base, free, [1.0, 0.3, 2.0], share=0.8, max_rank=4, conv=conv)
    want = full_ranks(base, free, [1.0, 0.3, 2.0], 0.8, 4, conv)
    np.testing.assert_array_equal(got.ranks, want)
    for layer, weights in zip(got.layers, base, strict=True):
        assert layer.to_dense().shape == weights.shape
    assert got.cost == sum(p.left.size + p.right.size for p in got.layers)


# ---- other rules


def test_knapsack_spends_what_the_share_rule_would_and_keeps_more():
    base, free = networks(6, [(10, 200), (40, 30), (30, 40)])
    importance = [1.0, 1.0, 0.5]
    share_rule = perturb_layers(base, free, importance, share=0.7, max_rank=8)
    knapsack = perturb_layers(base, free, importance, share=0.7, max_rank=8, rule="knapsack")
    assert knapsack.cost <= share_rule.cost
    assert knapsack.kept_share >= share_rule.kept_share
    small = perturb_layers(base, free, importance, rule="knapsack", budget=700, max_rank=8)
    assert small.cost <= 700


def test_energy_looks_at_each_layer_alone():
    base, free = networks(7, [(20, 30), (40, 25)])
    got = perturb_layers(base, free, [1e9, 1.0], rule="energy", share=0.8)
    for layer, k in zip(got.layers, got.ranks, strict=True):
        whole = ef.lowrank.perturb(layer.base, free[[20, 40].index(len(layer.base))])
        assert k == reference.energy_rank(whole.s, 0.8)
    assert perturb_layers(base, free, rule="energy", share=0.8, max_rank=2).ranks.tolist() == [2, 2]


def test_flat_takes_the_cap_everywhere():
    base, free = networks(8, [(20, 30), (3, 25)])
    assert perturb_layers(base, free, rule="flat", max_rank=5).ranks.tolist() == [5, 3]


# ---- edges


def test_no_layers_no_change_and_no_importance():
    assert perturb_layers([], []).ranks.tolist() == []
    base, free = networks(9, [(5, 4), (4, 5)])
    same = perturb_layers(base, base, max_rank=2)
    assert same.ranks.tolist() == [1, 1]
    for layer, weights in zip(same.layers, base, strict=True):
        np.testing.assert_allclose(layer.to_dense(), weights, atol=1e-12)
    zero = perturb_layers(base, [0 * b for b in base], max_rank=2)
    assert np.isfinite(zero.kept_share)
    nothing = perturb_layers(base, free, [0.0, 0.0], max_rank=2)
    assert nothing.ranks.tolist() == [1, 1]
    assert nothing.kept_share == 1.0


@pytest.mark.parametrize("exponent", [-700, 700])
def test_the_unit_of_the_weights_does_not_matter(exponent):
    base, free = networks(10, [(20, 30), (40, 25)])
    want = perturb_layers(base, free, share=0.7, max_rank=3)
    scaled = [[np.ldexp(w, exponent // 2) for w in weights] for weights in (base, free)]
    np.testing.assert_array_equal(perturb_layers(*scaled, share=0.7, max_rank=3).ranks, want.ranks)


ONE = ([np.eye(2)], [np.eye(2)])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([np.eye(2)], []), {}, ValueError, r"^W_free: got 0 layers, want 1"),
        (([np.eye(2)], [np.eye(3)]), {}, ValueError, r"^W_free\[0\]: got shape \(3, 3\)"),
        (([np.eye(2)], [np.diag([1, np.inf])]), {}, ValueError, r"^W_free\[0\]: got inf at"),
        (([np.eye(2) * 1j], [np.eye(2)]), {}, TypeError, r"^W_base\[0\]: got dtype complex"),
        ((*ONE, [-1.0]), {}, ValueError, r"^importance: got -1"),
        ((*ONE, [1.0, 2.0]), {}, ValueError, r"^importance: got 2 numbers"),
        (ONE, {"share": 0}, ValueError, r"^share: got 0"),
        (ONE, {"rule": "best"}, ValueError, r"^rule: got 'best'"),
        (ONE, {"rule": "flat"}, TypeError, r"^max_rank: missing"),
        (ONE, {"budget": 3}, TypeError, r"^budget: not used"),
        (ONE, {"conv": "no"}, ValueError, r"^conv: got 'no'"),
        (ONE, {"oversampling": -1}, ValueError, r"^oversampling: got -1"),
    ],
)
def test_what_is_wrong_is_named(arguments, options, error, message):
    with pytest.raises(error, match=message):
        perturb_layers(*arguments, **options)
