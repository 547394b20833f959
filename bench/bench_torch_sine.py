"""A training step of one adapted layer against what users write in PyTorch today.

Forward and backward passes of a frozen 2048 x 2048 layer with a sine adapter of rank 8. "naive"
has the change as a branch of its own and lets autograd keep phases and sines; "recompute" merges
base and change and makes both again in the backward pass, in plain PyTorch.
"""

import pytest

pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")

import torch

import eigenflow as ef
from eigenflow.nn.sine_kernels import decoded
from eigenflow.nn.sine_ops import sine_linear, sine_packed_linear

SIZE, RANK, OMEGA = 2048, 8, 200.0


class Recompute(torch.autograd.Function):
    """Dense weights, made twice and never kept."""

    @staticmethod
    def forward(ctx, x, base, U, V):
        ctx.save_for_backward(x, base, U, V)
        return x @ (base + torch.sin(OMEGA * (U @ V.T)) / SIZE**0.5).T

    @staticmethod
    def backward(ctx, dy):
        x, base, U, V = ctx.saved_tensors
        phase = OMEGA * (U @ V.T)
        dx = dy @ (base + torch.sin(phase) / SIZE**0.5)
        P = torch.cos(phase) * (dy.T @ x) * (OMEGA / SIZE**0.5)
        return dx, None, P @ V, P.T @ U


def naive(x, base, U, V):
    return x @ base.T + x @ (torch.sin(OMEGA * (U @ V.T)) / SIZE**0.5).T


def ours(x, base, U, V):
    scalars = torch.tensor(OMEGA), torch.tensor(SIZE**0.5)
    return sine_linear(x, U, V, *scalars, base)


def lora(x, base, U, V):
    return x @ base.T + (x @ V) @ U.T


WAYS = {"eigenflow": ours, "naive autograd": naive, "recompute in PyTorch": Recompute.apply,
        "LoRA, no sine": lora}  # fmt: skip


def with_codes(x, left, right, base):
    scalars = torch.tensor(OMEGA), torch.tensor(SIZE**0.5)
    return sine_packed_linear(x, left, right, *scalars, base)


def decoded_first(x, left, right, base):
    U, V = decoded(*left), decoded(*right)
    return x @ base.T + x @ (torch.sin(OMEGA * (U @ V.T)) / SIZE**0.5).T


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def inputs(rows):
    torch.manual_seed(0)
    U = (torch.rand(SIZE, RANK) * 2 - 1) / RANK**0.5
    V = (torch.rand(SIZE, RANK) * 2 - 1) / SIZE**0.5
    base = torch.randn(SIZE, SIZE) / SIZE**0.5
    return torch.randn(rows, SIZE).requires_grad_(), base, U.requires_grad_(), V.requires_grad_()


def saved_mebibytes(way, given):
    """What autograd keeps for the backward pass, the inputs aside."""
    own = {t.untyped_storage().data_ptr() for t in given}
    kept = {}

    def pack(t):
        if t.untyped_storage().data_ptr() not in own:
            kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = way(*given)
    del y
    return round(sum(kept.values()) / 2**20, 1)


@pytest.mark.parametrize("rows", [1, 16, 256])
@pytest.mark.parametrize("who", WAYS)
def test_training_step(contest, who, rows):
    given = inputs(rows)
    wanted = [t for t in given if t.requires_grad]
    dy = torch.randn(rows, SIZE)

    def step():
        return torch.autograd.grad(WAYS[who](*given), wanted, dy)

    contest(f"step of 2048 x 2048, k = 8, {rows} rows, one thread", who, step, rounds=9,
            saved=f"{saved_mebibytes(WAYS[who], given)} MiB kept")  # fmt: skip


@pytest.mark.parametrize("rows", [1, 16, 256])
@pytest.mark.parametrize("who", ["eigenflow", "decode, then PyTorch"])
def test_inference_with_codes(contest, who, rows):
    x, base, *factors = (t.detach() for t in inputs(rows))
    left, right = (
        (torch.from_numpy(q.codes), torch.from_numpy(q.table), [*q.shape, q.bits])
        for q in (ef.sine.quantize(f.numpy(), 4) for f in factors)
    )
    way = with_codes if who == "eigenflow" else decoded_first
    cell = f"inference of 2048 x 2048, k = 8 in 4 bits, {rows} rows, one thread"
    contest(cell, who, lambda: way(x, left, right, base), rounds=9)
