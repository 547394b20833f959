"""Sine adapters on a local RoBERTa or LLaMA, trained on a local file of text.

python docs/papers/sine/language.py MODEL_FOLDER TEXTS.jsonl --out adapters.safetensors
    [--targets q_proj k_proj v_proj up_proj down_proj] [--rank 8] [--omega 200] [--alpha 16]
    [--control | --lora] [--steps 500] [--bits 2]

MODEL_FOLDER holds config.json, the weights as safetensors, and the tokenizer, as Hugging Face
stores them; nothing is downloaded and nothing is unpickled. Each line of TEXTS.jsonl is {"text":
..., "label": 0} for a RoBERTa with a classification head, or {"text": ...} for a LLaMA. It needs
`pip install transformers`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import eigenflow as ef

# The layers that the paper adapts in LLaMA3-8B; in RoBERTa those of the same meaning.
TARGETS = {
    "llama": ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"],
    "roberta": ["query", "key", "value", "intermediate.dense"],
}


def main(arguments: list[str] | None = None) -> None:
    """Load, attach, train, save; print the loss and the sizes."""
    options = _parse(arguments)
    torch.manual_seed(options.seed)
    lines = read_lines(options.texts)
    model, tokenizer = load(options.model, n_labels=n_labels(lines))
    names = attach(model, options)
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(f"{len(names)} layers, {learned:,} parameters")
    train(model, tokenizer, lines, options)
    size = ef.nn.save_adapters(model, options.out, bits=options.bits)
    print(f"{size:,} bytes in {options.out}")


def load(folder: Path, *, n_labels: int) -> tuple[nn.Module, Any]:
    """Load a model and its tokenizer from files; a new head for `n_labels` classes if not 0."""
    import transformers

    local = {"local_files_only": True}
    kind = transformers.AutoConfig.from_pretrained(folder, **local).model_type
    if kind not in TARGETS:
        msg = f"MODEL_FOLDER: got a {kind!r}, want one of {list(TARGETS)}"
        raise ValueError(msg)
    if kind == "roberta" and not n_labels:
        msg = 'TEXTS: got lines without a "label", want labels for a RoBERTa'
        raise ValueError(msg)
    weights = {**local, "use_safetensors": True}
    if kind == "roberta":
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=n_labels, **weights
        )
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, **weights)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def attach(model: Any, options: argparse.Namespace) -> list[str]:
    """Put adapters on the targets; a classification head goes on learning."""
    settings: dict[str, Any] = {"omega": options.omega}
    if options.lora:
        settings = {"omega": 1.0, "gain": 1.0}
    names = ef.nn.attach(
        model,
        options.targets or TARGETS[model.config.model_type],
        rank=options.rank,
        alpha=options.alpha,
        activation="identity" if options.control or options.lora else "sine",
        magnitude=options.magnitude,
        dropout=options.dropout,
        **settings,
    )
    if hasattr(model, "classifier"):
        model.classifier.requires_grad_(True)
    return names


def train(
    model: Any, tokenizer: Any, lines: list[dict[str, Any]], options: argparse.Namespace
) -> list[float]:
    """AdamW over random batches; the loss of each step."""
    from tqdm import tqdm

    learned = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, options.rate)
    generator = torch.Generator().manual_seed(options.seed)
    losses: list[float] = []
    model.train()
    with tqdm(total=options.steps, unit="step") as bar:
        for _ in range(options.steps):
            rows = torch.randint(len(lines), (options.batch,), generator=generator).tolist()
            loss = _loss(model, tokenizer, [lines[i] for i in rows], options.length)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.3f}")
            bar.update()
    model.eval()
    return losses


def _loss(model: Any, tokenizer: Any, lines: list[dict[str, Any]], length: int) -> Tensor:
    texts = [line["text"] for line in lines]
    tokens = tokenizer(
        texts, padding=True, truncation=True, max_length=length, return_tensors="pt"
    ).to(next(model.parameters()).device)
    if model.config.model_type == "roberta":
        labels = torch.tensor([line["label"] for line in lines], device=tokens["input_ids"].device)
    else:
        labels = tokens["input_ids"].masked_fill(tokens["attention_mask"] == 0, -100)
    loss: Tensor = model(**tokens, labels=labels).loss
    return loss


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a JSON Lines file, each with a text."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    for i, line in enumerate(lines):
        if not isinstance(line, dict) or not isinstance(line.get("text"), str):
            msg = f'TEXTS: line {i + 1} of {path} is no object with a "text"'
            raise ValueError(msg)
    if not lines:
        msg = f"TEXTS: {path} has no lines"
        raise ValueError(msg)
    return lines


def n_labels(lines: list[dict[str, Any]]) -> int:
    """Number of classes; 0 if lines have none."""
    labels = [line.get("label") for line in lines]
    if all(label is None for label in labels):
        return 0
    for i, label in enumerate(labels):
        if type(label) is not int or label < 0:
            msg = f"TEXTS: line {i + 1} has the label {label!r}, want an integer from 0"
            raise ValueError(msg)
    return max(label for label in labels if label is not None) + 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, metavar="MODEL_FOLDER")
    parser.add_argument("texts", type=Path, metavar="TEXTS")
    parser.add_argument("--out", type=Path, default=Path("adapters.safetensors"))
    parser.add_argument("--targets", nargs="+", help="ends of layer names")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16.0)
    parser.add_argument("--omega", type=float, default=200.0)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--control", action="store_true", help="the sine's scale without the sine")
    kinds.add_argument("--lora", action="store_true", help="plain LoRA")
    parser.add_argument("--magnitude", action="store_true", help="as in DoRA")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=256, help="tokens of a text")
    parser.add_argument("--bits", type=int, help="1 to 5: store factors with so many bits")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
