"""Faults that random wrong arguments found in the extension (row R6), by their own examples."""

import operator

import numpy as np
import pytest

from battery.rows.fuzz_bindings import recorded
from eigenflow import _core


@pytest.fixture(scope="module")
def given():
    with np.errstate(all="ignore"):
        return recorded()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["lds.filter", "lds.smooth", "lds_score.score"])
@pytest.mark.parametrize("count", [0, 3])
def test_a_stack_of_another_number_of_series_is_not_read(given, name, count):
    function = operator.attrgetter(name)(_core)
    system, (mean, cov, diffuse), y, *others = given[name][0]
    y = np.concatenate([y, y])
    for at, what in enumerate(("mean", "cov")):
        start = [mean, cov, diffuse]
        start[at] = np.zeros((count, *start[at].shape[1:]))
        with pytest.raises(ValueError, match=f"^{what}: got {count} of them for {len(y)} series"):
            function(system, tuple(start), y, *others)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_ranks_of_values_that_are_not_finite_are_refused(bad):
    table = np.tile([1.0, -1.0, 1.0, 0.0, 1.0, 1.0], (2, 1))
    s = np.array([2.0, 1.0, bad, 1.0])
    with pytest.raises(ValueError, match=r"^s: must be finite"):
        _core.rank.allocate_by_budget(s, [2, 4], table, 9.0, 1)
    table[1, 0] = bad
    with pytest.raises(ValueError, match=r"^importance: must"):
        _core.rank.allocate_by_budget(np.ones(4), [2, 4], table, 9.0, 1)


def test_weights_of_another_length_are_not_read(given):
    *_, (a, rows, cols, mean, norm) = given["svd.weighted"]
    long = [1.0] * (len(rows) + len(cols) + 1)
    for name, factors in {
        "row_factors": (long, cols, mean),
        "col_factors": (rows, long, mean),
        "mean": (rows, cols, np.array(long)),
    }.items():
        with pytest.raises(ValueError, match=f"^{name}: got {len(long)} numbers, want"):
            _core.svd.weighted(a, *factors, norm)
    matrix = np.ones((5, 2))
    with pytest.raises(ValueError, match=r"^row_factors: got 3 numbers, want 5 or none"):
        _core.svd.weighted_dense(matrix, [1.0] * 3, [], True, False, 1)
    with pytest.raises(ValueError, match=r"^col_factors: got 3 numbers, want 2 or none"):
        _core.svd.weighted_dense(matrix, [], [1.0] * 3, False, False, 1)


def test_negative_sizes_are_refused(given):
    *_, (read, _, n, dtype, workers) = given["svd.measure_rows"]
    with pytest.raises(ValueError, match=r"^A: got -2 rows"):
        _core.svd.measure_rows(read, -2, n, dtype, workers)
    *_, (a, _, steps, key, workers) = given["svd.range_finder"]
    with pytest.raises(ValueError, match=r"^size: want 0 to"):
        _core.svd.range_finder(a, -(2**63), steps, key, workers)
