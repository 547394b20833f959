"""Fitting: gradients of the distance, recovery, and the comparison with the truncated SVD."""

import numpy as np
import pytest

from eigenflow._core import sine as core
from eigenflow.sine import SineLowRank, fit


def sine_matrix(m, n, k, omega, seed=0):
    rng = np.random.default_rng(seed)
    return np.sin(omega * rng.uniform(-1, 1, (m, k)) @ rng.uniform(-1, 1, (k, n)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (70, 45, 3), (130, 900, 2), (5000, 20, 2)])
def test_distance_and_gradients_follow_the_formula(m, n, k, dtype):
    rng = np.random.default_rng(0)
    U, V = (rng.uniform(-1, 1, (rows, k)).astype(dtype) for rows in (m, n))
    W = rng.normal(size=(m, n)).astype(dtype)
    dU, dV = np.empty_like(U), np.empty_like(V)
    loss, omega, gain = core.residual_gradients(U, V, W, dU, dV, 2.5, 1.5, 2)
    phase = 2.5 * U.astype(float) @ V.T.astype(float)
    S = np.sin(phase) / 1.5
    Q = np.cos(phase) / 1.5 * (S - W)
    tolerance = 1000 * float(np.finfo(dtype).eps)
    assert loss == pytest.approx(((S - W) ** 2).sum() / 2, rel=tolerance)
    assert omega == pytest.approx(np.vdot(U @ V.T, Q), abs=tolerance * np.abs(Q).sum())
    assert gain == pytest.approx(-np.vdot(S, S - W) / 1.5, abs=tolerance * loss)
    np.testing.assert_allclose(dU, 2.5 * Q @ V, atol=tolerance * np.abs(Q).sum(axis=1).max())
    np.testing.assert_allclose(dV, 2.5 * Q.T @ U, atol=tolerance * np.abs(Q).sum(axis=0).max())


def test_a_sine_matrix_is_found_again():
    W = sine_matrix(60, 50, 2, 3.0)
    found = fit(W, 2, rng=0)
    assert found.relative_error < 0.7 * found.svd_relative_error
    achieved = np.linalg.norm(found.operator.toarray() - W) / np.linalg.norm(W)
    assert achieved == pytest.approx(found.relative_error, rel=1e-6)
    s = np.linalg.svd(W, compute_uv=False)
    want = np.sqrt((s[2:] ** 2).sum() / (s**2).sum())
    assert found.svd_relative_error == pytest.approx(want, rel=1e-6)
    assert (np.diff(found.history) <= 1e-12).all()
    again = SineLowRank(found.U, found.V, found.omega, gain=found.gain)
    np.testing.assert_array_equal(again.toarray(), found.operator.toarray())


def test_a_small_frequency_is_the_truncated_svd():
    W = np.random.default_rng(1).normal(size=(40, 30))
    found = fit(W, 3, omega=1e-3, max_iterations=20)
    assert found.omega == 1e-3
    assert found.relative_error == pytest.approx(found.svd_relative_error, rel=1e-4)


def test_single_precision_workers_callback_and_progress():
    W = sine_matrix(50, 40, 2, 2.0).astype(np.float32)
    seen = []
    found = fit(W, 2, omega=1.0, max_iterations=12, callback=lambda i, e: seen.append((i, e)))
    assert found.U.dtype == np.float32
    assert [i for i, _ in seen] == list(range(1, found.n_iterations + 1))
    assert [e for _, e in seen] == pytest.approx(found.history)
    many = fit(W, 2, omega=1.0, max_iterations=12, workers=3)
    np.testing.assert_array_equal(many.U, found.U)
    pytest.importorskip("tqdm")
    assert fit(W, 2, omega=1.0, max_iterations=3, progress=True).n_iterations <= 3


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"rank": 0}, ValueError, "^rank: got 0, want 1 to 4"),
        ({"rank": 5}, ValueError, "^rank: got 5"),
        ({"rank": 1, "omega": 0}, ValueError, "^omega: got 0"),
        ({"rank": 1, "omega": np.nan}, ValueError, "^omega: got nan"),
        ({"rank": 1, "W": np.zeros((4, 5))}, ValueError, "^W: got a zero matrix"),
        ({"rank": 1, "W": np.ones(4)}, ValueError, "^W: got 1 dimensions"),
        ({"rank": 1, "W": [[np.inf]]}, ValueError, "^W: got inf"),
    ],
)
def test_bad_arguments_are_named(arguments, error, match):
    with pytest.raises(error, match=match):
        fit(**{"W": np.ones((4, 5)), **arguments})
