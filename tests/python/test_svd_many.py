"""Many matrices in one call."""

import numpy as np
import pytest
import scipy.sparse as sp

import eigenflow as ef
from eigenflow import _rng
from reference import lowrank as truth

SHAPES = [(40, 30), (300, 260), (5, 90), (1, 1), (260, 300)]
LAYERS = [
    truth.with_spectrum(shape, truth.decay("exponential", min(shape)), seed=i)
    for i, shape in enumerate(SHAPES)
]


def test_each_matrix_gets_its_own_decomposition():
    got = ef.lowrank.svd_many(LAYERS, 4, rng=0)
    assert [r.rank for r in got] == [4, 4, 4, 1, 4]
    for result, A in zip(got, LAYERS, strict=True):
        np.testing.assert_allclose(result.s, np.linalg.svd(A)[1][: result.rank], rtol=1e-4)
        assert result.error == pytest.approx(truth.distance(A, *result), rel=1e-3, abs=1e-14)


def test_ranks_for_each_and_tolerances():
    ranks = [3, None, 0, 1, 2]
    got = ef.lowrank.svd_many(LAYERS, ranks, rtol=0.5, rng=0)
    single = [
        ef.lowrank.svd(A, k, rtol=0.5, rng=1).rank for A, k in zip(LAYERS, ranks, strict=True)
    ]
    assert [r.rank for r in got] == single
    spectral = ef.lowrank.svd_many(LAYERS, rtol=0.5, norm="spectral", rng=0)
    assert [r.rank for r in spectral][:2] == [28, 28]


def test_results_do_not_depend_on_the_other_matrices_and_repeat():
    first = ef.lowrank.svd_many(LAYERS, 4, rng=5, workers=1)
    again = ef.lowrank.svd_many([LAYERS[0], LAYERS[1], LAYERS[3]], 4, rng=5, workers=1)
    for x, y in zip(first[:2], again[:2], strict=True):
        assert x.U.tobytes() == y.U.tobytes()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_many_are_the_single_calls_to_the_byte(workers):
    large = np.random.default_rng(0).normal(size=(1500, 900))  # by all workers, unlike the rest
    matrices = [large, *LAYERS * 3]
    seeds = np.random.default_rng(_rng.key_from(7)).integers(0, 2**63, len(matrices))
    got = ef.lowrank.svd_many(matrices, 4, rng=7, workers=workers)
    for result, A, seed in zip(got, matrices, seeds, strict=True):
        want = ef.lowrank.svd(A, min(4, *A.shape), rng=int(seed), workers=1)
        assert result.U.tobytes() == want.U.tobytes()
        assert result.Vh.tobytes() == want.Vh.tobytes()
        assert (result.error, result.method) == (want.error, want.method)


def test_kinds_may_differ_and_progress_is_shown(capsys):
    mixed = [LAYERS[0].astype(np.float32), sp.csr_array(LAYERS[1]), LAYERS[0] + 0j]
    got = ef.lowrank.svd_many(mixed, 3, rng=0, progress=True)
    assert [r.U.dtype for r in got] == [np.float32, np.float64, np.complex128]
    assert "3/3" in capsys.readouterr().err
    assert ef.lowrank.svd_many([], 3) == []


@pytest.mark.parametrize(
    ("matrices", "ranks", "error", "message"),
    [
        ([np.eye(3), np.full((2, 2), np.nan)], 1, ValueError, r"^matrices\[1\]: A: got nan at"),
        ([np.eye(3)], [5], ValueError, r"^matrices\[0\]: rank: got 5, want 0 to 3"),
        ([np.eye(3)], [1, 2], ValueError, r"^ranks: got 2 for 1 matrices"),
        ([np.eye(3)], 1.5, TypeError, r"^matrices\[0\]: rank: got 1.5"),
        ([np.ones(3)], 1, ValueError, r"^matrices\[0\]: A: got 1 dimensions"),
    ],
)
def test_refusals_name_the_matrix(matrices, ranks, error, message):
    with pytest.raises(error, match=message):
        ef.lowrank.svd_many(matrices, ranks)
