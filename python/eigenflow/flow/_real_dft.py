"""The discrete Fourier transform of real data, with real coefficients."""

import numpy as np
from scipy import fft

from eigenflow._arrays import Array

ROOT2 = float(np.sqrt(2))


def orthonormal(y: Array, workers: int) -> Array:
    """Transform the last axis; coefficients in the order 0, cos 1, sin 1, cos 2, ..."""
    n = y.shape[-1]
    c = fft.rfft(y, norm="ortho", workers=workers)
    out = np.empty(y.shape, y.dtype)
    out[..., 0] = c[..., 0].real
    out[..., 1::2] = c[..., 1:].real
    out[..., 2::2] = -c[..., 1 : (n + 1) // 2].imag
    out[..., 1 : n - (n + 1) % 2] *= out.dtype.type(ROOT2)
    return out


def inverse(theta: Array, workers: int) -> Array:
    """Undo `orthonormal`."""
    n = theta.shape[-1]
    half = theta * theta.dtype.type(1 / ROOT2)
    c = np.zeros((*theta.shape[:-1], n // 2 + 1), np.result_type(theta.dtype, np.complex64))
    c.real[..., 1:] = half[..., 1::2]
    c.imag[..., 1 : (n + 1) // 2] = -half[..., 2::2]
    c.real[..., 0] = theta[..., 0]
    if n % 2 == 0:
        c.real[..., -1] = theta[..., -1]
    return np.asarray(fft.irfft(c, n, norm="ortho", workers=workers))
