"""The fused sine operator against what no method beats.

That is its own arithmetic without memory, and the two matrix products and the sine of a method
that stores the matrix, each timed alone.
One thread unless `who` says otherwise; the threads of BLAS and PyTorch are held to it as well.
"""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import eigenflow as ef
from bench_sine import OMEGA, factors, numpy_product
from eigenflow._core import sine as core

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
ONE_VECTOR = ["eigenflow", "eigenflow, 2 workers", "register loop", "numpy", "numpy, 2 threads",
              "torch", "torch.compile"]  # fmt: skip
# What PyTorch's own compiler warns of while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(limits=1, user_api="blas"):
        yield
    torch.set_num_threads(before)


def torch_product(U, V, X):
    return (torch.sin(OMEGA * (U @ V.T)) @ X) / len(V) ** 0.5


@pytest.mark.parametrize("n", [2048, 8192])
@pytest.mark.parametrize("k", [1, 2, 4, 8])
@pytest.mark.parametrize("who", ONE_VECTOR)
def test_one_vector(contest, who, k, n):
    U, V, X = factors(n, k, 1)
    op = ef.sine.SineLowRank(U, V, OMEGA, method="fused")
    tensors = [torch.from_numpy(a) for a in (U, V, X)]
    calls = {
        "eigenflow": lambda: op.matmat(X, workers=1),
        "eigenflow, 2 workers": lambda: op.matmat(X, workers=2),
        "register loop": lambda: core.register_loop(k, 1, n * n),
        "numpy": lambda: numpy_product(U, V, X),
        "numpy, 2 threads": lambda: numpy_product(U, V, X),
        "torch": lambda: torch_product(*tensors),
    }
    if who == "torch.compile":
        torch.compiler.reset()  # the sizes of one cell are constants, as they are for a user
        compiled = torch.compile(torch_product)
        calls[who] = lambda: compiled(*tensors)
    with threadpool_limits(limits=2 if "2 threads" in who else 1, user_api="blas"):
        contest(f"sine @ vector, n={n} k={k} float32, one thread", who, calls[who],
                rounds=5)  # fmt: skip


@pytest.mark.parametrize("t", [64, 512])
@pytest.mark.parametrize("k", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize(
    "who", ["eigenflow", "phase product", "sine", "last product", "numpy", "torch"]
)
def test_many_right_hand_sides(contest, who, k, t):
    n = 2048
    U, V, X = factors(n, k, t)
    op = ef.sine.SineLowRank(U, V, OMEGA, method="fused")
    tensors = [torch.from_numpy(a) for a in (U, V, X)]
    W, out = np.empty((n, n), np.float32), np.empty((n, t), np.float32)
    phases = np.matmul(U, V.T).ravel()
    sine, cosine = np.empty_like(phases), np.empty_like(phases)
    core.sincospi(phases, W.reshape(-1), cosine)  # numbers of the size that the last product meets
    calls = {
        "eigenflow": lambda: op.matmat(X, workers=1),
        "phase product": lambda: np.matmul(U, V.T, out=W),
        "sine": lambda: core.sincospi(phases, sine, cosine),
        "last product": lambda: np.matmul(W, X, out=out),
        "numpy": lambda: numpy_product(U, V, X),
        "torch": lambda: torch_product(*tensors),
    }
    contest(f"sine @ {n}x{t}, n={n} k={k} float32, one thread", who, calls[who], rounds=3)


def naive(U, V, X, Y):
    (torch_product(U, V, X) * Y).sum().backward()


def dense_again(U, V, X, Y):
    """The weights made once forward and once backward, kept in between by nobody."""
    with torch.no_grad():
        W = torch.sin(OMEGA * (U @ V.T)).div_(len(V) ** 0.5)
        W @ X
        phase = OMEGA * (U @ V.T)
        Q = torch.cos(phase).mul_(Y @ X.T).mul_(OMEGA / len(V) ** 0.5)
        W = phase.sin_().div_(len(V) ** 0.5)
        return Q @ V, Q.T @ U, W.T @ Y


@pytest.mark.parametrize("who", ["eigenflow", "torch, dense again", "torch autograd"])
def test_forward_and_backward(contest, who):
    U, V, X = factors(2048, 8, 256)
    Y = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    op = ef.sine.SineLowRank(U, V, OMEGA, method="fused")
    tensors = [torch.from_numpy(a).requires_grad_(who == "torch autograd") for a in (U, V, X)]

    def ours():
        return op.matmat(X, workers=1), op.vjp(X, Y, wrt=("U", "V", "X"), workers=1)

    calls = {
        "eigenflow": ours,
        "torch, dense again": lambda: dense_again(*tensors, torch.from_numpy(Y)),
        "torch autograd": lambda: naive(*tensors, torch.from_numpy(Y)),
    }
    contest("sine forward + backward, n=2048 k=8 T=256 float32, one thread", who, calls[who])
