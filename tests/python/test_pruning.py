import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eigenflow as ef
from reference import pruning as reference

prune, pruning_share = ef.lowrank.prune, ef.lowrank.pruning_share


def factors(seed, n_tasks=3, n_layers=2, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [
        [
            (
                (rng.normal(size=(4 + i, 2)) * (t + 1)).astype(dtype),
                rng.normal(size=(2, 5)).astype(dtype),
            )
            for i in range(n_layers)
        ]
        for t in range(n_tasks)
    ]


def flat(tasks):
    return [f for layers in tasks for pair in layers for f in pair]


@pytest.mark.parametrize("mode", ["layer", "task", "all"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.878, 1.0])
@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_every_mode_is_the_reference(mode, share, threshold):
    tasks = factors(1)
    got = prune(tasks, mode=mode, share=share, threshold=threshold)
    want = reference.prune(tasks, mode, threshold, share)
    for a, b in zip(flat(got.tasks), flat(want), strict=True):
        np.testing.assert_array_equal(a, b)
    assert got.n_nonzero == sum(np.count_nonzero(f) for f in flat(want))
    assert got.n_entries == sum(f.size for f in flat(tasks))


def test_absolute_uses_the_threshold_alone():
    tasks = factors(2)
    got = prune(tasks, mode="absolute", threshold=0.4)
    for a, b in zip(flat(got.tasks), flat(tasks), strict=True):
        np.testing.assert_array_equal(a, np.where(np.abs(b) > 0.4, b, 0))


def test_groups_differ():
    # Task 1 has entries ten times as large as task 0, layer 1 as layer 0.
    tasks = [
        [(s * t * np.ones((2, 1)), s * t * np.ones((1, 2))) for s in (1.0, 3.0)]
        for t in (1.0, 10.0)
    ]
    kept = {
        mode: [np.count_nonzero(f) for f in flat(prune(tasks, mode=mode, share=0.5).tasks)]
        for mode in ("layer", "task", "all")
    }
    assert kept["layer"] == [0] * 8  # ties at the quantile go
    assert kept["task"] == [0, 0, 2, 2, 0, 0, 2, 2]
    assert kept["all"] == [0, 0, 0, 0, 2, 2, 2, 2]


def test_ties_at_the_threshold_become_zero_and_the_rest_stays():
    got = prune([[([[0.5, -0.5]], [[0.5], [0.75]])]], mode="absolute", threshold=0.5)
    left, right = got.tasks[0][0]
    assert left.tolist() == [[0.0, 0.0]]
    assert right.tolist() == [[0.0], [0.75]]
    assert got.thresholds[0].tolist() == [0.5]


def test_zeros_count_in_the_quantile_so_pruning_again_changes_nothing():
    tasks = factors(3)
    once = prune(tasks, share=0.6)
    twice = prune(once.tasks, share=0.6)
    for a, b in zip(flat(once.tasks), flat(twice.tasks), strict=True):
        np.testing.assert_array_equal(a, b)


def test_growth_within_the_budget_prunes_nothing():
    assert pruning_share(0.19, 0.2) == 0.0
    assert pruning_share(0.2, 0.2) == 0.0
    assert pruning_share(0.0, 0.0) == 0.0
    assert pruning_share(1.0, 0.0) == 1.0
    # Ten LeNet tasks at the cap of 100 ranks, budget 0.2.
    assert pruning_share(9 * 544_612 / 2_995_620, 0.2) == pytest.approx(0.878, abs=5e-4)
    tasks = factors(4)
    for a, b in zip(flat(prune(tasks).tasks), flat(tasks), strict=True):
        np.testing.assert_array_equal(a, b)


@given(share=st.floats(0, 1), seed=st.integers(0, 50))
def test_about_the_share_is_pruned(share, seed):
    got = prune(factors(seed), mode="all", share=share)
    assert abs((got.n_entries - got.n_nonzero) - share * got.n_entries) <= 1.000001


def test_dtypes_stay_inputs_stay_and_empty_factors_work():
    tasks = factors(5, dtype=np.float32)
    before = [f.copy() for f in flat(tasks)]
    got = prune(tasks, share=0.5)
    assert {f.dtype for f in flat(got.tasks)} == {np.dtype(np.float32)}
    for a, b in zip(flat(tasks), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert prune([]).n_entries == 0
    none = prune([[(np.zeros((3, 0)), np.zeros((0, 2)))], []], share=0.5)
    assert none.tasks[0][0][0].shape == (3, 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: prune([], mode="best"), ValueError, r"^mode: got 'best'"),
        (lambda: prune([], share=1.5), ValueError, r"^share: got 1.5"),
        (lambda: prune([], threshold=-1), ValueError, r"^threshold: got -1"),
        (lambda: prune([], mode="absolute", share=0.5), TypeError, r"^share: not used"),
        (lambda: prune([[(1.0,)]]), ValueError, r"^tasks\[0\]\[0\]: got tuple, want two factors"),
        (lambda: prune([[([1.0], [np.nan])]]), ValueError, r"^tasks\[0\]\[0\]\[1\]: got nan"),
        (lambda: pruning_share(-1, 0.2), ValueError, r"^growth: got -1"),
        (lambda: pruning_share(1, np.nan), ValueError, r"^budget: got nan"),
    ],
)
def test_what_is_wrong_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
