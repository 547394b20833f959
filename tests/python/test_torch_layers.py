import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

import eigenflow as ef  # noqa: E402
from eigenflow.nn.layers import LowRankConv2d, LowRankLinear, factors_of, low_rank  # noqa: E402


def random_factors(weight, rank, *, per_tap=False, seed=0):
    rng = np.random.default_rng(seed)
    m, n = weight.shape[:2]
    width = weight[0].numel() if per_tap else n
    shapes = {"row_scale": (m,), "col_scale": (n,), "left": (m, rank), "right": (rank, width)}
    return {k: torch.tensor(rng.normal(size=s), dtype=weight.dtype) for k, s in shapes.items()}


CONVOLUTIONS = [
    {"kernel_size": 3},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 5, "padding": 2, "stride": 2},
    {"kernel_size": 3, "padding": 2, "stride": 2},
    {"kernel_size": (2, 3), "padding": (0, 2), "stride": (2, 1), "bias": False},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": (4, 2), "padding": "same"},
    {"kernel_size": 3, "padding": "valid"},
    {"kernel_size": 3, "padding": 2, "dilation": 2},
    {"kernel_size": 3, "padding": "same", "dilation": 2},
    {"kernel_size": 3, "padding": 1, "groups": 2},
    {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    {"kernel_size": 3, "padding": 1, "padding_mode": "circular", "stride": 2},
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("per_tap", [False, True])
def test_convolution_is_the_dense_one(options, per_tap):
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(4, 6, **options, dtype=torch.float64)
    layer = low_rank(plain, plain.weight, random_factors(plain.weight, 2, per_tap=per_tap))
    assert isinstance(layer, LowRankConv2d)
    x = torch.randn(3, 4, 8, 9, dtype=torch.float64)
    dense = layer.dense()
    torch.testing.assert_close(dense.weight, layer.weight)
    torch.testing.assert_close(layer(x), dense(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer(x[0]), dense(x[0]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4), (4,)])
def test_linear_is_the_dense_one(bias, shape):
    plain = torch.nn.Linear(4, 3, bias, dtype=torch.float64)
    layer = low_rank(plain, plain.weight, random_factors(plain.weight, 2))
    assert isinstance(layer, LowRankLinear)
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(layer(x), layer.dense()(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("conv", ["kernel-mean", "reshape"])
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3, 2)])
def test_layers_hold_the_weights_that_numpy_computes(shape, conv):
    rng = np.random.default_rng(1)
    base, free = rng.normal(size=shape), rng.normal(size=shape)
    p = ef.lowrank.perturb(base, free, conv=conv).truncate(3)
    plain = torch.nn.Linear(5, 6) if len(shape) == 2 else torch.nn.Conv2d(5, 6, (3, 2))
    layer = low_rank(plain, torch.tensor(base), factors_of(p))
    np.testing.assert_allclose(layer.weight.detach().numpy(), p.to_dense(), atol=1e-13)
    assert layer.rank == 3


def test_base_weights_are_shared_and_get_no_gradient():
    plain = torch.nn.Linear(4, 3)
    layer = low_rank(plain, plain.weight, random_factors(plain.weight, 2))
    assert layer.base_weight.data_ptr() == plain.weight.data_ptr()
    assert "base_weight" not in layer.state_dict()
    layer(torch.randn(2, 4)).sum().backward()
    assert plain.weight.grad is None
    assert all(p.grad is not None for p in layer.parameters())
    assert layer.bias.data_ptr() != plain.bias.data_ptr()


def test_gradients_are_those_of_the_dense_form():
    plain = torch.nn.Conv2d(2, 3, 3, padding=1, dtype=torch.float64)
    layer = low_rank(plain, plain.weight, random_factors(plain.weight, 2))
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64)
    parameters = list(layer.parameters())
    fast = torch.autograd.grad(layer(x).sin().sum(), parameters)
    dense = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
    slow = torch.autograd.grad(dense.sin().sum(), parameters)
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_rank_zero_is_scales_alone():
    plain = torch.nn.Conv2d(2, 3, 3)
    layer = low_rank(plain, plain.weight, random_factors(plain.weight, 0))
    x = torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(layer(x), layer.dense()(x))
