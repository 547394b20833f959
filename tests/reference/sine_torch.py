"""Layers with sine-activated weights as autograd would have them: every matrix is stored."""

import torch
from torch.nn import functional


def matrix(U, V, omega, gain, base=None):
    """Return base + sin(omega U V^T) / gain."""
    made = torch.sin(omega * (U @ V.T)) / gain
    return made if base is None else base + made


def linear(x, U, V, omega, gain, base=None):
    """Apply W to the rows of x."""
    return functional.linear(x, matrix(U, V, omega, gain, base))


def conv2d(x, U, V, omega, gain, base, kernel, settings):
    """Convolution with the rows of W as kernels; settings are stride, padding, dilation, groups."""
    weight = matrix(U, V, omega, gain, base)
    weight = weight.reshape(len(U), x.shape[1] // settings[-1], *kernel)
    return functional.conv2d(x, weight, None, *settings)


def dora(base, change, magnitude):
    """Return magnitude (base + change) / |base + change|, row by row, norms held constant."""
    changed = base + change
    return magnitude[:, None] * changed / changed.norm(dim=1, keepdim=True).detach()
