"""Many layers in one call against one call for each, on the same matrices and ranks."""

from functools import cache

import numpy as np
import pytest

import eigenflow as ef

N_LAYERS = 200
SHAPES = [(64, 27), (128, 576), (256, 1152), (512, 512), (1024, 256), (300, 300), (800, 3200)]


@cache
def layers():
    """Layers of a network: products of Gaussian matrices, whose spectra decay, in mixed sizes."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(N_LAYERS):
        m, n = SHAPES[i % len(SHAPES)]
        wide = rng.standard_normal((m, min(m, n))) @ rng.standard_normal((min(m, n), n))
        made.append(wide.astype(np.float32))
    return made


def together():
    return ef.lowrank.svd_many(layers(), 16, rng=0)


def one_by_one():
    return [ef.lowrank.svd(A, 16, rng=i) for i, A in enumerate(layers())]


CONTESTANTS = {"eigenflow, svd_many": together, "eigenflow, one call each": one_by_one}


@pytest.mark.parametrize("who", CONTESTANTS)
def test_two_hundred_layers(contest, who):
    contest("svd of 200 layers, rank 16", who, CONTESTANTS[who], rounds=5)
