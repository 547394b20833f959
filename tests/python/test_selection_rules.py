"""Rank rules that look at single values: spectral precision and parallel analysis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eigenflow.lowrank import select_rank, svd


@given(
    s=st.lists(st.floats(0, 1e6), max_size=12).map(lambda s: sorted(s, reverse=True)),
    rtol=st.floats(0, 1.5),
    atol=st.floats(0, 1e6),
)
def test_spectral_precision_is_its_definition(s, rtol, atol):
    got = select_rank(s, (len(s), 20), "spectral", rtol=rtol, atol=atol)
    limit = max(rtol * s[0], atol) if s else 0
    assert got == next((k for k in range(len(s)) if s[k] <= limit), len(s))


def test_spectral_precision_of_a_known_spectrum():
    s = 1 / np.arange(1.0, 101)
    assert select_rank(s, (100, 300), "spectral", rtol=0.1) == 9
    assert select_rank(s, (100, 300), "spectral", rtol=0.0999) == 10
    assert select_rank(s[:20], (100, 300), "spectral", atol=0.1) == 9
    with pytest.raises(ValueError, match=r"^s: all 5 of 100 values given exceed 0.1"):
        select_rank(s[:5], (100, 300), "spectral", rtol=0.1)
    assert select_rank([], (0, 4), "spectral", atol=0.1) == 0
    with pytest.raises(TypeError, match=r"^total_squared: not used by rule 'spectral'"):
        select_rank(s, (100, 300), "spectral", rtol=0.1, total_squared=2.0)


def planted(rank, shape=(200, 90), strength=4.0, seed=0):
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1]))
    scales = rng.uniform(0.5, 1.5, shape[1])  # columns of different noise
    return strength * signal / max(1, rank) ** 0.5 + scales * rng.normal(size=shape)


@pytest.mark.parametrize("null", ["permutation", "signs"])
@pytest.mark.parametrize("rank", [0, 1, 3, 10])
def test_parallel_analysis_finds_planted_ranks(rank, null):
    A = planted(rank)
    s = np.linalg.svd(A, compute_uv=False)
    for values in (s, s[:12]):
        got = select_rank(values, A.shape, "parallel", A=A, n_draws=20, null=null, rng=0)
        assert got == rank
    scaled = select_rank(1e200 * s, A.shape, "parallel", A=1e200 * A, n_draws=5, rng=0)
    assert scaled == rank


def test_parallel_analysis_is_its_definition():
    A = planted(4, (60, 25), strength=0.6)
    s = np.linalg.svd(A, compute_uv=False)
    rng = np.random.default_rng(3)
    draws = [np.linalg.svd(rng.permuted(A, axis=0), compute_uv=False) for _ in range(400)]
    want = int(np.argmax(s <= np.quantile(draws, 0.95, axis=0)))
    assert select_rank(s, A.shape, "parallel", A=A, n_draws=200, rng=0) == want
    none = select_rank(s, A.shape, "parallel", A=A, n_draws=50, quantile=1.0, rng=0)
    some = select_rank(s, A.shape, "parallel", A=A, n_draws=50, quantile=0.0, rng=0)
    assert none <= want <= some


def test_parallel_analysis_from_truncated_values_in_single_precision():
    A = planted(3).astype(np.float32)
    result = svd(A, 10, rng=0)
    assert select_rank(result.s, A.shape, "parallel", A=A, n_draws=20, rng=1) == 3
    again = [select_rank(result.s, A.shape, "parallel", A=A, n_draws=3, rng=7) for _ in range(2)]
    assert again[0] == again[1]


def test_zero_and_empty_matrices():
    assert select_rank([0.0, 0.0], (2, 3), "parallel", A=np.zeros((2, 3))) == 0
    assert select_rank([], (0, 3), "parallel", A=np.zeros((0, 3))) == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"A": np.eye(3)}, ValueError, r"^A: got shape \(3, 3\), want \(2, 2\)"),
        ({"A": np.array([[np.nan, 0], [0, 1]])}, ValueError, r"^A: got nan at"),
        ({"A": 0.1 * np.eye(2)}, ValueError, r"^s: its squares sum to more than those of A"),
        ({"A": np.eye(2), "n_draws": 0}, ValueError, r"^n_draws: got 0"),
        ({"A": np.eye(2), "n_draws": 2.5}, TypeError, r"^n_draws: got 2.5"),
        ({"A": np.eye(2), "quantile": 1.5}, ValueError, r"^quantile: got 1.5"),
        ({"A": np.eye(2), "null": "none"}, ValueError, r"^null: got 'none'"),
        ({"A": np.eye(2), "rtol": 0.1}, TypeError, r"^rtol: not used by rule 'parallel'"),
    ],
)
def test_what_parallel_analysis_refuses(options, error, message):
    with pytest.raises(error, match=message):
        select_rank([1.0, 1.0], (2, 2), "parallel", **options)


def test_more_values_are_asked_for_when_all_exceed():
    A = planted(10)
    s = np.linalg.svd(A, compute_uv=False)
    with pytest.raises(ValueError, match=r"^s: all 5 of 90 values given exceed those of random"):
        select_rank(s[:5], A.shape, "parallel", A=A, n_draws=5, rng=0)
