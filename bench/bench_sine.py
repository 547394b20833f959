"""The fused sine operator against the NumPy expression that users write today."""

import subprocess
import sys

import numpy as np
import pytest

import eigenflow as ef

OMEGA = 200.0


def factors(n, k, t, dtype=np.float32):
    """The authors' start: U in +-1/sqrt(k), V in +-1/sqrt(n)."""
    rng = np.random.default_rng(0)
    U = (rng.uniform(-1, 1, (n, k)) / np.sqrt(k)).astype(dtype)
    V = (rng.uniform(-1, 1, (n, k)) / np.sqrt(n)).astype(dtype)
    return U, V, rng.normal(size=(n, t)).astype(dtype)


def numpy_product(U, V, X):
    return (np.sin(OMEGA * (U @ V.T)) @ X) / np.sqrt(len(V))


PEAK = """
import sys
sys.path.insert(0, {folder!r})
import eigenflow as ef
from bench_sine import OMEGA, factors, numpy_product
U, V, X = factors(4096, 8, 64)
op = ef.sine.SineLowRank(U, V, OMEGA)
op.T.submatrix(slice(8), slice(8)) @ X[:8], numpy_product(U[:8], V[:8], X[:8])

def kib(field):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field))

with open("/proc/self/clear_refs", "w") as f:
    f.write("5")
before = kib("VmRSS")
result = {expression}
print((kib("VmHWM") - before) / 1024)
"""


def peak_mebibytes(expression):
    """Peak memory of one call in a fresh process, its result included."""
    code = PEAK.format(folder=str(__file__).rpartition("/")[0], expression=expression)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return round(float(run.stdout), 1)


@pytest.mark.parametrize("who", ["eigenflow", "numpy"])
def test_product_with_64_right_hand_sides(contest, who):
    U, V, X = factors(4096, 8, 64)
    op = ef.sine.SineLowRank(U, V, OMEGA)
    exact = numpy_product(*(a.astype(np.float64) for a in (U, V, X)))
    call = (lambda: op @ X) if who == "eigenflow" else (lambda: numpy_product(U, V, X))
    expression = "op @ X" if who == "eigenflow" else "numpy_product(U, V, X)"
    contest(
        "sine @ 4096x64, n=4096 k=8 float32",
        who,
        call,
        error=float(np.abs(call() - exact).max()),
        peak_MiB=peak_mebibytes(expression),
    )


@pytest.mark.parametrize("k", [1, 2, 4, 8])
@pytest.mark.parametrize("who", ["eigenflow", "numpy"])
def test_product_with_one_vector(contest, who, k):
    U, V, X = factors(2048, k, 1)
    op = ef.sine.SineLowRank(U, V, OMEGA)
    call = (lambda: op @ X) if who == "eigenflow" else (lambda: numpy_product(U, V, X))
    contest(f"sine @ vector, n=2048 k={k} float32", who, call)


@pytest.mark.parametrize("who", ["eigenflow", "numpy"])
def test_the_matrix_itself(contest, who):
    U, V, _ = factors(2048, 8, 1)
    op = ef.sine.SineLowRank(U, V, OMEGA)
    scale = np.float32(1 / np.sqrt(len(V)))
    call = op.toarray if who == "eigenflow" else (lambda: np.sin(OMEGA * (U @ V.T)) * scale)
    contest("sine toarray, n=2048 k=8 float32", who, call)


@pytest.mark.parametrize("who", ["eigenflow", "numpy"])
def test_the_products_of_float64(contest, who):
    U, V, X = factors(2048, 8, 16, np.float64)
    op = ef.sine.SineLowRank(U, V, OMEGA)
    call = (lambda: op @ X) if who == "eigenflow" else (lambda: numpy_product(U, V, X))
    contest("sine @ 2048x16, n=2048 k=8 float64", who, call)


@pytest.mark.parametrize("who", ["phase product alone", "last product alone"])
def test_floors_of_any_method_that_stores_the_matrix(contest, who):
    U, V, X = factors(4096, 8, 64)
    W, out = np.empty((4096, 4096), np.float32), np.empty((4096, 64), np.float32)
    np.matmul(U, V.T, out=W)
    calls = {
        "phase product alone": lambda: np.matmul(U, V.T, out=W),
        "last product alone": lambda: np.matmul(W, X, out=out),
    }
    contest("floors of NumPy, n=4096 k=8, 64 right-hand sides", who, calls[who])
