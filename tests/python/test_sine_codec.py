"""Factors of few bits against exact k-means, and products that decode them on the way."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eigenflow as ef
from eigenflow._core import sine as _core
from reference import kmeans

DRAWS = {
    "uniform": lambda rng: rng.uniform(-1, 1, (20, 3)),
    "normal": lambda rng: rng.normal(size=(20, 3)),
    "two groups": lambda rng: rng.choice([-1.0, 3.0], (20, 3)) + 0.1 * rng.normal(size=(20, 3)),
    "heavy tails": lambda rng: rng.standard_t(2, (20, 3)),
}


@pytest.mark.parametrize("bits", [1, 2, 3])
@pytest.mark.parametrize("name", DRAWS)
def test_the_best_table(name, bits):
    values = DRAWS[name](np.random.default_rng(bits))
    found = ef.sine.quantize(values, bits)
    loss = ((found.toarray() - values) ** 2).sum()
    best = kmeans.best_loss(values, 2**bits)
    assert loss == pytest.approx(best, rel=1e-5)


def test_hundreds_of_values_come_near_the_best_table():
    values = np.random.default_rng(5).standard_t(2, (100, 8))
    loss = ((ef.sine.quantize(values, 4).toarray() - values) ** 2).sum()
    assert loss <= 1.02 * kmeans.best_loss(values, 16)


def test_large_factors_come_near_what_theory_allows():
    rng = np.random.default_rng(0)
    # Mean square error of the best 2^b values: uniform is 4^-b, Gauss is Lloyd's and Max's table.
    for bits, gauss in zip(range(1, 6), (0.3634, 0.1175, 0.03454, 0.009497, 0.002499), strict=True):
        uniform = rng.uniform(-1, 1, (5000, 8))
        loss = np.mean((ef.sine.quantize(uniform, bits).toarray() - uniform) ** 2) / np.mean(
            uniform**2
        )
        assert loss == pytest.approx(0.25**bits, rel=0.03)
        normal = rng.normal(size=(5000, 8))
        loss = np.mean((ef.sine.quantize(normal, bits).toarray() - normal) ** 2)
        assert loss == pytest.approx(gauss, rel=0.06)


@given(st.integers(1, 5), st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_any_shape(bits, m, k, seed):
    values = np.random.default_rng(seed).normal(size=(m, k)) * 10.0 ** (seed % 60 - 30)
    factor = ef.sine.quantize(values, bits)
    assert factor.nbytes == -(-m * k * bits // 8) + 4 * 2**bits
    back = factor.toarray()
    assert back.shape == (m, k)
    assert np.all(np.diff(factor.table) >= 0)
    nearest = factor.table[np.abs(values.ravel()[:, None] - factor.table).argmin(1)]
    tolerance = 1e-6 * np.abs(values).max(initial=0)
    distance = np.abs(back.ravel() - values.ravel())
    assert np.all(distance <= np.abs(nearest - values.ravel()) + tolerance)
    again = ef.sine.quantize(back, bits)
    np.testing.assert_array_equal(again.toarray(), back)


def test_few_different_values_are_kept():
    values = np.array([[3.0, -1.0], [0.5, 3.0]])
    np.testing.assert_array_equal(ef.sine.quantize(values, 2).toarray(), values)
    values = values.astype(np.float32).T[::-1]
    np.testing.assert_array_equal(ef.sine.quantize(values, 2).toarray(), values)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("m", "n", "k"), [(70, 90, 3), (1, 1, 1), (300, 5, 17), (33, 400, 600)])
def test_products_are_those_of_the_decoded_factors(m, n, k, bits):
    rng = np.random.default_rng(0)
    U, V = (ef.sine.quantize(rng.normal(size=(r, k)) / k, bits) for r in (m, n))
    op = ef.sine.QuantizedSine(U, V, 7.0, workers=2)
    plain = op.decoded()
    assert plain.gain == op.gain == n**0.5
    for dtype in (np.float32, np.float64):
        X, Y = (rng.normal(size=(r, 4)).astype(dtype) for r in (n, m))
        np.testing.assert_array_equal(op @ X, plain @ X)
        np.testing.assert_array_equal(op.rmatmat(Y), plain.rmatmat(Y))
        np.testing.assert_array_equal(op @ X[:, 0], plain @ X[:, 0])


def test_empty_operators():
    empty, some = (ef.sine.quantize(np.zeros((r, 2)), 3) for r in (0, 4))
    assert (ef.sine.QuantizedSine(empty, some, 1.0) @ np.ones(4)).shape == (0,)
    np.testing.assert_array_equal(ef.sine.QuantizedSine(some, empty, 1.0) @ np.ones(0), np.zeros(4))


def test_bad_input():
    good = ef.sine.quantize(np.ones((3, 2)), 2)
    for bits, error in ((0, ValueError), (6, ValueError), (2.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match=f"bits: got {bits}"):
            ef.sine.quantize(np.ones((2, 2)), bits)
    with pytest.raises(ValueError, match="factor: "):
        ef.sine.quantize([[1.0, np.nan]], 2)
    with pytest.raises(ValueError, match=r"factor: got values up to 1e\+60"):
        ef.sine.quantize([[1e60]], 2)
    with pytest.raises(TypeError, match="V: got ndarray"):
        ef.sine.QuantizedSine(good, np.ones((3, 2)), 1.0)
    with pytest.raises(ValueError, match="V: got 1 columns, want 2"):
        ef.sine.QuantizedSine(good, ef.sine.quantize(np.ones((3, 1)), 2), 1.0)
    op = ef.sine.QuantizedSine(good, good, 1.0)
    with pytest.raises(ValueError, match=r"X: got shape \(4,\), want 3 rows"):
        op @ np.ones(4)
    with pytest.raises(ValueError, match="gain: got 0"):
        ef.sine.QuantizedSine(good, good, 1.0, gain=0.0)
    with pytest.raises(ValueError, match="omega: got nan"):
        ef.sine.QuantizedSine(good, good, float("nan"))


LIES = [
    ({"bits": 6}, "bits: got 6, want 1 to 5"),
    ({"shape": (3,)}, "shape: got (3,), want two integers"),
    ({"shape": (3, 2, 1)}, "shape: got (3, 2, 1), want two integers"),
    ({"shape": (3, -2)}, "shape: got (3, -2), want two integers"),
    ({"shape": (3, 2.0)}, "shape: got (3, 2.0), want two integers"),
    ({"shape": (6, True)}, "shape: got (6, True), want two integers"),
    ({"shape": (3, 3)}, "codes: got uint8 of shape (2,), want uint8 of shape (3,)"),
    ({"codes": np.zeros(2, np.int8)}, "codes: got int8 of shape (2,), want uint8"),
    ({"codes": np.zeros((2, 1), np.uint8)}, "codes: got uint8 of shape (2, 1), want uint8"),
    ({"codes": np.zeros(3, np.uint8)}, "codes: got uint8 of shape (3,), want uint8 of shape (2,)"),
    ({"table": np.zeros(4)}, "table: got float64 of shape (4,), want float32 of shape (4,)"),
    ({"table": np.zeros(3, np.float32)}, "table: got float32 of shape (3,), want float32"),
    ({"table": np.array([0, 1, 2, np.inf], np.float32)}, "table: got NaN or infinity"),
]


@pytest.mark.parametrize(("lie", "message"), LIES)
def test_parts_that_do_not_fit_together_are_refused(lie, message):
    parts = {
        "codes": np.zeros(2, np.uint8),
        "table": np.zeros(4, np.float32),
        "shape": (3, 2),
        "bits": 2,
    }
    assert ef.sine.QuantizedFactor(**parts).toarray().shape == (3, 2)
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        ef.sine.QuantizedFactor(**{**parts, **lie})


def test_the_kernel_refuses_too_few_codes():
    codes, table = np.zeros(1, np.uint8), np.zeros(4, np.float32)
    packed = (codes, table, 3, 2, 2)
    with pytest.raises(ValueError, match="too few codes"):
        _core.apply_packed(packed, packed, np.ones((3, 1)), np.ones((3, 1)), 1.0, 1.0, False, 1)
