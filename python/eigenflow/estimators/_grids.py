"""Bases for signals on a grid of any shape."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow.flow.designs import CosineDesign, FourierDesign, HaarDesign, OrthogonalDesign
from eigenflow.flow.wavelets import WaveletDesign

_BUILT_IN: dict[str, Callable[[tuple[int, ...]], OrthogonalDesign]] = {
    "cosine": CosineDesign,
    "fourier": FourierDesign,
    "haar": HaarDesign,
}


@dataclass(frozen=True, eq=False)
class GridBasis:
    """An orthogonal design on a grid that contains the signal's grid in its first corner."""

    shape: tuple[int, ...]
    design: OrthogonalDesign
    finest: Array  # mask of the coefficients of the finest scale along all axes

    def analysis(self, x: Array, workers: int | None) -> Array:
        """Coefficients of signals of shape (batch, *shape), which are mirrored into the rest."""
        grown = zip(self.shape, self.design.shape, strict=True)
        padding = [(0, 0), *((0, large - small) for small, large in grown)]
        padded = np.pad(x, padding, mode="symmetric")
        flat = padded.reshape(len(x), self.design.n_samples)
        return np.asarray(self.design.analysis(flat, workers=workers))

    def synthesis(self, theta: Array, workers: int | None) -> Array:
        """Signals of shape (batch, *shape) of coefficients."""
        grids = self.design.synthesis(theta, workers=workers).reshape(-1, *self.design.shape)
        return np.asarray(grids[:, *(slice(0, n) for n in self.shape)])


def grid_basis(basis: Any, shape: tuple[int, ...]) -> GridBasis:
    """Return the named basis for signals of this shape.

    Wavelets other than the built-in Haar halve all axes together as often as their length allows,
    and the grid is grown until it can be halved.
    """
    built_in = isinstance(basis, str) and basis in _BUILT_IN
    design = _BUILT_IN[basis](shape) if built_in else _wavelets(basis, shape)
    return GridBasis(shape, design, _finest(design))


def _finest(design: OrthogonalDesign) -> Array:
    """Finest diagonal details of wavelets; of waves the upper half of the frequencies."""
    frequencies = np.abs(design.frequencies)
    highest = frequencies.max(axis=0)
    used = highest > 0
    return np.asarray(np.all(2 * frequencies[:, used] > highest[used], axis=1))


def _wavelets(basis: Any, shape: tuple[int, ...]) -> OrthogonalDesign:
    try:
        import pywt
    except ImportError:
        msg = f"basis: got {basis!r}, which needs PyWavelets: pip install eigenflow[wavelets]"
        raise ImportError(msg) from None
    try:
        wavelet = pywt.Wavelet(basis) if isinstance(basis, str) else basis
        level = max(1, pywt.dwtn_max_level(shape, wavelet))
        grown = [-(-n // 2**level) * 2**level for n in shape]
        return WaveletDesign(grown, wavelet, level)
    except (ValueError, AttributeError, TypeError) as error:
        names = ", ".join(repr(name) for name in _BUILT_IN)
        msg = f"basis: got {basis!r}, want {names} or an orthogonal wavelet ({error})"
        raise ValueError(msg) from None
