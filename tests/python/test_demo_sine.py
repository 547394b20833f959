"""The claims of the demo's sine section hold, whatever the numbers are."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from eigenflow.demo import sine
from reference import sine as reference

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module", autouse=True)
def one_blas_thread():
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@pytest.fixture(scope="module")
def fits():
    A = sine.photograph()
    U, V = sine.truncated_svd(A, sine.RANK)
    return A, U @ V.T, [sine.fit_sine(A, U, V, f) for f in (0.01, 2.0, 16.0)]


def test_the_photograph_is_standardised():
    A = sine.photograph()
    assert A.shape == (sine.SIDE, sine.SIDE)
    assert A.mean() == pytest.approx(0, abs=1e-12)
    assert A.std() == pytest.approx(1)


def test_at_small_frequency_the_sine_is_low_rank(fits):
    A, low_rank, (control, _, _) = fits
    np.testing.assert_allclose(control.error, sine.relative_error(A, low_rank), rtol=2e-3)
    assert control.start_stable_rank == pytest.approx(sine.stable_rank(low_rank), rel=1e-3)


def test_a_middling_frequency_beats_low_rank_and_a_large_one_loses(fits):
    A, low_rank, (_, middle, large) = fits
    low_rank_error = sine.relative_error(A, low_rank)
    assert middle.error < 0.97 * low_rank_error
    assert large.error > low_rank_error
    s = np.linalg.svd(A, compute_uv=False)
    errors = np.sqrt(np.maximum(1 - np.cumsum(s**2) / (s**2).sum(), 0))
    rank = sine.matching_rank(middle.error, errors)
    assert rank > sine.RANK
    assert errors[rank - 1] <= middle.error < errors[rank - 2]


def test_the_reported_matrix_is_the_formula(fits):
    A, _, (_, middle, _) = fits
    W = reference.dense(middle.U, middle.V, middle.frequency, 1 / middle.scale)
    np.testing.assert_allclose(middle.matrix, W, atol=1e-10)
    assert middle.error == pytest.approx(np.linalg.norm(A - W) / np.linalg.norm(A))
    assert middle.stable_rank == pytest.approx(reference.stable_rank(W))


def test_the_frequency_alone_raises_the_stable_rank(fits):
    _, _, (control, _, large) = fits
    assert large.start_stable_rank > 2 * control.start_stable_rank


@pytest.mark.slow
def test_the_section_steps_and_draws(monkeypatch):
    monkeypatch.setattr(sine, "FREQUENCIES", (0.01, 2.0))
    messages = []
    section = sine.run(messages.append)
    assert len(messages) == 3 + len(sine.FREQUENCIES)
    assert sine.N_STEPS == 3 + 8
    assert [p.name for p in section.pictures] == ["sine-frequency", "sine-images"]
    assert len(section.tables[0].rows) == 2 + len(sine.FREQUENCIES)
    assert len(section.summary) == 2
