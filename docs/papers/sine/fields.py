"""Networks of coordinates: an image, a solid, and a radiance field.

Image and solid use the authors' network: Gaussian activations exp(-z^2 / (2 * 0.1^2)), first and
last layer full, the hidden 256 x 256 layers of the given weights.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from sine.training import minimise, psnr
from sine.weights import Weights, low_rank

WIDTH, DEVIATION = 256, 0.1
RATE, DECAY = 1e-3, 0.1
IMAGE_SIDE, IMAGE_STEPS = 64, 250
SOLID_SIDE, SOLID_STEPS, SOLID_BATCH = 28, 250, 6000

IMAGE = low_rank((1, (100.0, 400.0)), (5, (50.0, 200.0)))
SOLID = low_rank((1, (100.0, 400.0)), (5, (100.0,)))


class Gaussian(nn.Module):
    """exp(-z^2 / (2 s^2))."""

    def forward(self, z: Tensor) -> Tensor:
        """Apply to each entry."""
        return torch.exp(z.square() * (-0.5 / DEVIATION**2))


def network(n_in: int, n_hidden: int, n_out: int, weights: Weights) -> nn.Module:
    """n_in -> 256 -> [256 x n_hidden] -> n_out."""
    layers: list[nn.Module] = [nn.Linear(n_in, WIDTH), Gaussian()]
    for _ in range(n_hidden):
        layers += [weights.linear(WIDTH, WIDTH), Gaussian()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, n_out))


def grid(side: int, dimension: int) -> Tensor:
    """All points of a regular grid on [-1, 1], shape (side ** dimension, dimension)."""
    axis = torch.linspace(-1, 1, side)
    return torch.stack(torch.meshgrid(*[axis] * dimension, indexing="ij"), -1).reshape(
        -1, dimension
    )


@cache
def photograph() -> Tensor:
    """scikit-image's astronaut, 64 x 64 means of 8 x 8 pixels, values in [0, 1]."""
    from skimage import data

    step = 512 // IMAGE_SIDE
    pixels = data.astronaut().reshape(IMAGE_SIDE, step, IMAGE_SIDE, step, 3).mean(axis=(1, 3))
    return torch.tensor(pixels / 255, dtype=torch.float32)


def fit_image(weights: Weights) -> tuple[nn.Module, Tensor]:
    """Fit all pixels at each step; return the network and its image."""
    model, points = network(2, 3, 3, weights), grid(IMAGE_SIDE, 2)
    target = photograph().reshape(-1, 3)
    minimise(model, lambda _: (model(points) - target).square().mean(), IMAGE_STEPS, RATE,
             decay=DECAY)  # fmt: skip
    with torch.no_grad():
        return model, model(points).reshape(photograph().shape)


def image_of(model: nn.Module) -> list[Any]:
    """Pixels of a network as bytes."""
    with torch.no_grad():
        pixels = model(grid(IMAGE_SIDE, 2)).clamp(0, 1) * 255
    return pixels.round().int().reshape(photograph().shape).tolist()


def run_image(weights: Weights, seed: int) -> tuple[nn.Module, float]:
    """Score: PSNR on the pixels that it was fitted to."""
    del seed
    model, image = fit_image(weights)
    return model, psnr((image - photograph()).square().mean().item())


@cache
def solid() -> Tensor:
    """1 inside a torus, a box and a ball, else 0, at the points of the grid."""
    x, y, z = grid(SOLID_SIDE, 3).T
    ring = torch.sqrt(x**2 + y**2) - 0.6
    torus = ring**2 + z**2 < 0.2**2
    box = (x.abs() < 0.25) & (y.abs() < 0.25) & ((z - 0.45).abs() < 0.3)
    ball = x**2 + y**2 + (z + 0.55) ** 2 < 0.3**2
    return (torus | box | ball).float()


def fit_solid(weights: Weights, seed: int) -> tuple[nn.Module, Tensor]:
    """Fit random points at each step; return the network and whether each point is inside."""
    model, points, target = network(3, 2, 1, weights), grid(SOLID_SIDE, 3), solid()
    generator = torch.Generator().manual_seed(seed)

    def loss(_: int) -> Tensor:
        rows = torch.randint(len(points), (SOLID_BATCH,), generator=generator)
        return (model(points[rows])[:, 0] - target[rows]).square().mean()

    minimise(model, loss, SOLID_STEPS, RATE, decay=DECAY)
    with torch.no_grad():
        return model, model(points)[:, 0] > 0.5


def run_solid(weights: Weights, seed: int) -> tuple[nn.Module, float]:
    """Score: intersection over union at 0.5."""
    model, inside = fit_solid(weights, seed)
    truth = solid() > 0.5
    return model, ((inside & truth).sum() / (inside | truth).sum()).item()


def slice_of(model: nn.Module) -> list[Any]:
    """Whether the points of the plane through the middle are inside, as 0 and 1."""
    with torch.no_grad():
        inside = model(grid(SOLID_SIDE, 3))[:, 0] > 0.5
    return middle(inside).int().tolist()


def middle(values: Tensor) -> Tensor:
    """Return the plane y = 0 of values on the grid."""
    return values.reshape([SOLID_SIDE] * 3)[:, SOLID_SIDE // 2]
