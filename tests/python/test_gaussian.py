import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from eigenflow import _rng

DTYPES = [np.float32, np.float64]


def reference_normals(key, row, pair, dtype):
    """Box-Muller in 40 digits on the words of entries (row, 2 pair) and (row, 2 pair + 1)."""
    if dtype == np.float32:
        words = _rng.random_words(key, (1, 2), first_row=row, first_col=2 * pair)[0]
        uniforms = [
            np.float32(np.float32(w) + np.float32(0.5)) * np.float32(2.0**-32) for w in words
        ]
    else:
        words = [
            int(w) for w in _rng.random_words(key, (1, 4), first_row=row, first_col=4 * pair)[0]
        ]
        bits = [(words[0] << 32 | words[1]) >> 11, (words[2] << 32 | words[3]) >> 11]
        uniforms = [(float(b) + 0.5) * 2.0**-53 for b in bits]
    with mpmath.workdps(40):
        radius = mpmath.sqrt(-2 * mpmath.log(mpmath.mpf(float(uniforms[0]))))
        turn = 2 * mpmath.mpf(float(uniforms[1]))
        return radius * mpmath.cospi(turn), radius * mpmath.sinpi(turn)


@pytest.mark.parametrize("dtype", DTYPES)
@given(key=st.integers(0, 2**64 - 1), row=st.integers(0, 2**62), pair=st.integers(0, 2**59))
def test_normals_are_box_muller_of_their_words(dtype, key, row, pair):
    got = _rng.random_normals(key, (1, 2), dtype, first_row=row, first_col=2 * pair)[0]
    want = reference_normals(key, row, pair, dtype)
    # The radius scales both: an ulp of the result, or of the smallest radius near zero.
    for g, w in zip(got, want, strict=True):
        assert abs(float(g) - w) <= 8 * np.finfo(dtype).eps * max(abs(w), 1e-30)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_any_block_on_any_number_of_workers_has_the_same_normals(dtype, workers):
    whole = _rng.random_normals(5, (300, 201), dtype, workers=1)
    np.testing.assert_array_equal(_rng.random_normals(5, (300, 201), dtype, workers=workers), whole)
    part = _rng.random_normals(5, (20, 33), dtype, first_row=17, first_col=7, workers=workers)
    np.testing.assert_array_equal(part, whole[17:37, 7:40])


@pytest.mark.parametrize("dtype", DTYPES)
def test_normals_pass_distribution_tests(dtype):
    x = _rng.random_normals(2024, (1000, 500), dtype).astype(np.float64)
    assert stats.kstest(x.ravel(), "norm").pvalue > 1e-3
    assert abs(x.mean()) < 5 / np.sqrt(x.size)
    assert abs(x.var() - 1) < 5 * np.sqrt(2 / x.size)
    assert abs(stats.kurtosis(x.ravel())) < 5 * np.sqrt(24 / x.size)
    beyond = np.count_nonzero(np.abs(x) > 4)
    assert stats.poisson.cdf(beyond, x.size * 2 * stats.norm.sf(4)) > 1e-3
    # Neighbours in a row share a Box-Muller pair, in a column a key: neither may correlate.
    for shifted, kept in [(x[:, 1:], x[:, :-1]), (x[1:], x[:-1])]:
        assert abs(np.mean(shifted * kept)) < 5 / np.sqrt(kept.size)
        assert abs(np.mean((shifted**2 - 1) * (kept**2 - 1)) / 2) < 5 / np.sqrt(kept.size)


def test_a_gaussian_matrix_has_the_singular_values_of_one():
    x = _rng.random_normals(11, (2000, 500))
    s = np.linalg.svd(x, compute_uv=False) / np.sqrt(2000)
    assert abs(s[0] - 1.5) < 0.03
    assert abs(s[-1] - 0.5) < 0.03


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (1, 1)])
def test_empty_and_single_blocks(shape):
    assert _rng.random_normals(1, shape).shape == shape


def test_keys_give_different_matrices():
    one, two = (_rng.random_normals(key, (100, 100)) for key in (1, 2))
    assert abs(np.mean(one * two)) < 0.05
