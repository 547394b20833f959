"""The device's sine operator against the host's. The double has no kernels with barriers."""

import numpy as np
import pytest

from eigenflow.sine import SineLowRank

SHAPES = pytest.mark.parametrize(
    ("m", "n", "k", "t"), [(1, 1, 1, 1), (40, 33, 8, 70), (40, 50, 0, 3)]
)


def operators(cupy, m, n, k, dtype, exact_phase):
    rng = np.random.default_rng(0)
    U, V = (rng.uniform(-1, 1, s).astype(dtype) for s in ((m, k), (n, k)))
    host = SineLowRank(U, V, 5.0, exact_phase=exact_phase)
    return host, SineLowRank(cupy.asarray(U), cupy.asarray(V), 5.0, exact_phase=exact_phase)


@SHAPES
@pytest.mark.parametrize("exact_phase", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entries(cupy, m, n, k, t, dtype, exact_phase):
    del t
    host, device = operators(cupy, m, n, k, dtype, exact_phase)
    eps = np.finfo(dtype).eps
    assert isinstance(device.toarray(), cupy.ndarray)
    np.testing.assert_allclose(device.toarray().get(), host.toarray(), atol=4 * eps)
    np.testing.assert_allclose(device.T.toarray().get(), host.T.toarray(), atol=4 * eps)
    assert device.info.error_bound == pytest.approx(host.info.error_bound)


@SHAPES
@pytest.mark.parametrize("exact_phase", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cupy", [pytest.param("device", marks=pytest.mark.gpu)], indirect=True)
def test_products(cupy, m, n, k, t, dtype, exact_phase):
    host, device = operators(cupy, m, n, k, dtype, exact_phase)
    X = np.random.default_rng(1).uniform(-1, 1, (n, t)).astype(dtype)
    eps = np.finfo(dtype).eps
    product = device @ cupy.asarray(X)
    np.testing.assert_allclose(product.get(), host @ X, atol=50 * eps * np.sqrt(n))
    back = device.T @ product
    np.testing.assert_allclose(back.get(), host.T @ product.get(), atol=50 * eps * np.sqrt(m) * n)


def test_nan_is_named_and_memories_do_not_mix(cupy):
    bad = cupy.asarray([[1.0, np.nan]])
    with pytest.raises(ValueError, match=r"^U: got nan at position \(0, 1\)"):
        SineLowRank(bad, bad, 1.0)
    good = cupy.asarray(np.ones((3, 2)))
    with pytest.raises(TypeError, match="different libraries"):
        SineLowRank(good, good, 1.0) @ np.ones(3)
