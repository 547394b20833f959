import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import eigenflow as ef
from reference import rank as reference

allocate_ranks = ef.lowrank.allocate_ranks

SPECTRUM = st.lists(st.integers(0, 12), min_size=1, max_size=6).map(
    lambda s: [float(x) for x in sorted(s, reverse=True)]
)
SPECTRA = st.lists(SPECTRUM, min_size=1, max_size=4)
SHARES = st.integers(1, 63).map(lambda n: n / 64)


def weights(n):
    return st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0, 16.0]), min_size=n, max_size=n)


def kept_sum(spectra, importance, ranks):
    return sum(
        w * sum(x * x for x in s[:k]) for s, w, k in zip(spectra, importance, ranks, strict=True)
    )


# ---- the share rule


@given(data=st.data(), spectra=SPECTRA, share=SHARES, least=st.integers(0, 2))
def test_share_rule_is_the_ten_lines_of_the_reference(data, spectra, share, least):
    importance = data.draw(weights(len(spectra)))
    assume(kept_sum(spectra, importance, [len(s) for s in spectra]) > 0)
    got = allocate_ranks(spectra, importance, share=share, min_rank=least, max_rank=4)
    want = reference.share_ranks(spectra, importance, share, least, 4)
    np.testing.assert_array_equal(got.ranks, want)
    assert got.ranks.dtype == np.int64
    assert got.cost == want.sum()
    total = kept_sum(spectra, importance, [len(s) for s in spectra])
    assert got.kept_share == pytest.approx(kept_sum(spectra, importance, want) / total, rel=1e-12)
    assert got.kept_share_bound is None


@given(spectra=SPECTRA)
def test_the_whole_share_keeps_every_positive_score(spectra):
    got = allocate_ranks(spectra, np.ones(len(spectra)), share=1.0, min_rank=0)
    assert got.ranks.tolist() == [sum(x > 0 for x in s) for s in spectra]
    assert got.kept_share == 1.0


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_scores_that_are_all_zero_leave_the_floors(share):
    for spectra, importance in [([[0, 0], [0.0]], [1, 1]), ([[2, 1], [1]], [0, 0])]:
        got = allocate_ranks(spectra, importance, share=share, min_rank=1)
        assert got.ranks.tolist() == [1, 1]
        assert got.kept_share == 1.0
        assert allocate_ranks(spectra, importance, share=share, min_rank=0).ranks.sum() == 0


def test_the_share_is_passed_strictly():
    assert allocate_ranks([[1.0, 1.0], [1.0, 1.0]], [1, 1], share=0.5).ranks.tolist() == [2, 1]
    assert allocate_ranks([[1.0, 1.0], [1.0, 1.0]], [1, 1], share=0.4999).ranks.tolist() == [2, 1]
    got = allocate_ranks([[1.0, 1.0], [1.0, 1.0]], [1, 1], share=0.4999, min_rank=0)
    assert got.ranks.tolist() == [2, 0]


def test_ties_go_to_the_earlier_layer():
    spectra = [[2.0, 1.0]] * 3
    assert allocate_ranks(spectra, [1, 1, 1], share=0.5, min_rank=0).ranks.tolist() == [1, 1, 0]
    assert allocate_ranks(spectra, [1, 4, 1], share=0.7, min_rank=0).ranks.tolist() == [1, 2, 0]


def test_a_hundred_times_the_importance_takes_all_early_ranks():
    s = 1.0 / np.arange(1, 21)
    got = allocate_ranks([s, s], [100.0, 1.0], share=0.9)
    assert got.ranks.tolist() == reference.share_ranks([s, s], [100.0, 1.0], 0.9).tolist()
    assert got.ranks[0] >= 5
    assert got.ranks[1] == 1


def test_exact_rank_is_found_at_a_share_close_to_one():
    rng = np.random.default_rng(0)
    D = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 30))
    s = np.linalg.svd(D, compute_uv=False)
    assert allocate_ranks([s], [1.0], share=0.9999999).ranks.tolist() == [6]


def test_importance_carries_the_kernel_area():
    s = [3.0, 2.0, 1.0]
    as_factor = allocate_ranks([s, s], [25 * 0.2, 4.0], share=0.8)
    in_values = allocate_ranks([[5 * x for x in s], s], [0.2, 4.0], share=0.8)
    np.testing.assert_array_equal(as_factor.ranks, in_values.ranks)


# ---- leading values only


def test_leading_values_give_the_ranks_of_all_when_they_can():
    rng = np.random.default_rng(1)
    spectra = [np.sort(rng.exponential(size=n))[::-1] for n in (30, 50, 20)]
    importance = [1.0, 0.3, 2.0]
    totals = [float(s @ s) for s in spectra]
    want = reference.share_ranks(spectra, importance, 0.7)
    assert want.max() < 18
    leading = [s[:18] for s in spectra]
    shapes = [(30, 40), (50, 60), (20, 25)]
    got = allocate_ranks(leading, importance, share=0.7, totals=totals, shapes=shapes)
    np.testing.assert_array_equal(got.ranks, want)
    whole = allocate_ranks(spectra, importance, share=0.7)
    assert got.kept_share == pytest.approx(whole.kept_share, rel=1e-12)


def test_a_layer_that_was_cut_too_early_is_named():
    spectra, totals = [[3.0, 2.0, 1.0], [3.0, 2.9]], [14.0, 30.0]
    with pytest.raises(ValueError, match=r"^spectra\[1\]: .* more leading values"):
        allocate_ranks(spectra, [1, 1], share=0.8, totals=totals)
    assert allocate_ranks(spectra, [1, 1], share=0.3, totals=totals).ranks.tolist() == [1, 1]


def test_values_that_cannot_reach_the_share_are_an_error():
    with pytest.raises(ValueError, match=r"^spectra\[0\]"):
        allocate_ranks([[3.0]], [1.0], share=0.95, totals=[10.0])


def test_missing_totals_are_asked_for():
    with pytest.raises(TypeError, match=r"^totals: missing; spectra\[1\] has 1 of 2 values"):
        allocate_ranks([[1.0, 0.5], [1.0]], [1, 1], share=0.5, shapes=[(2, 3), (2, 2)])


# ---- costs and budgets


def test_costs_are_counted_exactly():
    shapes = [(20, 3), (50, 20), (800, 3200), (500, 800)]  # LeNet, 5 x 5 kernels as means
    spectra = [np.ones(min(shape)) for shape in shapes]
    got = allocate_ranks(spectra, np.ones(4), shapes=shapes, share=1.0, max_rank=100)
    assert got.ranks.tolist() == [3, 20, 100, 100]
    assert got.cost == 531_469 == 3 * 23 + 20 * 70 + 100 * 4000 + 100 * 1300


@given(data=st.data(), spectra=SPECTRA, budget=st.integers(0, 40))
def test_a_budget_stops_the_prefix(data, spectra, budget):
    importance = data.draw(weights(len(spectra)))
    costs = data.draw(st.lists(st.integers(1, 9), min_size=len(spectra), max_size=len(spectra)))
    got = allocate_ranks(spectra, importance, costs=costs, budget=budget, min_rank=0)
    assert got.cost == got.ranks @ costs <= budget
    scores = [w * np.square(s) for s, w in zip(spectra, importance, strict=True)]
    left = [x[k] for x, k in zip(scores, got.ranks, strict=True) if k < len(x) and x[k] > 0]
    if left:  # the next value of the order is too much for what remains
        i = int(
            np.argmax([x[k] if k < len(x) else -1 for x, k in zip(scores, got.ranks, strict=True)])
        )
        assert got.cost + costs[i] > budget
    else:
        assert got.kept_share == 1.0


@settings(max_examples=300)
@given(data=st.data(), spectra=SPECTRA, budget=st.integers(0, 60), least=st.integers(0, 1))
def test_knapsack_is_the_best_of_all_small_cases(data, spectra, budget, least):
    n = len(spectra)
    importance = data.draw(weights(n))
    costs = data.draw(st.lists(st.integers(1, 12), min_size=n, max_size=n))
    dense = data.draw(st.one_of(st.none(), st.lists(st.integers(1, 40), min_size=n, max_size=n)))
    step = data.draw(st.sampled_from([1, 2, 4]))

    def allowed(k, size):
        return k == size or (k % step == 0 and k >= least)

    best = reference.best_kept(spectra, importance, costs, budget, least, allowed, dense)
    options = {"budget": budget, "min_rank": least, "multiple_of": step, "dense_costs": dense}
    if best is None:
        with pytest.raises(ValueError, match=r"^budget: got "):
            allocate_ranks(spectra, importance, costs=costs, method="knapsack", **options)
        return
    got = allocate_ranks(spectra, importance, costs=costs, method="knapsack", **options)
    assert got.cost <= budget
    assert all(k == len(s) or k % step == 0 for k, s in zip(got.ranks, spectra, strict=True))
    total = kept_sum(spectra, importance, [len(s) for s in spectra])
    kept = kept_sum(spectra, importance, got.ranks)
    assert kept == best
    if total > 0:
        assert got.kept_share == pytest.approx(kept / total, rel=1e-12)
        assert best / total <= got.kept_share_bound * (1 + 1e-12)
    if dense is None:
        assert got.cost == got.ranks @ costs
        assert not got.dense.any()
    else:
        paid = np.where(got.dense, dense, got.ranks * np.array(costs))
        assert got.cost == paid.sum()


@pytest.mark.parametrize("budget", [20_000, 200_000, 2_000_000])
def test_knapsack_on_a_network_is_within_its_own_bound(budget):
    rng = np.random.default_rng(3)
    shapes = [(int(m), int(n)) for m, n in rng.integers(30, 900, size=(24, 2))]
    spectra = [np.sort(rng.exponential(size=min(shape)))[::-1] for shape in shapes]
    importance = rng.exponential(size=24)
    options = {"shapes": shapes, "budget": budget, "min_rank": 0}
    got = allocate_ranks(spectra, importance, method="knapsack", **options)
    assert got.cost == got.ranks @ [m + n for m, n in shapes] <= budget
    assert 0 <= got.kept_share_bound - got.kept_share < 1e-3
    blind = allocate_ranks(spectra, importance, method="hessian", **options)
    assert got.kept_share > blind.kept_share
    again = allocate_ranks(spectra, importance, method="knapsack", **options)
    np.testing.assert_array_equal(again.ranks, got.ranks)


@given(data=st.data(), spectra=SPECTRA, budget=st.integers(0, 60))
def test_knapsack_never_keeps_less_than_the_prefix(data, spectra, budget):
    importance = data.draw(weights(len(spectra)))
    costs = data.draw(st.lists(st.integers(1, 9), min_size=len(spectra), max_size=len(spectra)))
    options = {"costs": costs, "budget": budget, "min_rank": 0}
    best = allocate_ranks(spectra, importance, method="knapsack", **options)
    prefix = allocate_ranks(spectra, importance, method="hessian", **options)
    assert best.kept_share >= prefix.kept_share * (1 - 1e-12)


def test_no_budget_is_spent_on_what_does_not_matter():
    got = allocate_ranks(
        [[2.0, 1.0], [5.0, 5.0]], [1.0, 0.0], costs=[1, 1], budget=4, method="knapsack", min_rank=0
    )
    assert got.ranks.tolist() == [2, 0]


def test_an_unlimited_budget_keeps_everything():
    got = allocate_ranks(
        [[2.0, 1.0], [5.0]], [1, 1], costs=[1, 1], budget=math.inf, method="knapsack"
    )
    assert got.ranks.tolist() == [2, 1]
    assert got.kept_share == got.kept_share_bound == 1.0


# ---- floors, caps, multiples, dense layers


def test_ranks_are_multiples_or_the_cap():
    s = np.linspace(2, 1, 20)
    options = {"share": 0.5, "multiple_of": 8}
    assert allocate_ranks([s, s[:5]], [1, 1], **options).ranks.tolist() == [8, 5]
    assert allocate_ranks([s], [1], share=0.99, multiple_of=8).ranks.tolist() == [20]
    assert allocate_ranks([s], [1], share=0.99, multiple_of=8, max_rank=16).ranks.tolist() == [16]


def test_floors_and_caps_may_differ_by_layer():
    s = [4.0, 3.0, 2.0, 1.0]
    got = allocate_ranks([s, s, s], [1, 1, 0], share=0.9, min_rank=[0, 0, 2], max_rank=[1, 4, 3])
    assert got.ranks.tolist() == [1, 3, 2]


def test_layers_that_would_cost_as_much_as_dense_stay_dense():
    s = np.ones(10)
    shapes = [(10, 10), (10, 1000)]
    got = allocate_ranks([s, s], [1, 1], share=0.8, shapes=shapes, dense_costs=[100, 10_000])
    assert got.dense.tolist() == [True, False]
    assert got.ranks.tolist() == [10, 7]
    assert got.cost == 100 + 7 * 1010


def test_knapsack_buys_a_dense_layer_when_that_is_better():
    flat = np.ones(10)
    options = {"shapes": [(10, 10), (10, 10)], "method": "knapsack", "dense_costs": [100, math.inf]}
    got = allocate_ranks([flat, flat], [1, 1], budget=120, **options)
    assert got.dense.tolist() == [True, False]
    assert got.ranks.tolist() == [10, 1]
    assert got.cost == 120


def test_dense_keeps_what_the_values_given_do_not_show():
    options = {"costs": [10], "totals": [100.0], "dense_costs": [15], "method": "knapsack"}
    got = allocate_ranks([[5.0, 5.0]], [1], budget=15, **options)
    assert got.dense.tolist() == [True]
    assert got.kept_share == 1.0
    assert allocate_ranks([[5.0, 5.0]], [1], budget=14, **options).kept_share == 0.25


# ---- intake


def test_no_layers_and_empty_layers():
    for options in ({"share": 0.5}, {"budget": 3, "costs": [], "method": "knapsack"}):
        got = allocate_ranks([], [], **options)
        assert got.ranks.shape == (0,)
        assert (got.cost, got.kept_share) == (0.0, 1.0)
    got = allocate_ranks([[], [1.0]], [1, 1], shapes=[(0, 5), (1, 1)], share=0.5)
    assert got.ranks.tolist() == [0, 1]


@pytest.mark.parametrize("scale", [1e-300, 1e-120, 1e120, 1e300])
def test_scales_do_not_matter(scale):
    spectra = [[4.0, 2.0, 1.0], [3.0, 3.0, 0.5]]
    scaled = [np.array(s) * scale for s in spectra]
    for options in ({"share": 0.8}, {"budget": 7, "costs": [2, 1], "method": "knapsack"}):
        want = allocate_ranks(spectra, [1.0, 2.0], **options)
        for got in (
            allocate_ranks(scaled, [1.0, 2.0], **options),
            allocate_ranks(spectra, [scale, 2 * scale], **options),
        ):
            np.testing.assert_array_equal(got.ranks, want.ranks)
            assert got.kept_share == pytest.approx(want.kept_share, rel=1e-12)


def test_any_kind_of_vector_gives_the_same():
    s = np.array([4.0, 2.0, 1.0])
    importance = np.array([1.0, 2.0])
    want = allocate_ranks([s, s], importance, share=0.8).ranks
    for same in (
        s[::-1].copy()[::-1],
        np.repeat(s, 3)[::3],
        s.astype(">f8"),
        s.astype(np.float32),
        [4, 2, 1],
    ):
        np.testing.assert_array_equal(allocate_ranks([same, s], importance, share=0.8).ranks, want)
    np.testing.assert_array_equal(s, [4.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, TypeError, r"^share: missing"),
        ({"method": "magic", "share": 0.5}, ValueError, r"^method: got 'magic'"),
        ({"method": "knapsack"}, TypeError, r"^budget: missing"),
        ({"method": "knapsack", "budget": 5}, TypeError, r"^shapes: missing"),
        (
            {"method": "knapsack", "budget": 5, "share": 0.5},
            TypeError,
            r"^share: not used by method 'knapsack'",
        ),
        ({"share": 0.0}, ValueError, r"^share: got 0.0"),
        ({"share": 1.1}, ValueError, r"^share: got 1.1"),
        ({"budget": -1}, ValueError, r"^budget: got -1.0"),
        ({"budget": 1}, ValueError, r"^budget: got 1.0, less than the least ranks cost"),
        ({"share": 0.5, "min_rank": -1}, ValueError, r"^min_rank: got -1"),
        ({"share": 0.5, "min_rank": 1.5}, TypeError, r"^min_rank: got 1.5"),
        ({"share": 0.5, "min_rank": [1]}, ValueError, r"^min_rank: got 1 numbers"),
        ({"share": 0.5, "min_rank": 3, "max_rank": 2}, ValueError, r"^min_rank: got 3 above"),
        ({"share": 0.5, "multiple_of": 0}, ValueError, r"^multiple_of: got 0"),
        ({"share": 0.5, "costs": [1]}, ValueError, r"^costs: got 1 numbers"),
        ({"share": 0.5, "costs": [1, -1]}, ValueError, r"^costs: got -1.0 at position 1"),
        ({"share": 0.5, "shapes": [(2, 2)]}, ValueError, r"^shapes: got 1 numbers"),
        ({"share": 0.5, "shapes": [(1, 2), (2, 2)]}, ValueError, r"^spectra\[0\]: got 2 values"),
        ({"share": 0.5, "totals": [1.0, 9.0]}, ValueError, r"^totals: got 1.0 at position 0"),
        ({"share": 0.5, "dense_costs": [1, math.nan]}, ValueError, r"^dense_costs: got nan"),
    ],
)
def test_what_is_wrong_is_named(options, error, message):
    with pytest.raises(error, match=message):
        allocate_ranks([[2.0, 1.0], [1.0, 1.0]], [1.0, 1.0], **options)


def test_wrong_layers_are_named():
    with pytest.raises(ValueError, match=r"^spectra\[1\]: got 2.0 after 1.0 at position 1"):
        allocate_ranks([[1.0], [1.0, 2.0]], [1, 1], share=0.5)
    with pytest.raises(ValueError, match=r"^importance: got -1.0 at position 1"):
        allocate_ranks([[1.0], [1.0]], [1, -1], share=0.5)
    with pytest.raises(ValueError, match=r"^importance: got nan at position 0"):
        allocate_ranks([[1.0]], [math.nan], share=0.5)
    with pytest.raises(ValueError, match=r"^importance: got 1 numbers, want one for each of 2"):
        allocate_ranks([[1.0], [1.0]], [1], share=0.5)
