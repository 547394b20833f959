"""The derivative fields of the kernels: differences of many digits, and what must hold exactly."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eigenflow import _core
from reference import flow as truth

EPS = np.finfo(float).eps
NAMES = ("d_z", "d_eigenvalues", "d_b0", "d_times")
COUPLINGS = ["shared", "separate"]


def fields(z, lam, b0, t, depth, coupling="shared", names=("theta", *NAMES), dtype=float):
    """Evaluate the kernel's fields for arrays of coordinates that broadcast."""
    z, lam, b0 = (np.ascontiguousarray(a) for a in np.broadcast_arrays(z, lam, b0))
    z, lam, b0 = (np.atleast_2d(a.astype(dtype)) for a in (z, lam, b0))
    t = np.atleast_1d(np.asarray(t, float))
    out = {name: np.full((t.size, *z.shape), np.nan, dtype) for name in names}
    separate = coupling == "separate"
    _core.flow.evolve(z, lam, b0 if depth else None, t, depth, separate, out, 1)
    return out


def one(*args, **options):
    """Evaluate all fields of one coordinate at one time."""
    return {name: field.item() for name, field in fields(*args, **options).items()}


def closed_differences(z, lam, t, h):
    """Return the three derivatives of the closed form."""

    def slope(f, x):
        x = mp.mpf(x)
        return (f(x * (1 + h)) - f(x * (1 - h))) / (2 * h * x)

    return {
        "d_z": slope(lambda v: truth.closed_form(v, lam, t), z),
        "d_eigenvalues": slope(lambda v: truth.closed_form(z, v, t), lam),
        "d_times": slope(lambda v: truth.closed_form(z, lam, v), t),
    }


@pytest.mark.parametrize("lam", [1e-300, 1e-12, 1e-3, 1.0, 1e6])
def test_depth_0_against_differences_of_many_digits(lam):
    with mp.workdps(1500):
        for z in (1e-300, 1e-3, -0.3, 2.0, 1e6):
            escape = abs(float(mp.log(4 * abs(z) / lam + 2) / (2 * abs(z) + lam)))
            for t in (1e-12, 0.1, 0.99 * escape, escape, 3 * escape):
                want = closed_differences(z, lam, t, mp.mpf(10) ** -300)
                got = one(z, lam, 0, t, 0)
                unit = 20 * EPS * max(1, (2 * abs(z) + lam) * t)
                for name, value in want.items():
                    if 1e-307 < abs(value) < 1e308:
                        error = abs(mp.mpf(got[name]) - value)
                        assert error <= unit * abs(value), (name, z, lam, t)


DEEP = [
    (0.1, 0.2, 0.5, 1, 0.3),
    (1e-6, 1.0, 0.4, 2, 0.5),
    (1.0, 3.0, 0.5, 5, 0.999),
    (0.3957, 0.06874, 0.6703, 3, 0.6),
    (1e-9, 0.5, 0.05, 1, 0.9),
    (0.02, 0.8, 0.3, 8, 1e-6),
    (2.0, 1.0, 0.01, 4, 1 - 1e-12),
    (1e-300, 0.3, 0.5, 1, 1e-150),
    (1e-3, 1e-200, 2.0, 3, 0.7),
    (1e-200, 1e-200, 2.0, 8, 0.7),
]


@pytest.mark.parametrize("coupling", COUPLINGS)
@pytest.mark.parametrize(("lam", "z", "b0", "depth", "fraction"), DEEP)
def test_depth_1_to_8_against_differences_of_many_digits(lam, z, b0, depth, fraction, coupling):
    with mp.workdps(40):
        deep = truth.Deep(z, lam, b0, depth, coupling)
        beta = deep.beta_at(mp.mpf(fraction))
        t = deep.time_of(beta)
        want = {
            "d_z": deep.parameter_derivative("z", beta, mp.mpf(10) ** -20),
            "d_eigenvalues": deep.parameter_derivative("lam", beta, mp.mpf(10) ** -20),
            "d_b0": deep.parameter_derivative("b0", beta, mp.mpf(10) ** -20),
            "d_times": deep.k(beta) * (deep.z - beta * deep.g(beta)),
        }
        got = one(-z, lam, b0, t, depth, coupling)
        unit = 40 * EPS * max(1, float(deep.last_rate() * t))
        for name, value in want.items():
            sign = 1 if name == "d_z" else -1
            assert got[name] == pytest.approx(sign * float(value), rel=unit), name


positive = st.floats(1e-6, 1e3)


@settings(max_examples=100, deadline=None)
@given(
    z=st.floats(-1e3, 1e3),
    lam=positive,
    b0=st.floats(1e-2, 10),
    t=st.floats(0, 1e3),
    depth=st.integers(0, 8),
    coupling=st.sampled_from(COUPLINGS),
)
def test_the_scaling_symmetry_ties_the_derivatives(z, lam, b0, t, depth, coupling):
    f = one(z, lam, b0, t, depth, coupling)
    terms = [(depth + 2) * z * f["d_z"], 2 * lam * f["d_eigenvalues"], b0 * f["d_b0"]]
    terms.append(-(2 * depth + 2) * t * f["d_times"])
    size = sum(abs(x) for x in terms)
    deep = (2 * abs(z) + lam) if depth == 0 else (depth + 2) * last_rate(z, lam, b0, depth)
    slack = 40 * EPS * max(1, deep * t) * size + 1e-300
    assert abs(sum(terms) - (depth + 2) * f["theta"]) <= slack


def last_rate(z, lam, b0, depth):
    """Return (a b^depth)^2 at theta = z."""
    learned = np.empty((1, 1))
    arguments = (np.array([[x]]) for x in (z, lam, b0))
    _core.flow.learned_eigenvalues(*arguments, depth, False, learned, 1)
    return learned.item()


@pytest.mark.parametrize("depth", [0, 1, 2, 8])
def test_derivatives_at_a_saddle_are_limits_from_the_right(depth):
    z, b0, t = np.array([0.3, -0.3, 0.0]), 0.7, np.array([0.0, 2.0, 20.0])
    at = fields(z, 0.0, b0, t, depth)
    near = fields(z, 1e-290, b0, t, depth, names=("theta",))["theta"] / 1e-290
    np.testing.assert_allclose(at["d_eigenvalues"], near, rtol=1e-13)
    power = b0**depth
    want = power * np.sinh(2 * power * np.multiply.outer(t, z)) / 2
    np.testing.assert_allclose(at["d_eigenvalues"][:, 0], want, rtol=1e-13)
    for name in ("theta", "d_z", "d_b0", "d_times"):
        np.testing.assert_array_equal(at[name], 0)
    if depth:
        no_b0 = fields(z, 0.5, 0.0, t, depth)
        for name in ("theta", *NAMES):
            np.testing.assert_array_equal(no_b0[name], 0)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_derivatives_at_the_ends_of_time(depth):
    z, lam, b0 = np.array([2.0, -2.0, 0.0]), np.array([[0.0], [1e-300], [0.5]]), 0.4
    f = fields(z, lam, b0, [0.0, np.inf], depth)
    rate = lam * b0 ** (2 * depth)
    np.testing.assert_allclose(f["d_times"][0], rate * z, rtol=1e-13)
    for name in ("d_z", "d_eigenvalues", "d_b0"):
        np.testing.assert_array_equal(f[name][0], 0)
    largest = np.finfo(float).max
    np.testing.assert_array_equal(f["d_eigenvalues"][1, 0], [largest, -largest, 0])
    np.testing.assert_array_equal(f["d_eigenvalues"][1, 1:], 0)
    np.testing.assert_array_equal(f["d_z"][1], [[0, 0, 0], [1, 1, 1], [1, 1, 1]])
    np.testing.assert_array_equal(f["d_b0"][1], 0)
    np.testing.assert_array_equal(f["d_times"][1], 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("coupling", COUPLINGS)
@pytest.mark.parametrize("depth", [0, 1, 5])
def test_finite_input_never_gives_nan(depth, coupling, dtype):
    most = float(np.finfo(dtype).max)
    z = np.minimum([0.0, 5e-324, 1e-300, 1e-3, -1.0, 1e12, 1.7e308], most)
    lam = np.minimum([0.0, 5e-324, 1e-300, 1e-3, 1.0, 1e300, 1.7e308], most)[:, None]
    t = [0.0, 5e-324, 1e-12, 1.0, 1e3, 1e300, np.inf]
    for b0 in (0.0, 1e-200, 1.0, 1e30, 1e100):
        result = fields(z, lam, min(b0, most), t, depth, coupling, dtype=dtype)
        for name, field in result.items():
            assert np.all(np.isfinite(field)), (name, b0)


@pytest.mark.parametrize("depth", [0, 2])
def test_a_field_alone_has_the_bytes_it_has_with_others(depth):
    rng = np.random.default_rng(6)
    z, lam, t = rng.normal(size=300), 10.0 ** rng.uniform(-9, 1, 300), [0.1, 3.0, 40.0, 1e5]
    together = fields(z, lam, 0.5, t, depth)
    for name in ("theta", *NAMES):
        alone = fields(z, lam, 0.5, t, depth, names=(name,))
        np.testing.assert_array_equal(alone[name], together[name])
