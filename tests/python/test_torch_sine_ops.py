"""Operations on sine-activated weights against dense autograd."""

import pytest

pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

import torch
from hypothesis import given
from hypothesis import strategies as st

from eigenflow.nn import sine_cuda, sine_ops, sine_tiles
from reference import sine_torch as reference
from support.sine_inputs import drawn


def gradients(y, weights, inputs):
    wanted = [t for t in inputs if t is not None]
    return torch.autograd.grad((y * weights).sum(), wanted)


def assert_like_reference(ours, theirs, inputs, rtol):
    y, truth = ours(*inputs), theirs(*inputs)
    assert_close(y, truth, rtol)
    weights = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)
    pairs = zip(gradients(y, weights, inputs), gradients(truth, weights, inputs), strict=True)
    for found, true in pairs:
        assert_close(found, true, rtol)


def assert_close(found, true, rtol):
    scale = true.detach().abs().max().item() if true.numel() else 0.0
    torch.testing.assert_close(found, true, rtol=rtol, atol=rtol * (scale + 1e-30))


@pytest.mark.parametrize("rows", [0, 1, 5, 40, 70])  # fused kernels, and blocks of weights
@pytest.mark.parametrize("with_base", [False, True])
def test_linear(rows, with_base):
    factors = drawn(7, 5, 3, base=with_base)
    x = torch.randn(rows, 5, dtype=torch.float64, requires_grad=True)
    assert_like_reference(sine_ops.sine_linear, reference.linear, (x, *factors), 1e-11)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 9, 2), (9, 1, 4), (0, 3, 1), (3, 0, 1)])
def test_linear_of_small_shapes(shape):
    x = torch.randn(2, 3, shape[1], dtype=torch.float64, requires_grad=True)
    assert_like_reference(sine_ops.sine_linear, reference.linear, (x, *drawn(*shape)), 1e-11)


def test_several_blocks_give_what_one_gives(monkeypatch):
    factors = drawn(50, 30, 2)
    x = torch.randn(80, 30, dtype=torch.float64, requires_grad=True)
    monkeypatch.setattr(sine_tiles, "_BLOCK", 7 * 30)
    assert_like_reference(sine_ops.sine_linear, reference.linear, (x, *factors), 1e-11)
    assert_like_reference(sine_ops.sine_matrix, reference.matrix, factors, 1e-11)


def test_strided_inputs():
    U, V, omega, gain, base = drawn(6, 10, 2)
    x = torch.randn(10, 20, dtype=torch.float64)[:, ::2].T.requires_grad_()
    wide = [torch.randn(2, len(t), dtype=torch.float64).T.requires_grad_() for t in (U, V)]
    turned = base.detach().T.contiguous().T.requires_grad_()
    inputs = (x, *wide, omega, gain, turned)
    assert_like_reference(sine_ops.sine_linear, reference.linear, inputs, 1e-11)


@pytest.mark.parametrize("omega", [0.0, 1e-3, -3.0, 200.0])
def test_frequencies(omega):
    factors = drawn(8, 6, 2, omega=omega)
    assert_like_reference(sine_ops.sine_matrix, reference.matrix, factors, 1e-11)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(groups):
    kernel, settings = (3, 2), ((2, 1), (1, 0), (1, 2), groups)
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64, requires_grad=True)
    factors = drawn(4, 4 // groups * 6, 2)

    def ours(x, *factors):
        return sine_ops.sine_conv2d(x, factors[:4], factors[4], kernel, *settings)

    def theirs(x, *factors):
        return reference.conv2d(x, *factors, kernel, settings)

    assert_like_reference(ours, theirs, (x, *factors), 1e-11)


def test_row_norms():
    factors = drawn(5, 9, 2)
    norms = sine_ops.sine_row_norms(*factors)
    torch.testing.assert_close(norms, reference.matrix(*factors).norm(dim=1).detach())
    assert not norms.requires_grad


@pytest.mark.parametrize("rows", [32, 96])
def test_float32_against_float64(rows):
    torch.manual_seed(0)
    factors = drawn(64, 48, 4, torch.float32, omega=10.0)
    x = torch.randn(rows, 48, requires_grad=True)
    wide = [t.detach().double().requires_grad_() for t in (x, *factors)]
    y, truth = sine_ops.sine_linear(x, *factors), reference.linear(*wide)
    weights = torch.randn(y.shape)
    pairs = zip(
        [y, *gradients(y, weights, (x, *factors))],
        [truth, *gradients(truth, weights.double(), wide)],
        strict=True,
    )
    for found, true in pairs:
        assert ((found - true).detach().norm() / true.detach().norm()).item() < 1e-5


@pytest.mark.parametrize("rows", [10, 100])
def test_bfloat16_factors_have_phases_in_float32(rows):
    factors = drawn(64, 48, 4, torch.bfloat16, omega=30.0, base=False)
    exact = reference.matrix(*(t.detach().double() for t in factors[:4]))
    made = sine_ops.sine_matrix(*factors)
    assert made.dtype == torch.bfloat16
    # Only the result is rounded: the phases, up to hundreds of radians, are not.
    assert (made.detach().double() - exact).abs().max().item() < 2**-8 / 1.7
    x = torch.randn(rows, 48).bfloat16()
    grad_u, grad_omega = torch.autograd.grad(
        sine_ops.sine_linear(x, *factors).float().sum(), [factors[0], factors[2]]
    )
    assert grad_u.dtype == torch.bfloat16
    assert grad_omega.dtype == torch.float32


def saved_sizes(run):
    """Storage sizes of all tensors that autograd keeps."""
    sizes = []

    def pack(t):
        sizes.append(t.untyped_storage().nbytes() // t.element_size())
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        run().sum().backward()
    return sizes


def test_no_matrix_is_saved():
    m, n, k, rows = 300, 200, 3, 70
    factors = drawn(m, n, k, torch.float32)
    factors[4] = factors[4].detach()
    x = torch.randn(rows, n, requires_grad=True)

    def run(linear, base):
        return lambda: linear(x, *factors[:4], base)

    assert max(saved_sizes(run(sine_ops.sine_linear, None))) <= rows * n
    naive = saved_sizes(run(reference.linear, None))
    assert sum(size == m * n for size in naive) >= 2  # the phase and the sine
    with_base = saved_sizes(run(sine_ops.sine_linear, factors[4]))
    assert sum(size == m * n for size in with_base) == 1  # the base itself, which is there anyway
    image = torch.randn(2, 8, 5, 5, requires_grad=True)
    conv = drawn(64, 8 * 9, 2, torch.float32, base=False)[:4]
    settings = ((3, 3), (1, 1), (1, 1), (1, 1), 1)
    sizes = saved_sizes(lambda: sine_ops.sine_conv2d(image, tuple(conv), None, *settings))
    assert 64 * 8 * 9 not in sizes
    assert m * n not in saved_sizes(lambda: sine_ops.sine_matrix(*factors[:4]))


def test_operations_keep_the_rules_of_torch_library():
    U, V, omega, gain, base = drawn(7, 5, 3, torch.float32)
    x = torch.randn(12, 5, requires_grad=True)
    check = torch.library.opcheck
    check(sine_ops._linear_op, (x, U, V, omega, gain, base))
    check(sine_ops._matrix_op, (U, V, omega, gain, None))
    check(sine_ops._row_norms_op, tuple(t.detach() for t in (U, V, omega, gain, base)))
    image = torch.randn(2, 1, 5, 6, requires_grad=True)
    settings = ([1, 5], [1, 1], [0, 0], [1, 1], 1)
    check(sine_ops._conv2d_op, (image, U, V, omega, gain, None, *settings))


def test_the_route_of_other_devices(monkeypatch):
    factors = drawn(30, 20, 3)
    x = torch.randn(80, 20, dtype=torch.float64, requires_grad=True)
    monkeypatch.setattr(sine_cuda, "kernels_for", lambda t: "torch")
    assert_like_reference(sine_ops.sine_linear, reference.linear, (x, *factors), 1e-11)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    low = [t.detach().float() for t in factors]
    made = sine_ops.sine_matrix(*low)
    torch.testing.assert_close(made, reference.matrix(*low), rtol=1e-4, atol=1e-5)


@given(
    st.integers(1, 20), st.integers(1, 20), st.integers(1, 6), st.integers(0, 20),
    st.floats(-300, 300),
)  # fmt: skip
def test_any_shape_and_frequency(m, n, k, rows, omega):
    U, V, omega, gain, base = drawn(m, n, k, omega=omega)
    x = torch.randn(rows, n, dtype=torch.float64)
    found = sine_ops.sine_linear(x, U, V, omega, gain, base)
    truth = reference.linear(x, U, V, omega, gain, base)
    torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-9)


def test_a_second_backward_pass_is_refused():
    factors = drawn(4, 3, 1, base=False)
    x = torch.randn(2, 3, dtype=torch.float64)
    y = sine_ops.sine_linear(x, *factors).sum()
    (first,) = torch.autograd.grad(y, factors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="sine_linear_backward"):
        first.sum().backward()
