"""PyTorch operations on sin(omega U V^T) / gain that keep none of its entries for the gradient.

Each is a `torch.library` operation with a shape rule, so `torch.compile` takes it as it is. The
backward pass makes the sines and cosines again. Gradients are first derivatives; a second backward
pass is refused by PyTorch.
"""

from __future__ import annotations  # so that the docs can be built without PyTorch

from typing import Any

import torch
from torch import Tensor

from eigenflow.nn import sine_kernels as kernels
from eigenflow.nn.sine_kernels import N_FACTORS

_FACTORS = "Tensor U, Tensor V, Tensor omega, Tensor gain, Tensor? base"
_SETTINGS = "int[] kernel, int[] stride, int[] padding, int[] dilation, int groups"
_NAME = "eigenflow::sine_"
_linear_op: Any = torch.library.custom_op(
    f"{_NAME}linear", kernels.linear, mutates_args=(), schema=f"(Tensor x, {_FACTORS}) -> Tensor"
)
_linear_backward_op: Any = torch.library.custom_op(
    f"{_NAME}linear_backward",
    kernels.linear_backward,
    mutates_args=(),
    schema=f"(Tensor grad, Tensor x, {_FACTORS}, bool[] wanted) -> Tensor[]",
)
_PACKED = "Tensor {0}_codes, Tensor {0}_table, int[] {0}_about"
_packed_linear_op: Any = torch.library.custom_op(
    f"{_NAME}packed_linear",
    kernels.packed_linear,
    mutates_args=(),
    schema=f"(Tensor x, {_PACKED.format('u')}, {_PACKED.format('v')}, Tensor omega, Tensor gain, "
    "Tensor? base) -> Tensor",
)
_matrix_op: Any = torch.library.custom_op(
    f"{_NAME}matrix", kernels.matrix, mutates_args=(), schema=f"({_FACTORS}) -> Tensor"
)
_matrix_backward_op: Any = torch.library.custom_op(
    f"{_NAME}matrix_backward",
    kernels.matrix_backward,
    mutates_args=(),
    schema=f"(Tensor grad, {_FACTORS}, bool[] wanted) -> Tensor[]",
)
_row_norms_op: Any = torch.library.custom_op(
    f"{_NAME}row_norms", kernels.row_norms, mutates_args=(), schema=f"({_FACTORS}) -> Tensor"
)
_conv2d_op: Any = torch.library.custom_op(
    f"{_NAME}conv2d",
    kernels.conv2d,
    mutates_args=(),
    schema=f"(Tensor x, {_FACTORS}, {_SETTINGS}) -> Tensor",
)
_conv2d_backward_op: Any = torch.library.custom_op(
    f"{_NAME}conv2d_backward",
    kernels.conv2d_backward,
    mutates_args=(),
    schema=f"(Tensor grad, Tensor x, {_FACTORS}, {_SETTINGS}, bool[] wanted) -> Tensor[]",
)


def _fake_gradients(
    like: tuple[Tensor, ...], base: Tensor | None, wanted: list[bool]
) -> list[Tensor]:
    made = [
        torch.empty_like(t) if w else t.new_empty(0) for t, w in zip(like, wanted, strict=False)
    ]
    has_base = base is not None and wanted[4]
    return [*made, torch.empty_like(base) if has_base else like[0].new_empty(0)]


def _fake_linear(x: Tensor, U: Tensor, *_: Any) -> Tensor:
    return x.new_empty(*x.shape[:-1], U.shape[0])


def _fake_linear_backward(grad: Tensor, x: Tensor, *rest: Any) -> list[Tensor]:
    *like, base, wanted = rest
    del grad
    dx = torch.empty_like(x) if wanted[-1] else x.new_empty(0)
    return [*_fake_gradients(tuple(like), base, wanted), dx]


def _fake_packed_linear(x: Tensor, *rest: Any) -> Tensor:
    return x.new_empty(*x.shape[:-1], rest[2][0])


def _fake_matrix(U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, base: Tensor | None) -> Tensor:
    del omega, gain
    return (U if base is None else base).new_empty(U.shape[0], V.shape[0])


def _fake_matrix_backward(grad: Tensor, *rest: Any) -> list[Tensor]:
    *like, base, wanted = rest
    del grad
    return _fake_gradients(tuple(like), base, wanted)


def _fake_row_norms(U: Tensor, V: Tensor, *_: Any) -> Tensor:
    dtype = torch.float64 if torch.float64 in (U.dtype, V.dtype) else torch.float32
    return U.new_empty(U.shape[0], dtype=dtype)


def _fake_conv2d(x: Tensor, U: Tensor, *rest: Any) -> Tensor:
    kernel, *settings, groups = rest[4:]
    weight = x.new_empty(U.shape[0], x.shape[-3] // groups, *kernel)
    return torch.conv2d(x, weight, None, *settings, groups)


def _fake_conv2d_backward(grad: Tensor, x: Tensor, *rest: Any) -> list[Tensor]:
    del grad
    like, base, wanted = rest[:4], rest[4], rest[-1]
    dx = torch.empty_like(x) if wanted[-1] else x.new_empty(0)
    return [*_fake_gradients(tuple(like), base, wanted), dx]


for _op, _fake in (
    (_linear_op, _fake_linear),
    (_linear_backward_op, _fake_linear_backward),
    (_packed_linear_op, _fake_packed_linear),
    (_matrix_op, _fake_matrix),
    (_matrix_backward_op, _fake_matrix_backward),
    (_row_norms_op, _fake_row_norms),
    (_conv2d_op, _fake_conv2d),
    (_conv2d_backward_op, _fake_conv2d_backward),
):
    _op.register_fake(_fake)


def _keep(first: int, n_tensors: int) -> Any:
    """Save the inputs of an operation: x if there is one, the factors and the base."""

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs[:n_tensors])
        ctx.settings = inputs[n_tensors:]
        needs = ctx.needs_input_grad
        ctx.wanted = [*needs[first : first + N_FACTORS], *needs[:first]]

    return keep


def _given(gradients: list[Tensor], wanted: list[bool]) -> list[Tensor | None]:
    return [g if w else None for g, w in zip(gradients, wanted, strict=True)]


def _differentiate_linear(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    made = _linear_backward_op(grad, *ctx.saved_tensors, ctx.wanted)
    *factors, dx = _given(made, ctx.wanted)
    return (dx, *factors)


def _differentiate_matrix(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    made = _matrix_backward_op(grad, *ctx.saved_tensors, ctx.wanted)
    return tuple(_given(made, ctx.wanted))


def _differentiate_conv2d(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    made = _conv2d_backward_op(grad, *ctx.saved_tensors, *ctx.settings, ctx.wanted)
    *factors, dx = _given(made, ctx.wanted)
    return (dx, *factors, *(None for _ in ctx.settings))


def _keep_packed(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    del output
    _, *left, v_codes, v_table, v_about, omega, gain, base = inputs
    ctx.save_for_backward(*left[:2], v_codes, v_table, omega, gain, base)
    ctx.abouts = left[2], v_about


def _differentiate_packed_linear(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    u_codes, u_table, v_codes, v_table, omega, gain, base = ctx.saved_tensors
    u_about, v_about = ctx.abouts
    left, right = (u_codes, u_table, u_about), (v_codes, v_table, v_about)
    # The transposed matrix has the factors the other way round.
    turned = None if base is None else base.T
    dx = _packed_linear_op(grad, *right, *left, omega, gain, turned)
    return (dx, *(None for _ in range(9)))


_packed_linear_op.register_autograd(_differentiate_packed_linear, setup_context=_keep_packed)
_linear_op.register_autograd(_differentiate_linear, setup_context=_keep(1, 6))
_matrix_op.register_autograd(_differentiate_matrix, setup_context=_keep(0, 5))
_conv2d_op.register_autograd(_differentiate_conv2d, setup_context=_keep(1, 6))


# ---- what layers call


def _require_one_device(place: torch.device, **tensors: Tensor | None) -> None:
    """Refuse tensors elsewhere than U, but for numbers on the CPU, as PyTorch takes them."""
    for name, t in tensors.items():
        if t is None or t.device == place or (t.ndim == 0 and t.device.type == "cpu"):
            continue
        msg = f"{name}: got a tensor on {t.device}, want {place} as U is"
        raise ValueError(msg)


def sine_linear(
    x: Tensor, U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, base: Tensor | None = None
) -> Tensor:
    """``x (base + sin(omega U V^T) / gain)^T`` for x of shape (..., n)."""
    _require_one_device(U.device, x=x, V=V, omega=omega, gain=gain, base=base)
    result: Tensor = _linear_op(x, U, V, omega, gain, base)
    return result


def sine_packed_linear(
    x: Tensor,
    left: tuple[Tensor, Tensor, list[int]],
    right: tuple[Tensor, Tensor, list[int]],
    omega: Tensor,
    gain: Tensor,
    base: Tensor | None = None,
) -> Tensor:
    """`sine_linear` for factors as (codes, table, (rows, columns, bits)); a gradient in x alone."""
    _require_one_device(left[0].device, x=x, V=right[0], omega=omega, gain=gain, base=base)
    result: Tensor = _packed_linear_op(x, *left, *right, omega, gain, base)
    return result


def sine_matrix(
    U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, base: Tensor | None = None
) -> Tensor:
    """``base + sin(omega U V^T) / gain`` in the dtype of base, or else of U."""
    _require_one_device(U.device, V=V, omega=omega, gain=gain, base=base)
    result: Tensor = _matrix_op(U, V, omega, gain, base)
    return result


def sine_row_norms(
    U: Tensor, V: Tensor, omega: Tensor, gain: Tensor, base: Tensor | None = None
) -> Tensor:
    """Euclidean norms of the rows of `sine_matrix`; has no gradient."""
    with torch.no_grad():
        result: Tensor = _row_norms_op(U, V, omega, gain, base)
    return result


def sine_conv2d(
    x: Tensor,
    factors: tuple[Tensor, Tensor, Tensor, Tensor],
    base: Tensor | None,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Tensor:
    """Convolution of x with the rows of `sine_matrix` as kernels.

    The weights are one buffer during the call, and their gradient another one in the backward pass.
    """
    U, V, omega, gain = factors
    _require_one_device(U.device, x=x, V=V, omega=omega, gain=gain, base=base)
    settings = (list(kernel), list(stride), list(padding), list(dilation), groups)
    result: Tensor = _conv2d_op(x, *factors, base, *settings)
    return result
