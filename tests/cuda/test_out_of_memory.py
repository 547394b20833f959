"""Device memory that runs out is a MemoryError, and the next call is right."""

import numpy as np
import pytest

import eigenflow as ef

MOST = 2**20  # bytes that a call may take of the device

pytestmark = pytest.mark.parametrize(
    "cupy", [pytest.param("device", marks=pytest.mark.gpu)], indirect=True
)


def flow_values(cupy, z):
    return ef.flow.solve(z, 0.5, [1.0, 9.0], depth=1, b0=0.5)


def flow_state(cupy, z):
    return ef.flow.state(z, 0.5, [1.0, 9.0], depth=2, b0=0.5).theta


def filtered(cupy, z):
    system = ef.lds.LinearSystem([[0.9, 0.2], [0.0, 0.5]], [[1.0, 0.5]], np.eye(2) / 4, 0.5)
    return ef.lds.filter(system, z).filtered_mean


def decomposed(cupy, z):
    return ef.lowrank.svd(z.reshape(3000, 100), 50, rng=0).U


def entries(cupy, z):
    factor = z[:2000].reshape(1000, 2)
    return ef.sine.SineLowRank(factor, factor, 2.0).toarray()


def product(cupy, z):
    factor, X = z[:2000].reshape(1000, 2), z[:200_000].reshape(1000, 200)
    return ef.sine.SineLowRank(factor, factor, 2.0) @ X


CALLS = [flow_values, flow_state, filtered, decomposed, entries, product]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_full_device(cupy, call):
    z = cupy.asarray(np.random.default_rng(0).uniform(-1, 1, 300_000))
    want = call(cupy, z).get()
    little = cupy.cuda.MemoryPool()
    little.set_limit(size=MOST)
    with cupy.cuda.using_allocator(little.malloc), pytest.raises(MemoryError):
        call(cupy, z)
    np.testing.assert_allclose(call(cupy, z).get(), want, rtol=0, atol=1e-12)
