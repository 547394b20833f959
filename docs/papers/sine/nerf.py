"""A small radiance field of a scene that is rendered here: three coloured balls over a floor."""

import itertools
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sine.training import minimise, psnr
from sine.weights import Weights, low_rank

SIDE, N_VIEWS, N_TEST = 24, 20, 4
NEAR, FAR, N_SAMPLES = 1.5, 4.5, 32
WIDTH, N_LAYERS, N_FREQUENCIES = 128, 4, 5
STEPS, BATCH, RATE, DECAY = 500, 192, 2e-3, 0.1
NERF = low_rank((1, (100.0,)), (5, (50.0, 100.0)))

# Centre, radius, colour.
BALLS = (
    ((0.0, 0.0, 0.1), 0.5, (0.9, 0.3, 0.2)),
    ((0.65, 0.45, -0.15), 0.3, (0.2, 0.7, 0.3)),
    ((-0.55, 0.6, -0.1), 0.35, (0.25, 0.4, 0.9)),
)


def scene(points: Tensor) -> tuple[Tensor, Tensor]:
    """Density (...,) and colour (..., 3) at points (..., 3); the floor is a chessboard."""
    density = torch.zeros(points.shape[:-1])
    colour = torch.zeros(points.shape)
    for centre, radius, shade in BALLS:
        inside = (points - torch.tensor(centre)).norm(dim=-1) < radius
        density = torch.where(inside, 30.0, density)
        stripes = 0.75 + 0.25 * torch.sign(torch.sin(12 * points[..., 2:]))
        colour = torch.where(inside[..., None], torch.tensor(shade) * stripes, colour)
    floor = ((points[..., 2] + 0.5).abs() < 0.06) & (points[..., :2].abs() < 1).all(-1)
    board = torch.floor(2 * points[..., 0]) + torch.floor(2 * points[..., 1])
    grey = (0.3 + 0.5 * (board % 2))[..., None].expand(points.shape)
    return torch.where(floor, 30.0, density), torch.where(floor[..., None], grey, colour)


def rays(angle: float, height: float) -> tuple[Tensor, Tensor]:
    """Origins and directions (SIDE * SIDE, 3) of a camera that looks at the middle."""
    origin = 3 * np.array([np.cos(angle) * np.cos(height), np.sin(angle) * np.cos(height),
                           np.sin(height)])  # fmt: skip
    forward = -origin / np.linalg.norm(origin)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    at = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    across, down = np.meshgrid(at, at)
    directions = forward + 0.45 * (across[..., None] * right - down[..., None] * up)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    flat = torch.tensor(directions.reshape(-1, 3), dtype=torch.float32)
    return torch.tensor(origin, dtype=torch.float32).expand(flat.shape), flat


def render(field, origins: Tensor, directions: Tensor, depths: Tensor) -> Tensor:
    """Colours by the usual quadrature of emission and absorption, black where nothing is."""
    points = origins[:, None] + depths[..., None] * directions[:, None]
    density, colour = field(points)
    opacity = 1 - torch.exp(-density * (FAR - NEAR) / depths.shape[-1])
    through = torch.cumprod(1 - opacity + 1e-10, -1)
    through = torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], -1)
    return ((through * opacity)[..., None] * colour).sum(-2)


def even_depths(n_rays: int, n: int) -> Tensor:
    """Midpoints of n equal intervals."""
    return (NEAR + (FAR - NEAR) * (torch.arange(n) + 0.5) / n).expand(n_rays, n)


@cache
def views() -> tuple[Tensor, Tensor, Tensor]:
    """Origins, directions and true colours of all rays, (view, ray, 3); the last are for tests."""
    angles = np.arange(N_VIEWS) * 2.399963  # the golden angle
    heights = 0.35 + 0.5 * ((np.arange(N_VIEWS) * 0.618034) % 1)
    cameras = [rays(a, h) for a, h in zip(angles, heights, strict=True)]
    pictures = [render(scene, o, d, even_depths(len(o), 256)) for o, d in cameras]
    return (
        torch.stack([o for o, _ in cameras]),
        torch.stack([d for _, d in cameras]),
        torch.stack(pictures),
    )


class Field(nn.Module):
    """Density and colour from a position; all layers but the heads have the given weights."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        n_in = 3 + 6 * N_FREQUENCIES
        sizes = [n_in, *[WIDTH] * N_LAYERS]
        layers = []
        for n, m in itertools.pairwise(sizes):
            layers += [weights.linear(n, m), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.density, self.colour = nn.Linear(WIDTH, 1), nn.Linear(WIDTH, 3)

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return density and colour at points (..., 3)."""
        waves = [points]
        for i in range(N_FREQUENCIES):
            waves += [torch.sin(2**i * torch.pi * points), torch.cos(2**i * torch.pi * points)]
        y = self.body(torch.cat(waves, -1))
        return nn.functional.softplus(10 * self.density(y)[..., 0] - 2), self.colour(y).sigmoid()


def fit(weights: Weights, seed: int) -> nn.Module:
    """Fit random rays of the training views, at jittered depths."""
    model = Field(weights)
    origins, directions, colours = (v[:-N_TEST].reshape(-1, 3) for v in views())
    generator = torch.Generator().manual_seed(seed)
    even = even_depths(BATCH, N_SAMPLES)

    def loss(_: int) -> Tensor:
        rows = torch.randint(len(colours), (BATCH,), generator=generator)
        jitter = torch.rand(even.shape, generator=generator) - 0.5
        depths = even + jitter * (FAR - NEAR) / N_SAMPLES
        seen = render(model, origins[rows], directions[rows], depths)
        return (seen - colours[rows]).square().mean()

    minimise(model, loss, STEPS, RATE, decay=DECAY)
    return model


def picture(model: nn.Module, view: int) -> Tensor:
    """Render one view, (SIDE, SIDE, 3)."""
    origins, directions, _ = (v[view] for v in views())
    with torch.no_grad():
        seen = render(model, origins, directions, even_depths(len(origins), 2 * N_SAMPLES))
    return seen.reshape(SIDE, SIDE, 3)


def shown(model: nn.Module) -> list[Any]:
    """Pixels, as bytes, of the first view that was not trained on."""
    seen = picture(model, N_VIEWS - N_TEST).clamp(0, 1) * 255
    return seen.round().int().tolist()


def run(weights: Weights, seed: int) -> tuple[nn.Module, float]:
    """Score: PSNR over views that were not trained on."""
    model = fit(weights, seed)
    truth = views()[2][-N_TEST:].reshape(N_TEST, SIDE, SIDE, 3)
    seen = torch.stack([picture(model, N_VIEWS - N_TEST + i) for i in range(N_TEST)])
    return model, psnr((seen - truth).square().mean().item())
