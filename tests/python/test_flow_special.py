"""Special cases by name: diagonal linear networks and Landweber iteration."""

import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import eigenflow as ef


@pytest.mark.parametrize("z", [1.0, -0.7, 0.01])
@pytest.mark.parametrize("scale", [1.5, 0.3, 0.01])
def test_diagonal_network_against_its_own_equations(z, scale):
    def slopes(_, uv):
        e = z - (uv[0] ** 2 - uv[1] ** 2)
        return [2 * uv[0] * e, -2 * uv[1] * e]

    times = [0.3, 2.0, 7.0]
    u, v = solve_ivp(slopes, (0, 7), [scale, scale], "DOP853", times, rtol=1e-13, atol=1e-14).y
    got = ef.flow.diagonal_network(z, scale, times)
    np.testing.assert_allclose(got, u**2 - v**2, rtol=1e-10, atol=5e-12)


def test_diagonal_network_shapes_types_and_saddle():
    z = np.array([0.5, -0.5], np.float32)
    got = ef.flow.diagonal_network(z, np.float32(1e-30), [[1.0], [500.0]])
    assert got.dtype == np.float32
    assert got.shape == (2, 1, 2)
    double = ef.flow.diagonal_network(z.astype(float), float(np.float32(1e-30)), [[1.0], [500.0]])
    np.testing.assert_array_equal(got, double.astype(np.float32))
    np.testing.assert_array_equal(ef.flow.diagonal_network(z, 0.0, 9.0), 0)
    np.testing.assert_allclose(ef.flow.diagonal_network(z, [[1.0], [2.0]], np.inf), [z, z])
    assert ef.flow.diagonal_network([], 1.0, 1.0).shape == (0,)
    assert ef.flow.diagonal_network(1, 1, 1).shape == ()


@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-9, 0.3, 1.0, 1.0 + 2**-52, 1.7, 2 - 2**-40, 2.0])
def test_landweber_against_many_digits(x):
    counts = np.array([0, 1, 2, 3, 1000, 1001, 10**9, 10**9 + 1])
    got = ef.flow.landweber(1.0, x, 1.0, counts)
    with mp.workdps(340):
        for n, value in zip(counts, got, strict=True):
            want = 1 - (1 - mp.mpf(x)) ** int(n)
            assert abs(value - want) <= 4e-16 * abs(want) + 1e-320


def test_landweber_is_the_iteration_and_tends_to_the_flow():
    rng = np.random.default_rng(0)
    z, lam = rng.normal(size=(3, 1)), rng.random(5)
    theta = np.zeros((3, 5))
    for n in range(1, 40):
        theta += 1.9 * lam * (z - theta)
        np.testing.assert_allclose(ef.flow.landweber(z, lam, 1.9, n), theta, rtol=1e-12, atol=1e-14)
    flow = ef.flow.vanilla(z, lam, 2.0)
    errors = [np.abs(ef.flow.landweber(z, lam, 2.0 / n, n) - flow).max() for n in (1000, 2000)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.01)


def test_landweber_shapes_and_types():
    z = np.array([0.5, -0.5], np.float32)
    got = ef.flow.landweber(z, 0.25, 1.0, [[1, 2, 3]])
    assert got.shape == (1, 3, 2)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got[0, 0], 0.25 * z)
    assert ef.flow.landweber(z[:0], 0.25, 1.0, 3).shape == (0,)
    assert ef.flow.landweber(z, 0.25, 1.0, np.array([], int)).shape == (0, 2)
    big = ef.flow.landweber(np.ones(100_000), 0.5, 1.0, [1, 2])
    np.testing.assert_array_equal(big[:, ::1000], np.repeat([[0.5], [0.75]], 100, axis=1))


CALLS = [
    (lambda: ef.flow.landweber(1.0, [1.0, 3.0], 1.0, 2), "step_size: got 1.0, which diverges for"),
    (lambda: ef.flow.landweber(1.0, 1.0, 0.0, 2), "step_size: got 0.0"),
    (lambda: ef.flow.landweber(1.0, 1.0, 1.0, 2.5), "n_steps: got dtype float64"),
    (lambda: ef.flow.landweber(1.0, 1.0, 1.0, [1, -2]), "n_steps: got -2 at position 1"),
    (lambda: ef.flow.landweber(np.nan, 1.0, 1.0, 1), "z: got nan"),
    (lambda: ef.flow.landweber(1.0, -1.0, 1.0, 1), "eigenvalues: got -1.0"),
    (lambda: ef.flow.diagonal_network(1.0, -1.0, 1.0), "scale: got -1.0"),
    (lambda: ef.flow.diagonal_network(1.0, 1e-200, 1.0), "scale: got 1e-200"),
    (lambda: ef.flow.diagonal_network(np.ones(2), np.ones(3), 1.0), "scale: got shapes"),
    (lambda: ef.flow.diagonal_network(np.nan, 1.0, 1.0), "z: got nan"),
    (lambda: ef.flow.diagonal_network(1.0, 1.0, -1.0), "times: got -"),
]


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_errors_name_the_argument(call, message):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert str(error.value).startswith(message)
