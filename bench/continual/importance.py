"""Predicted and true loss of cutting a layer's change, for each layer importance.

`cd bench && python -m continual.importance` trains networks on one task, adapts them to another,
cuts the change of one layer at a time to rank k, and compares orders of all (layer, rank) cuts.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from tqdm import tqdm

from continual.data import Batches
from continual.digit_suites import permuted, rotated
from continual.networks import digits
from eigenflow import lowrank
from eigenflow.nn import HALRPSettings, activation_factors, batch_gradients, hessian_trace
from eigenflow.nn.training import seeded, train

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "importance.json"
N_SEEDS = 7
MEASURES = {
    "frobenius": "Frobenius norm of the cut",
    "gradient-fro": "times E||G||_F^2 of the layer",
    "gradient-mean": "times the mean square of the gradient (HALRP)",
    "hutchinson": "times the mean Hessian diagonal (Hutchinson)",
    "fisher": "squares weighted by the Fisher diagonal",
    "activation": "change of the layer's output (whitened)",
}


def mlp(n_classes):
    """Three hidden layers of different widths."""
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(64, 96),
        torch.nn.ReLU(),
        torch.nn.Linear(96, 48),
        torch.nn.ReLU(),
        torch.nn.Linear(48, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, n_classes),
    )


CASES = {
    "MLP, permuted digits": (mlp, permuted, ("1", "3", "5")),
    "convolutions, rotated digits": (digits, rotated, ("0", "3", "8", "11")),
}


def mean_loss(network, batches):
    """Cross-entropy over all samples, in double precision."""
    total = seen = 0.0
    with torch.no_grad():
        for x, y in batches:
            total += float(
                torch.nn.functional.cross_entropy(network(x).double(), y, reduction="sum")
            )
            seen += len(y)
    return total / seen


def cuts_of(network, base, layers, valid, test):
    """Predictions of every measure and the true increase, for every (layer, rank)."""
    gradients = list(batch_gradients(network, valid, layers))
    batches, sizes = [g for g, _ in gradients], [n for _, n in gradients]
    means = lowrank.gradient_importance(batches, batch_sizes=sizes)
    norms = lowrank.gradient_importance(batches, batch_sizes=sizes, norm="fro")
    moments = lowrank.gradient_moments(batches, batch_sizes=sizes)
    traces = hessian_trace(network, valid, layers, n_probes=20, rng=0)
    factors = activation_factors(network, valid, layers)
    before = mean_loss(network, test)
    rows = []
    for i, name in enumerate(layers):
        weight = network.get_submodule(name).weight
        free = weight.detach().numpy().copy()
        whole = lowrank.perturb(base[name], free, conv="reshape")
        for k in sorted({*range(min(whole.rank, 8)), *range(8, whole.rank, 4)}):
            cut = whole.truncate(k).to_dense() - free
            flat = cut.reshape(len(cut), -1).astype(float)
            square = float(np.sum(flat**2))
            with torch.no_grad():
                weight += torch.from_numpy(cut)
                increase = mean_loss(network, test) - before
                weight.copy_(torch.from_numpy(free))
            rows.append(
                {
                    "layer": name,
                    "rank": k,
                    "true": increase,
                    "frobenius": square,
                    "gradient-fro": norms[i] * square,
                    "gradient-mean": means[i] * square,
                    "hutchinson": traces[i] / cut.size * square,
                    "fisher": float(np.sum(moments[i] * cut.astype(float) ** 2)),
                    "activation": float(np.sum((flat @ factors[i]) ** 2)),
                }
            )
    return rows


def one(case, seed):
    """Train, adapt, cut."""
    make, suite, layers = CASES[case]
    first, second = suite()[seed : seed + 2]
    settings = HALRPSettings(learning_rate=2e-3)
    with seeded(seed, torch.device("cpu")):
        network = make(10)
        train(network, Batches(first.train, 32, shuffle=True), 20, settings)
        base = {n: network.get_submodule(n).weight.detach().numpy().copy() for n in layers}
        train(network, Batches(second.train, 32, shuffle=True), 20, settings)
    valid, test = (Batches(s, 50, shuffle=False) for s in (second.valid, second.test))
    return cuts_of(network, base, layers, valid, test)


def main(arguments=None):
    """Write all cuts and the rank correlations of every seed."""
    parser = argparse.ArgumentParser(prog="continual.importance", description=__doc__)
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results = {}
    for case in CASES:
        runs = [one(case, seed) for seed in tqdm(range(options.seeds), desc=case, unit="seed")]
        correlations = {
            measure: [
                float(spearmanr([r[measure] for r in rows], [r["true"] for r in rows]).statistic)
                for rows in runs
            ]
            for measure in MEASURES
        }
        results[case] = {"correlations": correlations, "example": runs[0]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results)
    rounded = json.loads(text, parse_float=lambda s: float(f"{float(s):.5g}"))
    options.out.write_text(json.dumps(rounded, indent=1) + "\n")


if __name__ == "__main__":
    main()
