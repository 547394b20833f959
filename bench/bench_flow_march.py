"""The march at depth >= 1: against ODE solvers, its own single time, and the paper's Euler loop."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import eigenflow as ef
from bench_flow import observations

N = 1_000_000


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


def cell(depth):
    return f"flow depth {depth}, 1e6 noise-dominated coordinates, all cores"


def furthest(got, want):
    return float(np.max(np.abs(got - want) / np.abs(want)))


@pytest.mark.parametrize("depth", [1, 2])
def test_march_eigenflow(contest, depth):
    z, eigenvalues, b0, t = noise_dominated(N, depth)
    contest(
        cell(depth),
        "eigenflow",
        lambda: ef.flow.solve(z, eigenvalues, t, depth=depth, b0=b0),
        per=N,
    )


@pytest.mark.parametrize("depth", [1, 2])
def test_march_scipy(contest, depth):
    """A slice of 200 coordinates, one system each; the table scales it to all of them."""
    n = 200
    z, eigenvalues, b0, t = noise_dominated(N, depth)
    pick = np.random.default_rng(2).choice(z.size, n, replace=False)
    z, eigenvalues = z[pick], eigenvalues[pick]

    def one(zi, lam):
        def slope(_, beta):
            g = np.sqrt(lam + beta**2) * (b0**2 + depth * beta**2) ** (depth / 2)
            return g * (zi - beta * g)

        beta = solve_ivp(slope, (0, t), [0.0], "DOP853", [t], rtol=1e-10, atol=1e-15).y[0, -1]
        return beta * np.sqrt(lam + beta**2) * (b0**2 + depth * beta**2) ** (depth / 2)

    def all_of_them():
        return np.array([one(a, b) for a, b in zip(z, eigenvalues, strict=True)])

    contest(
        cell(depth),
        f"SciPy DOP853, rtol 1e-10, {n} coordinates scaled up, one core",
        all_of_them,
        rounds=1,
        scale=N / n,
        difference=furthest(all_of_them(), ef.flow.solve(z, eigenvalues, t, depth=depth, b0=b0)),
    )


@pytest.mark.parametrize("depth", [1, 2])
def test_march_diffrax(contest, depth):
    """Diffrax's Dopri8 under vmap: each coordinate has its own steps, in one compiled loop."""
    diffrax = pytest.importorskip("diffrax", reason="diffrax is not installed")
    import jax

    jax.config.update("jax_enable_x64", True)
    n = 20_000
    z, eigenvalues, b0, t = noise_dominated(N, depth)
    pick = np.random.default_rng(2).choice(z.size, n, replace=False)
    z, eigenvalues = z[pick], eigenvalues[pick]

    def product(lam, beta):
        return (lam + beta**2) ** 0.5 * (b0**2 + depth * beta**2) ** (depth / 2)

    def slope(_, beta, args):
        g = product(args[1], beta)
        return g * (args[0] - beta * g)

    def one(zi, lam):
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(slope),
            diffrax.Dopri8(),
            0.0,
            t,
            None,
            0.0 * zi,
            args=(zi, lam),
            stepsize_controller=diffrax.PIDController(rtol=1e-10, atol=1e-15),
            max_steps=100_000,
        )
        beta = solution.ys[0]
        return beta * product(lam, beta)

    run = jax.jit(jax.vmap(one))
    on_device = jax.numpy.asarray(z), jax.numpy.asarray(eigenvalues)
    theirs = np.asarray(run(*on_device))
    contest(
        cell(depth),
        f"diffrax Dopri8 (vmap), rtol 1e-10, {n} coordinates scaled up",
        lambda: run(*on_device).block_until_ready(),
        rounds=3,
        scale=N / n,
        difference=furthest(theirs, ef.flow.solve(z, eigenvalues, t, depth=depth, b0=b0)),
    )


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("n_times", [75, 1])
def test_path(contest, n_times, depth):
    n = 200_000
    z, eigenvalues, b0, t = noise_dominated(n, depth)
    times = np.linspace(0, 2 * t, n_times + 1)[1:]
    contest(
        f"flow depth {depth}, path of 75 times, 2e5 coordinates",
        "eigenflow" if n_times == 75 else "one time (not a rival)",
        lambda: ef.flow.solve(z, eigenvalues, times, depth=depth, b0=b0),
    )


REPETITIONS, EULER_STEPS, COORDINATES = 20, 1_000_000, 10_000
FIGURE_2 = f"Figure 2 of the paper: depth 0, 1, 3, {REPETITIONS} repetitions, 1e4 coordinates"
ENDS = {0: 200.0, 1: 1000.0, 3: 2000.0}


def figure_2(depth):
    """Coordinates, b0 of the paper for 2500 samples, and the noise of each repetition."""
    eigenvalues = np.arange(1.0, COORDINATES + 1) ** -2
    noise = np.random.default_rng(3).normal(size=(REPETITIONS, COORDINATES)) / 50
    signal = np.zeros(COORDINATES)
    signal[np.arange(1, 101) ** 2 - 1] = 1 / np.arange(1, 101)
    return signal + noise, eigenvalues, 2500 ** (-1 / (2 * (depth + 2))) if depth else None


def test_figure_2_eigenflow(contest):
    problems = {depth: figure_2(depth) for depth in ENDS}

    def run():
        for depth, (z, eigenvalues, b0) in problems.items():
            times = np.linspace(0, ENDS[depth], 101)
            for one in z:
                ef.flow.solve(one, eigenvalues, times, depth=depth, b0=b0)

    contest(FIGURE_2, "eigenflow, 101 times, exact", run, rounds=3)


def test_figure_2_euler(contest):
    """One repetition and 300 steps of the loop; the table scales it to all."""
    n_steps = 300
    problems = {depth: figure_2(depth) for depth in ENDS}

    def run():
        for depth, (z, eigenvalues, b0) in problems.items():
            step = ENDS[depth] / EULER_STEPS
            a, beta, b = np.sqrt(eigenvalues), np.zeros(COORDINATES), np.full(COORDINATES, b0 or 1)
            for _ in range(n_steps):
                g = a * b**depth
                error = step * (z[0] - g * beta)
                grown = b if depth == 0 else b + depth * a * b ** (depth - 1) * beta * error
                a, b, beta = a + b**depth * beta * error, grown, beta + g * error

    contest(
        FIGURE_2,
        "Euler loop in NumPy, 1e6 steps, scaled up",
        run,
        rounds=3,
        scale=REPETITIONS * EULER_STEPS / n_steps,
    )


@pytest.mark.parametrize("exponent", [4, 5, 6, 7])
def test_cost_is_linear(contest, exponent):
    n = 10**exponent
    z, eigenvalues = observations(n)
    contest(
        "flow depth 1 by number of coordinates (not rivals)",
        f"eigenflow, {n:.0e} coordinates",
        lambda: ef.flow.solve(z, eigenvalues, 30.0, depth=1, b0=0.3),
        rounds=3,
        per=n,
    )
