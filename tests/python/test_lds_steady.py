import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve_discrete_are

import eigenflow
from eigenflow import lds
from eigenflow.lds import LinearSystem
from reference.lds import local_level


@pytest.mark.parametrize("unit", [1e-12, 1e-4, 1.0, 1e8])
@pytest.mark.parametrize("exponent", [0, -1, -2, -4, -8, -12, -16])
def test_local_level_has_its_closed_form_at_any_signal_to_noise_ratio(exponent, unit):
    ratio = 10.0**exponent
    steady = lds.steady_state(LinearSystem(1, 1, ratio * unit, unit))
    P, K, S, rho = local_level(ratio, 1.0)
    # The conditioning of the equation: an error of one rounding in A moves P by this much.
    tolerance = 20 * 2.2e-16 / (1 - rho)
    np.testing.assert_allclose(steady.predicted_cov[0, 0], P * unit, rtol=tolerance)
    np.testing.assert_allclose(steady.gain[0, 0], K, rtol=tolerance)
    np.testing.assert_allclose(steady.innovation_cov[0, 0], S * unit, rtol=1e-12)
    np.testing.assert_allclose(1 - steady.rho, 1 - rho, rtol=max(tolerance, 1e-7))
    assert steady.residual < 1e-13


def random_parts(seed, n, p, radius):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    A *= radius / np.max(np.abs(np.linalg.eigvals(A)))
    Q, R = (M @ M.T for M in (rng.standard_normal((n, n)), rng.standard_normal((p, p))))
    return A, rng.standard_normal((p, n)), Q, R + 0.1 * np.eye(p)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    p=st.integers(1, 4),
    radius=st.floats(0.01, 1.3),  # SciPy's pencil solver gives up on A near zero
)
def test_it_is_the_solution_of_the_riccati_equation(seed, n, p, radius):
    A, C, Q, R = random_parts(seed, n, p, radius)
    steady = lds.steady_state(LinearSystem(A, C, Q, R))
    expected = solve_discrete_are(A.T, C.T, Q, R)
    size = np.max(np.abs(expected))
    np.testing.assert_allclose(steady.predicted_cov, expected, atol=1e-7 * size)
    np.testing.assert_allclose(
        steady.innovation_cov, C @ steady.predicted_cov @ C.T + R, rtol=1e-10, atol=1e-10 * size
    )
    gain = np.linalg.solve(steady.innovation_cov, C @ steady.predicted_cov).T
    np.testing.assert_allclose(steady.gain, gain, atol=1e-8 * (1 + np.max(np.abs(gain))))
    rho = np.max(np.abs(np.linalg.eigvals(A - A @ steady.gain @ C)))
    np.testing.assert_allclose(steady.rho, rho, atol=1e-6)
    assert steady.rho < 1


def test_the_filter_settles_there():
    A, C, Q, R = random_parts(4, 3, 2, 0.9)
    system = LinearSystem(A, C, Q, R)
    result = lds.filter(system, np.ones((500, 2)), store=("predicted_cov",), method="full")
    np.testing.assert_allclose(
        result.predicted_cov[-1], lds.steady_state(system).predicted_cov, rtol=1e-12
    )


@pytest.mark.parametrize(
    "system",
    [
        LinearSystem(0.5, 1, 1, 0),
        LinearSystem([[1, 1], [0, 1]], [[1, 0]], np.diag([0, 1.0]), 0),
        LinearSystem([[0.5, 1], [0.3, 0]], [[1, 0]], np.diag([1.0, 0]), 0),
        LinearSystem(0.9, [[1], [1]], 1, np.zeros((2, 2))),
    ],
)
def test_singular_noise_is_no_obstacle(system):
    if system.obs_dim == 2:  # two equal rows: the innovation covariance itself is singular
        with pytest.raises(eigenflow.ConvergenceError):
            lds.steady_state(system)
        return
    steady = lds.steady_state(system)
    A, C, Q, R, P = system.A, system.C, system.Q, system.R, steady.predicted_cov
    S = C @ P @ C.T + R
    after = P - P @ C.T @ np.linalg.solve(S, C @ P)
    np.testing.assert_allclose(A @ after @ A.T + Q, P, atol=1e-12)
    assert steady.rho < 1


def test_an_unstable_mode_without_noise_gets_the_stabilising_solution():
    # P = 0 solves the equation too, and a filter that took it would diverge.
    steady = lds.steady_state(LinearSystem(1.5, 1, 0, 1))
    np.testing.assert_allclose(steady.predicted_cov[0, 0], 1.5**2 - 1, rtol=1e-12)
    np.testing.assert_allclose(steady.rho, 1 / 1.5, rtol=1e-9)


@pytest.mark.parametrize(
    "system",
    [
        LinearSystem(1, 1, 0, 1),  # the noise does not reach the unit root
        LinearSystem(np.diag([1.2, 0.5]), [[0, 1]], np.eye(2), 1),  # not observed
        LinearSystem(1, 0, 1, 1),
    ],
)
def test_where_there_is_none_the_error_says_so(system):
    with pytest.raises(eigenflow.ConvergenceError, match=r"^steady_state: found no covariance"):
        lds.steady_state(system)
    # The filter itself works all the same, without the switch.
    result = lds.filter(system, np.ones(50))
    assert result.steady_from is None
    assert np.isfinite(result.log_likelihood)
