"""The log of calls that bench/svd_products.py reads."""

import numpy as np
import pytest

import eigenflow as ef
from eigenflow._core import call_log


def logged(A, rank):
    call_log.start()
    ef.lowrank.svd(A, rank, rng=0, workers=1)
    return call_log.stop()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_log_holds_the_products_with_the_matrix(dtype):
    A = np.random.default_rng(0).standard_normal((700, 500)).astype(dtype)
    calls = logged(A, 4)
    size = np.dtype(dtype).itemsize
    sweeps = [call for call in calls if call[:6] == ("both products", size, True, 700, 500, 16)]
    assert len(sweeps) >= 3
    assert all(call[6] > 0 for call in calls)
    assert {"sytrd", "potrf"} <= {call[0] for call in calls}


def test_nothing_is_logged_outside_and_a_new_log_is_empty():
    A = np.eye(6)
    assert logged(A, 2)
    ef.lowrank.svd(A, 2)
    assert call_log.stop() == []
    call_log.start()
    assert call_log.stop() == []


def test_products_are_run_again_and_factorisations_are_not():
    A = np.random.default_rng(0).standard_normal((400, 300))
    for call in logged(A, 3):
        again = call_log.repeat(*call[:6], 2, 1)
        assert len(again) == (2 if call[4] else 0)


@pytest.mark.parametrize("name", ["x", "geqrf", ""])
def test_what_is_no_product_is_not_repeated(name):
    assert call_log.repeat(name, 8, True, 4, 5, 6, 2, 1) == []


@pytest.mark.parametrize("sizes", [(-1, 2, 2), (2, 2**31, 2), (2, 2, -(2**63))])
def test_sizes_that_no_product_has(sizes):
    with pytest.raises(ValueError, match=r"^rows, inner, cols: want 0 to"):
        call_log.repeat("product", 8, True, *sizes, 1, 1)
