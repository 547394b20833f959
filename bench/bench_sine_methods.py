"""Approximating methods against the fused tiles, and which method is chosen where.

`python bench/bench_sine_methods.py` prints the grid of choices.
"""

import numpy as np
import pytest

import eigenflow as ef


def problem(n, k, t, phase, dtype=np.float32):
    """Factors in boxes, with phases up to about `phase` radians."""
    rng = np.random.default_rng(0)
    U, V = (rng.uniform(-1, 1, (n, k)).astype(dtype) for _ in range(2))
    return U, V, phase / k, rng.normal(size=(n, t)).astype(dtype)


@pytest.mark.parametrize("t", [1, 64])
@pytest.mark.parametrize(
    ("who", "method"),
    [
        ("eigenflow, anchors", "anchors"),
        ("eigenflow, nufft", "nufft"),
        ("eigenflow, auto", "auto"),
        ("fused tiles", "fused"),
    ],
)
def test_one_column_of_factors(contest, who, method, t):
    if method == "nufft":
        pytest.importorskip("finufft", reason="finufft is not installed")
    U, V, omega, X = problem(8192, 1, t, 20.0)
    op = ef.sine.SineLowRank(U, V, omega, method=method, rtol=1e-5)
    exact = ef.sine.SineLowRank(U.astype(float), V.astype(float), omega, method="fused") @ X
    call = lambda: op.matmat(X, workers=1)  # noqa: E731
    error = float(np.abs(call() - exact).max() / np.abs(exact).max())
    contest(f"sine @ 8192x{t}, n=8192 k=1 phases to 20, one thread", who, call, error=error)


def print_choices():
    """The method for each size, on the terminal."""
    print(f"{'n':>7} {'k':>2} {'phase':>6}  " + "  ".join(f"T={t:<9}" for t in (1, 64, 512)))
    for n in (256, 1024, 4096, 16384):
        for k in (1, 2, 3, 4, 8):
            for phase in (0.5, 10.0, 100.0):
                U, V, omega, _ = problem(n, k, 1, phase)
                op = ef.sine.SineLowRank(U, V, omega, rtol=1e-5)
                chosen = "  ".join(f"{op.plan(t).method:<11}" for t in (1, 64, 512))
                print(f"{n:>7} {k:>2} {phase:>6g}  {chosen}")


if __name__ == "__main__":
    print_choices()
