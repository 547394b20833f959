import mpmath
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
    # All digits, although one rounding in A moves P by eps / (1 - rho): at 1e-16 by half of them.
    np.testing.assert_allclose(steady.predicted_cov[0, 0], P * unit, rtol=2e-15)
    np.testing.assert_allclose(steady.gain[0, 0], K, rtol=3e-15)
    np.testing.assert_allclose(steady.innovation_cov[0, 0], S * unit, rtol=1e-15)
    np.testing.assert_allclose(1 - steady.rho, 1 - rho, rtol=1e-7)
    assert steady.residual < 1e-13


def precise(system, digits=60):
    """The predicted covariance by doubling with `digits` digits."""
    with mpmath.workdps(digits):
        A, C, Q, R = (mpmath.matrix(getattr(system, m).tolist()) for m in "ACQR")
        eye = mpmath.eye(len(system.A))
        S = (C * Q * C.T + R) ** -1
        a, c, j = A - Q * C.T * S * C * A, Q - Q * C.T * S * C * Q, A.T * C.T * S * C * A
        for _ in range(60):
            joint = (eye + c * j) ** -1
            a, c, j = a * joint * a, c + a * joint * c * a.T, j + a.T * j * joint * a
        P = A * c * A.T + Q
        return np.array([[float(P[i, k]) for k in range(P.cols)] for i in range(P.rows)])


@pytest.mark.parametrize("ratio", [1e-6, 1e-12, 1e-16])
@pytest.mark.parametrize("shape", ["trend", "smooth trend", "cycle and level"])
def test_slow_systems_keep_their_digits(shape, ratio):
    A, C, Q = {
        "trend": ([[1, 1], [0, 1]], [[1, 0]], np.diag([ratio, ratio**1.5])),
        "smooth trend": ([[1, 1], [0, 1]], [[1, 0]], np.diag([0, ratio])),
        "cycle and level": (
            [[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]],
            [[1, 0, 1]],
            ratio * np.diag([1, 1, 0.3]),
        ),
    }[shape]
    system = LinearSystem(A, C, Q, 1)
    want, got = precise(system), lds.steady_state(system).predicted_cov
    unit = np.sqrt(np.outer(np.diag(want), np.diag(want)))
    # 0.6 and 0.8 are off by a rounding, and the equation is asked about the rounded ones.
    np.testing.assert_allclose(got / unit, want / unit, atol=3e-14)


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
    ("system", "why"),
    [
        (LinearSystem(1, 1, 0, 1), r"eigenvalue 1 lies on the unit circle and no state noise"),
        (
            LinearSystem(np.diag([1.2, 0.5]), [[0, 1]], np.eye(2), 1),
            r"the mode with eigenvalue 1\.2 is not observed",
        ),
        (LinearSystem(1, 0, 1, 1), r"eigenvalue 1 is not observed"),
        (
            LinearSystem([[0, 1], [-1, 0]], [[1, 0]], np.zeros((2, 2)), 1),
            r"eigenvalues .*0 \+- 1i lies on the unit circle",
        ),
    ],
)
def test_where_there_is_none_the_error_names_the_mode(system, why):
    with pytest.raises(
        eigenflow.ConvergenceError, match=rf"^steady_state: found no covariance.*{why}"
    ):
        lds.steady_state(system)
    # The filter itself works all the same, without the switch.
    result = lds.filter(system, np.ones(50))
    assert result.steady_from is None
    assert np.isfinite(result.log_likelihood)
