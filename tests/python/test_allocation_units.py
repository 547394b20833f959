"""Budgets in bytes and in operations, with caps, against trying everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eigenflow as ef
from reference import rank as reference

allocate_ranks = ef.lowrank.allocate_ranks

# Convolutions as kernel means: rows, columns, places of the output, bytes of a number.
LAYERS = [(6, 3, 196, 4), (16, 6, 25, 4), (12, 16, 25, 2), (8, 12, 1, 2)]
UNITS = {
    "parameters": [m + n for m, n, _, _ in LAYERS],
    "bytes": [(m + n) * size for m, n, _, size in LAYERS],
    "operations": [2 * (m + n) * places for m, n, places, _ in LAYERS],
    "seconds": [1.7e-9 * (m + n) * places + 3e-7 for m, n, places, _ in LAYERS],
}


def spectra_of(seed):
    rng = np.random.default_rng(seed)
    return [np.sort(rng.exponential(size=min(m, n)))[::-1] for m, n, *_ in LAYERS]


@pytest.mark.parametrize("unit", UNITS)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    part=st.floats(0.02, 1),
    least=st.integers(0, 1),
    caps=st.lists(st.integers(1, 8), min_size=4, max_size=4),
    step=st.sampled_from([1, 2, 4]),
)
def test_knapsack_in_any_unit_is_close_to_the_best(unit, seed, part, least, caps, step):
    spectra, costs = spectra_of(seed), UNITS[unit]
    importance = np.random.default_rng(seed).exponential(size=4)
    tops = [min(cap, s.size) for cap, s in zip(caps, spectra, strict=True)]
    least_cost = sum(c * min(least and step, top) for c, top in zip(costs, tops, strict=True))
    most_cost = sum(c * top for c, top in zip(costs, tops, strict=True))
    budget = least_cost + part * (most_cost - least_cost)
    got = allocate_ranks(
        spectra, importance, costs=costs, budget=budget, method="knapsack",
        min_rank=least, max_rank=caps, multiple_of=step,
    )  # fmt: skip
    best = reference.best_kept(
        [s[:top] for s, top in zip(spectra, tops, strict=True)], importance, costs, budget,
        least, lambda k, size: k == size or (k % step == 0 and k >= least),
    )  # fmt: skip
    kept = [w * np.sum(s[:k] ** 2) for w, s, k in zip(importance, spectra, got.ranks, strict=True)]
    assert got.cost <= budget * (1 + 1e-12)
    assert got.cost == pytest.approx(float(got.ranks @ np.array(costs)), rel=1e-12)
    assert all(k == t or k % step == 0 for k, t in zip(got.ranks, tops, strict=True))
    assert (got.ranks <= tops).all()
    assert sum(kept) == pytest.approx(best, rel=1e-12)
    assert got.kept_share_bound == got.kept_share


@pytest.mark.parametrize("method", ["knapsack", "hessian"])
def test_a_budget_that_equals_the_cost_to_rounding_pays_it(method):
    third = {"costs": [0.1], "budget": 0.3, "method": method, "min_rank": 0}
    assert 3 * 0.1 > 0.3
    assert allocate_ranks([[3.0, 2.0, 1.0, 1.0]], [1], **third).ranks.tolist() == [3]
    costs = 1 / np.arange(3.0, 43.0)
    spectra = [np.linspace(2, 1, 5)] * 40
    for order in (np.arange(40), np.arange(40)[::-1]):
        whole = float(np.sum(5 * costs[order]))
        got = allocate_ranks(spectra, np.ones(40), costs=costs, budget=whole, method=method)
        assert got.ranks.tolist() == [5] * 40
        short = allocate_ranks(
            spectra, np.ones(40), costs=costs, budget=whole * (1 - 1e-12), method=method
        )
        assert short.ranks.sum() < 200


def test_the_unit_decides_which_layer_is_cheap():
    s = np.ones(3)
    by_bytes = allocate_ranks([s, s], [1, 1], costs=UNITS["bytes"][:2], budget=300,
                              method="knapsack", min_rank=0)  # fmt: skip
    by_work = allocate_ranks([s, s], [1, 1], costs=UNITS["operations"][:2], budget=4000,
                             method="knapsack", min_rank=0)  # fmt: skip
    assert by_bytes.ranks.tolist() == [3, 2]  # 36 and 88 bytes a rank
    assert by_work.ranks.tolist() == [0, 3]  # 3528 and 1100 operations a rank
