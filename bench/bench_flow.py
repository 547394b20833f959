"""Gradient flow: the closed form against the NumPy expression, the march against an ODE solver."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import eigenflow as ef

N = 10_000_000


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(0)
    z = rng.normal(size=N) / 10
    return z, np.arange(1.0, N + 1) ** -0.5, np.empty(N)


def numpy_closed_form(z, eigenvalues, t):
    """The all-positive closed form, as one writes it in NumPy."""
    r = np.hypot(2 * z, eigenvalues)
    rho = eigenvalues / r
    x = r * t
    q = np.exp(-x)
    m = -np.expm1(-x)
    n = rho * m * ((1 + q) + rho * m)
    return z * n / (n + 2 * q)


def test_closed_form_eigenflow(contest, many):
    z, eigenvalues, out = many
    got = ef.flow.solve(z, eigenvalues, 30.0, out=out)
    error = np.max(np.abs(got / numpy_closed_form(z, eigenvalues, 30.0) - 1))
    contest(
        "flow depth 0, 1e7 float64, all cores",
        "eigenflow, into out=, no scan for NaN",
        lambda: ef.flow.solve(z, eigenvalues, 30.0, out=out, check_finite=False),
        difference=float(error),
    )


def test_closed_form_eigenflow_defaults(contest, many):
    z, eigenvalues, _ = many
    contest(
        "flow depth 0, 1e7 float64, all cores",
        "eigenflow, defaults",
        lambda: ef.flow.solve(z, eigenvalues, 30.0),
    )


def test_closed_form_numpy(contest, many):
    z, eigenvalues, _ = many
    contest(
        "flow depth 0, 1e7 float64, all cores",
        "NumPy expression",
        lambda: numpy_closed_form(z, eigenvalues, 30.0),
        rounds=3,
    )


def test_closed_form_floor(contest, many):
    z, eigenvalues, out = many
    contest(
        "flow depth 0, 1e7 float64, all cores",
        "memory floor: np.add of the same three arrays, one thread",
        lambda: np.add(z, eigenvalues, out=out),
    )


def noise_dominated(n, depth):
    """A signal in few of n coordinates; time and b0 as the paper chooses them."""
    rng = np.random.default_rng(1)
    samples = 1e4
    j = np.arange(1, 10_001)
    signal = np.zeros(10_000)
    signal[np.arange(1, 100) ** 2] = 1 / np.arange(1, 100)
    z = np.resize(signal, n) + rng.normal(size=n) / np.sqrt(samples)
    b0 = samples ** (-1 / (2 * (depth + 2)))
    return z, np.resize(j**-1.5, n), b0, samples ** ((depth + 1) / (depth + 2))


@pytest.mark.parametrize("depth", [1, 2])
def test_march_eigenflow(contest, depth):
    z, eigenvalues, b0, t = noise_dominated(1_000_000, depth)
    contest(
        f"flow depth {depth}, 1e6 noise-dominated coordinates",
        "eigenflow",
        lambda: ef.flow.solve(z, eigenvalues, t, depth=depth, b0=b0),
        rounds=3,
    )


@pytest.mark.parametrize("depth", [1, 2])
def test_march_ode_solver(contest, depth):
    """A slice of 200 coordinates, one system each; the table scales it to all of them."""
    n = 200
    z, eigenvalues, b0, t = noise_dominated(1_000_000, depth)
    pick = np.random.default_rng(2).choice(z.size, n, replace=False)

    def one(zi, lam):
        def slope(_, beta):
            g = np.sqrt(lam + beta**2) * (b0**2 + depth * beta**2) ** (depth / 2)
            return g * (zi - beta * g)

        beta = solve_ivp(slope, (0, t), [0.0], "DOP853", [t], rtol=1e-12, atol=1e-15).y[0, -1]
        return beta * np.sqrt(lam + beta**2) * (b0**2 + depth * beta**2) ** (depth / 2)

    ours = ef.flow.solve(z[pick], eigenvalues[pick], t, depth=depth, b0=b0)
    theirs = [one(a, b) for a, b in zip(z[pick], eigenvalues[pick], strict=True)]
    contest(
        f"flow depth {depth}, 1e6 noise-dominated coordinates",
        f"scipy DOP853, rtol 1e-12, {n} coordinates scaled up",
        lambda: [one(a, b) for a, b in zip(z[pick], eigenvalues[pick], strict=True)],
        rounds=1,
        scale=1_000_000 / n,
        difference=float(np.max(np.abs(ours - theirs) / np.abs(ours))),
    )


@pytest.mark.parametrize("n_times", [1, 75])
def test_path_eigenflow(contest, n_times):
    z, eigenvalues, b0, t = noise_dominated(100_000, 1)
    times = np.linspace(0, 2 * t, n_times + 1)[1:]
    contest(
        "flow depth 1, path of 75 times, 1e5 coordinates",
        "eigenflow" if n_times == 75 else "one time only (not a rival: the cost of a march)",
        lambda: ef.flow.solve(z, eigenvalues, times, depth=1, b0=b0),
        rounds=3,
    )
