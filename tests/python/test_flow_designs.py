"""Orthogonal designs: held to their dense matrices, whose entries are the basis functions."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eigenflow as ef

flow = ef.flow
EPS = np.finfo(float).eps
ANYWHERE = [flow.CosineDesign, flow.FourierDesign, flow.HaarDesign]
SHAPES = [1, 2, 3, 5, 8, 13, 64, (1, 1), (4, 6), (5, 1, 3)]
DESIGNS = [cls(shape) for cls in ANYWHERE for shape in SHAPES] + [
    flow.WaveletDesign(2, "haar"),
    flow.WaveletDesign(40),
    flow.WaveletDesign((8, 12), wavelet="db2"),
    flow.WaveletDesign((16, 16), "sym5", level=3),
    flow.WaveletDesign((2, 4, 6), "coif1"),
]


def dense(design):
    """E column by column."""
    return design.synthesis(np.eye(design.n_features)).T


@pytest.mark.parametrize("design", DESIGNS, ids=repr)
def test_columns_are_orthogonal(design):
    n = design.n_samples
    gram = dense(design).T @ dense(design) / n
    # PyWavelets' filters are orthogonal to about 1e-12 only.
    limit = 1e-10 if isinstance(design, flow.WaveletDesign) else 20 * EPS
    np.testing.assert_allclose(gram, np.eye(n), atol=limit)


@pytest.mark.parametrize("design", DESIGNS, ids=repr)
def test_analysis_is_the_adjoint_over_n_and_the_inverse(design):
    rng = np.random.default_rng(0)
    y, theta = rng.normal(size=(2, design.n_samples))
    np.testing.assert_allclose(
        design.analysis(y), dense(design).T @ y / y.size, atol=2e-15 * np.linalg.norm(y)
    )
    np.testing.assert_allclose(design.synthesis(design.analysis(y)), y, atol=1e-10)
    left, right = y @ design.synthesis(theta), y.size * design.analysis(y) @ theta
    assert left == pytest.approx(right, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("cls", ANYWHERE)
@pytest.mark.parametrize("shape", SHAPES)
def test_features_on_the_grid_are_the_matrix(cls, shape):
    design = cls(shape)
    assert design.points.shape == (design.n_samples, len(design.shape))
    np.testing.assert_allclose(design.features(design.points), dense(design), atol=1e-12)


@pytest.mark.parametrize("cls", ANYWHERE)
def test_features_of_some_columns_at_any_points(cls):
    design = cls((6, 7))
    x = np.random.default_rng(1).random((20, 2))
    x[:4] = [[0, 0], [1, 1], [0, 1], [0.5, 0.5]]
    every = design.features(x)
    assert every.shape == (20, 42)
    np.testing.assert_array_equal(design.features(x, [40, 3, 3]), every[:, [40, 3, 3]])
    assert design.features(x, []).shape == (20, 0)
    assert design.features(np.empty((0, 2))).shape == (0, 42)


def test_cosines_and_fourier_are_what_their_names_say():
    x = np.random.default_rng(2).random(9)
    m = flow.CosineDesign(6).frequencies.ravel()
    want = np.where(m > 0, np.sqrt(2), 1) * np.cos(np.pi * np.outer(x, m))
    np.testing.assert_allclose(flow.CosineDesign(6).features(x), want, atol=1e-14)
    for n in (5, 6):
        m = flow.FourierDesign(n).frequencies.ravel()
        assert m.tolist() == [0, 1, -1, 2, -2, 3][:n]
        angle = 2 * np.pi * np.outer(x, np.abs(m))
        size = np.where(m == 0, 1, np.where((n == 6) & (m == 3), 1, np.sqrt(2)))
        want = size * np.where(m >= 0, np.cos(angle), np.sin(angle))
        np.testing.assert_allclose(flow.FourierDesign(n).features(x), want, atol=1e-14)


def test_haar_of_a_power_of_two_and_of_a_cut_interval():
    r = np.sqrt(2)
    want = [[1, 1, r, 0], [1, 1, -r, 0], [1, -1, 0, r], [1, -1, 0, -r]]
    np.testing.assert_allclose(dense(flow.HaarDesign(4)), want, atol=1e-15)
    three = dense(flow.HaarDesign(3))
    np.testing.assert_allclose(three[:, 1], [np.sqrt(0.5), np.sqrt(0.5), -r], atol=1e-15)
    assert flow.HaarDesign(5).frequencies.ravel().tolist() == [0, 1, 2, 4, 4]


def test_wavelet_scales_and_the_haar_wavelet():
    design = flow.WaveletDesign(8, "haar")
    assert design.level == 3
    assert design.frequencies.ravel().tolist() == [0, 1, 2, 2, 4, 4, 4, 4]
    np.testing.assert_allclose(np.abs(dense(design)), np.abs(dense(flow.HaarDesign(8))), atol=1e-14)
    plane = flow.WaveletDesign((4, 8), "haar", level=1).frequencies.reshape(4, 8, 2)
    assert plane[0, 0].tolist() == [0, 0]
    assert plane[0, 5].tolist() == [0, 4]
    assert plane[3, 0].tolist() == [2, 0]
    assert plane[3, 7].tolist() == [2, 4]


@pytest.mark.parametrize("design", [flow.CosineDesign((3, 4)), flow.WaveletDesign((6, 4), "db2")])
def test_sobolev_eigenvalues(design):
    m = design.frequencies
    want = [(1 + sum(int(k) ** 2 for k in row)) ** -1.5 for row in m]
    np.testing.assert_allclose(design.sobolev_eigenvalues(1.5), want, rtol=1e-15)
    assert design.sobolev_eigenvalues(1)[0] == 1


@pytest.mark.parametrize("design", DESIGNS, ids=repr)
def test_batches_grids_dtypes_and_strides(design):
    rng = np.random.default_rng(3)
    flat = rng.normal(size=(2, 3, design.n_samples))
    grid = flat.reshape(2, 3, *design.shape)
    got = design.analysis(flat)
    assert got.shape == flat.shape
    np.testing.assert_array_equal(design.analysis(grid), got.reshape(grid.shape))
    np.testing.assert_allclose(got[1, 2], design.analysis(flat[1, 2]), atol=1e-15)
    y = flat.astype(np.float32)
    assert design.analysis(y).dtype == np.float32
    np.testing.assert_allclose(design.analysis(y), got, atol=3e-6)
    assert design.synthesis(y).dtype == np.float32
    odd = np.asfortranarray(flat)
    odd.flags.writeable = False
    np.testing.assert_allclose(design.analysis(odd), got, atol=1e-15)
    reversed_ = np.ascontiguousarray(flat[..., ::-1])[..., ::-1]
    np.testing.assert_allclose(design.analysis(reversed_), got, atol=1e-15)
    assert design.analysis(flat[:0]).shape == (0, 3, design.n_samples)
    np.testing.assert_array_equal(design.analysis(flat, workers=2), got)


@given(st.integers(1, 40), st.integers(0, 2), st.integers(0, 1000))
def test_energy_is_kept_at_any_size(n, which, seed):
    y = np.random.default_rng(seed).normal(size=n) * 10.0 ** np.arange(n).clip(0, 12)
    theta = ANYWHERE[which](n).analysis(y)
    assert np.linalg.norm(theta) == pytest.approx(np.linalg.norm(y) / np.sqrt(n), rel=1e-13)


def test_wrong_arguments_are_named():
    design = flow.CosineDesign((3, 4))
    for call, error, text in [
        (lambda: flow.CosineDesign(0), ValueError, "shape: got 0"),
        (lambda: flow.HaarDesign(()), ValueError, "shape: got"),
        (lambda: flow.FourierDesign(2.5), TypeError, "shape: got 2.5"),
        (lambda: flow.FourierDesign((2, "3")), TypeError, "shape: got"),
        (lambda: design.analysis(np.ones(11)), ValueError, "y: got shape (11,)"),
        (lambda: design.analysis(np.full(12, np.nan)), ValueError, "y: got nan"),
        (lambda: design.synthesis(1.0), ValueError, "theta: got shape ()"),
        (lambda: design.features([0.5]), ValueError, "x: got shape (1,)"),
        (lambda: design.features([[0.5, 1.5]]), ValueError, "x: got 1.5 at position (0, 1)"),
        (lambda: design.features([[0.5, 1]], [12]), ValueError, "columns: got 12"),
        (lambda: design.features([[0.5, 1]], [0.5]), TypeError, "columns: got"),
        (lambda: design.sobolev_eigenvalues(-1), ValueError, "smoothness: got -1"),
        (lambda: flow.WaveletDesign(7), ValueError, "shape: got (7,)"),
        (lambda: flow.WaveletDesign(8, "bior2.2"), ValueError, "wavelet: got 'bior2.2'"),
        (lambda: flow.WaveletDesign(8, "none"), ValueError, "wavelet: got 'none'"),
        (lambda: flow.WaveletDesign(12, level=3), ValueError, "level: got 3"),
    ]:
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value).startswith(text)


def test_without_pywavelets_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pywt", None)
    with pytest.raises(ImportError, match=r"eigenflow\[wavelets\]"):
        flow.WaveletDesign(8)
