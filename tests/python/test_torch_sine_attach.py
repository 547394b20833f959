"""Adapters on the layers of a model."""

import pytest

pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

import torch
from torch import nn

import eigenflow as ef


class Net(nn.Module):
    """Names as in a transformer, one layer of each kind."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 8)
        self.block = nn.ModuleDict({"q_proj": nn.Linear(8, 8), "k_proj": nn.Linear(8, 8)})
        self.conv = nn.Conv2d(1, 3, 3)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        y = self.embed(x)
        y = self.block["q_proj"](y) * self.block["k_proj"](y)
        y = y + self.conv(y[None, None])[0].mean()
        return self.head(y)


X = torch.tensor([1, 2, 3, 9])


def net():
    torch.manual_seed(0)
    return Net()


def move(model, name="default", by=0.1):
    torch.manual_seed(3)
    with torch.no_grad():
        for _, layer in ef.nn.adapted(model):
            for parameter in layer.adapters[name].parameters():
                parameter.add_(by * torch.randn_like(parameter))


@pytest.mark.parametrize(
    ("targets", "names"),
    [
        (["q_proj", "k_proj"], ["block.q_proj", "block.k_proj"]),
        (["embed"], ["embed"]),
        (r"block\..*", ["block.q_proj", "block.k_proj"]),
        (lambda name, layer: isinstance(layer, nn.Conv2d), ["conv"]),
        (("head", "block.q_proj"), ["block.q_proj", "head"]),
    ],
)
def test_targets(targets, names):
    model = net()
    before = model(X)
    assert ef.nn.attach(model, targets, rank=2) == names
    assert [name for name, _ in ef.nn.adapted(model)] == names
    torch.testing.assert_close(model(X), before)
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all(".adapters.default." in name for name in learning)
    assert len(learning) == 2 * len(names)
    # Attaching again finds the same layers, not what is inside them.
    assert ef.nn.attach(model, targets, rank=1, adapter="second") == names


def test_other_parameters_may_go_on_learning():
    model = net()
    ef.nn.attach(model, ["q_proj"], freeze=False)
    assert model.head.weight.requires_grad
    assert not model.block["q_proj"].base.weight.requires_grad


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        (["v_proj"], ValueError, "targets: got .'v_proj'., which match no layer"),
        ("proj", ValueError, "targets: got 'proj'"),
        (["block"], TypeError, "targets: 'block' cannot have an adapter .base: got ModuleDict"),
        (lambda name, _: name == "", ValueError, "targets: got the model itself"),
    ],
)
def test_bad_targets_change_nothing(targets, error, message):
    model = net()
    with pytest.raises(error, match=message):
        ef.nn.attach(model, targets)
    assert ef.nn.adapted(model) == []
    assert all(p.requires_grad for p in model.parameters())


def test_one_bad_target_of_several_changes_nothing():
    model = net()
    with pytest.raises(TypeError, match="targets: 'embed' is an embedding"):
        ef.nn.attach(model, ["q_proj", "embed"], magnitude=True)
    assert ef.nn.adapted(model) == []


def test_several_adapters():
    model = net()
    plain = model(X)
    results = {}
    for name in ("cats", "dogs"):
        ef.nn.attach(model, ["q_proj", "k_proj"], rank=2, adapter=name)
        move(model, name, 0.2 if name == "cats" else -0.3)
        results[name] = model(X)
    assert not torch.allclose(results["cats"], results["dogs"])
    ef.nn.activate_adapters(model, "cats")
    assert torch.equal(model(X), results["cats"])
    ef.nn.activate_adapters(model, [])
    assert torch.equal(model(X), plain)
    ef.nn.activate_adapters(model, ["cats", "dogs"])
    both = model(X)
    layer = model.block["q_proj"]
    changes = [layer.adapters[name].matrix() for name in ("cats", "dogs")]
    torch.testing.assert_close(layer.effective_weight(), layer.weight + sum(changes))
    ef.nn.merge_adapters(model.eval())
    torch.testing.assert_close(model(X), both)
    with pytest.raises(ValueError, match="names: got 'birds'"):
        ef.nn.activate_adapters(model, "birds")
    with pytest.raises(ValueError, match=r"adapter: got 'cats', which 'block\.q_proj' has"):
        ef.nn.attach(model, ["q_proj"], adapter="cats")


def test_layers_with_other_adapters_use_their_base():
    model = net()
    ef.nn.attach(model, ["q_proj"], adapter="cats")
    ef.nn.attach(model, ["k_proj"], adapter="dogs")
    ef.nn.activate_adapters(model, "dogs")
    assert model.block["q_proj"].active == ()
    assert model.block["k_proj"].active == ("dogs",)


@pytest.mark.parametrize("merged", [False, True])
def test_disabled_adapters(merged):
    model = net()
    plain = model(X)
    ef.nn.attach(model, ["q_proj", "embed", "conv"], rank=2)
    move(model)
    changed = model(X)
    if merged:
        ef.nn.merge_adapters(model)
        torch.testing.assert_close(model(X), changed)
    with ef.nn.disabled_adapters(model):
        assert torch.equal(model(X), plain)
    torch.testing.assert_close(model(X), changed)
    ef.nn.unmerge_adapters(model)
    assert torch.equal(model(X), changed)


@pytest.mark.parametrize("magnitude", [False, True])
def test_taking_adapters_off(magnitude):
    model = net()
    plain = model(X)
    ef.nn.attach(model, ["q_proj", "conv"], rank=2, magnitude=magnitude)
    assert isinstance(model.conv, ef.nn.SineDoRA) == magnitude
    move(model)
    changed = model(X)
    ef.nn.detach_adapters(model)
    assert ef.nn.adapted(model) == []
    assert type(model.conv) is nn.Conv2d
    torch.testing.assert_close(model(X), changed)
    model = net()
    ef.nn.attach(model, ["q_proj", "conv"], rank=2, magnitude=magnitude)
    move(model)
    ef.nn.detach_adapters(model, merge=False)
    assert torch.equal(model(X), plain)


def test_models_without_adapters_are_refused():
    for function in (ef.nn.merge_adapters, ef.nn.unmerge_adapters, ef.nn.detach_adapters):
        with pytest.raises(ValueError, match="model: got one without adapters"):
            function(net())
    with pytest.raises(TypeError, match="model: got int"):
        ef.nn.adapted(3)


@pytest.mark.parametrize("name", ["", "a.b", "keys", 3])
def test_names_that_modules_cannot_have(name):
    with pytest.raises(ValueError, match=f"adapter: got {name!r}"):
        ef.nn.SineLoRA(nn.Linear(2, 2), adapter=name)


def test_magnitudes_are_one_at_a_time():
    layer = ef.nn.SineDoRA(nn.Linear(4, 4), adapter="a")
    layer.add_adapter("b", ef.nn.AdapterSettings(2, magnitude=True))
    with pytest.raises(ValueError, match="want one: magnitudes"):
        layer.activate(["a", "b"])
    with pytest.raises(ValueError, match="magnitude: got False"):
        layer.add_adapter("c", ef.nn.AdapterSettings(2))
    with pytest.raises(ValueError, match="adapter: got 'z'"):
        layer.activate("z")


def test_an_error_does_not_leave_adapters_disabled():
    model = net()
    ef.nn.attach(model, ["q_proj"])
    with pytest.raises(KeyError, match="inside"), ef.nn.disabled_adapters(model):
        raise KeyError("inside")
    assert model.block["q_proj"].enabled
