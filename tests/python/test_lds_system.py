import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov

from eigenflow.demo.nile import FLOW
from eigenflow.lds import LinearSystem


def similar(A, seed=0):
    rng = np.random.default_rng(seed)
    V = rng.standard_normal(A.shape)
    return V @ A @ np.linalg.inv(V), V


def test_numbers_are_one_by_one_matrices_and_start_exactly_diffuse():
    level = LinearSystem(1, 1, 2, 3)
    assert level.A.shape == level.C.shape == level.Q.shape == level.R.shape == (1, 1)
    assert level.start == "exact diffuse"
    np.testing.assert_array_equal(level.diffuse_directions, [[1.0]])
    np.testing.assert_array_equal(level.cov0, [[0.0]])


def test_a_stable_system_starts_stationary():
    A = np.array([[0.5, 0.3], [-0.2, 0.8]])
    Q = np.array([[1.0, 0.2], [0.2, 0.5]])
    system = LinearSystem(A, [[1, 0]], Q, 1, state_offset=[1, 2])
    assert system.start == "stationary"
    assert system.diffuse_directions.shape == (2, 0)
    np.testing.assert_allclose(system.cov0, solve_discrete_lyapunov(A, Q), rtol=1e-13)
    np.testing.assert_allclose(A @ system.mean0 + [1, 2], system.mean0, rtol=1e-13)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_unit_root_block_is_found_through_any_basis(size):
    jordan = np.eye(size) + np.diag(np.ones(size - 1), 1)
    A = np.zeros((size + 1, size + 1))
    A[:size, :size] = jordan
    A[size, size] = 0.5
    mixed, V = similar(A, size)
    system = LinearSystem(mixed, np.ones((1, size + 1)), np.eye(size + 1), 1)
    directions = system.diffuse_directions
    assert directions.shape == (size + 1, size)
    assert system.start == "stationary and exact diffuse"
    # They span the same subspace as the first columns of V.
    np.testing.assert_allclose(directions.T @ directions, np.eye(size), atol=1e-12)
    rest = V[:, :size] - directions @ (directions.T @ V[:, :size])
    np.testing.assert_allclose(rest, 0, atol=1e-2 if size > 2 else 1e-6)


def test_the_stable_part_of_a_mixed_system_has_its_stationary_law():
    A, V = similar(np.diag([1.2, 0.9, 0.5]), 3)
    Q = np.diag([1.0, 2.0, 3.0])
    system = LinearSystem(A, np.ones((1, 3)), Q, 1)
    dual = np.linalg.inv(V)[1:]
    noise = dual @ Q @ dual.T
    expected = noise / (1 - np.outer([0.9, 0.5], [0.9, 0.5]))
    np.testing.assert_allclose(dual @ system.cov0 @ dual.T, expected, rtol=1e-10)
    np.testing.assert_allclose(np.abs(dual @ system.diffuse_directions), 0, atol=1e-12)


@pytest.mark.parametrize("root", [0.9995, -0.9995, 0.99999])
def test_slow_but_stable_modes_are_stationary(root):
    system = LinearSystem(root * np.eye(4), np.eye(4), np.eye(4), np.eye(4))
    assert system.start == "stationary"
    np.testing.assert_allclose(system.cov0, np.eye(4) / (1 - root**2), rtol=1e-10)


def test_a_start_can_be_given():
    system = LinearSystem(1, 1, 1, 1, mean0=3, cov0=7)
    assert (system.start, system.mean0[0], system.cov0[0, 0]) == ("given", 3.0, 7.0)
    both = LinearSystem(
        np.eye(2), [[1, 1]], np.eye(2), 1, cov0=np.diag([0, 5.0]), diffuse=[True, False]
    )
    assert both.start == "given and exact diffuse"
    np.testing.assert_array_equal(both.diffuse_directions, [[1.0], [0.0]])
    every = LinearSystem(0.5 * np.eye(2), [[1, 1]], np.eye(2), 1, diffuse=True)
    assert every.start == "exact diffuse"
    centred = LinearSystem(0.5, 1, 1, 1, mean0=9)
    assert (centred.start, centred.mean0[0]) == ("stationary", 9.0)


def test_inputs_are_copied_and_the_system_is_read_only():
    A = np.array([[0.5]])
    system = LinearSystem(A, 1, 1, 1)
    A[0, 0] = 7
    assert system.A[0, 0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        system.A[0, 0] = 1


def test_strides_orders_and_byte_orders_do_not_matter():
    A = np.array([[0.5, 0.1], [0.2, 0.3]])
    plain = LinearSystem(A, [[1, 2]], np.eye(2), 1)
    for other in (np.asfortranarray(A), A.astype(">f8"), np.repeat(A, 2, 0)[::2], A.tolist()):
        np.testing.assert_array_equal(LinearSystem(other, [[1, 2]], np.eye(2), 1).cov0, plain.cov0)
    flipped = LinearSystem(A[::-1, ::-1], [[2, 1]], np.eye(2), 1)
    np.testing.assert_allclose(flipped.cov0, plain.cov0[::-1, ::-1], rtol=1e-14)


I2 = np.eye(2)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((I2, I2, I2, 1), {}, r"^R: got shape \(1, 1\), want \(2, 2\)"),
        ((I2, [[1, 0]], np.eye(3), 1), {}, r"^Q: got shape \(3, 3\), want \(2, 2\)"),
        ((I2, np.ones((1, 3)), I2, 1), {}, r"^C: got shape \(1, 3\), want \(p, 2\)"),
        ((np.ones((2, 3)), I2, I2, I2), {}, r"^A: got shape \(2, 3\)"),
        ((np.ones((0, 0)), np.ones((1, 0)), np.ones((0, 0)), 1), {}, r"^A: got shape \(0, 0\)"),
        ((I2, np.ones((0, 2)), I2, np.ones((0, 0))), {}, r"^C: "),
        ((1, 1, -1, 1), {}, r"^Q: got smallest eigenvalue -1"),
        ((1, 1, 1, -2.5), {}, r"^R: got smallest eigenvalue -2\.5"),
        ((I2, [[1, 0]], [[1, 0.5], [0, 1]], 1), {}, r"^Q: .*symmetric"),
        ((I2, [[1, 0]], [[1, 2], [2, 1]], 1), {}, r"^Q: got smallest eigenvalue -1"),
        ((np.nan, 1, 1, 1), {}, r"^A: got nan, want finite"),
        ((1, np.inf, 1, 1), {}, r"^C: got inf"),
        (([1, 2], 1, 1, 1), {}, r"^A: got 1 dimensions"),
        ((1, 1, 1, 1), {"cov0": -1}, r"^cov0: got smallest eigenvalue -1"),
        ((1, 1, 1, 1), {"cov0": I2}, r"^cov0: got shape \(2, 2\), want \(1, 1\)"),
        ((1, 1, 1, 1), {"mean0": [1, 2]}, r"^mean0: got shape \(2,\), want \(1,\)"),
        ((1, 1, 1, 1), {"state_offset": [1, 2]}, r"^state_offset: "),
        ((1, 1, 1, 1), {"obs_offset": np.nan}, r"^obs_offset: "),
        ((1, 1, 1, 1), {"diffuse": False}, r"^diffuse: got False, but A has spectral radius 1"),
        ((1, 1, 1, 1), {"diffuse": 0.5}, r"^diffuse: got 0\.5"),
        ((I2, [[1, 0]], I2, 1), {"diffuse": [True, False]}, r"^cov0: got None"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        LinearSystem(*arguments, **options)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_covariances_of_any_scale_are_checked_alike(scale):
    assert LinearSystem(0.5, 1, scale, 1).Q[0, 0] == scale
    with pytest.raises(ValueError, match=r"^Q: got smallest eigenvalue"):
        LinearSystem(0.5 * I2, [[1, 0]], scale * np.array([[1, 2], [2, 1]]), 1)


def test_complex_numbers_are_refused():
    with pytest.raises(TypeError, match=r"^A: "):
        LinearSystem(1j, 1, 1, 1)


def test_the_nile_series_is_the_published_one():
    assert len(FLOW) == 100
    assert sum(FLOW) / 100 == 919.35
    np.testing.assert_allclose(np.var(FLOW, ddof=1), 28637.947, rtol=1e-7)
