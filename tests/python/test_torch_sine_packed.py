"""Adapters that keep the codes of their factors in memory."""

import copy

import pytest

pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

import torch
from safetensors import safe_open
from torch import nn

import eigenflow as ef
from eigenflow.nn.sine_packed import PackedAdapter

BASES = {
    "linear": lambda: nn.Linear(20, 12),
    "convolution": lambda: nn.Conv2d(4, 6, (3, 2), padding=1),
    "embedding": lambda: nn.Embedding(30, 9),
}
INPUTS = {
    "linear": [(20,), (3, 20), (2, 20, 20), (0, 20)],
    "convolution": [(2, 4, 7, 8)],
    "embedding": [(3,), (2, 40)],
}


def trained(name, tmp_path, bits=3, **settings):
    """A model with an adapter, the same with its file in full, and with its file's codes."""
    torch.manual_seed(0)
    base = nn.Sequential(BASES[name]())
    model = copy.deepcopy(base)
    ef.nn.attach(model, ["0"], rank=5, omega=9.0, alpha=2.0, **settings)
    with torch.no_grad():
        for parameter in model[0].adapters.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    path = tmp_path / "adapters.safetensors"
    ef.nn.save_adapters(model, path, bits=bits)
    full, kept = copy.deepcopy(base), copy.deepcopy(base)
    ef.nn.load_adapters(full, path)
    ef.nn.load_adapters(kept, path, keep_codes=True)
    return full, kept, path


def an_input(name, shape):
    torch.manual_seed(1)
    return torch.randint(30, shape) if name == "embedding" else torch.randn(shape)


@pytest.mark.parametrize("bits", [1, 3, 5])
@pytest.mark.parametrize(
    ("name", "magnitude"),
    [("linear", False), ("linear", True), ("convolution", False), ("convolution", True),
     ("embedding", False)],
)  # fmt: skip
def test_results_are_those_of_decoded_factors(tmp_path, name, magnitude, bits):
    full, kept, _ = trained(name, tmp_path, bits, magnitude=magnitude)
    adapter = kept[0].adapters["default"]
    assert isinstance(adapter, PackedAdapter)
    for factor in ("U", "V"):
        assert torch.equal(getattr(adapter, factor), getattr(full[0].adapters["default"], factor))
    for shape in INPUTS[name]:
        x = an_input(name, shape)
        assert torch.equal(kept(x), full(x))
    assert torch.equal(kept[0].effective_weight(), full[0].effective_weight())
    kept.eval()
    ef.nn.merge_adapters(kept)
    torch.testing.assert_close(kept(x), full(x), rtol=2e-5, atol=2e-6)
    ef.nn.unmerge_adapters(kept)
    assert torch.equal(kept(x), full(x))


@pytest.mark.parametrize("activation", ["sine", "identity"])
@pytest.mark.parametrize("rows", [3, 40])
def test_inputs_have_gradients_and_codes_have_none(tmp_path, rows, activation):
    full, kept, _ = trained("linear", tmp_path, activation=activation)
    assert not any(p.requires_grad for p in kept.parameters())
    x = torch.randn(rows, 20, requires_grad=True)
    weights = torch.randn(rows, 12)
    found, want = (torch.autograd.grad((net(x) * weights).sum(), x)[0] for net in (kept, full))
    torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-5)


def test_memory_is_that_of_the_codes(tmp_path):
    _, kept, _ = trained("linear", tmp_path, bits=2)
    held = list(kept[0].adapters.buffers())
    entries = (20 + 12) * 5
    assert sum(t.numel() * t.element_size() for t in held) == entries * 2 // 8 + 2 * 4 * 4 + 2 * 4
    assert not list(kept[0].adapters.parameters())


def contents(path):
    """Header and arrays of a file; the order of keys in its header is not fixed."""
    with safe_open(path, "pt") as file:
        arrays = {key: file.get_tensor(key).tolist() for key in file.keys()}  # noqa: SIM118
        return file.metadata(), arrays


def test_codes_are_saved_as_they_are(tmp_path):
    full, kept, path = trained("linear", tmp_path, bits=3, magnitude=True)
    again = tmp_path / "again.safetensors"
    ef.nn.save_adapters(kept, again)
    assert contents(again) == contents(path)
    fewer, wanted = tmp_path / "fewer.safetensors", tmp_path / "wanted.safetensors"
    ef.nn.save_adapters(kept, fewer, bits=1)
    ef.nn.save_adapters(full, wanted, bits=1)
    assert contents(fewer) == contents(wanted)


def test_factors_in_full_are_refused(tmp_path):
    full, _, path = trained("linear", tmp_path)
    ef.nn.save_adapters(full, path)
    fresh = nn.Sequential(BASES["linear"]())
    with pytest.raises(ValueError, match=r"^keep_codes: got True, but adapter 'default'"):
        ef.nn.load_adapters(fresh, path, keep_codes=True)
    assert type(fresh[0]) is nn.Linear


def test_low_precision_keeps_the_tables(tmp_path):
    _, kept, _ = trained("linear", tmp_path)
    before = kept[0].adapters["default"].U
    kept.to(torch.bfloat16)
    adapter = kept[0].adapters["default"]
    assert torch.equal(adapter.U, before)
    assert adapter.omega.dtype == adapter.left.table.dtype == torch.float32
    assert adapter.left.codes.dtype == torch.uint8
    for rows in (2, 40):
        x = torch.randn(rows, 20, dtype=torch.bfloat16)
        dense = x.float() @ kept[0].effective_weight().float().T + kept[0].bias.float()
        torch.testing.assert_close(kept(x).float(), dense, rtol=0.02, atol=0.05)


def test_several_adapters_and_a_state(tmp_path):
    full, kept, path = trained("linear", tmp_path)
    for net in (full, kept):
        ef.nn.attach(net, ["0"], rank=1, adapter="other")
        ef.nn.activate_adapters(net, ["default", "other"])
    x = torch.randn(4, 20)
    assert torch.equal(kept(x), full(x))
    fresh = nn.Sequential(BASES["linear"]())
    ef.nn.load_adapters(fresh, path, keep_codes=True)
    state = {key: value for key, value in kept.state_dict().items() if ".other." not in key}
    fresh.load_state_dict(state)
    ef.nn.activate_adapters(kept, "default")
    assert torch.equal(fresh(x), kept(x))


def test_operations_keep_the_rules_of_torch_library(tmp_path):
    _, kept, _ = trained("linear", tmp_path)
    adapter = kept[0].adapters["default"]
    base = kept[0].weight
    for rows, given in ((2, base), (30, None)):
        x = torch.randn(rows, 20, requires_grad=True)
        factors = (*adapter.left.parts, *adapter.right.parts)
        arguments = (x, *factors, adapter.omega, adapter.gain, given)
        torch.library.opcheck(torch.ops.eigenflow.sine_packed_linear.default, arguments)


def test_torch_compile_gives_the_same(tmp_path):
    _, kept, _ = trained("linear", tmp_path)
    x = torch.randn(5, 20)
    compiled = torch.compile(kept, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), kept(x))
