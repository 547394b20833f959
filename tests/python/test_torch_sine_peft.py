"""Sine-activated changes inside Hugging Face PEFT."""

import pytest

pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")
pytest.importorskip("peft", reason="PEFT comes with the extra `bench`")

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

import eigenflow as ef

X = torch.linspace(-1, 1, 24).reshape(3, 8)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))


def config(**changes):
    made = LoraConfig(r=2, lora_alpha=6, target_modules=["0", "2"], **changes)
    return ef.nn.register_peft(made, omega=30.0)


def moved(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def truth(model, x):
    """The formula, layer by layer."""
    for layer in model.base_model.model:
        if hasattr(layer, "lora_A"):
            A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            delta = 3.0 * torch.sin(30.0 * B @ A) / A.shape[1] ** 0.5
            x = nn.functional.linear(x, layer.base_layer.weight + delta, layer.base_layer.bias)
        else:
            x = layer(x)
    return x


def test_the_change_is_the_sine():
    model = get_peft_model(net(), config())
    torch.testing.assert_close(model(X), net()(X))
    moved(model)
    torch.testing.assert_close(model(X), truth(model, X))
    assert not torch.allclose(model(X), net()(X), atol=0.05)
    learned = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(model(X).square().sum(), learned)
    expected = torch.autograd.grad(truth(model, X).square().sum(), learned)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("safe", [False, True])
def test_merging_and_unmerging_is_exact(safe):
    model = moved(get_peft_model(net(), config())).eval()
    weights = [layer.weight.clone() for layer in (model.base_model.model[0].base_layer,)]
    before = model(X)
    model.merge_adapter(safe_merge=safe)
    torch.testing.assert_close(model(X), before)
    model.unmerge_adapter()
    assert torch.equal(model.base_model.model[0].base_layer.weight, weights[0])
    assert torch.equal(model(X), before)
    with model.disable_adapter():
        torch.testing.assert_close(model(X), net()(X))
    torch.testing.assert_close(model.merge_and_unload()(X), before)


def test_saved_adapters_need_the_registered_configuration(tmp_path):
    model = moved(get_peft_model(net(), config())).eval()
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(net(), tmp_path, config=config())
    torch.testing.assert_close(loaded(X), model(X))


def test_several_adapters():
    model = moved(get_peft_model(net(), config())).eval()
    first = model(X)
    model.add_adapter("second", config())
    model.set_adapter("second")
    torch.testing.assert_close(model(X), net()(X))
    model.set_adapter("default")
    torch.testing.assert_close(model(X), first)


def test_bad_configurations():
    with pytest.raises(TypeError, match="config: got dict"):
        ef.nn.register_peft({})
    with pytest.raises(ValueError, match="config: got use_dora=True"):
        config(use_dora=True)
    with pytest.raises(ValueError, match="omega: got inf"):
        ef.nn.register_peft(LoraConfig(), omega=float("inf"))
