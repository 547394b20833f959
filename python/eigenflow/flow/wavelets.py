"""Orthogonal wavelet bases on grids."""

import operator
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from eigenflow._arrays import Array
from eigenflow.flow.designs import OrthogonalDesign

__all__ = ["WaveletDesign"]


class WaveletDesign(OrthogonalDesign):
    """Orthogonal wavelets of PyWavelets, periodic on the grid; needs ``eigenflow[wavelets]``.

    The usual multi-resolution transform: all axes are halved together, down to the coarsest level
    that the sizes and the wavelet's support allow. Coefficients keep the grid's shape, with the
    coarse part in the first corner, as `pywt.coeffs_to_array` lays them out. `frequencies` are the
    number of wavelets along an axis at the function's scale, 0 along axes where it averages.

    Parameters
    ----------
    shape : int or sequence of int
        Number of samples along each axis, even.
    wavelet : str or pywt.Wavelet
        An orthogonal wavelet: "haar", "db2", "sym8", "coif3", ...
    level : int, optional
        Number of halvings, at least 1; 2**level divides each size. As many as possible by default,
        with the coarse part at least as long as the wavelet.

    Attributes
    ----------
    shape : tuple of int
        The grid.
    n_samples, n_features : int
        Both are prod(shape).

    Examples
    --------
    >>> import numpy as np
    >>> design = ef.flow.WaveletDesign((16, 16), wavelet="db2")
    >>> y = np.random.default_rng(0).normal(size=(16, 16))
    >>> bool(np.allclose(design.synthesis(design.analysis(y)), y))
    True
    """

    def __init__(
        self, shape: int | Sequence[int], wavelet: Any = "db4", level: int | None = None
    ) -> None:
        super().__init__(shape)
        self._pywt = _import_pywavelets()
        self.wavelet = self._orthogonal(wavelet)
        self.level = self._checked(level)

    def __repr__(self) -> str:
        return f"WaveletDesign({self.shape}, wavelet={self.wavelet.name!r}, level={self.level})"

    @property
    def frequencies(self) -> Array:
        """Integer multi-index of each column, of shape (n_features, d)."""
        found = np.zeros((*self.shape, len(self.shape)), np.int64)
        for level in range(self.level):
            for letters in product("ad", repeat=len(self.shape)):
                details = [letter == "d" for letter in letters]
                scale = np.where(details, np.array(self.shape) >> (level + 1), 0)
                found[self._block("".join(letters), level)] = scale
        return found.reshape(self.n_features, -1)

    def _orthogonal(self, wavelet: Any) -> Any:
        try:
            chosen = self._pywt.Wavelet(wavelet) if isinstance(wavelet, str) else wavelet
            taps = np.asarray(chosen.dec_lo)
            shifts = [taps[2 * k :] @ taps[: taps.size - 2 * k] for k in range(taps.size // 2)]
        except (ValueError, AttributeError) as error:
            msg = f"wavelet: got {wavelet!r}, want an orthogonal wavelet of PyWavelets ({error})"
            raise ValueError(msg) from None
        if not chosen.orthogonal or np.max(np.abs(shifts - np.eye(1, len(shifts))[0])) > 1e-9:
            msg = f"wavelet: got {chosen.name!r}, which is not orthogonal, want one that is"
            raise ValueError(msg)
        return chosen

    def _checked(self, level: int | None) -> int:
        halvings = min((n & -n).bit_length() - 1 for n in self.shape)
        if halvings == 0:
            msg = f"shape: got {self.shape}, want even sizes for a periodic wavelet transform"
            raise ValueError(msg)
        if level is None:
            useful = self._pywt.dwtn_max_level(self.shape, self.wavelet)
            return int(max(1, min(halvings, useful)))
        if operator.index(level) < 1 or level > halvings:
            msg = f"level: got {level}, want 1 to {halvings} for shape {self.shape}"
            raise ValueError(msg)
        return operator.index(level)

    def _forward(self, y: Array, workers: int) -> Array:
        axes = tuple(range(1, y.ndim))
        out = np.array(y)
        for level in range(self.level):
            whole = tuple(slice(0, n >> level) for n in self.shape)
            parts = self._pywt.dwtn(out[:, *whole], self.wavelet, "periodization", axes)
            for kind, part in parts.items():
                out[:, *self._block(kind, level)] = part
        return out

    def _backward(self, theta: Array, workers: int) -> Array:
        axes = tuple(range(1, theta.ndim))
        kinds = ["".join(letters) for letters in product("ad", repeat=len(axes))]
        out = np.array(theta)
        for level in reversed(range(self.level)):
            whole = tuple(slice(0, n >> level) for n in self.shape)
            parts = {kind: out[:, *self._block(kind, level)] for kind in kinds}
            out[:, *whole] = self._pywt.idwtn(parts, self.wavelet, "periodization", axes)
        return out

    def _block(self, kind: str, level: int) -> tuple[slice, ...]:
        """Where the averages ("a") and details ("d") along each axis of one halving are kept."""
        halves = [n >> (level + 1) for n in self.shape]
        pairs = zip(kind, halves, strict=True)
        return tuple(slice(0, n) if letter == "a" else slice(n, 2 * n) for letter, n in pairs)


def _import_pywavelets() -> Any:
    try:
        import pywt
    except ImportError:
        msg = "WaveletDesign needs PyWavelets: pip install eigenflow[wavelets]"
        raise ImportError(msg) from None
    return pywt
