"""Centred and weighted matrices, and the decomposition from one pass."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

import eigenflow as ef
from reference import lowrank as truth

DTYPES = [np.float32, np.complex128]
SHAPES = [(420, 300), (300, 420)]
WAYS = ["array", "F", "mapped", "swapped", "sparse", "operator"]


def model(shape=(420, 300), dtype=np.float64, spectrum="harmonic"):
    A = truth.with_spectrum(shape, truth.decay(spectrum, min(shape)), seed=6, dtype=dtype)
    return A + np.linspace(-0.1, 0.3, shape[1]).astype(A.real.dtype)


def weighted(A, center, rows=None, columns=None):
    """What is decomposed, formed in double precision."""
    A = truth.wide(A)
    rows = np.ones(A.shape[0]) if rows is None else rows
    columns = np.ones(A.shape[1]) if columns is None else columns
    mean = rows @ A / rows.sum() if center else np.zeros(A.shape[1])
    return np.sqrt(rows)[:, None] * (A - mean) * np.sqrt(columns), mean


def operand(way, A, tmp_path):
    if way in ("mapped", "swapped"):
        dtype = A.dtype if way == "mapped" else A.dtype.newbyteorder()
        held = np.memmap(tmp_path / "a", dtype, "w+", shape=A.shape)
        held[...] = A
        return held
    make = {"F": np.asfortranarray, "sparse": sp.csr_array, "operator": aslinearoperator}
    return make.get(way, np.asarray)(A)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("center", "weighing"), [(True, False), (False, True), (True, True)])
def test_the_weighted_matrix_is_decomposed(center, weighing, way, shape, dtype, tmp_path):
    A = model(shape, dtype)
    rng = np.random.default_rng(0)
    rows, columns = (rng.uniform(0.1, 2, n) if weighing else None for n in shape)
    got = ef.lowrank.svd(
        operand(way, A, tmp_path),
        8,
        center=center,
        row_weights=rows,
        column_weights=columns,
        rng=0,
    )
    B, mean = weighted(A, center, rows, columns)
    true, best = truth.distance(B, *got), truth.best_error(B, 8)
    assert true <= 1.01 * best + 1e-4 * (dtype in (np.float32, np.complex64))
    assert 0.5 <= got.error / true <= 2
    if way != "operator":
        assert got.error_kind == "tail-energy"
        assert got.error == pytest.approx(true, rel=1e-2)
    if center:
        np.testing.assert_allclose(got.mean, mean, atol=2e-6 if got.s.dtype == "f4" else 1e-13)
    else:
        assert got.mean is None


def test_principal_components_are_those_of_the_covariance():
    A = model()
    got = ef.lowrank.svd(A, 5, center=True, rng=0)
    values = np.linalg.eigvalsh(np.cov(A.T))[::-1][:5]
    np.testing.assert_allclose(got.s**2 / (len(A) - 1), values, rtol=1e-5)


@pytest.mark.parametrize("way", ["array", "sparse"])
def test_a_mean_far_above_the_deviations(way, tmp_path):
    rng = np.random.default_rng(1)
    A = (1e3 + truth.with_spectrum((420, 300), 1 / np.arange(1.0, 31))).astype(np.float32)
    B, _ = weighted(A, True)
    got = ef.lowrank.svd(operand(way, A, tmp_path), 4, center=True, rng=rng)
    want = np.linalg.svd(B)[1][:4]
    # An array is centred before it is rounded; a rank-one update rounds at the size of the mean.
    np.testing.assert_allclose(got.s, want, rtol=1e-5 if way == "array" else 0.05)
    assert got.error == pytest.approx(np.sqrt(max(0, (B**2).sum() - (got.s**2).sum())), rel=0.05)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
@pytest.mark.parametrize("way", ["array", "sparse"])
def test_scales(way, scale, tmp_path):
    A = model()
    want = ef.lowrank.svd(A, 4, center=True, rng=0)
    got = ef.lowrank.svd(operand(way, A * scale, tmp_path), 4, center=True, rng=0)
    np.testing.assert_allclose(got.s / scale, want.s, rtol=1e-8)
    np.testing.assert_allclose(got.mean / scale, want.mean, atol=1e-13)


def test_zero_weights_leave_rows_out():
    A = model()
    rows = np.repeat([1.0, 0.0], [400, 20])
    got = ef.lowrank.svd(A, 4, center=True, row_weights=rows, rng=0)
    want = ef.lowrank.svd(A[:400], 4, center=True, rng=0)
    np.testing.assert_allclose(got.s, want.s, rtol=1e-8)
    assert np.abs(got.U[400:]).max() < 1e-12


def test_equal_rows_and_empty_matrices():
    equal = ef.lowrank.svd(np.tile([1.0, 2.0, 3.0], (5, 1)), 1, center=True)
    np.testing.assert_allclose((equal.s[0], equal.error), 0, atol=1e-14)
    assert ef.lowrank.svd(np.zeros((0, 3)), center=True).rank == 0
    assert ef.lowrank.svd(sp.csr_array((4, 3)), 1, center=True).error == 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"row_weights": np.ones(3)}, ValueError, r"^row_weights: got 3 weights, want 420"),
        ({"column_weights": -np.ones(300)}, ValueError, r"^column_weights: got -1.0 at position 0"),
        ({"row_weights": np.zeros(420)}, ValueError, r"^row_weights: got zeros only"),
        ({"row_weights": np.full(420, np.nan)}, ValueError, r"^row_weights: got nan"),
        ({"column_weights": 1j * np.ones(300)}, TypeError, r"^column_weights: got dtype"),
        ({"passes": 2}, ValueError, r"^passes: got 2, want 1 or None"),
        ({"passes": 1.5}, TypeError, r"^passes: got 1.5"),
        ({"passes": 1, "rtol": 0.1}, ValueError, r"^passes: got 1, which wants a rank"),
        ({"passes": 1, "norm": "spectral"}, ValueError, r"^passes: got 1, which wants a rank"),
        ({"passes": 1, "power_iterations": 0}, ValueError, r"^passes: got 1, which wants"),
    ],
)
def test_refusals(options, error, message):
    with pytest.raises(error, match=message):
        ef.lowrank.svd(model(), 3, **options)
    bad = model()
    bad[5, 6] = np.nan
    with pytest.raises(ValueError, match=r"^A: got nan at position \(5, 6\)"):
        ef.lowrank.svd(bad, 3, center=True)


# ---- one pass


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", ["array", "mapped", "swapped", "sparse", "operator"])
@pytest.mark.parametrize("spectrum", ["root", "harmonic", "exponential"])
def test_one_pass(spectrum, way, shape, dtype, tmp_path):
    A = truth.with_spectrum(shape, truth.decay(spectrum, min(shape)), seed=6, dtype=dtype)
    got = ef.lowrank.svd(operand(way, A, tmp_path), 10, passes=1, rng=0)
    assert (got.method, got.error_kind, got.rank) == ("one-pass", "hold-out", 10)
    # Files in rows are read once; SciPy's products and a wide file that is converted, twice.
    twice = way in ("sparse", "operator")
    assert got.passes == (2 if twice else 1)
    assert got.U.dtype == got.Vh.dtype == dtype
    true = truth.distance(A, *got)
    assert 0.5 <= got.error / true <= 3
    assert got.relative_error == pytest.approx(true / np.linalg.norm(A), rel=0.7)
    assert true <= 2.2 * truth.best_error(A, 10)
    assert np.isnan(got.residuals).all()
    eps = np.finfo(dtype).eps
    assert np.abs(got.U.conj().T @ got.U - np.eye(10)).max() <= 60 * eps
    assert np.abs(got.Vh @ got.Vh.conj().T - np.eye(10)).max() <= 60 * eps


def test_one_pass_is_exact_for_matrices_of_low_rank():
    A = truth.with_spectrum((200, 150), [3.0, 2.0, 1.0])
    got = ef.lowrank.svd(A, 5, passes=1, rng=0)
    np.testing.assert_allclose(got.s, [3, 2, 1, 0, 0], atol=1e-11)
    assert got.error < 1e-11
    zero = ef.lowrank.svd(aslinearoperator(np.zeros((50, 30))), 2, passes=1)
    assert (zero.s.tolist(), zero.error) == ([0, 0], 0)
    assert ef.lowrank.svd(np.zeros((0, 3)), 0, passes=1).rank == 0
    np.testing.assert_allclose(
        ef.lowrank.svd(A[:6, :5], 5, passes=1).s, np.linalg.svd(A[:6, :5])[1], atol=1e-10
    )


def test_one_pass_refuses_bad_entries_of_a_file(tmp_path):
    A = model()
    A[3, 4] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        ef.lowrank.svd(operand("mapped", A, tmp_path), 3, passes=1)


def test_one_pass_goes_with_centring():
    A = model()
    got = ef.lowrank.svd(A, 10, passes=1, center=True, rng=0)
    B, _ = weighted(A, True)
    assert truth.distance(B, *got) <= 2.2 * truth.best_error(B, 10)
