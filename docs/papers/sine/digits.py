"""Classifiers of scikit-learn's digits: an MLP, a small vision transformer, and adapters."""

from functools import cache

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

import eigenflow as ef
from sine.training import minimise
from sine.weights import Weights, low_rank

N_TRAIN = 1200
MLP_STEPS, MLP_RATE = 120, 1e-3
VIT_STEPS, VIT_RATE = 800, 2e-3
ADAPTER_STEPS, ADAPTER_RATE, ANGLE = 150, 3e-3, 90.0
WIDTH = 256

MLP = low_rank((1, (100.0, 400.0, 1600.0)), (2, (200.0,)), (4, (200.0,)))
VIT = low_rank((1, (100.0,)), (4, (100.0,)))
# Adapters: (rank, omega, with the sine). Scale alone is the control; omega 0 is plain LoRA.
ADAPTERS = [
    (rank, omega, sine)
    for rank in (1, 2, 4)
    for omega, sine in ((0.0, False), (200.0, False), (200.0, True), (800.0, False), (800.0, True))
]


@cache
def images(angle: float = 0.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(x, y) to train on and (x, y) to test on; values in [0, 1], turned by `angle` degrees."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8)
    if angle:
        x = ndimage.rotate(x, angle, axes=(2, 1), reshape=False, order=1)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = torch.tensor(x[order], dtype=torch.float32), torch.tensor(y[order])
    return x[:N_TRAIN], y[:N_TRAIN], x[N_TRAIN:], y[N_TRAIN:]


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of right answers."""
    with torch.no_grad():
        return (model(x).argmax(1) == y).double().mean().item()


def _fit(model: nn.Module, angle: float, n_steps: int, rate: float) -> float:
    x, y, test_x, test_y = images(angle)
    minimise(model, lambda _: functional.cross_entropy(model(x), y), n_steps, rate)
    return accuracy(model, test_x, test_y)


# ---- MLP


def mlp(weights: Weights) -> nn.Module:
    """64-256-256-256-10; the two 256 x 256 layers have the given weights."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, WIDTH),
        nn.ReLU(),
        weights.linear(WIDTH, WIDTH),
        nn.ReLU(),
        weights.linear(WIDTH, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, 10),
    )


def run_mlp(weights: Weights, seed: int) -> tuple[nn.Module, float]:
    """Train on the whole training set at each step."""
    del seed
    model = mlp(weights)
    return model, _fit(model, 0.0, MLP_STEPS, MLP_RATE)


# ---- vision transformer


class Block(nn.Module):
    """Attention and an MLP, whose two layers have the given weights."""

    def __init__(self, width: int, weights: Weights) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.mlp = nn.Sequential(
            weights.linear(width, 4 * width), nn.GELU(), weights.linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add both to x."""
        y = self.norms[0](x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        z: Tensor = x + self.mlp(self.norms[1](x))
        return z


class ViT(nn.Module):
    """16 patches of 2 x 2 pixels, width 64, 2 blocks; the paper's choice of layers: the MLPs."""

    def __init__(self, weights: Weights, width: int = 64, n_blocks: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, 2)
        self.positions = nn.Parameter(0.02 * torch.randn(16, width))
        self.blocks = nn.Sequential(*(Block(width, weights) for _ in range(n_blocks)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Classify images (batch, 8, 8)."""
        tokens = self.patches(x[:, None]).flatten(2).transpose(1, 2) + self.positions
        y: Tensor = self.head(self.blocks(tokens).mean(1))
        return y


def run_vit(weights: Weights, seed: int) -> tuple[nn.Module, float]:
    """Train on batches of 100."""
    model = ViT(weights)
    x, y, test_x, test_y = images()
    generator = torch.Generator().manual_seed(seed)

    def loss(_: int) -> Tensor:
        rows = torch.randint(len(y), (100,), generator=generator)
        return functional.cross_entropy(model(x[rows]), y[rows])

    minimise(model, loss, VIT_STEPS, VIT_RATE, decay=0.1)
    return model, accuracy(model, test_x, test_y)


# ---- adapters


def upright(seed: int) -> nn.Module:
    """Return the full-rank MLP, trained on upright digits."""
    torch.manual_seed(seed)
    return run_mlp(Weights(), seed)[0]


def run_adapter(base: nn.Module, rank: int, omega: float, sine: bool) -> tuple[nn.Module, float]:
    """Adapt a frozen MLP to turned digits by adapters on its two 256 x 256 layers."""
    settings = {"omega": omega} if omega else {"omega": 1.0, "gain": 1.0}
    activation = "sine" if sine else "identity"
    if rank:
        ef.nn.attach(base, ["3", "5"], rank=rank, activation=activation, **settings)
    else:
        base.requires_grad_(False)
        return base, accuracy(base, *images(ANGLE)[2:])
    return base, _fit(base, ANGLE, ADAPTER_STEPS, ADAPTER_RATE)
