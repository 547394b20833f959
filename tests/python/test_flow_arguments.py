"""What comes in and goes out: shapes, dtypes, memory, workers, edges, errors."""

import os
import subprocess
import sys

import numpy as np
import pytest

import eigenflow as ef
from eigenflow._flow_problem import flow_problem, require_known

DEEP = {"depth": 2, "b0": 0.5}


def problem(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), 10.0 ** rng.uniform(-6, 0, n)


@pytest.mark.parametrize("options", [{}, DEEP, {**DEEP, "coupling": "separate"}])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_number_of_workers_gives_the_same_bytes(options, dtype):
    z, lam = (x.astype(dtype) for x in problem(30_011))
    t = [3.0, 0.7]
    runs = [ef.flow.solve(z, lam, t, workers=w, **options) for w in (1, 2, 3, 7)]
    risks = [ef.flow.sure(z, lam, t, 0.01, workers=w, **options) for w in (1, 2, 3, 7)]
    for run, risk in zip(runs[1:], risks[1:], strict=True):
        np.testing.assert_array_equal(run, runs[0])
        np.testing.assert_array_equal(risk, risks[0])
    assert runs[0].dtype == dtype


def test_float32_is_float64_rounded():
    z, lam = (x.astype(np.float32) for x in problem(1000))
    for options in ({}, DEEP):
        double = ef.flow.solve(z.astype(float), lam.astype(float), 5.0, **options)
        np.testing.assert_array_equal(
            ef.flow.solve(z, lam, 5.0, **options), double.astype(np.float32)
        )


@pytest.mark.parametrize("options", [{}, DEEP])
@pytest.mark.parametrize(
    ("z_shape", "lam_shape"),
    [((), ()), ((7,), ()), ((), (7,)), ((3, 7), (7,)), ((3, 1), (1, 7)), ((2, 3, 7), (3, 1))],
)
@pytest.mark.parametrize("t_shape", [(), (2,), (2, 2)])
def test_broadcasting(options, z_shape, lam_shape, t_shape):
    rng = np.random.default_rng(5)
    z, lam = rng.normal(size=z_shape), rng.random(lam_shape)
    t = 10 * rng.random(t_shape)
    shape = np.broadcast_shapes(z_shape, lam_shape)
    got = ef.flow.solve(z, lam, t, **options)
    assert got.shape == t_shape + shape
    full_z, full_lam = (np.broadcast_to(x, shape).ravel() for x in (z, lam))
    one = [
        [ef.flow.solve(a, b, s, **options).item() for a, b in zip(full_z, full_lam, strict=True)]
        for s in np.ravel(t)
    ]
    np.testing.assert_array_equal(got, np.reshape(one, got.shape))


@pytest.mark.parametrize("options", [{}, DEEP])
def test_memory_layouts_do_not_matter(options):
    z, lam = (x.reshape(20, 30) for x in problem(600))
    want = ef.flow.solve(z, lam, 2.0, **options)
    frozen = z.copy()
    frozen.flags.writeable = False
    wide = np.repeat(z, 2, axis=1)[:, ::2]
    for other in (np.asfortranarray(z), frozen, wide, z.astype(">f8"), z[::-1][::-1]):
        np.testing.assert_array_equal(ef.flow.solve(other, lam, 2.0, **options), want)
    backwards = ef.flow.solve(z[::-1, ::-1], lam[::-1, ::-1], 2.0, **options)
    np.testing.assert_array_equal(backwards, want[::-1, ::-1])
    swapped = ef.flow.solve(z.T, lam.T, 2.0, **options)
    np.testing.assert_array_equal(swapped, want.T)
    for part in (np.s_[:1, ::2], np.s_[::3, :1], np.s_[::2, ::3], np.s_[3:3, ::2], np.s_[::2, 4:4]):
        got = ef.flow.solve(z[part], lam[part], 2.0, **options)
        np.testing.assert_array_equal(got, want[part])


def test_integers_lists_and_out():
    out = np.empty((2, 3))
    got = ef.flow.solve([1, 2, 3], 1, [0, 1], out=out)
    assert got is out
    np.testing.assert_array_equal(out, ef.flow.solve(np.arange(1.0, 4), 1.0, [0.0, 1.0]))
    z = np.ones(3)
    ef.flow.vanilla(z, 1.0, 1.0, out=out[0])
    np.testing.assert_allclose(out[0], 1 - np.exp(-1))
    np.testing.assert_array_equal(z, 1)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
@pytest.mark.parametrize("options", [{}, DEEP])
def test_no_coordinates_and_no_times(shape, options):
    empty = np.zeros(shape)
    assert ef.flow.solve(empty, 1.0, [1.0, 2.0], **options).shape == (2, *shape)
    assert ef.flow.solve(np.ones(3), 1.0, [], **options).shape == (0, 3)
    np.testing.assert_array_equal(ef.flow.sure(empty, 1.0, [1.0], 0.1, **options), [0.0])
    assert ef.flow.learned_eigenvalues(empty, 1.0, **options).shape == shape


@pytest.mark.parametrize("depth", [0, 1, 3, 8])
@pytest.mark.parametrize("lam", [0.0, 5e-324, 1e-300, 1e-12, 1.0, 1e12, 1e300, 1.7e308])
def test_finite_input_never_gives_nan(depth, lam):
    z = np.array([0.0, 5e-324, 1e-300, 1e-12, 1.0, -1e12, 1e300, -1.7e308])
    t = [0.0, 5e-324, 1e-300, 1e-5, 1.0, 1e5, 1e300, 1.7e308, np.inf]
    for b0 in [None] if depth == 0 else [0.0, 5e-324, 1e-200, 1e-3, 1.0, 1e100, 1.7e308]:
        s = ef.flow.state(z, lam, t, depth=depth, b0=b0)
        assert np.all(np.isfinite(s.theta))
        assert np.all(np.isfinite(s.residual))
        assert np.all(np.abs(s.theta) <= np.abs(z))
        for field in (s.a, s.b, s.beta, s.learned_eigenvalues):
            assert not np.any(np.isnan(field))
        np.testing.assert_array_equal(s.theta[0], 0)
        if lam == 0 or b0 == 0:
            np.testing.assert_array_equal(s.theta, 0)
            np.testing.assert_array_equal(s.residual, np.broadcast_to(z, s.residual.shape))
        if depth == 0 and lam > 0:
            np.testing.assert_array_equal(s.theta[-1], z)


@pytest.mark.parametrize("t", [0.0, 1.0, np.inf])
def test_saddles_stay(t):
    z = np.array([1.0, -2.0, 0.0])
    np.testing.assert_array_equal(ef.flow.solve(z, 0.0, t), 0)
    np.testing.assert_array_equal(ef.flow.vanilla(z, 0.0, t), 0)
    np.testing.assert_array_equal(ef.flow.solve(z, 0.0, t, depth=1, b0=1.0), 0)
    np.testing.assert_array_equal(ef.flow.solve(z, 1.0, t, depth=1, b0=0.0), 0)


NAN = np.array([1.0, np.nan])
CALLS = [
    (lambda: ef.flow.solve(NAN, 1.0, 1.0), "z: got nan at position 1"),
    (lambda: ef.flow.solve(1.0, [1.0, -2.0], 1.0), "eigenvalues: got -2.0 at position 1"),
    (lambda: ef.flow.solve(1.0, 1.0, [0.0, -1.0]), "times: got -1.0 at position 1"),
    (lambda: ef.flow.solve(1.0, 1.0, np.nan), "times: got nan"),
    (lambda: ef.flow.solve(np.ones(3), np.ones(4), 1.0), "eigenvalues: got shapes"),
    (lambda: ef.flow.solve(1.0, 1.0, 1.0, depth=9, b0=1.0), "depth: got 9, want 0 to 8"),
    (lambda: ef.flow.solve(1.0, 1.0, 1.0, depth=-1), "depth: got -1"),
    (
        lambda: ef.flow.solve(1.0, 1.0, 1.0, depth=1.5),
        "depth: got 1.5, want an integer from 0 to 8",
    ),
    (lambda: ef.flow.solve(1.0, 1.0, 1.0, depth=1), "b0: got None at depth 1"),
    (lambda: ef.flow.solve(1.0, 1.0, 1.0, b0=1.0), "b0: got a value at depth 0"),
    (lambda: ef.flow.solve(1.0, 1.0, 1.0, depth=1, b0=-1.0), "b0: got -1.0"),
    (lambda: ef.flow.solve(1.0, 1.0, 1.0, coupling="both"), "coupling: got 'both'"),
    (lambda: ef.flow.solve(1.0, 1.0, 1.0, rtol=0.0), "rtol: got 0.0"),
    (lambda: ef.flow.solve(1.0, 1.0, 1.0, rtol=np.inf), "rtol: got inf"),
    (lambda: ef.flow.solve(1.0, 1.0, 1.0, workers=0), "workers: got 0"),
    (lambda: ef.flow.solve(np.ones(3), 1.0, 1.0, out=np.empty(4)), "out: got shape"),
    (lambda: ef.flow.solve(1j, 1.0, 1.0), "z: got dtype complex128"),
    (lambda: ef.flow.sure(np.ones(3), 1.0, 1.0, -1.0), "noise_variance: got -1.0"),
    (lambda: ef.flow.sure(np.ones(3), 1.0, 1.0, 1.0, axis=1), "axis: got 1"),
    (
        lambda: ef.flow.sure(np.ones((2, 3)), 1.0, 1.0, 1.0, axis=(0, -2)),
        "axis: got (0, -2), want d",
    ),
    (lambda: ef.flow.learned_eigenvalues(1.0, -1.0), "eigenvalues: got -1.0"),
    (lambda: ef.flow.state(np.inf, 1.0, 1.0), "z: got inf"),
]


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_errors_name_the_argument(call, message):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert str(error.value).startswith(message)


class FakeCupy:
    __module__ = "cupy._core.core"


def test_times_may_be_numpys_beside_any_array_and_of_no_other_library():
    strict = pytest.importorskip("array_api_strict")
    z, times = np.ones(3), np.array([1.0, 2.0])
    got = ef.flow.solve(strict.asarray(z), 1.0, times)
    np.testing.assert_array_equal(np.asarray(got), ef.flow.solve(z, 1.0, times))
    with pytest.raises(TypeError, match=r"times \(dlpack\).*: got arrays of different libraries"):
        ef.flow.solve(z, 1.0, strict.asarray(times))


def test_a_function_without_a_kernel_for_the_device_says_so():
    for call in (
        lambda x: ef.flow.expected_risk(x, 1.0, 1.0, 0.1),
        lambda x: ef.flow.stopping_time(x, 1.0, 0.1),
    ):
        call(np.ones(3))
        with pytest.raises(TypeError, match=r"^(signal|z): got a CuPy array, want NumPy"):
            call(FakeCupy())


def test_a_depth_is_refused_before_any_kernel_is_chosen():
    for depth in (-1, 9):
        with pytest.raises(ValueError, match=rf"^depth: got {depth}, want 0 to 8$"):
            require_known(depth, "shared", None, 1.0)
    for depth in (1, 8):
        require_known(depth, "shared", None, 1.0)


def test_a_fault_that_is_no_longer_there_is_an_error_too():
    """A kernel found it; another thread has mended the array since."""
    found = flow_problem(np.ones(40_000), 1.0, None, True, defer=True)
    with pytest.raises(ValueError, match=r"^z: some values were wrong while"):
        found.refuse()


def test_unchecked_nan_stays_in_its_coordinate():
    z = np.array([1.0, np.nan, 2.0])
    for options in ({}, {"depth": 1, "b0": 1.0}):
        theta = ef.flow.solve(z, 1.0, 1.0, check_finite=False, **options)
        clean = ef.flow.solve(z[[0, 2]], 1.0, 1.0, **options)
        np.testing.assert_array_equal(theta[[0, 2]], clean)


@pytest.mark.parametrize("level", ["baseline", "v3", "v4"])
def test_cpu_levels_agree(level, tmp_path):
    """Where this CPU cannot run a level, the best one that it has runs: still a valid check."""
    z, lam = problem(2000)
    want = [ef.flow.solve(z, lam, 4.0), ef.flow.solve(z, lam, 4.0, **DEEP)]
    np.savez(tmp_path / "in.npz", z=z, lam=lam)
    script = f"""
import numpy as np, eigenflow as ef
data = np.load(r"{tmp_path / "in.npz"}")
np.savez(r"{tmp_path / "out.npz"}",
         a=ef.flow.solve(data["z"], data["lam"], 4.0),
         b=ef.flow.solve(data["z"], data["lam"], 4.0, depth=2, b0=0.5))
"""
    environment = {**os.environ, "EIGENFLOW_CPU_LEVEL": level}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    got = np.load(tmp_path / "out.npz")
    for name, array in zip("ab", want, strict=True):
        np.testing.assert_allclose(got[name], array, rtol=2e-14)


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("name", ["z", "eigenvalues", "b0"])
def test_the_kernel_finds_the_same_faults_in_large_arrays(name, depth):
    n = 40_000
    problem = {"z": np.ones(n), "eigenvalues": np.ones(n), "b0": np.full(n, 0.5)}
    if depth == 0:
        del problem["b0"]
        if name == "b0":
            return
    for value, wanted in [(np.nan, "finite"), (-np.inf, "finite"), (-1.0, "non-negative")]:
        problem[name][n - 7] = value
        call = {**problem, "times": [1.0, 2.0], "depth": depth}
        if name == "z" and value == -1:
            ef.flow.solve(**call)
            continue
        for function in (ef.flow.solve, ef.flow.state):
            with pytest.raises(
                ValueError, match=f"^{name}: got .* position {n - 7}, want {wanted}"
            ):
                function(**call)
    if name != "z":
        with pytest.raises(ValueError, match=f"^{name}: got -1.0 at position {n - 7}"):
            ef.flow.solve(**call, check_finite=False)
        problem[name][n - 7] = np.nan
        ef.flow.solve(**call, check_finite=False)


def test_any_positive_tolerance_is_taken():
    exact = ef.flow.solve(1.0, 1.0, 1.0, depth=1, b0=0.5)
    for rtol in (1e-12, 0.5, 3.0):
        assert ef.flow.solve(1.0, 1.0, 1.0, depth=1, b0=0.5, rtol=rtol) == pytest.approx(exact)
