"""The device's sine operator against the host's."""

import numpy as np
import pytest

import eigenflow as ef
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
def test_products(cupy, m, n, k, t, dtype, exact_phase):
    host, device = operators(cupy, m, n, k, dtype, exact_phase)
    X = np.random.default_rng(1).uniform(-1, 1, (n, t)).astype(dtype)
    eps = np.finfo(dtype).eps
    product = device @ cupy.asarray(X)
    np.testing.assert_allclose(product.get(), host @ X, atol=50 * eps * np.sqrt(n))
    back = device.T @ product
    np.testing.assert_allclose(back.get(), host.T @ product.get(), atol=50 * eps * np.sqrt(m) * n)


@SHAPES
@pytest.mark.parametrize("exact_phase", [False, True])
def test_derivatives(cupy, m, n, k, t, exact_phase):
    host, device = operators(cupy, m, n, k, np.float64, exact_phase)
    rng = np.random.default_rng(1)
    X, Y = rng.uniform(-1, 1, (n, t)), rng.uniform(-1, 1, (m, t))
    want, got = host.vjp(X, Y), device.vjp(cupy.asarray(X), cupy.asarray(Y))
    for name in ("U", "V", "X"):
        np.testing.assert_allclose(getattr(got, name).get(), getattr(want, name), atol=1e-11)
    assert got.omega == pytest.approx(want.omega, abs=1e-10)
    assert got.gain == pytest.approx(want.gain, abs=1e-10)
    moved = {"U": host.U, "V": -host.V, "X": X}
    numbers = {"omega": 1.0, "gain": 2.0}
    on_device = {name: cupy.asarray(a) for name, a in moved.items()}
    forward = device.jvp(cupy.asarray(X), {**on_device, **numbers})
    want_forward = host.jvp(X, {**moved, **numbers})
    np.testing.assert_allclose(forward.get(), want_forward, atol=1e-11)


def test_nan_is_named_and_memories_do_not_mix(cupy):
    bad = cupy.asarray([[1.0, np.nan]])
    with pytest.raises(ValueError, match=r"^U: got nan at position \(0, 1\)"):
        SineLowRank(bad, bad, 1.0)
    good = cupy.asarray(np.ones((3, 2)))
    with pytest.raises(TypeError, match="different libraries"):
        SineLowRank(good, good, 1.0) @ np.ones(3)


def test_what_runs_on_the_host_only_says_so(cupy):
    y, A = cupy.asarray(np.zeros(20)), cupy.asarray(np.eye(4))
    system = ef.lds.LinearSystem(0.5, 1, 1, 1)
    for name, call in {
        "W": lambda: ef.sine.fit(A, 2),
        "U": lambda: ef.sine.choose_frequency(A, A, target=2.0),
        "y": lambda: ef.lds.score(system, y),
        "A": lambda: ef.lowrank.eigh(A, 2),
    }.items():
        with pytest.raises(TypeError, match=f"^{name}: got a CuPy array, want an array in CPU"):
            call()
    assert SineLowRank(A, A, 1.0).stable_rank() == SineLowRank(A.get(), A.get(), 1.0).stable_rank()
