"""Layers with sine-activated weights, and adapters on frozen layers."""

import copy
import shutil

import pytest

pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

import torch
from torch import nn

import eigenflow as ef
from reference import sine_torch as reference

LAYERS = {
    "linear": lambda: ef.nn.SineLinear(12, 9, 2, omega=20.0),
    "conv": lambda: ef.nn.SineConv2d(4, 6, (3, 2), 2, stride=(2, 1), padding=1, groups=2),
    "same": lambda: ef.nn.SineConv2d(4, 6, 3, 2, padding="same", padding_mode="circular"),
    "embedding": lambda: ef.nn.SineEmbedding(11, 7, 2, padding_idx=3),
}
BASES = {
    "linear": lambda: nn.Linear(12, 9),
    "conv": lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=1, groups=2, dilation=(1, 2)),
    "reflect": lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect", bias=False),
    "embedding": lambda: nn.Embedding(11, 7, padding_idx=3),
}


def inputs_of(layer, dtype=torch.float32):
    torch.manual_seed(1)
    if hasattr(layer, "num_embeddings") or hasattr(getattr(layer, "base", None), "num_embeddings"):
        return torch.tensor([[0, 3, 5], [5, 10, 1]])
    if hasattr(layer, "in_features"):
        return torch.randn(2, 10, 12, dtype=dtype)
    return torch.randn(2, 4, 7, 8, dtype=dtype)


def assert_same(a, b, dtype=torch.float32):
    tolerance = {torch.float32: 2e-6, torch.float64: 1e-13, torch.bfloat16: 3e-2}[dtype]
    scale = b.detach().abs().max().item()
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * scale)


def trained(layer, seed=2):
    """Move all factors off their start, as training does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.requires_grad and parameter.ndim > 0:
                noise = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter.add_(0.1 * noise)
    return layer


# ---- layers of their own


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_dense_layer(name):
    layer = LAYERS[name]()
    x = inputs_of(layer)
    dense = layer.dense()
    assert type(dense) in (nn.Linear, nn.Conv2d, nn.Embedding)
    assert_same(layer(x), dense(x))
    layer.eval().merge()
    assert_same(layer(x), dense(x))


@pytest.mark.parametrize("name", LAYERS)
def test_merging_and_unmerging_returns_to_the_same_bits(name):
    layer = LAYERS[name]()
    x = inputs_of(layer)
    before, state = layer(x), copy.deepcopy(layer.state_dict())
    layer.merge()
    assert layer.merged
    assert layer.state_dict().keys() == state.keys()
    layer.unmerge()
    torch.testing.assert_close(layer(x), before, rtol=0, atol=0)
    for key, value in layer.state_dict().items():
        assert torch.equal(value, state[key])


def test_training_and_loading_unmerge():
    layer = LAYERS["linear"]().eval()
    layer.merge()
    layer.train()
    assert not layer.merged
    layer.eval().merge()
    layer.load_state_dict(LAYERS["linear"]().state_dict())
    assert not layer.merged


def test_the_start_is_the_authors():
    layer = ef.nn.SineLinear(300, 200, 4)
    U, V = layer.factors.U.detach(), layer.factors.V.detach()
    assert U.shape == (200, 4)
    assert V.shape == (300, 4)
    assert 0.45 < float(U.abs().max()) <= 0.5
    assert 0.9 / 300**0.5 < float(V.abs().max()) <= 1 / 300**0.5
    assert layer.factors.gain.item() == pytest.approx(300**0.5)
    phases = layer.factors.omega * U @ V.T
    assert phases.std().item() == pytest.approx(200 / 3 / 300**0.5, rel=0.1)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_dense_weights(name):
    layer = LAYERS[name]().double()
    x = inputs_of(layer, torch.float64)
    y = layer(x)
    weights = torch.randn_like(y)
    found = torch.autograd.grad((y * weights).sum(), list(layer.parameters()))
    dense = layer.dense()
    values = {n: v for n, v in dense.named_parameters() if n != "weight"}
    f = layer.factors
    made = reference.matrix(f.U, f.V, f.omega, f.gain).reshape(dense.weight.shape)
    if layer.bias is not None:
        values["bias"] = layer.bias
    y = torch.func.functional_call(dense, values | {"weight": made}, x)
    truth = torch.autograd.grad((y * weights).sum(), list(layer.parameters()))
    for a, b in zip(found, truth, strict=True):
        assert_same(a, b, torch.float64)


def test_frequency_and_gain_can_be_learned():
    layer = ef.nn.SineLinear(12, 9, 2, learn_omega=True, learn_gain=True)
    assert {"factors.omega", "factors.gain"} <= dict(layer.named_parameters()).keys()
    before = layer.factors.omega.item()
    optimiser = torch.optim.SGD(layer.parameters(), 1.0)
    layer(inputs_of(layer)).square().sum().backward()
    optimiser.step()
    assert layer.factors.omega.item() != before
    fixed = ef.nn.SineLinear(12, 9, 2)
    assert {"factors.omega", "factors.gain"} <= fixed.state_dict().keys()
    assert len(list(fixed.parameters())) == 3


@pytest.mark.parametrize("learn", [False, True])
def test_low_precision_keeps_frequency_and_gain(learn):
    layer = ef.nn.SineLinear(700, 9, 2, omega=200.3, learn_omega=learn).bfloat16()
    assert layer.factors.U.dtype == torch.bfloat16
    assert layer.factors.omega.dtype == torch.float32
    assert layer.factors.omega.item() == pytest.approx(200.3)
    assert layer.factors.gain.item() == pytest.approx(700**0.5)
    assert layer(torch.randn(12, 700).bfloat16()).dtype == torch.bfloat16
    assert layer.float().factors.U.dtype == torch.float32


def test_a_padding_vector_is_zero_and_stays_so():
    table = LAYERS["embedding"]()
    y = table(torch.tensor([3, 4]))
    assert torch.equal(y[0], torch.zeros(7))
    y.sum().backward()
    assert torch.equal(table.factors.U.grad[3], torch.zeros(2))
    assert table.factors.U.grad[4].abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rank": 0}, ValueError, "rank: got 0"),
        ({"rank": 1.5}, TypeError, "rank: got 1.5"),
        ({"omega": float("nan")}, ValueError, "omega: got nan"),
        ({"omega": "high"}, TypeError, "omega: got 'high'"),
        ({"gain": 0.0}, ValueError, "gain: got 0.0"),
    ],
)
def test_bad_settings_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        ef.nn.SineLinear(**({"in_features": 4, "out_features": 3, "rank": 1} | change))
    with pytest.raises(error, match=message):
        ef.nn.AdapterSettings(**({"rank": 1} | change))


def test_a_padding_index_outside_is_refused():
    with pytest.raises(ValueError, match="padding_idx: got 11"):
        ef.nn.SineEmbedding(11, 4, 1, padding_idx=11)


def test_autocast_is_followed():
    layer = ef.nn.SineLoRA(nn.Linear(12, 9), 2)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(torch.randn(12, 12))
        assert y.dtype == layer.base(torch.randn(12, 12)).dtype == torch.bfloat16


# What PyTorch's own compiler warns of while it is imported.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_torch_compile_gives_the_same(backend):
    if backend == "inductor" and not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("inductor needs a C++ compiler")
    model = nn.Sequential(ef.nn.SineLinear(12, 12, 2), nn.ReLU(), ef.nn.SineLoRA(nn.Linear(12, 9)))
    trained(model)
    x = torch.randn(10, 12)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    y, truth = compiled(x), model(x)
    assert_same(y, truth)
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(y.sum(), parameters)
    for a, b in zip(found, torch.autograd.grad(truth.sum(), parameters), strict=True):
        assert_same(a, b)


# ---- adapters


@pytest.mark.parametrize("activation", ["sine", "identity"])
@pytest.mark.parametrize("kind", ["SineLoRA", "SineDoRA"])
@pytest.mark.parametrize("name", BASES)
def test_merged_is_unmerged(name, kind, activation):
    if kind == "SineDoRA" and name == "embedding":
        return
    base = BASES[name]()
    x = inputs_of(base)
    layer = getattr(ef.nn, kind)(base, 2, alpha=3.0, activation=activation).eval()
    assert_same(layer(x), base(x))
    trained(layer)
    before = layer(x)
    assert (before - base(x)).abs().max().item() > 1e-3
    layer.merge()
    assert_same(layer(x), before)
    assert_same(layer.dense()(x), before)
    layer.unmerge()
    torch.testing.assert_close(layer(x), before, rtol=0, atol=0)
    torch.testing.assert_close(layer.base.weight, base.weight, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["SineLoRA", "SineDoRA"])
def test_bfloat16_merged_is_unmerged(kind):
    base = nn.Linear(300, 200).bfloat16()
    layer = trained(getattr(ef.nn, kind)(base, 2).eval())
    x = torch.randn(20, 300).bfloat16()
    before = layer(x)
    layer.merge()
    assert_same(layer(x), before, torch.bfloat16)


def test_dora_is_its_formula():
    layer = trained(ef.nn.SineDoRA(nn.Linear(12, 9), 2, alpha=4.0)).double()
    adapter = layer.adapters["default"]
    x = torch.randn(10, 12, dtype=torch.float64)
    U, V, omega, gain = adapter.factors()
    assert gain.item() == pytest.approx(12**0.5 / 2)
    change = reference.matrix(U, V, omega, gain)
    weight = reference.dora(layer.base.weight, change, adapter.magnitude)
    truth = nn.functional.linear(x, weight, layer.base.bias)
    assert_same(layer(x), truth, torch.float64)
    parameters = [p for p in layer.parameters() if p.requires_grad]
    weights = torch.randn_like(truth)
    found = torch.autograd.grad((layer(x) * weights).sum(), parameters)
    for a, b in zip(found, torch.autograd.grad((truth * weights).sum(), parameters), strict=True):
        assert_same(a, b, torch.float64)


def test_the_control_has_the_scale_and_not_the_sine():
    sine = trained(ef.nn.SineLoRA(nn.Linear(12, 9), 2, alpha=3.0, omega=50.0))
    control = ef.nn.SineLoRA(sine.base, 2, alpha=3.0, omega=50.0, activation="identity")
    control.adapters.load_state_dict(sine.adapters.state_dict())
    f = sine.adapters["default"]
    expected = 3.0 / 2 * 50.0 / 12**0.5 * f.U @ f.V.T
    assert_same(control.effective_weight() - control.weight, expected)
    with torch.no_grad():  # where the sine is linear both are the same
        for layer in (sine, control):
            layer.adapters["default"].U.mul_(1e-5)
    changes = [layer.adapters["default"].matrix() for layer in (sine, control)]
    assert_same(changes[0], changes[1])
    start = ef.nn.SineLoRA(sine.base, 2, omega=1.0, gain=1.0, activation="identity")
    lora = start.adapters["default"]
    trained(start)
    assert_same(lora.matrix(), lora.U @ lora.V.T)


def test_dropout_acts_on_the_change_alone():
    layer = trained(ef.nn.SineLoRA(nn.Linear(12, 9), 2, dropout=0.5))
    x = torch.randn(10, 12)
    noisy = [layer.train()(x) for _ in range(2)]
    assert not torch.equal(*noisy)
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    mean = torch.stack([layer.train()(x) for _ in range(2000)]).mean(0)
    torch.testing.assert_close(mean, layer.eval()(x), rtol=0.2, atol=0.1)


@pytest.mark.parametrize("rows", [4, 16])
def test_only_adapters_learn(rows):
    layer = ef.nn.SineLoRA(nn.Linear(12, 9), 2)
    target = torch.randn(rows, 9)
    x = torch.randn(rows, 12)
    optimiser = torch.optim.Adam([p for p in layer.parameters() if p.requires_grad], 0.05)
    base = layer.base.weight.clone()
    losses = []
    for _ in range(60):
        loss = nn.functional.mse_loss(layer(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert torch.equal(base, layer.base.weight)
    assert layer.base.weight.grad is None


def test_unknown_layers_are_refused():
    for layer in (nn.Bilinear(2, 2, 2), nn.ConvTranspose2d(1, 1, 1), nn.Conv1d(1, 1, 1)):
        with pytest.raises(TypeError, match=f"base: got {type(layer).__name__}"):
            ef.nn.SineLoRA(layer)
    with pytest.raises(TypeError, match="base: got Embedding"):
        ef.nn.SineDoRA(nn.Embedding(3, 3))
    with pytest.raises(ValueError, match="base: got max_norm=1"):
        ef.nn.SineLoRA(nn.Embedding(3, 3, max_norm=1.0))
    with pytest.raises(TypeError, match=r"x: got torch\.float64"):
        ef.nn.SineLoRA(nn.Linear(3, 3))(torch.zeros(1, 3, dtype=torch.float64))
