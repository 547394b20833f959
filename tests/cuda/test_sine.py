"""The device's sine operator against the host's."""

import numpy as np
import pytest

from eigenflow.sine import SineLowRank

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("exact_phase", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "n", "k", "t"), [(1, 1, 1, 1), (100, 333, 8, 70), (40, 50, 0, 3)])
def test_the_device_agrees_with_the_host(m, n, k, t, dtype, exact_phase):
    rng = np.random.default_rng(0)
    U, V, X = (rng.uniform(-1, 1, s).astype(dtype) for s in ((m, k), (n, k), (n, t)))
    host = SineLowRank(U, V, 5.0, exact_phase=exact_phase)
    device = SineLowRank(cupy.asarray(U), cupy.asarray(V), 5.0, exact_phase=exact_phase)
    eps = np.finfo(dtype).eps
    assert isinstance(device.toarray(), cupy.ndarray)
    np.testing.assert_allclose(device.toarray().get(), host.toarray(), atol=4 * eps)
    product = device @ cupy.asarray(X)
    np.testing.assert_allclose(product.get(), host @ X, atol=50 * eps * np.sqrt(n))
    back = device.T @ product
    np.testing.assert_allclose(back.get(), host.T @ product.get(), atol=50 * eps * np.sqrt(m) * n)
    assert device.info.error_bound == pytest.approx(host.info.error_bound)


def test_nan_is_named_and_memories_do_not_mix():
    bad = cupy.asarray([[1.0, np.nan]])
    with pytest.raises(ValueError, match=r"^U: got nan at position \(0, 1\)"):
        SineLowRank(bad, bad, 1.0)
    good = cupy.ones((3, 2))
    with pytest.raises(TypeError, match="different libraries"):
        SineLowRank(good, good, 1.0) @ np.ones(3)
