"""The tasks: each is made when its turn comes, with the rivals that are installed."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigenflow import flow, lds, lowrank, sine
from eigenflow.comparison.contest import Contestant, Task
from eigenflow.comparison.statespace import in_statsmodels

Array = NDArray[Any]


def _installed(package: str) -> bool:
    return find_spec(package) is not None


def closed_form(n: int = 4_000_000) -> Task:
    """Gradient flow at depth 0: the state that NumPy computes with one expression."""
    z = np.random.default_rng(0).standard_normal(n) / 10
    eigenvalues, t = np.arange(1.0, n + 1) ** -0.5, 30.0

    def in_numpy() -> Array:
        r = np.hypot(2 * z, eigenvalues)
        rho, x = eigenvalues / r, r * t
        q, m = np.exp(-x), -np.expm1(-x)
        share = rho * m * ((1 + q) + rho * m)
        return np.asarray(z * share / (share + 2 * q))

    mine = flow.solve(z, eigenvalues, t)
    return Task(
        f"flow, depth 0, {n:.0e} coordinates",
        [
            Contestant("eigenflow", lambda: flow.solve(z, eigenvalues, t)),
            Contestant("NumPy expression", in_numpy),
        ],
        lambda theta: float(np.max(np.abs(theta - mine))),
        "difference",
    )


def march(n: int = 100_000, part: int = 20) -> Task:
    """Gradient flow at depth 1: SciPy's ODE solver follows a part of the coordinates."""
    from scipy.integrate import solve_ivp

    rng = np.random.default_rng(1)
    z, eigenvalues = rng.standard_normal(n) / 10, np.arange(1.0, n + 1) ** -1.5
    picked = rng.choice(n, part, replace=False)
    b0, t = 0.2, 200.0

    def one(target: float, eigenvalue: float) -> float:
        def slope(_: float, beta: Array) -> Array:
            g = np.sqrt((eigenvalue + beta**2) * (b0**2 + beta**2))
            return np.asarray(g * (target - beta * g))

        beta = solve_ivp(slope, (0, t), [0.0], "DOP853", [t], rtol=1e-10, atol=1e-15).y[0, -1]
        return float(beta * np.sqrt((eigenvalue + beta**2) * (b0**2 + beta**2)))

    def in_scipy() -> Array:
        return np.array([one(z[i], eigenvalues[i]) for i in picked])

    mine = flow.solve(z, eigenvalues, t, depth=1, b0=b0)
    return Task(
        f"flow, depth 1, {n:.0e} coordinates",
        [
            Contestant("eigenflow", lambda: flow.solve(z, eigenvalues, t, depth=1, b0=b0)[picked]),
            Contestant("SciPy DOP853, rtol 1e-10", in_scipy, part / n),
        ],
        lambda theta: float(np.max(np.abs(theta - mine[picked]))),
        "difference",
    )


def truncated_svd(m: int = 3000, n: int = 1000, rank: int = 50) -> Task:
    """The leading singular triplets of a matrix with singular values 1/j."""
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.standard_normal((k, n)))[0] for k in (m, n))
    A = ((left / np.arange(1, n + 1)) @ right.T).astype(np.float32)

    def error(result: Sequence[Array]) -> float:
        U, s, Vh = result
        return float(np.linalg.norm(A - (U * s) @ Vh) / np.linalg.norm(A))

    return Task(
        f"svd, {m} x {n} float32, rank {rank}",
        [
            Contestant("eigenflow", lambda: tuple(lowrank.svd(A, rank, rng=0))),
            *_svd_rivals(A, rank),
        ],
        error,
    )


def _svd_rivals(A: Array, rank: int) -> list[Contestant]:
    from scipy.sparse.linalg import svds

    def in_full() -> tuple[Array, Array, Array]:
        U, s, Vh = np.linalg.svd(A, full_matrices=False)
        return U[:, :rank], s[:rank], Vh[:rank]

    found = [
        Contestant("numpy.linalg.svd", in_full),
        Contestant("SciPy svds (arpack)", lambda: svds(A, rank, rng=0)),
    ]
    if _installed("sklearn"):
        from sklearn.utils.extmath import randomized_svd

        found.append(
            Contestant(
                "scikit-learn randomized_svd", lambda: randomized_svd(A, rank, random_state=0)
            )
        )
    if _installed("torch"):
        import torch

        tensor = torch.from_numpy(A)

        def in_torch() -> tuple[Array, Array, Array]:
            U, s, V = torch.svd_lowrank(tensor, rank, niter=4)
            return U.numpy(), s.numpy(), V.numpy().T

        found.append(Contestant("torch.svd_lowrank, niter 4", in_torch))
    return found


def sine_product(n: int = 2048, k: int = 8, columns: int = 64) -> Task:
    """A sine-activated matrix times a block: the others store its n x n entries."""
    rng = np.random.default_rng(3)
    U, V, X = (rng.standard_normal((n, c), dtype=np.float32) for c in (k, k, columns))
    omega, gain = np.float32(20.0), np.float32(np.sqrt(n))
    op = sine.SineLowRank(U, V, float(omega))
    truth = sine.SineLowRank(U.astype(float), V.astype(float), float(omega)) @ X.astype(float)

    contestants = [
        Contestant("eigenflow", lambda: op @ X),
        Contestant("NumPy expression", lambda: np.sin(omega * (U @ V.T)) @ X / gain),
    ]
    if _installed("torch"):
        import torch

        u, v, x = (torch.from_numpy(a) for a in (U, V, X))
        contestants.append(
            Contestant(
                "PyTorch expression",
                lambda: (torch.sin(float(omega) * (u @ v.T)) @ x / float(gain)).numpy(),
            )
        )
    return Task(
        f"sine, {n} x {n} float32 of rank {k}, {columns} columns",
        contestants,
        lambda y: float(np.linalg.norm(y - truth) / np.linalg.norm(truth)),
    )


def log_likelihood(n_steps: int = 1_000_000, state_dim: int = 4) -> Task:
    """The likelihood of a long series; statsmodels runs a tenth of it."""
    n, part = state_dim, n_steps // 10
    rng = np.random.default_rng(4)
    A = np.diag(np.linspace(0.9, -0.3, n)) + 0.1 * np.triu(rng.standard_normal((n, n)), 1)
    system = lds.LinearSystem(A, rng.standard_normal((1, n)), np.eye(n), np.eye(1))
    y = lds.simulate(system, n_steps, rng=5).observations

    def mine() -> float:
        return float(lds.log_likelihood(system, y))

    contestants = [Contestant("eigenflow", mine)]
    if _installed("statsmodels"):
        model = in_statsmodels(system, y[:part])
        contestants.append(
            Contestant("statsmodels", lambda: float(model.loglike()), part / n_steps)
        )
    return Task(f"lds, log-likelihood, {n_steps:.0e} steps, {n} states", contestants)


def steady_recursion(n_steps: int = 1_000_000) -> Task:
    """One-step predictions: `scipy.signal.lfilter` knows the gains in advance."""
    from scipy.signal import lfilter, ss2tf

    system = lds.LinearSystem([[0.9, 0.2], [0.0, 0.7]], [[1.0, 0.5]], np.eye(2), np.eye(1))
    y = lds.simulate(system, n_steps, rng=6).observations[:, 0]
    steady = lds.steady_state(system)
    gain = system.A @ steady.gain
    closed = system.A - gain @ system.C
    top, bottom = ss2tf(closed, gain, system.C, np.zeros((1, 1)))

    def mine() -> Array:
        innovations = lds.filter(system, y, store=("innovations",)).innovations
        return np.asarray(y - innovations[:, 0])

    reference = mine()
    return Task(
        f"lds, one-step predictions, {n_steps:.0e} steps, 2 states",
        [
            Contestant("eigenflow", mine),
            Contestant("SciPy lfilter", lambda: lfilter(top[0], bottom, y)),
        ],
        lambda x: float(np.max(np.abs(x[1000:] - reference[1000:]))),
        "difference",
    )


TASKS: Sequence[Callable[[], Task]] = (
    closed_form,
    march,
    truncated_svd,
    sine_product,
    log_likelihood,
    steady_recursion,
)
