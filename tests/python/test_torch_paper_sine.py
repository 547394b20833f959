"""Ji et al. (arXiv 2403.19243) in miniature; docs/papers/sine has it all."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

import torch

import eigenflow as ef
from sine import digits, fields, language, measures, nerf, reproduce, spectra
from sine.training import record
from sine.weights import Weights, count

# ---- what was measured, against the bands of an independent implementation


def stored(name):
    return json.loads((Path(reproduce.HERE) / "results" / f"{name}.json").read_text())


def scores(name):
    """Mean score by (weights, k)."""
    found = {}
    for run in stored(name)["runs"]:
        found.setdefault((run["weights"], run["rank"]), []).append(run["score"])
    return {key: np.mean(values) for key, values in found.items()}


def test_stored_stable_ranks():
    for row in stored("spectra")["rows"]:
        expected = np.array(spectra.EXPECTED[row["n"], row["k"]])
        np.testing.assert_allclose(row["stable_rank"], expected, rtol=0.15)
        assert row["dense"] == pytest.approx(row["n"] / 4, rel=0.08)


def test_stored_mlp():
    found = scores("mlp")
    assert found["full rank", 0] > 0.955
    assert found["low rank", 1] < 0.55
    assert 0.9 < found["low rank", 4] < 0.95
    assert found["sine, omega = 400", 1] > 0.92
    assert found["sine, omega = 200", 2] > 0.945
    assert found["sine, omega = 200", 4] > 0.955
    runs = {(r["weights"], r["rank"]): r["parameters"] for r in stored("mlp")["runs"]}
    assert runs["full rank", 0] == 150_794
    assert runs["sine, omega = 200", 4] == runs["low rank", 4] == 23_818


def test_stored_image():
    found = scores("image")
    expected = {
        ("full rank", 0): 32.8,
        ("low rank", 1): 14.0,
        ("low rank", 5): 19.1,
        ("sine, omega = 100", 1): 14.5,
        ("sine, omega = 400", 1): 19.6,
        ("sine, omega = 50", 5): 21.8,
        ("sine, omega = 200", 5): 27.1,
    }
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=1.5), key


def test_stored_solid():
    found = scores("solid")
    assert found["full rank", 0] > 0.98
    assert found["low rank", 1] < 0.8
    assert found["low rank", 5] < found["sine, omega = 100", 5]
    assert found["sine, omega = 100", 5] > 0.98
    assert found["sine, omega = 400", 1] > found["low rank", 1] + 0.1


def test_stored_scene():
    found = scores("scene")
    assert found["full rank", 0] > found["sine, omega = 50", 5] > found["low rank", 5] + 1
    assert found["sine, omega = 100", 1] > found["low rank", 1]


def test_the_stored_control_explains_the_adapters():
    found = scores("adapters")
    for rank in (1, 2, 4):
        for omega in (200, 800):
            sine = found[f"sine, omega = {omega}", rank]
            scale = found[f"LoRA, scale of omega = {omega}", rank]
            assert sine > found["LoRA", rank] + 0.1
            assert sine < scale + 0.05  # nothing is left for the sine to explain
    assert found["frozen", 0] < 0.15


# ---- small runs


def test_stable_ranks_of_the_smallest_size():
    n, k = spectra.SIZES[0]
    for omega, expected in zip(spectra.OMEGAS, spectra.EXPECTED[n, k], strict=True):
        found = np.mean([spectra.stable_rank(spectra.singular_values(n, k, omega, s))
                         for s in range(3)])  # fmt: skip
        assert found == pytest.approx(expected, rel=0.15)


def test_parameters_are_the_papers():
    assert count(fields.network(3, 2, 1, Weights(1, 100.0))) == 2_817
    assert count(fields.network(3, 2, 1, Weights())) == 132_865
    assert count(fields.network(2, 3, 3, Weights())) == 198_915
    for rank in (1, 5):
        same = {count(digits.mlp(Weights(rank, omega))) for omega in (0.0, 200.0)}
        assert len(same) == 1


def test_rank_one_learns_digits_with_the_sine_alone(monkeypatch):
    monkeypatch.setattr(digits, "MLP_STEPS", 60)
    sine, plain = (record(Weights(1, omega), 0, digits.run_mlp) for omega in (400.0, 0.0))
    assert sine["score"] > plain["score"] + 0.2
    assert sine["parameters"] == plain["parameters"]


def test_networks_run(monkeypatch):
    for module, name in ((digits, "VIT_STEPS"), (fields, "IMAGE_STEPS"), (fields, "SOLID_STEPS"),
                         (nerf, "STEPS"), (digits, "ADAPTER_STEPS")):  # fmt: skip
        monkeypatch.setattr(module, name, 2)
    monkeypatch.setattr(fields, "SOLID_BATCH", 100)
    for run in (digits.run_vit, fields.run_solid, nerf.run):
        assert np.isfinite(record(Weights(1, 50.0), 0, run)["score"])
    model = digits.mlp(Weights())
    frozen = measures.adapter_name(0, 0.0, False)
    assert frozen == "frozen"
    score = digits.run_adapter(model, 1, 200.0, True)[1]
    assert 0 <= score <= 1
    assert [name for name, _ in ef.nn.adapted(model)] == ["3", "5"]


def test_the_renderer_is_opaque_where_the_scene_is():
    origins, directions = nerf.rays(0.3, 0.5)
    assert directions.norm(dim=-1).sub(1).abs().max() < 1e-5
    centre = torch.tensor([nerf.BALLS[0][0]])
    density, colour = nerf.scene(centre)
    assert density.item() == 30
    assert colour[0, 0] > colour[0, 2]
    seen = nerf.render(nerf.scene, origins, directions, nerf.even_depths(len(origins), 128))
    assert seen.min() >= 0
    assert seen.max() <= 1
    assert (seen.sum(-1) == 0).float().mean() > 0.1  # sky


def test_the_script_writes_what_the_page_shows(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    reproduce.main(["--quick", "--only", "spectra", "--out", str(tmp_path)])
    before = (tmp_path / "spectra.csv").read_text()
    reproduce.main(["--redraw", "--only", "spectra", "--out", str(tmp_path)])
    assert (tmp_path / "spectra.csv").read_text() == before
    assert (tmp_path / "spectra.png").stat().st_size > 10_000
    assert "before" in capsys.readouterr().out


# ---- the script for language models, on a tiny model made here


def tiny(folder, kind):
    transformers = pytest.importorskip("transformers", reason="comes with PEFT")
    tokenizers = pytest.importorskip("tokenizers", reason="comes with PEFT")
    words = ["<s>", "</s>", "<unk>", "<pad>", *"abcdefghijklmnop"]
    model = tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, "<unk>")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="<pad>",
    )  # fmt: skip
    fast.save_pretrained(folder)
    sizes = {"vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 2,
             "num_attention_heads": 2, "intermediate_size": 24, "pad_token_id": 3}  # fmt: skip
    torch.manual_seed(0)
    if kind == "roberta":
        config = transformers.RobertaConfig(**sizes, max_position_embeddings=40, num_labels=2)
        made = transformers.RobertaForSequenceClassification(config)
    else:
        config = transformers.LlamaConfig(**sizes, num_key_value_heads=1)
        made = transformers.LlamaForCausalLM(config)
    made.save_pretrained(folder)


def texts(folder, labels):
    rng = np.random.default_rng(0)
    lines = []
    for i in range(12):
        line = {"text": " ".join(rng.choice(list("abcdefgh"), 6))}
        lines.append(json.dumps(line | ({"label": i % 2} if labels else {})))
    path = folder / "texts.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(("kind", "n_layers"), [("roberta", 8), ("llama", 10)])
def test_adapters_of_a_local_language_model(tmp_path, capsys, kind, n_layers):
    tiny(tmp_path / kind, kind)
    path = texts(tmp_path, kind == "roberta")
    out = tmp_path / "adapters.safetensors"
    common = [str(tmp_path / kind), str(path), "--out", str(out), "--rank", "2", "--steps", "3"]
    language.main([*common, "--bits", "3"])
    assert f"{n_layers} layers" in capsys.readouterr().out
    model, _ = language.load(tmp_path / kind, n_labels=2)
    assert ef.nn.load_adapters(model, out) == ["default"]
    layer = ef.nn.adapted(model)[0][1].adapters["default"]
    assert layer.U.abs().max() > 0


def test_files_that_the_script_refuses(tmp_path):
    bad = tmp_path / "bad.jsonl"
    for content, message in (("", "has no lines"), ("[1]", "line 1"), ('{"text": 3}', "line 1")):
        bad.write_text(content)
        with pytest.raises(ValueError, match=message):
            language.read_lines(bad)
    with pytest.raises(ValueError, match="label '1'"):
        language.n_labels([{"text": "", "label": "1"}])
    tiny(tmp_path / "model", "roberta")
    with pytest.raises(ValueError, match="want labels for a RoBERTa"):
        language.load(tmp_path / "model", n_labels=0)
