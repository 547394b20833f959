"""svd of CuPy arrays: the namespace driver is held to the C++ driver, and to the truth."""

import numpy as np
import pytest

import eigenflow as ef
from eigenflow._gpu.lowrank import Device
from eigenflow._rng import random_normals
from reference import lowrank as truth

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]
SHAPES = [(420, 300), (300, 420)]
SPECTRA = ["root", "harmonic", "exponential", "step"]
# Engine: power_iterations, rank, method.
ENGINES = [(None, 6, "krylov"), (0, 6, "subspace"), (2, 6, "subspace"), (None, 110, "exact")]


def model(spectrum, shape=(420, 300), dtype=np.float64):
    return truth.with_spectrum(shape, truth.decay(spectrum, min(shape)), seed=8, dtype=dtype)


def eps(A):
    return float(np.finfo(A.dtype).eps)


def on_host(cupy, result, A):
    """U, s, Vh as NumPy arrays; checks what holds for every result."""
    arrays = (result.U, result.s, result.Vh, result.residuals)
    assert all(isinstance(x, cupy.ndarray) for x in arrays)
    U, s, Vh, residuals = (x.get() for x in arrays)
    k, (m, n) = result.rank, A.shape
    assert (U.shape, s.shape, Vh.shape, residuals.shape) == ((m, k), (k,), (k, n), (k,))
    assert U.dtype == Vh.dtype == A.dtype
    assert s.dtype == residuals.dtype == A.real.dtype
    assert (np.diff(s) <= 0).all()
    for Q in (truth.wide(U), truth.wide(Vh).conj().T):
        off = np.abs(Q.conj().T @ Q - np.eye(k)).max(initial=0.0)
        assert off <= 20 * eps(A) * np.sqrt(max(1, k))
    for v in Vh:
        assert v[np.argmax(np.abs(v))].real > 0
    true, rounding = truth.distance(A, U, s, Vh), 30 * eps(A) * np.linalg.norm(truth.wide(A))
    if true > rounding:
        assert 0.5 <= result.error / true <= 3
    else:
        assert result.error <= 3 * rounding
    return U, s, Vh, residuals


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_sketch_is_that_of_the_host(cupy, dtype):
    drawn = Device().normals(7, 13, 2**40 + 3, 9, dtype).get()
    if np.dtype(dtype).kind == "c":
        real = drawn.real.dtype
        pairs = random_normals(7, (13, 18), real, first_col=2 * (2**40 + 3))
        want = (pairs * real.type(np.sqrt(0.5))).view(dtype)
    else:
        want = random_normals(7, (13, 9), dtype, first_col=2**40 + 3)
    np.testing.assert_allclose(drawn, want, rtol=4 * eps(drawn), atol=1e-30)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize(("steps", "rank", "method"), ENGINES)
def test_by_rank_as_on_the_host(cupy, steps, rank, method, spectrum, shape, dtype):
    A = model(spectrum, shape, dtype)
    device = ef.lowrank.svd(cupy.asarray(A), rank, power_iterations=steps, rng=1)
    host = ef.lowrank.svd(A, rank, power_iterations=steps, rng=1)
    _, s, _, residuals = on_host(cupy, device, A)
    assert device.method == host.method == method
    rounding = 50 * eps(A) * float(host.s[0])
    # The same sketch and the same steps: what differs is rounding, and where Krylov stops.
    np.testing.assert_allclose(s, host.s, rtol=1e-5 if steps is None else 1e-6, atol=rounding)
    assert device.error == pytest.approx(host.error, rel=1e-4, abs=100 * rounding)
    if steps is not None or method == "exact":
        atol = 300 * eps(A) * np.linalg.norm(truth.wide(A)) + 1e-3 * host.residuals.max()
        np.testing.assert_allclose(residuals, host.residuals, rtol=1e-2, atol=atol)
    if device.error_kind == host.error_kind == "tail-energy":
        assert device.failure_probability == host.failure_probability == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("steps", [None, 1])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("spectrum", "rtol"), [("harmonic", 0.3), ("exponential", 0.4)])
def test_by_tolerance_as_on_the_host(cupy, spectrum, rtol, shape, steps, dtype):
    A = model(spectrum, shape, dtype)
    device = ef.lowrank.svd(cupy.asarray(A), rtol=rtol, power_iterations=steps, rng=1)
    host = ef.lowrank.svd(A, rtol=rtol, power_iterations=steps, rng=1)
    U, s, Vh, _ = on_host(cupy, device, A)
    assert device.rank == host.rank
    assert truth.distance(A, U, s, Vh) <= rtol * np.linalg.norm(A) * (1 + 1e-5)
    capped = ef.lowrank.svd(cupy.asarray(A), 2, rtol=rtol, power_iterations=steps, rng=1)
    assert capped.rank == 2


def test_small_tolerances_and_low_rank(cupy):
    A = truth.with_spectrum((420, 300), np.array([3.0, 2, 1]), seed=1)
    for options in ({"rank": 3}, {"rank": 8}, {"rtol": 1e-6}, {"rtol": 1e-12}):
        result = ef.lowrank.svd(cupy.asarray(A), rng=0, **options)
        _, s, _, _ = on_host(cupy, result, A)
        np.testing.assert_allclose(s[:3], [3, 2, 1], rtol=1e-12)
        assert np.abs(s[3:]).max(initial=0.0) < 1e-13
    B = model("exponential")
    result = ef.lowrank.svd(cupy.asarray(B), rtol=1e-9, rng=0)
    assert result.rank == truth.best_rank(B, 1e-9 * np.linalg.norm(B))


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
@pytest.mark.parametrize("rank", [6, 110])
def test_extreme_scales(cupy, scale, rank):
    A = model("harmonic")
    plain = ef.lowrank.svd(cupy.asarray(A), rank, rng=1)
    scaled = ef.lowrank.svd(cupy.asarray(A * scale), rank, rng=1)
    np.testing.assert_allclose(scaled.s.get() / scale, plain.s.get(), rtol=1e-9)
    assert scaled.relative_error == pytest.approx(plain.relative_error, rel=1e-6)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (1, 1), (1, 5), (5, 1), (250, 240)])
def test_zero_and_thin_matrices(cupy, shape):
    A = np.zeros(shape)
    for rank in (0, min(shape)):
        result = ef.lowrank.svd(cupy.asarray(A), rank)
        on_host(cupy, result, A)
        assert result.error == result.relative_error == 0
    A = np.arange(1.0, 1 + A.size).reshape(shape)
    result = ef.lowrank.svd(cupy.asarray(A))
    _, s, _, _ = on_host(cupy, result, A)
    np.testing.assert_allclose(s, np.linalg.svd(A, compute_uv=False), atol=1e-8)
    assert ef.lowrank.svd(cupy.asarray(A), rtol=1.0).rank == 0


def test_integers_become_double_and_inputs_stay(cupy):
    A = np.arange(12).reshape(3, 4)
    given = cupy.asarray(A)
    result = ef.lowrank.svd(given, 2)
    assert result.U.dtype == np.float64
    assert (given.get() == A).all()


@pytest.mark.parametrize("condition", [1.0, 1e4, 1e8, 1e16])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bases_are_orthonormal_whatever_the_condition(cupy, condition, dtype):
    from eigenflow.lowrank.namespace.blocks import orthonormalise

    s = np.geomspace(1, 1 / condition, 20)
    Y = truth.with_spectrum((300, 20), s, seed=3, dtype=dtype)
    Y[:, 7] = 0 if condition == 1e16 else Y[:, 7]
    Q, R = orthonormalise(Device(), cupy.asarray(Y))
    wide = truth.wide(Q.get())
    assert np.abs(wide.conj().T @ wide - np.eye(20)).max() <= 30 * eps(Y)
    np.testing.assert_allclose(wide @ R, Y, rtol=0, atol=50 * eps(Y))


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("size", [1, 2, 7, 32, 130])
def test_factors_and_inertia_of_gram_matrices(size, dtype):
    from eigenflow.lowrank.namespace.blocks import count_above, triangle

    lengths = np.geomspace(1, 1e-9, size)
    Y = truth.with_spectrum((300, size), np.linspace(1, 2, size), seed=3, dtype=dtype) * lengths
    G = Y.conj().T @ Y
    found = triangle(G)
    np.testing.assert_array_equal(np.tril(found.R, -1), 0)
    scale = np.sqrt(np.diag(G).real)
    off = (found.R.conj().T @ found.R - G) / np.outer(scale, scale)
    assert np.abs(off).max() <= 1e-13
    np.testing.assert_allclose(found.R @ found.inverse, np.eye(size), rtol=0, atol=1e-11)
    ones = G / np.outer(scale, scale)
    values = np.linalg.eigvalsh(ones)
    for shift in (0.0, 1.0 + 1e-9, values[-1] * 1.01):
        assert count_above(ones, shift) == np.sum(values > shift)
    dependent = np.ones((size + 1, size + 1), dtype)
    for bad in (0 * G, np.full_like(G, np.nan), np.full_like(G, np.inf), dependent):
        assert triangle(bad) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_the_basis_stays_orthonormal_over_many_sweeps(cupy, dtype):
    """Each block loses by what the basis has lost before it, unless that is taken out in time."""
    from eigenflow.lowrank.namespace.blocks import Sides
    from eigenflow.lowrank.namespace.krylov import ImageKrylov, Target

    A = truth.with_spectrum((500, 450), np.arange(1.0, 451) ** -0.2, seed=4, dtype=dtype)
    target = Target(40, -1.0, 10, float(np.linalg.norm(A)) ** 2, eps(A))
    basis = ImageKrylov(Sides(cupy.asarray(A), turned=False), target, Device(), 0, 8)
    for _ in range(20):
        basis._sweep()
    V = basis.V.get()
    assert V.shape == (450, 168)
    assert np.abs(V.conj().T @ V - np.eye(168)).max() <= max(1e-14, 1e-2 * eps(A))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"passes": 1, "rtol": 0.1}, "passes: got 1, which wants a rank and the Frobenius norm"),
        ({"row_weights": [1, -1, 1]}, "row_weights: got -1.0 at position 1"),
        ({"norm": "nuclear"}, "norm: got 'nuclear', want 'fro' or 'spectral'"),
        ({"rtol": 1e-30, "rank": None}, "rtol: got 1e-30, want at least"),
        ({"rank": 4}, "rank: got 4, want 0 to 3"),
    ],
)
def test_what_is_refused(cupy, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        ef.lowrank.svd(cupy.asarray(np.eye(3)), **{"rank": 1, **options})


def spectral_distance(A, result):
    U, s, Vh = (x.get() for x in result)
    return np.linalg.norm(truth.wide(A) - (truth.wide(U) * s) @ truth.wide(Vh), 2)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("center", "weighing"), [(True, False), (False, True), (True, True)])
def test_centred_and_weighted_as_on_the_host(cupy, center, weighing, shape, dtype):
    A = model("harmonic", shape, dtype) + np.linspace(-1e-3, 3e-3, shape[1])
    given, rng = A.astype(dtype), np.random.default_rng(0)
    weights = [rng.uniform(0.1, 2, n) if weighing else None for n in shape]
    for rank in (6, 110):
        options = {"row_weights": weights[0], "column_weights": weights[1], "center": center}
        host = ef.lowrank.svd(given, rank, rng=0, **options)
        if weighing:
            options["row_weights"] = cupy.asarray(weights[0])
        device = ef.lowrank.svd(cupy.asarray(given), rank, rng=0, **options)
        assert device.method == host.method
        np.testing.assert_allclose(device.s.get(), host.s, rtol=1e-4, atol=50 * eps(given))
        assert device.error == pytest.approx(host.error, rel=1e-3)
        if center:
            assert isinstance(device.mean, cupy.ndarray)
            np.testing.assert_allclose(device.mean.get(), host.mean, rtol=0, atol=1e-12)
        else:
            assert device.mean is None


def test_a_mean_far_above_the_deviations(cupy):
    A = (1e3 + truth.with_spectrum((420, 300), 1 / np.arange(1.0, 31))).astype(np.float32)
    wide = A.astype(np.float64)
    values = np.linalg.svd(wide - wide.mean(axis=0), compute_uv=False)
    got = ef.lowrank.svd(cupy.asarray(A), 5, center=True, rng=0)
    np.testing.assert_allclose(got.s.get(), values[:5], rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spectrum", ["harmonic", "exponential"])
def test_one_pass_as_on_the_host(cupy, spectrum, shape, dtype):
    A = model(spectrum, shape, dtype)
    host = ef.lowrank.svd(A, 6, passes=1, rng=3)
    device = ef.lowrank.svd(cupy.asarray(A), 6, passes=1, rng=3)
    assert (device.method, device.error_kind, device.passes) == ("one-pass", "hold-out", 2)
    assert device.failure_probability == host.failure_probability > 0
    assert np.isnan(device.residuals.get()).all()
    np.testing.assert_allclose(device.s.get(), host.s, rtol=1e-3 if eps(A) > 1e-10 else 1e-9)
    assert device.error == pytest.approx(host.error, rel=1e-3)
    U, s, Vh = (x.get() for x in device)
    assert 0.5 <= device.error / truth.distance(A, U, s, Vh) <= 3


def test_one_pass_over_a_matrix_of_low_rank_and_over_nothing(cupy):
    A = truth.with_spectrum((420, 300), np.array([3.0, 2, 1]), seed=1)
    got = ef.lowrank.svd(cupy.asarray(A), 5, passes=1, rng=0)
    np.testing.assert_allclose(got.s.get()[:3], [3, 2, 1], rtol=1e-10)
    assert got.error < 1e-12
    assert ef.lowrank.svd(cupy.asarray(0 * A), 2, passes=1).error == 0


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("steps", "rank", "method"), ENGINES)
def test_spectral_error_by_rank(cupy, steps, rank, method, shape, dtype):
    A = model("harmonic", shape, dtype)
    options = {"norm": "spectral", "power_iterations": steps, "rng": 1}
    host = ef.lowrank.svd(A, rank, **options)
    device = ef.lowrank.svd(cupy.asarray(A), rank, **options)
    assert (device.method, device.error_kind) == (method, host.error_kind)
    assert device.failure_probability == host.failure_probability
    assert device.error == pytest.approx(host.error, rel=1e-2)
    assert device.relative_error == pytest.approx(host.relative_error, rel=1e-2)
    assert spectral_distance(A, device) <= device.error * (1 + 100 * eps(A)) + 30 * eps(A)


@pytest.mark.parametrize("dtype", [np.float32, np.complex128])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steps", [None, 2])
@pytest.mark.parametrize(
    ("spectrum", "limit"),
    [
        ("harmonic", {"rtol": 0.15}),
        ("harmonic", {"atol": 0.09}),
        ("exponential", {"rtol": 0.5}),
        ("exponential", {"rtol": 0.1}),
    ],
)
def test_spectral_error_by_tolerance(cupy, spectrum, limit, steps, shape, dtype):
    A = model(spectrum, shape, dtype)
    options = {"norm": "spectral", "power_iterations": steps, "rng": 1, **limit}
    host = ef.lowrank.svd(A, **options)
    device = ef.lowrank.svd(cupy.asarray(A), **options)
    assert (device.rank, device.method) == (host.rank, host.method)
    values = np.linalg.svd(truth.wide(A), compute_uv=False)
    allowed = limit.get("atol", limit.get("rtol", 0) * values[0])
    assert spectral_distance(A, device) <= min(device.error * (1 + 1e-5), allowed * (1 + 1e-5))
    assert device.error <= allowed * (1 + 1e-5)
    assert device.rank >= np.sum(values > allowed * (1 + 1e-5))
    capped = ef.lowrank.svd(cupy.asarray(A), 2, **options)
    assert capped.rank == 2


def test_bad_entries_are_named(cupy):
    A = np.ones((5, 4))
    A[2, 3] = np.nan
    with pytest.raises(ValueError, match=r"^A: got nan at position \(2, 3\)"):
        ef.lowrank.svd(cupy.asarray(A), 1)
    with pytest.raises(ValueError, match=r"^A: got NaN or infinity"):
        ef.lowrank.svd(cupy.asarray(A), 1, check_finite=False)
    with pytest.raises(ValueError, match=r"^A: got 1 dimensions"):
        ef.lowrank.svd(cupy.asarray(A[0]), 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranks_from_values_on_the_device(cupy, dtype):
    noise = np.random.default_rng(0).normal(size=(120, 90))
    A = (truth.with_spectrum((120, 90), np.array([90.0, 70, 60]), seed=2) + noise).astype(dtype)
    s = ef.lowrank.svd(cupy.asarray(A)).s
    for rule, options in (
        ("energy", {"share": 0.5}),
        ("fro", {"rtol": 0.7}),
        ("spectral", {"rtol": 0.4}),
        ("gavish-donoho", {}),
    ):
        assert ef.lowrank.select_rank(s, A.shape, rule, **options) == 3
    found = ef.lowrank.select_rank(s, A.shape, "parallel", A=cupy.asarray(A), rng=0)
    assert found == ef.lowrank.select_rank(s.get(), A.shape, "parallel", A=A, rng=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("max_rank", [None, 3])
@pytest.mark.parametrize("shape", [(60, 40), (24, 16, 3, 3)])
@pytest.mark.parametrize("conv", ["kernel-mean", "reshape"])
def test_perturb_as_on_the_host(cupy, conv, shape, max_rank, dtype):
    rng = np.random.default_rng(5)
    base, free = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    options = {"conv": conv, "max_rank": max_rank, "passes": 2, "rng": 0}
    host = ef.lowrank.perturb(base, free, **options)
    device = ef.lowrank.perturb(cupy.asarray(base), cupy.asarray(free), **options)
    rtol = 20 * eps(base) * 100
    for name in ("row_scale", "col_scale", "s"):
        value = getattr(device, name)
        assert isinstance(value, cupy.ndarray)
        assert value.dtype == dtype
        np.testing.assert_allclose(value.get(), getattr(host, name), rtol=rtol, atol=rtol)
    for name in ("residual_squared", "unreachable_squared", "error_squared"):
        slack = rtol * host.residual_squared  # the error is a difference of such
        assert getattr(device, name) == pytest.approx(getattr(host, name), rel=rtol, abs=slack)
    one = device.truncate(1)
    want = host.truncate(1).to_dense()
    assert one.n_parameters == host.truncate(1).n_parameters
    np.testing.assert_allclose(one.to_dense().get(), want, rtol=0, atol=rtol * 10)


def test_perturb_takes_one_kind_of_array(cupy):
    base = np.ones((3, 2))
    with pytest.raises(TypeError, match=r"^W_base \(cupy\), W_free \(numpy\): got arrays"):
        ef.lowrank.perturb(cupy.asarray(base), base)
    zeros = ef.lowrank.perturb(cupy.asarray(0 * base), cupy.asarray(0 * base))
    assert (zeros.row_scale.get() == 1).all()
