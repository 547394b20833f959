"""Predicted and true loss of cutting a layer's change, for each layer importance.

`cd bench && python -m continual.importance` trains networks on one task, adapts them to another,
cuts the change of one layer at a time to rank k, and compares orders of all (layer, rank) cuts.
Then it cuts all layers together, with ranks that a budget and each importance give.
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
N_EPOCHS = 20
MEASURES = {
    "frobenius": "Frobenius norm of the cut",
    "gradient-fro": "times E||G||_F^2 of the layer",
    "gradient-mean": "times the mean square of the gradient (HALRP)",
    "hutchinson": "times the mean Hessian diagonal (Hutchinson)",
    "fisher": "squares weighted by the Fisher diagonal",
    "activation": "change of the layer's output (whitened)",
    "both": "whitened columns, Fisher-weighted rows",
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


BUDGETS = (0.05, 0.1, 0.2, 0.4)  # of the numbers in all factors of full rank

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


class Adapted:
    """A network that left its base weights, and everything that the measures want to know."""

    def __init__(self, network, base, layers, valid):
        gradients = list(batch_gradients(network, valid, layers))
        batches, sizes = [g for g, _ in gradients], [n for _, n in gradients]
        self.network, self.layers = network, layers
        self.weights = [network.get_submodule(name).weight for name in layers]
        self.free = [w.detach().numpy().copy() for w in self.weights]
        self.changes = [
            lowrank.perturb(base[name], free, conv="reshape")
            for name, free in zip(layers, self.free, strict=True)
        ]
        self.means = lowrank.gradient_importance(batches, batch_sizes=sizes)
        self.norms = lowrank.gradient_importance(batches, batch_sizes=sizes, norm="fro")
        self.moments = lowrank.gradient_moments(batches, batch_sizes=sizes)
        traces = hessian_trace(network, valid, layers, n_probes=20, rng=0)
        self.curvatures = traces / [w.size for w in self.free]
        self.factors = activation_factors(network, valid, layers)

    def rows(self, i):
        """Mean squared gradient of each output of layer i, up to a factor: Fisher over inputs.

        With the input products in the columns' factor this is a Kronecker form of the Fisher
        matrix.
        """
        m = self.moments[i]
        return m.reshape(len(m), -1).sum(1) / np.sum(self.factors[i] ** 2)

    def predictions(self, i, cut):
        """What every measure says about adding `cut` to layer i, each up to a factor."""
        flat = cut.reshape(len(cut), -1).astype(float)
        square = float(np.sum(flat**2))
        return {
            "frobenius": square,
            "gradient-fro": self.norms[i] * square,
            "gradient-mean": self.means[i] * square,
            "hutchinson": self.curvatures[i] * square,
            "fisher": float(np.sum(self.moments[i] * cut.astype(float) ** 2)),
            "activation": float(np.sum((flat @ self.factors[i]) ** 2)),
            "both": float(self.rows(i) @ np.sum((flat @ self.factors[i]) ** 2, 1)),
        }

    def loss_with(self, cuts, test):
        """Mean loss with `cuts`, by layer, added to the weights."""
        with torch.no_grad():
            for i, cut in cuts.items():
                self.weights[i] += torch.from_numpy(cut)
            loss = mean_loss(self.network, test)
            for i in cuts:
                self.weights[i].copy_(torch.from_numpy(self.free[i]))
        return loss

    def low_rank(self, measure):
        """Factors of full rank whose leading parts are best in the norm of the measure."""
        matrices = [change.left @ change.right for change in self.changes]
        found = []
        for i, D in enumerate(matrices):
            weights = {}
            if measure == "fisher":
                m = self.moments[i]
                weights["row_weights"] = m.mean(tuple(range(1, m.ndim)))
            if measure in ("activation", "both"):
                weights["col_factor"] = self.factors[i]
            if measure == "both":
                weights["row_weights"] = self.rows(i)
            found.append(lowrank.weighted_factors(D, **weights))
        return matrices, found


def cuts_of(adapted, test):
    """Predictions of every measure and the true increase, for every (layer, rank)."""
    before = adapted.loss_with({}, test)
    rows = []
    for i, (name, change) in enumerate(zip(adapted.layers, adapted.changes, strict=True)):
        for k in sorted({*range(min(change.rank, 8)), *range(8, change.rank, 4)}):
            cut = change.truncate(k).to_dense() - adapted.free[i]
            increase = adapted.loss_with({i: cut}, test) - before
            row = {"layer": name, "rank": k, "true": increase}
            rows.append(row | adapted.predictions(i, cut))
    return rows


def allocated(adapted, test):
    """True increase of the loss at each budget, with ranks and factors of each measure."""
    before = adapted.loss_with({}, test)
    ones = np.ones(len(adapted.layers))
    scalars = {
        "gradient-fro": adapted.norms,
        "gradient-mean": adapted.means,
        "hutchinson": np.maximum(adapted.curvatures, 0),
    }
    increases = {}
    for measure in MEASURES:
        matrices, found = adapted.low_rank(measure)
        costs = [sum(D.shape) for D in matrices]
        whole = sum(cost * f.s.size for cost, f in zip(costs, found, strict=True))
        increases[measure] = []
        for budget in BUDGETS:
            ranks = lowrank.allocate_ranks(
                [f.s for f in found],
                scalars.get(measure, ones),
                costs=costs,
                budget=budget * whole,
                method="knapsack",
                min_rank=0,
            ).ranks
            cuts = {
                i: (f.left[:, :k] @ f.right[:k] - D).reshape(adapted.free[i].shape)
                for i, (D, f, k) in enumerate(zip(matrices, found, ranks, strict=True))
            }
            increases[measure].append(adapted.loss_with(cuts, test) - before)
    return increases


def one(case, seed):
    """Train, adapt, cut."""
    make, suite, layers = CASES[case]
    first, second = suite()[seed : seed + 2]
    settings = HALRPSettings(learning_rate=2e-3)
    with seeded(seed, torch.device("cpu")):
        network = make(10)
        train(network, Batches(first.train, 32, shuffle=True), N_EPOCHS, settings)
        base = {n: network.get_submodule(n).weight.detach().numpy().copy() for n in layers}
        train(network, Batches(second.train, 32, shuffle=True), N_EPOCHS, settings)
    valid, test = (Batches(s, 50, shuffle=False) for s in (second.valid, second.test))
    adapted = Adapted(network, base, layers, valid)
    return cuts_of(adapted, test), allocated(adapted, test)


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
                for rows, _ in runs
            ]
            for measure in MEASURES
        }
        results[case] = {
            "correlations": correlations,
            "budgets": BUDGETS,
            "allocated": {measure: [found[measure] for _, found in runs] for measure in MEASURES},
            "example": runs[0][0],
        }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results)
    rounded = json.loads(text, parse_float=lambda s: float(f"{float(s):.5g}"))
    options.out.write_text(json.dumps(rounded, indent=1) + "\n")


if __name__ == "__main__":
    main()
