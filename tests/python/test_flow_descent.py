"""Gradient descent: the update as written, its limit, and how it ends when it diverges."""

import numpy as np
import pytest

import eigenflow as ef
from reference import flow as truth


@pytest.mark.parametrize("coupling", ["shared", "separate"])
@pytest.mark.parametrize("depth", [0, 1, 2, 3, 5, 8])
def test_the_update_as_written(depth, coupling):
    record = np.array([[3, 0], [40, 17]])
    b0 = 0.8 if depth else None
    states = truth.descend(-0.7, 0.05, b0 or 1.0, depth, 0.1, 40, coupling)[record]
    s = ef.flow.descend(
        -0.7, 0.05, 0.1, 40, depth=depth, b0=b0, coupling=coupling, record=record.tolist()
    )
    for got, want in zip((s.a, s.b, s.beta), np.moveaxis(states, -1, 0), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    np.testing.assert_allclose(s.theta, s.a * s.b**depth * s.beta, rtol=1e-14)
    np.testing.assert_allclose(s.residual, -0.7 - s.theta, rtol=1e-12)
    np.testing.assert_allclose(s.learned_eigenvalues, (s.a * s.b**depth) ** 2, rtol=1e-14)


@pytest.mark.parametrize("coupling", ["shared", "separate"])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_error_against_the_flow_is_of_first_order(depth, coupling):
    rng = np.random.default_rng(0)
    z, lam = rng.normal(size=30), rng.random(30)
    options = {"depth": depth, "b0": 0.7 if depth else None, "coupling": coupling}
    exact = ef.flow.solve(z, lam, 2.0, **options)
    errors = [
        np.linalg.norm(ef.flow.descend(z, lam, 2.0 / n, n, **options).theta - exact)
        for n in (1000, 2000, 4000)
    ]
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 2, rtol=0.01)


@pytest.mark.parametrize("options", [{}, {"depth": 2, "b0": 0.5}])
def test_workers_types_and_record(options):
    rng = np.random.default_rng(1)
    z, lam = rng.normal(size=1003).astype(np.float32), rng.random(1003).astype(np.float32)
    runs = [ef.flow.descend(z, lam, 0.05, 100, workers=w, **options) for w in (1, 2, 3, 7)]
    for run in runs[1:]:
        np.testing.assert_array_equal(run.theta, runs[0].theta)
    assert runs[0].theta.dtype == np.float32
    double = ef.flow.descend(z.astype(float), lam.astype(float), 0.05, 100, **options)
    np.testing.assert_array_equal(runs[0].beta, double.beta.astype(np.float32))
    path = ef.flow.descend(z, lam, 0.05, 100, record=[100, 5, 100], **options)
    assert path.theta.shape == (3, 1003)
    np.testing.assert_array_equal(path.theta[[0, 2]], [runs[0].theta] * 2)
    np.testing.assert_array_equal(ef.flow.descend(z, lam, 0.05, 0, **options).theta, 0)
    assert ef.flow.descend(z[:0], 1.0, 0.1, 3, record=[], **options).theta.shape == (0, 0)
    assert ef.flow.descend(z, 1.0, 0.1, 3, record=[], **options).theta.shape == (0, 1003)


@pytest.mark.parametrize("lam", [0.0, 1.0])
def test_saddles_stay(lam):
    s = ef.flow.descend(1.0, lam, 0.1, 50, depth=1, b0=1.0 - lam)
    assert s.theta == 0
    assert s.residual == 1


@pytest.mark.parametrize("depth", [0, 2])
def test_divergence_names_the_first_step_and_coordinate(depth):
    n, bad = 200, 131
    z, b0 = np.full(n, 0.1), 0.5 if depth else None
    z[[bad, 190]] = 50.0
    with np.errstate(over="ignore", invalid="ignore"):
        states = truth.descend(50.0, 1.0, b0 or 1.0, depth, 0.1, 60)
        finite = np.isfinite(states).all(axis=1) & np.isfinite(
            states[:, 0] * states[:, 1] ** depth * states[:, 2]
        )
    first = int(np.flatnonzero(~finite)[0])
    for workers in (1, 3):
        with pytest.raises(ValueError, match=rf"^step_size: .* step {first} in coordinate {bad};"):
            ef.flow.descend(z, 1.0, 0.1, 30_000, depth=depth, b0=b0, workers=workers)
    ef.flow.descend(z, 1.0, 0.1, first - 1, depth=depth, b0=b0)


CALLS = [
    (lambda: ef.flow.descend(1.0, 1.0, 0.0, 3), "step_size: got 0.0"),
    (lambda: ef.flow.descend(1.0, 1.0, np.nan, 3), "step_size: got nan"),
    (lambda: ef.flow.descend(1.0, 1.0, "x", 3), "step_size: got 'x'"),
    (lambda: ef.flow.descend(1.0, 1.0, 0.1, -1), "n_steps: got -1"),
    (lambda: ef.flow.descend(1.0, 1.0, 0.1, 2.5), "n_steps: got 2.5"),
    (lambda: ef.flow.descend(1.0, 1.0, 0.1, 3, record=[0, 4]), "record: got 4 at position 1"),
    (lambda: ef.flow.descend(1.0, 1.0, 0.1, 3, record=[0.5]), "record: got dtype float64"),
    (lambda: ef.flow.descend(1.0, -1.0, 0.1, 3), "eigenvalues: got -1.0"),
    (lambda: ef.flow.descend(1.0, 1.0, 0.1, 3, depth=1), "b0: got None at depth 1"),
]


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_errors_name_the_argument(call, message):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert str(error.value).startswith(message)
