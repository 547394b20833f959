"""Files of adapters: what is in them, and what is refused."""

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import eigenflow as ef

X = torch.linspace(-1, 1, 40 * 64).reshape(40, 64)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 8))


def adapted(magnitude=False, **settings):
    model = net()
    ef.nn.attach(model, ["0", "2"], rank=4, magnitude=magnitude, **settings)
    torch.manual_seed(1)
    with torch.no_grad():
        for _, layer in ef.nn.adapted(model):
            for parameter in layer.adapters.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("magnitude", [False, True])
def test_adapters_come_back(tmp_path, magnitude):
    model = adapted(magnitude, omega=50.0, gain=3.0, alpha=2.0, learn_omega=True)
    path = tmp_path / "adapters.safetensors"
    size = ef.nn.save_adapters(model, path)
    assert size < path.stat().st_size < size + 2500
    assert [f.name for f in tmp_path.iterdir()] == [path.name]
    fresh = net()
    assert ef.nn.load_adapters(fresh, path) == ["default"]
    assert torch.equal(fresh(X), model(X))
    for (_, a), (_, b) in zip(ef.nn.adapted(fresh), ef.nn.adapted(model), strict=True):
        assert a.adapters["default"].settings == b.adapters["default"].settings
    with safe_open(path, "pt") as file:
        assert not any("base" in key or "weight" in key for key in file.keys())  # noqa: SIM118


def test_some_adapters_of_several(tmp_path):
    model = adapted(adapter="cats")
    ef.nn.attach(model, ["2"], rank=1, adapter="dogs")
    path = tmp_path / "both.safetensors"
    ef.nn.save_adapters(model, path)
    fresh = net()
    assert ef.nn.load_adapters(fresh, path, names=["dogs"]) == ["dogs"]
    assert [name for name, _ in ef.nn.adapted(fresh)] == ["2"]
    with pytest.raises(ValueError, match="names: got 'birds'"):
        ef.nn.load_adapters(fresh, path, names=["birds"])
    with pytest.raises(ValueError, match="names: got 'birds'"):
        ef.nn.save_adapters(model, path, names=["birds"])
    with pytest.raises(ValueError, match="model: got one without adapters"):
        ef.nn.save_adapters(net(), path)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5])
def test_few_bits_an_entry(tmp_path, bits):
    model = adapted(omega=5.0)
    path = tmp_path / "small.safetensors"
    size = ef.nn.save_adapters(model, path, bits=bits)
    entries = [(64 + 48) * 4, (48 + 8) * 4]
    assert size == sum(entries) * bits // 8 + 4 * 4 * 2**bits + 2 * 2 * 4
    fresh = net()
    ef.nn.load_adapters(fresh, path)
    adapter = fresh[0].adapters["default"]
    for name in ("U", "V"):
        exact = getattr(model[0].adapters["default"], name).detach().numpy()
        found = getattr(adapter, name).detach().numpy()
        np.testing.assert_array_equal(found, ef.sine.quantize(exact, bits).toarray())
        assert len(np.unique(found)) == 2**bits
    error = (fresh(X) - model(X)).detach().norm() / (net()(X) - model(X)).detach().norm()
    assert error.item() < 2.0 * 0.6**bits


def test_loading_unmerges_nothing_else(tmp_path):
    path = tmp_path / "a.safetensors"
    ef.nn.save_adapters(adapted(), path)
    model = adapted()
    with pytest.raises(ValueError, match="path: has the adapter 'default' of layer '0', which"):
        ef.nn.load_adapters(model, path)


# ---- hostile files


def parts(path):
    with safe_open(path, "pt") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return arrays, {key: json.loads(value) for key, value in file.metadata().items()}


def rewritten(path, change):
    arrays, header = parts(path)
    change(arrays, header)
    save_file(arrays, path, {key: json.dumps(value) for key, value in header.items()})


def refused(path, message):
    model = net()
    with pytest.raises(ValueError, match=message):
        ef.nn.load_adapters(model, path)
    assert ef.nn.adapted(model) == []


def entry(header, **changes):
    header["eigenflow"]["entries"][0].update(changes)


def setting(header, **changes):
    header["eigenflow"]["entries"][0]["settings"].update(changes)


CHANGES = {
    "other format": (lambda a, h: h["eigenflow"].update(format="x"), "its format is 'x'"),
    "no entries": (lambda a, h: h["eigenflow"].update(entries=[]), "belongs to no adapter"),
    "entries no list": (lambda a, h: h["eigenflow"].update(entries={}), "its format is"),
    "no header": (lambda a, h: h.pop("eigenflow"), "is no JSON object"),
    "packed no object": (lambda a, h: h.update(packed=3), "'packed' in its header"),
    "missing factor": (lambda a, h: a.pop("0.omega"), "entry 0 lacks .'omega'."),
    "left over": (lambda a, h: a.update(x=torch.zeros(1)), "'x' belongs to no adapter"),
    "unknown layer": (lambda a, h: entry(h, layer="9"), "which the model cannot have"),
    "layer is no layer": (lambda a, h: entry(h, layer="1"), "got ReLU"),
    "layer no name": (lambda a, h: entry(h, layer=0), "entry 0 has no names"),
    "bad adapter": (lambda a, h: entry(h, adapter="a.b"), "adapter: got 'a.b'"),
    "entry no object": (lambda a, h: h["eigenflow"]["entries"].append(1), "entry 2 is no adapter"),
    "rank": (lambda a, h: setting(h, rank=3), r"shape \(48, 4\) .* want \(48, 3\)"),
    "rank no number": (lambda a, h: setting(h, rank="3"), "rank: got '3'"),
    "unknown setting": (lambda a, h: setting(h, evil=1), "evil"),
    "nan": (lambda a, h: a["0.gain"].fill_(float("nan")), "gain of entry 0"),
    "zero gain": (lambda a, h: a["0.gain"].fill_(0), "gain of entry 0"),
    "omega no number": (lambda a, h: a.update({"0.omega": torch.ones(2)}), "omega of entry 0"),
    "integers": (lambda a, h: a.update({"2.x": torch.ones(1)}) or entry(h), "belongs to no"),
    "twice": (
        lambda a, h: h["eigenflow"]["entries"][1].update(layer="0") or a,
        "one adapter twice",
    ),
    "few codes": (lambda a, h: a.update({"0.U.codes": a["0.U.codes"][1:]}), "codes: got uint8"),
    "table": (lambda a, h: a.update({"0.U.table": a["0.U.table"][1:]}), "table: got float32"),
    "table nan": (lambda a, h: a["0.V.table"].fill_(float("inf")), "table: got NaN"),
    "table kind": (lambda a, h: a.update({"0.U.table": torch.ones(4).double()}), "table: got"),
    "no codes": (lambda a, h: a.pop("0.V.codes"), "lacks its codes"),
    "bits": (lambda a, h: h["packed"]["0.U"].update(bits=9), "bits: got 9"),
    "bits true": (lambda a, h: h["packed"]["0.U"].update(bits=True), "bits: got True"),
    "shape": (lambda a, h: h["packed"]["0.U"].update(shape=[-48, -4]), "shape: got"),
    "huge": (lambda a, h: h["packed"]["0.U"].update(shape=[2**40, 2**40]), "codes: got"),
    "shape text": (lambda a, h: h["packed"]["0.U"].update(shape="ab"), "want two sizes"),
    "both": (lambda a, h: a.update({"0.U": torch.zeros(48, 4)}), "packed in no known way"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_files_that_lie(tmp_path, name):
    path = tmp_path / "a.safetensors"
    ef.nn.save_adapters(adapted(), path, bits=2)
    change, message = CHANGES[name]
    rewritten(path, change)
    refused(path, message)


def test_files_that_are_cut_short(tmp_path):
    path = tmp_path / "a.safetensors"
    ef.nn.save_adapters(adapted(), path, bits=3)
    whole = path.read_bytes()
    for size in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(path, "path: got .*, which is no safetensors file")
    path.write_bytes(np.random.default_rng(0).bytes(4000))
    refused(path, "which is no safetensors file")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path: got .*, want a file that save_adapters"):
        ef.nn.load_adapters(net(), tmp_path / "none")


def test_a_model_of_other_sizes(tmp_path):
    path = tmp_path / "a.safetensors"
    ef.nn.save_adapters(adapted(), path)
    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 9))
    with pytest.raises(ValueError, match=r"path: has U of shape \(8, 4\)"):
        ef.nn.load_adapters(model, path)
    assert ef.nn.adapted(model) == []
