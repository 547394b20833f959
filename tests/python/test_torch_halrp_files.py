import dataclasses
import json
import math
import os
import struct

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch import nn  # noqa: E402

from eigenflow.nn import HALRP, PRESETS, HALRPSettings  # noqa: E402


def model(width=6):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, width),
        nn.ReLU(),
        nn.Linear(width, 3),
    )


X = torch.randn(30, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def batches(t):
    return [(X, X.roll(t, 3)[:, 0, :3].sum(-1).argmax(1))]


@pytest.fixture(scope="module")
def learner():
    settings = HALRPSettings(epochs=3, max_rank=3, growth_budget=0.5, conv="reshape")
    made = HALRP(model(), settings, seed=4)
    made.fit_task("first", batches(0))
    made.fit_task(2, batches(1))
    made.fit_task("two", [(X, batches(2)[0][1] % 2)], n_classes=2)
    return made


def test_a_loaded_learner_is_the_saved_one(learner, tmp_path):
    path = tmp_path / "learner.safetensors"
    learner.save(path)
    loaded = HALRP.load(path, model())
    assert loaded.tasks == ["first", 2, "two"]
    assert loaded.settings == learner.settings
    for task in learner.tasks:
        assert torch.equal(loaded.logits(task, X), learner.logits(task, X))
    assert loaded.size() == learner.size()
    a, b = (x.fit_task("next", batches(3)) for x in (loaded, learner))
    assert a.losses == b.losses
    learner._networks.pop("next")
    assert os.listdir(tmp_path) == ["learner.safetensors"]


def test_base_weights_are_stored_once_and_zeros_hardly_at_all(learner, tmp_path):
    path = tmp_path / "learner.safetensors"
    learner.save(path)
    arrays = load_file(path)
    assert sum(key.endswith("base.0.weight") for key in arrays) == 1
    assert any(key.endswith(".mask") for key in arrays)
    stored = sum(a.numel() * a.element_size() for a in arrays.values())
    size = learner.size()
    assert stored == size.base_bytes + sum(t.n_bytes for t in size.tasks)


def test_nothing_fitted_is_a_file_too(tmp_path):
    HALRP(model()).save(tmp_path / "empty.safetensors")
    assert HALRP.load(tmp_path / "empty.safetensors", model()).tasks == []


def test_a_state_that_lacks_a_layer_names_it(learner):
    for key, message in (
        ("base.4.weight", r"^state: lacks 'base.4.weight' \(layer '4'\)"),
        ("task.1.0.left", r"^state: lacks 'task.1.0.left' \(layer '0'\)"),
        ("task.2.1.running_mean", r"^state: lacks 'task.2.1.running_mean' \(layer '1'\)"),
        ("task.0.6.weight", r"^state: lacks 'task.0.6.weight' \(layer '6'\)"),
    ):
        state = learner.state_dict()
        del state[key]
        other = HALRP(model())
        with pytest.raises(ValueError, match=message):
            other.load_state_dict(state, learner.tasks)
        assert other.tasks == []


def test_what_does_not_fit_is_named(learner, tmp_path):
    state = learner.state_dict()
    with pytest.raises(ValueError, match=r"^state: got shape \(6, 64\) .* for 'base.4.weight'"):
        HALRP(model(5)).load_state_dict(state, learner.tasks)
    with pytest.raises(ValueError, match=r"^state: got 'more', which has no place"):
        HALRP(model()).load_state_dict({**state, "more": X}, learner.tasks)
    state["task.1.4.right"] = torch.zeros(9, 64)
    with pytest.raises(ValueError, match=r"^state: got shape .* for 'task.1.4"):
        HALRP(model()).load_state_dict(state, learner.tasks)
    learner.save(tmp_path / "a")
    with pytest.raises(ValueError, match=r"^state: got shape"):
        HALRP.load(tmp_path / "a", model(5))


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(FileNotFoundError, match=r"^path: "):
        HALRP.load(path, model())
    for content in (b"", b"not safetensors", struct.pack("<Q", 2) + b"{}"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"^path: "):
            HALRP.load(path, model())
    save_file({"a": X}, path, {"eigenflow": json.dumps({"format": "other"})})
    with pytest.raises(ValueError, match=r"which HALRP.save did not write"):
        HALRP.load(path, model())
    torch.save({"a": X}, path)  # a pickle
    with pytest.raises(ValueError, match=r"no safetensors file"):
        HALRP.load(path, model())


def test_a_file_that_was_cut_anywhere_is_refused(learner, tmp_path):
    path = tmp_path / "whole"
    learner.save(path)
    content = path.read_bytes()
    for end in np.linspace(0, len(content) - 1, 40).astype(int):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"^path: got .*, which is no safetensors file"):
            HALRP.load(path, model())


def rewritten(learner, path, change):
    """Save, change header and arrays, write again."""
    learner.save(path)
    with safe_open(path, framework="pt") as file:
        header = {key: json.loads(text) for key, text in file.metadata().items()}
    arrays = load_file(path)
    change(header["eigenflow"], header["packed"], arrays)
    save_file(arrays, path, {key: json.dumps(content) for key, content in header.items()})


def put(place, key, value):
    return lambda about, packed, arrays: {"about": about, "packed": packed, "arrays": arrays}[
        place
    ].__setitem__(key, value)


def put_setting(key, value):
    return lambda about, *_: about["settings"].__setitem__(key, value)


MASKED = "task.1.4.right"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("about", "format", "eigenflow-halrp-2"), r"its format is 'eigenflow-halrp-2'"),
        (put("about", "more", 1), r"its format is"),
        (lambda about, *_: about.pop("seed"), r"its format is"),
        (put("about", "tasks", {"a": 1}), r"tasks: got dict"),
        (put("about", "tasks", ["a", True]), r"task: got True"),
        (put("about", "tasks", ["a", "a", "b"]), r"task: got 'a', which was fitted before"),
        (put("about", "seed", 1.5), r"seed: got float"),
        (put("about", "head", 3), r"head: got int"),
        (put("about", "settings", []), r"settings: got list"),
        (put_setting("epochs", "many"), r"epochs: got 'many'"),
        (put_setting("learning_rate", 10**400), r"learning_rate: got 1000"),
        (put_setting("share", math.nan), r"share: got nan"),
        (put_setting("more", 1), r"unexpected keyword argument 'more'"),
        (put("packed", MASKED, [2**40, 2**40]), r"does not fit its shape \[1099511627776"),
        (put("packed", MASKED, [100_000, 100_000]), r"does not fit its shape"),
        (put("packed", MASKED, [-3, -64]), r"does not fit its shape"),
        (put("packed", MASKED, "all"), r"does not fit its shape 'all'"),
        (put("packed", "task.9.left", [3]), r"not have both values and mask of 'task.9.left'"),
        (put("arrays", f"{MASKED}.mask", torch.zeros(24)), r"does not fit its shape"),
        (put("arrays", f"{MASKED}.values", torch.zeros(3)), r"has values of shape \(3,\)"),
    ],
)
def test_headers_that_lie_are_refused(learner, tmp_path, change, message):
    rewritten(learner, tmp_path / "file", change)
    with pytest.raises(ValueError, match=rf"^path: got .* HALRP.save did not write \(.*{message}"):
        HALRP.load(tmp_path / "file", model())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("about", "head", "0"), r"^head: got '0', want the name of a Linear layer"),
        (put("about", "tasks", ["a"]), r"^state: got 'task.1.*', which has no place"),
        (put("about", "tasks", list("abcd")), r"^state: lacks 'task.3.6.weight' \(layer '6'\)"),
        (put("arrays", "task.0.6.weight", torch.ones(())), r"^state: got shape \(\) for"),
        (
            put("arrays", "base.4.weight", torch.ones(6, 64, dtype=torch.int64)),
            r"^state: got shape .* torch.int64 for 'base.4.weight', want .* torch.float32",
        ),
        (
            put("arrays", "task.1.4.row_scale", torch.ones(7)),
            r"^state: got shape \(7,\) .*'task.1.4.row_scale', want \(6,\)",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_named(learner, tmp_path, change, message):
    rewritten(learner, tmp_path / "file", change)
    with pytest.raises(ValueError, match=message):
        HALRP.load(tmp_path / "file", model())


@pytest.mark.parametrize("text", ["", "[]", "3", "[" * 100_000, '{"format": '])
def test_headers_that_are_no_objects_are_refused(learner, tmp_path, text):
    path = tmp_path / "file"
    save_file({"a": X}, path, {"eigenflow": text})
    with pytest.raises(ValueError, match=r"HALRP.save did not write"):
        HALRP.load(path, model())


def test_a_state_of_other_things_is_refused(learner):
    state = learner.state_dict()
    with pytest.raises(TypeError, match=r"^state: got list for 'task.1.4.left'"):
        HALRP(model()).load_state_dict({**state, "task.1.4.left": [1.0]}, learner.tasks)
    with pytest.raises(ValueError, match=r"^task: got 2, which was fitted before"):
        HALRP(model()).load_state_dict(state, ["first", 2, 2])


def test_a_loaded_state_is_a_copy(learner):
    state = {key: value.clone() for key, value in learner.state_dict().items()}
    other = HALRP(model(), learner.settings, seed=4)
    other.load_state_dict(state, learner.tasks)
    for value in state.values():
        value.zero_()
    for task in learner.tasks:
        assert torch.equal(other.logits(task, X), learner.logits(task, X))


def test_a_failed_save_keeps_the_old_file(learner, tmp_path, monkeypatch):
    path = tmp_path / "learner"
    learner.save(path)
    before = path.read_bytes()

    def fail(*_):
        msg = "disk full"
        raise OSError(msg)

    monkeypatch.setattr("eigenflow.nn.archive.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        learner.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["learner"]


# ---- settings


def test_the_nine_presets_are_the_published_settings():
    assert len(PRESETS) == 9
    assert {p.n_repeats for p in PRESETS.values()} == {3, 5}
    lenet = PRESETS["pmnist/lenet"]
    assert (lenet.settings.weight_decay, lenet.settings.l1) == (1e-3, 1e-6)
    assert (lenet.settings.epochs, lenet.settings.growth_budget) == (12, 0.6)
    resnet = PRESETS["five/resnet18"].settings
    assert (resnet.warmup_epochs, resnet.share, resnet.max_rank) == (3, 0.95, 120)
    tiny = PRESETS["tiny-imagenet-40/alexnet"]
    assert (tiny.settings.warmup_epochs, tiny.batch_size, tiny.settings.l1) == (20, 32, 5e-4)
    for name, preset in PRESETS.items():
        s = preset.settings
        assert name == f"{preset.benchmark}/{preset.network}"
        assert (s.rule, s.conv, s.passes, s.prune_mode) == ("hessian", "kernel-mean", 1, "task")
        assert (s.lr_decay, s.prune_threshold) == (0.95, 1e-5)
    # 0.95 an epoch on CIFAR, and to the powers 12, 5 and 2 elsewhere.
    images = {
        "cifar100-split/lenet": (4000, 1), "cifar100-super/lenet": (2000, 1),
        "pmnist/lenet": (48_000, 12), "five/alexnet": (40_000, 5),
        "tiny-imagenet-20/alexnet": (4500, 2), "tiny-imagenet-40/resnet18": (2250, 2),
    }  # fmt: skip
    for name, (count, power) in images.items():
        assert count / PRESETS[name].settings.decay_samples == power


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"epochs": -1}, ValueError, "^epochs: got -1"),
        ({"epochs": 2.0}, TypeError, "^epochs: got 2.0"),
        ({"epochs": 2, "warmup_epochs": 3}, ValueError, "^warmup_epochs: got 3"),
        ({"learning_rate": 0}, ValueError, "^learning_rate: got 0"),
        ({"weight_decay": float("nan")}, ValueError, "^weight_decay: got nan"),
        ({"share": 1.1}, ValueError, "^share: got 1.1"),
        ({"max_rank": True}, TypeError, "^max_rank: got True"),
        ({"decay_samples": 0}, ValueError, "^decay_samples: got 0"),
        ({"growth_budget": -1}, ValueError, "^growth_budget: got -1"),
        ({"rule": "best"}, ValueError, "^rule: got 'best', want one of 'hessian'"),
        ({"conv": "no"}, ValueError, "^conv: got 'no'"),
        ({"prune_mode": "no"}, ValueError, "^prune_mode: got 'no'"),
        ({"l1": "1"}, TypeError, "^l1: got '1'"),
    ],
)
def test_settings_are_checked(changes, error, message):
    with pytest.raises(error, match=message):
        HALRPSettings(**changes)
    assert dataclasses.replace(HALRPSettings(), epochs=3).epochs == 3
