"""Denoising a photograph: PSNR and time, against soft thresholding and scikit-image."""

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

import eigenflow as ef

STD = 0.1
CELL = "denoise 416 x 640 photograph, noise 0.1"
BASES = {
    "cosine": ef.flow.CosineDesign,
    "haar": ef.flow.HaarDesign,
    "db1": lambda shape: ef.flow.WaveletDesign(shape, "db1"),
    "sym4": lambda shape: ef.flow.WaveletDesign(shape, "sym4"),
}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@pytest.fixture(scope="module")
def picture():
    clean = load_sample_image("flower.jpg")[:416, :640] @ LUMINANCE / 255
    return clean, clean + STD * np.random.default_rng(0).normal(size=clean.shape)


def psnr(estimate, clean):
    return f"{-10 * np.log10(np.mean((estimate - clean) ** 2)):.2f}"


def soft_threshold(noisy, design):
    """Soft thresholding at the level where SURE is least: the rival in the same basis."""
    mean, level = noisy.mean(), STD / noisy.size**0.5
    z = design.analysis((noisy - mean).ravel())
    size = np.sort(np.abs(z))
    k = np.arange(1, size.size + 1)
    # At the threshold size[k - 1]: SURE is energy below + k' level^2, k' = above - below.
    risk = np.cumsum(size**2) + (size.size - k) * size**2 + level**2 * (size.size - 2 * k)
    cut = size[np.argmin(risk)]
    estimate = design.synthesis(np.sign(z) * np.maximum(np.abs(z) - cut, 0))
    return estimate.reshape(noisy.shape) + mean


def compete(contest, picture, basis, who, denoise):
    clean, noisy = picture
    quality = psnr(denoise(noisy), clean)
    contest(f"{CELL}, {basis}", who, lambda: denoise(noisy), rounds=3, psnr=quality)


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("basis", BASES)
def test_flow(contest, picture, basis, depth):
    denoiser = ef.estimators.FlowDenoiser(basis, depth=depth, noise_std=STD)
    compete(contest, picture, basis, f"eigenflow, depth {depth}", denoiser.denoise)


@pytest.mark.parametrize("basis", BASES)
def test_soft_threshold(contest, picture, basis):
    design = BASES[basis](picture[1].shape)
    compete(contest, picture, basis, "soft threshold by SURE", lambda x: soft_threshold(x, design))


@pytest.mark.parametrize("basis", ["db1", "sym4"])
def test_scikit_image(contest, picture, basis):
    restoration = pytest.importorskip("skimage.restoration")

    def denoise(noisy):
        return restoration.denoise_wavelet(noisy, sigma=STD, wavelet=basis, rescale_sigma=False)

    compete(contest, picture, basis, "scikit-image, BayesShrink", denoise)
