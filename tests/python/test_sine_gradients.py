"""Derivatives of sine products: against float64 formulas, differences and PyTorch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eigenflow.sine import SineLowRank
from reference import sine as reference

DTYPES = [np.float32, np.float64]
NAMES = ("U", "V", "omega", "gain", "X")
SHAPES = [
    (1, 1, 1, 1),
    (5, 7, 3, 2),
    (130, 257, 8, 64),
    (33, 100, 1, 5),
    (40, 50, 600, 3),
    (3000, 100, 4, 17),
    (70, 900, 2, 530),
]


def problem(m, n, k, t, dtype=np.float64, seed=0, omega=3.0, **settings):
    rng = np.random.default_rng(seed)
    U, V = (rng.uniform(-1, 1, (rows, k)).astype(dtype) for rows in (m, n))
    X, Y = (rng.normal(size=(rows, t)).astype(dtype) for rows in (n, m))
    return SineLowRank(U, V, omega, rtol=2, **settings), X, Y, rng


def assert_close(got, want, tolerance, name):
    scale = max(np.abs(want).max(initial=0), 1e-300)
    assert np.abs(np.asarray(got, float) - want).max(initial=0) <= tolerance * scale, name


def scalar_scale(op, X, Y):
    """What the two scalars are sums of: they may cancel, their terms do not."""
    return float(np.linalg.norm(X) * np.linalg.norm(Y)) / abs(op.gain)


@pytest.mark.parametrize("exact_phase", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_follow_the_formulas(shape, dtype, exact_phase):
    op, X, Y, _ = problem(*shape, dtype, exact_phase=exact_phase)
    got = op.vjp(X, Y)
    want = reference.gradients(op.U, op.V, 3.0, op.gain, X, Y)
    eps = float(np.finfo(dtype).eps)
    tolerance = (30 + 2 * op.info.max_half_turns) * eps
    for name in ("U", "V", "X"):
        assert getattr(got, name).dtype == dtype
        assert_close(getattr(got, name), want[name], tolerance, name)
    scale = scalar_scale(op, X, Y)
    assert abs(got.gain - want["gain"]) <= tolerance * scale
    assert abs(got.omega - want["omega"]) <= tolerance * scale * np.abs(op.U @ op.V.T).max()


@pytest.mark.parametrize("t", [40, 300, 600, 1300])  # fewer and more blocks than are kept packed
@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_in_memory_order_give_the_same_bytes(t, dtype):
    op, X, Y, _ = problem(150, 500, 2, t, dtype)
    want, got = op.vjp(X, Y), op.vjp(np.asfortranarray(X), np.asfortranarray(Y))
    for name in ("U", "V", "X"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
    assert (got.omega, got.gain) == (want.omega, want.gain)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_transposed_operator_has_the_same_gradients(dtype):
    op, X, Y, _ = problem(70, 130, 5, 9, dtype)
    got, turned = op.vjp(X, Y), op.T.vjp(Y, X)
    eps = 100 * float(np.finfo(dtype).eps)
    assert_close(turned.U, got.V.astype(float), eps, "V")
    assert_close(turned.V, got.U.astype(float), eps, "U")
    assert_close(turned.X, np.asarray(op @ X, float), eps, "X")
    assert turned.omega == pytest.approx(got.omega, abs=eps * scalar_scale(op, X, Y))


@pytest.mark.parametrize("workers", [2, 3, 7])
@pytest.mark.parametrize("shape", [(700, 1500, 5, 3), (5000, 70, 2, 20), (300, 900, 3, 300)])
def test_any_number_of_workers_gives_the_same_bytes(shape, workers):
    op, X, Y, rng = problem(*shape, np.float32)
    one, many = (op.vjp(X, Y, workers=w) for w in (1, workers))
    for name in NAMES:
        one_bytes, many_bytes = (np.asarray(getattr(g, name)).tobytes() for g in (one, many))
        assert one_bytes == many_bytes, name
    moved = {"U": rng.normal(size=op.U.shape).astype(np.float32), "X": X}
    tangents = [op.jvp(X, moved, workers=w).tobytes() for w in (1, workers)]
    assert tangents[0] == tangents[1]


@settings(deadline=None, max_examples=50)
@given(
    m=st.integers(0, 80),
    n=st.integers(0, 140),
    k=st.integers(0, 6),
    t=st.integers(0, 20),
    order=st.sampled_from("CF"),
    omega=st.sampled_from([0.0, -2.0, 30.0]),
    wrt=st.sets(st.sampled_from(NAMES)),
    transposed=st.booleans(),
)
def test_any_shape_order_and_choice(m, n, k, t, order, omega, wrt, transposed):
    op, X, Y, rng = problem(m, n, k, t, omega=omega)
    X, Y = np.array(X, order=order), np.array(Y[::-1], order=order)[::-1]
    if transposed:
        op, X, Y = op.T, Y, X
    got = op.vjp(X, Y, wrt=tuple(wrt))
    want = reference.gradients(op.U, op.V, omega, op.gain, X, Y)
    size = 1 + scalar_scale(op, X, Y) * (1 + abs(omega)) * max(k, 1)
    for name in NAMES:
        value = getattr(got, name)
        assert (value is None) == (name not in wrt)
        if value is not None:
            assert np.shape(value) == np.shape(want[name])
            assert np.abs(value - want[name]).max(initial=0) <= 1e-12 * size
    moved = {name: rng.normal(size=np.shape(want[name])) for name in wrt}
    forward = np.vdot(Y, op.jvp(X, moved)) if Y.size else 0.0
    backward = sum(float(np.vdot(moved[name], want[name])) for name in wrt)
    assert abs(forward - backward) <= 1e-11 * size * (1 + m + n)


@pytest.mark.parametrize("name", NAMES)
def test_tangents_are_limits_of_differences(name):
    op, X, _, rng = problem(40, 60, 3, 4)
    inputs = {"U": op.U, "V": op.V, "omega": op.omega, "gain": op.gain, "X": X}
    direction = rng.normal(size=np.shape(inputs[name]))
    direction = direction if direction.ndim else float(direction)

    def product(step):
        moved = {**inputs, name: inputs[name] + step * direction}
        at = SineLowRank(moved["U"], moved["V"], moved["omega"], gain=moved["gain"])
        return at @ moved["X"]

    h = 1e-5
    difference = (product(h) - product(-h)) / (2 * h)
    np.testing.assert_allclose(op.jvp(X, {name: direction}), difference, atol=1e-7)


def test_vectors_lists_and_mixed_precision():
    op, X, Y, _ = problem(20, 30, 2, 1, np.float32)
    column, flat = op.vjp(X, Y), op.vjp(X[:, 0], Y[:, 0])
    assert flat.X.shape == (30,)
    np.testing.assert_array_equal(flat.U, column.U)
    np.testing.assert_array_equal(flat.X, column.X[:, 0])
    wide = op.vjp(X.astype(float).tolist(), Y)
    assert wide.U.dtype == np.float64
    assert op.vjp(X, Y, wrt="U").V is None


def test_nothing_is_modified():
    op, X, Y, _ = problem(20, 300, 3, 7)
    copies = [a.copy() for a in (op.U, op.V, X, Y)]
    for a in (X, Y):
        a.flags.writeable = False
    op.vjp(X, Y), op.jvp(X, {"U": op.U, "V": op.V, "X": X, "omega": 1.0, "gain": 1.0})
    for a, copy in zip((op.U, op.V, X, Y), copies, strict=True):
        np.testing.assert_array_equal(a, copy)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda op, X, Y: op.vjp(X, Y[:-1]), ValueError, r"^grad_output: got shape \(2, 1\), want"),
        (lambda op, X, Y: op.vjp(X[:, 0], Y), ValueError, r"^grad_output: got 2 dimensions"),
        (lambda op, X, Y: op.vjp(X[:-1], Y), ValueError, r"^X: got shape \(3, 1\), want 4 rows"),
        (lambda op, X, Y: op.vjp(X, Y * np.nan), ValueError, r"^grad_output: got nan at position"),
        (lambda op, X, Y: op.vjp(X, Y, wrt=["W"]), ValueError, r"^wrt: got 'W'"),
        (lambda op, X, Y: op.vjp(X, 1j * Y), TypeError, r"^grad_output: got dtype complex128"),
        (lambda op, X, Y: op.jvp(X, {"W": X}), ValueError, r"^tangents: got 'W'"),
        (lambda op, X, Y: op.jvp(X, X), TypeError, r"^tangents: got ndarray, want a mapping"),
        (lambda op, X, Y: op.jvp(X, {"V": Y}), ValueError, r"^tangents\['V'\]: got shape \(3, 1\)"),
        (lambda op, X, Y: op.jvp(X, {"omega": np.inf}), ValueError, r"^tangents\['omega'\]: got"),
    ],
)
def test_bad_arguments_are_named(call, error, match):
    op, X, Y, _ = problem(3, 4, 2, 1)
    with pytest.raises(error, match=match):
        call(op, X, Y)


def test_torch_gives_the_same_gradients():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    op, X, Y, _ = problem(30, 40, 3, 6, omega=7.0)
    U, V, omega, gain, x = (
        torch.tensor(a, dtype=torch.float64, requires_grad=True)
        for a in (op.U, op.V, op.omega, op.gain, X)
    )
    (torch.sin(omega * (U @ V.T)) / gain @ x * torch.from_numpy(Y)).sum().backward()
    got = op.vjp(X, Y)
    for name, tensor in zip(NAMES, (U, V, omega, gain, x), strict=True):
        np.testing.assert_allclose(getattr(got, name), tensor.grad.numpy(), atol=1e-12, rtol=1e-11)
    tensors = SineLowRank(U, V, 7.0).vjp(torch.from_numpy(X), torch.from_numpy(Y))
    assert all(isinstance(a, torch.Tensor) for a in (tensors.U, tensors.V, tensors.X))
    np.testing.assert_array_equal(tensors.V.numpy(), got.V)
