"""What the kernels reach on a CUDA device, against its memory, its products and CuPy's own ways.

    python bench/gpu.py                 # all parts, as a Markdown table
    python bench/gpu.py flow lds        # some of them

Times are CUDA events around one call, after a first call that compiles. The ceilings of the table
are measured in the same run: a copy between two arrays, and a product of two square matrices.
"""

import statistics
import sys
from collections.abc import Callable
from typing import Any

import cupy
import numpy as np
import torch

import eigenflow as ef
from eigenflow import lds
from eigenflow._gpu.rng import random_normals
from eigenflow.comparison.table import markdown, seconds

COLUMNS = ("task", "who", "median", "spread (IQR)", "facts")
DOUBLE = np.dtype(np.float64)
ROWS: list[tuple[str, ...]] = []


def contest(
    task: str,
    who: str,
    run: Callable[[], Any],
    *,
    rounds: int = 15,
    moved: float = 0,
    flops: float = 0,
    per: int = 0,
    **facts: Any,
) -> None:
    """Add a row; `moved` bytes, `flops` and `per` so many things become rates."""
    run()
    times = [time_of(run) for _ in range(rounds)]
    median = statistics.median(times)
    low, _, high = statistics.quantiles(times, n=4)
    if moved:
        facts["GB_a_second"] = moved / median / 1e9
    if flops:
        facts["TFLOP_a_second"] = flops / median / 1e12
    if per:
        facts["ns_each"] = 1e9 * median / per
    text = ", ".join(f"{key} {v:.3g}" for key, v in facts.items())
    ROWS.append((task, who, seconds(median), f"{100 * (high - low) / median:.0f} %", text))
    print("  ".join(ROWS[-1]), file=sys.stderr, flush=True)


def time_of(run: Callable[[], Any]) -> float:
    """Seconds on the device."""
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    begin.record()
    run()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(begin, end) / 1e3


def ceilings() -> None:
    """The rates that nothing below can pass."""
    n = 2**28
    source, target = cupy.ones(n, np.float64), cupy.empty(n, np.float64)
    task = "ceiling: copy of 2 GiB"
    contest(task, "CuPy", lambda: cupy.copyto(target, source), moved=16.0 * n)
    for dtype in (np.float32, np.float64):
        square_product(np.dtype(dtype), 8192)


def square_product(dtype: np.dtype, n: int) -> None:
    A = cupy.random.standard_normal((n, n)).astype(dtype)
    C = cupy.empty_like(A)
    task = f"ceiling: product of {n} x {n}, {dtype}"
    contest(task, "cuBLAS", lambda: cupy.matmul(A, A, out=C), flops=2.0 * n**3)


def random_draws() -> None:
    """Gaussians by counter against CuPy's generator."""
    for dtype in (np.float32, np.float64):
        draw(np.dtype(dtype), (10_000, 10_000))


def draw(dtype: np.dtype, shape: tuple[int, int]) -> None:
    generator, moved = cupy.random.default_rng(0), 1.0 * dtype.itemsize * shape[0] * shape[1]
    task = f"1e8 Gaussians, {dtype}"
    contest(task, "eigenflow", lambda: random_normals(7, shape, dtype), moved=moved)
    contest(task, "CuPy", lambda: generator.standard_normal(shape, dtype), moved=moved)


def flow() -> None:
    """The closed form and the march."""
    for dtype in (np.float32, np.float64):
        depth_zero(np.dtype(dtype), 100_000_000)
    path(10_000_000, 75)
    for depth in (1, 2):
        march(10_000_000, depth)


def observations(n: int, dtype: np.dtype) -> tuple:
    z = cupy.random.standard_normal(n, dtype=dtype) / dtype.type(10)
    return z, (cupy.arange(1.0, n + 1) ** -0.5).astype(dtype)


def closed_form(z, eigenvalues, t):
    """The all-positive closed form at depth 0, as one writes it in CuPy."""
    r = cupy.hypot(2 * z, eigenvalues)
    rho = eigenvalues / r
    m = -cupy.expm1(-r * t)
    n = rho * m * ((1 + cupy.exp(-r * t)) + rho * m)
    return z * n / (n + 2 * cupy.exp(-r * t))


def depth_zero(dtype: np.dtype, n: int) -> None:
    z, eigenvalues = observations(n, dtype)
    task, moved, out = f"flow depth 0, 1e8 {dtype}", 3.0 * dtype.itemsize * n, cupy.empty_like(z)

    def solve(check_finite):
        return ef.flow.solve(z, eigenvalues, 30.0, out=out, check_finite=check_finite)

    contest(task, "eigenflow, unchecked", lambda: solve(False), moved=moved)
    contest(task, "eigenflow", lambda: solve(True), moved=moved)
    contest(task, "CuPy expression", lambda: closed_form(z, eigenvalues, 30.0), moved=moved)


def path(n: int, n_times: int) -> None:
    z, eigenvalues = observations(n, DOUBLE)
    times, out = np.linspace(0, 60, n_times + 1)[1:], cupy.empty((n_times, n))
    contest(
        f"flow depth 0, path of {n_times} times, 1e7 float64",
        "eigenflow, unchecked",
        lambda: ef.flow.solve(z, eigenvalues, times, out=out, check_finite=False),
        moved=8.0 * (2 + n_times) * n,
    )


def march(n: int, depth: int) -> None:
    z, eigenvalues = observations(n, DOUBLE)
    contest(
        f"flow depth {depth}, 1e7 float64",
        "eigenflow, unchecked",
        lambda: ef.flow.solve(z, eigenvalues, 30.0, depth=depth, b0=0.5, check_finite=False),
        rounds=7,
        per=n,
    )


def lowrank() -> None:
    """A truncated decomposition against the whole one and against PyTorch's."""
    decomposition(4000, 2000, np.dtype(np.float32), 50)
    decomposition(4000, 2000, np.dtype(np.float64), 50)
    decomposition(16384, 8192, np.dtype(np.float32), 50)


def decomposition(m: int, n: int, dtype: np.dtype, rank: int) -> None:
    left, right = (cupy.linalg.qr(cupy.random.standard_normal((d, 600)))[0] for d in (m, n))
    A = ((left / cupy.arange(1.0, 601)) @ right.T).astype(dtype)
    wide = A.astype(np.float64)
    task = f"svd {m} x {n} {dtype}, rank {rank}, values 1/j"

    def compete(who, run, triplets, **options):
        U, s, Vh = triplets(run())
        left_over = wide - (U.astype(np.float64) * s) @ Vh.astype(np.float64)
        error = float(cupy.linalg.norm(left_over) / cupy.linalg.norm(wide))
        contest(task, who, run, relative_error=error, **options)

    compete("eigenflow", lambda: ef.lowrank.svd(A, rank, rng=0), tuple, rounds=9)
    B = torch.from_dlpack(A)

    def from_torch(found):
        U, s, V = (cupy.from_dlpack(x[..., :rank].contiguous()) for x in found)
        return U, s, V.T

    def sketched():
        return torch.svd_lowrank(B, rank + 10, niter=4)

    compete("torch.svd_lowrank, niter=4", sketched, from_torch, rounds=9)
    if m < 8000:

        def cut(found):
            U, s, Vh = found
            return U[:, :rank], s[:rank], Vh[:rank]

        compete("cupy.linalg.svd", lambda: cupy.linalg.svd(A, False), cut, rounds=2)


def system_of(n: int) -> lds.LinearSystem:
    """A stable system with one observed number."""
    A = np.diag(np.linspace(0.9, -0.3, n)) + 0.1 * np.triu(np.ones((n, n)), 1)
    law = {"mean0": np.zeros(n), "cov0": np.eye(n)}
    return lds.LinearSystem(A, np.ones((1, n)), 0.1 * np.eye(n), 1.0, **law)


def linear_systems() -> None:
    """Many series side by side, and one long series by chunks of time."""
    for n in (2, 4, 8):
        many_series(n, 100_000, 1000)
    for n_steps in (10_000_000, 100_000_000):
        one_series(4, n_steps)


def many_series(n: int, n_series: int, n_steps: int) -> None:
    system, y = system_of(n), cupy.random.standard_normal((n_series, n_steps, 1))
    task, size = f"lds {n_series:.0e} series of {n_steps} steps, n={n}", 8.0 * y.size
    facts = {"rounds": 4, "per": y.size}
    contest(task, "log-likelihood", lambda: lds.log_likelihood(system, y), moved=size, **facts)
    contest(task, "states", lambda: lds.filter(system, y), moved=size * (1 + n), **facts)
    few = y[: n_series // 10]
    facts["per"] = few.size
    contest(task, "smoother, a tenth of them", lambda: lds.smooth(system, few), **facts)


def one_series(n: int, n_steps: int) -> None:
    system, y = system_of(n), cupy.random.standard_normal(n_steps)
    task, facts = f"lds one series of {n_steps:.0e} steps, n={n}", {"rounds": 5, "per": n_steps}
    size = 8.0 * n_steps
    contest(task, "log-likelihood", lambda: lds.log_likelihood(system, y), moved=size, **facts)
    contest(task, "states", lambda: lds.filter(system, y), moved=size * (1 + n), **facts)


PARTS = {
    "ceilings": ceilings,
    "random": random_draws,
    "flow": flow,
    "lowrank": lowrank,
    "lds": linear_systems,
}


def main() -> None:
    """Run the parts that were named, and print what the device is."""
    device = cupy.cuda.runtime.getDeviceProperties(0)
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
        cupy.get_default_memory_pool().free_all_blocks()
    print(f"{device['name'].decode()}, CuPy {cupy.__version__}, PyTorch {torch.__version__}\n")
    print(markdown(COLUMNS, ROWS))


if __name__ == "__main__":
    main()
