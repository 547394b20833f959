"""Regression by gradient flow: held to the full system of factors, at every depth."""

from functools import cache

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import eigenflow as ef
from eigenflow.flow import _dual
from reference.flow_regression import all_factors

fit = ef.flow.fit
TIMES = np.array([0.5, 3.0, 20.0, 60.0])


def problem(n, p, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, p))
    y = features[:, 0] - 0.5 * features[:, p // 2] + 0.1 * rng.normal(size=n)
    return features, y, 0.05 * np.arange(1.0, p + 1) ** -1.5


def start(depth):
    return {"depth": depth, "b0": 0.5 if depth else None}


@cache
def full_system(shape, depth):
    """The problem of this shape by all its factors."""
    return all_factors(*problem(*shape), start(depth)["b0"], depth, TIMES)


def errors(got, want):
    """Relative error at each time."""
    return np.linalg.norm(got - want, axis=-1) / np.linalg.norm(want, axis=-1)


def gap(got, want):
    return np.max(errors(got, want))


@pytest.fixture(params=["few samples", "many samples"])
def any_integrator(request, monkeypatch):
    """Run a test with BDF, and with the exponential integrator that large problems take."""
    if request.param == "many samples":
        monkeypatch.setattr(_dual, "SMALL", 0)


@pytest.mark.usefixtures("any_integrator")
@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_against_the_full_system(shape, depth):
    features, y, lam = problem(*shape)
    want = full_system(shape, depth)
    got = fit(features, y, lam, TIMES, **start(depth))
    assert got.method == ("dual" if shape[0] < shape[1] else "primal")
    assert got.converged
    np.testing.assert_array_equal(got.reached, TIMES)
    assert gap(got.coefficients, want) < 2e-6
    np.testing.assert_allclose(got.coefficients, want, rtol=3e-4, atol=1e-6)
    assert np.all(errors(got.coefficients, want) <= got.error_estimate)


@pytest.mark.parametrize("depth", [2, 3])
def test_separate_factors(depth):
    features, y, lam = problem(8, 20)
    want = all_factors(features, y, lam, 0.5, depth, TIMES, "separate")
    got = fit(features, y, lam, TIMES, **start(depth), coupling="separate")
    assert gap(got.coefficients, want) < 2e-6


@pytest.mark.usefixtures("any_integrator")
@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
def test_the_tolerance_is_kept_and_the_error_is_known(shape):
    features, y, lam = problem(*shape)
    want = full_system(shape, 1)
    sharp = 6 if _dual.SMALL else 200
    for rtol in (1e-3, 1e-5, 1e-7):
        got = fit(features, y, lam, TIMES, rtol=rtol, **start(1))
        error = errors(got.coefficients, want)
        assert np.all(error < 2 * rtol)
        assert np.all(got.error_estimate >= error)
        assert np.all(got.error_estimate < sharp * rtol)


@pytest.mark.parametrize("depth", [0, 2])
def test_all_methods_and_forms_of_features_agree(depth, monkeypatch):
    features, y, lam = problem(20, 14)
    wide = features.T.copy()
    pair = (lambda x: features @ x, lambda r: features.T @ r)
    options = start(depth)
    want = fit(features, y, lam, TIMES, rtol=1e-8, **options).coefficients
    forms = [features, np.asfortranarray(features), np.repeat(features, 2, 0)[::2], pair]
    forms += [sparse.csc_matrix(features), sparse.coo_array(features), aslinearoperator(features)]
    forms += [features.tolist(), wide.T]
    for method, form in [("dual", features), ("primal", pair), *(("auto", f) for f in forms)]:
        got = fit(form, y, lam, TIMES, method=method, **options)
        assert got.method == ("primal" if method == "auto" else method)
        assert gap(got.coefficients, want) < 2e-6
    monkeypatch.setattr(_dual, "SMALL", 0)
    monkeypatch.setattr(ef.flow.regression, "SMALL", 0)
    got = fit(pair, y, lam, TIMES, **options)
    assert got.method == "dual"
    assert gap(got.coefficients, want) < 2e-6


@pytest.mark.parametrize("options", [start(0), start(1), {**start(3), "coupling": "separate"}])
def test_orthogonal_designs_are_the_closed_form(options):
    design = ef.flow.CosineDesign((4, 6))
    y = np.random.default_rng(1).normal(size=(4, 6))
    lam = design.sobolev_eigenvalues(1.0)
    times = [[3.0, np.inf], [0.0, 40.0]]
    want = ef.flow.solve(design.analysis(y).ravel(), lam, times, **options)
    got = fit(design, y, lam, times, **options)
    assert got.method == "orthogonal"
    np.testing.assert_allclose(got.coefficients, want, rtol=1e-14)
    assert got.fitted_values.shape == (2, 2, 4, 6)
    np.testing.assert_allclose(got.fitted_values[0, 1], y, atol=1e-14)
    matrix = design.features(design.points)
    found = fit(matrix, y.ravel(), lam, times, **options)
    assert found.method == "orthogonal"
    np.testing.assert_allclose(found.coefficients, want, atol=1e-12)
    # Fewer columns than samples, and the integrators on the same problem.
    some = fit(matrix[:, :5], y.ravel(), lam[:5], times, **options)
    np.testing.assert_allclose(some.coefficients, want[..., :5], atol=1e-12)
    for method in ("dual", "primal"):
        coupled = fit(design, y, lam, times, method=method, **options)
        np.testing.assert_allclose(coupled.coefficients, want, atol=3e-6)


@pytest.mark.usefixtures("any_integrator")
@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("shape", [(10, 25), (25, 10)])
def test_the_limit_fits_as_well_as_least_squares(shape, depth):
    features, y, lam = problem(*shape)
    got = fit(features, y, lam, [1e9, np.inf], **start(depth))
    least = y - features @ np.linalg.lstsq(features, y)[0]
    assert got.converged
    np.testing.assert_allclose(got.residual_norm, np.linalg.norm(least), atol=2e-6)
    np.testing.assert_allclose(got.coefficients[0], got.coefficients[1], atol=3e-6)
    assert got.reached[1] == np.inf


@pytest.mark.usefixtures("any_integrator")
def test_duplicate_constant_and_zero_columns_and_rows():
    features, y, _ = problem(12, 20)
    features[:, 3] = features[:, 0]
    features[:, 4] = 1.0
    features[:, 5] = 0.0
    features[7] = features[6]  # with another target: the rows do not span the samples
    got = fit(features, y, 0.05, [1.0, 30.0, 1e9])
    want = all_factors(features, y, np.full(20, 0.05), None, 0, [1.0, 30.0])
    assert gap(got.coefficients[:2], want) < 2e-6
    np.testing.assert_allclose(got.coefficients[:, 3], got.coefficients[:, 0], rtol=1e-9)
    assert np.all(got.coefficients[:, 5] == 0)
    assert np.all(got.learned_eigenvalues[:, 5] == pytest.approx(0.05))
    assert np.all(np.isfinite(got.dual))
    slack = features.T @ (y - got.fitted_values[-1])
    assert np.max(np.abs(slack)) < 1e-5


def test_the_dual_state_gives_the_coefficients():
    features, y, lam = problem(12, 30)
    features[7] = features[6]
    got = fit(features, y, lam, [2.0, 50.0])
    v = got.dual @ features / y.size
    np.testing.assert_allclose(lam / 2 * np.sinh(2 * v), got.coefficients, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(got.dual[0] @ np.ones(12), np.sum(got.dual[0]))
    early = fit(features, y, lam, 1e-4)
    np.testing.assert_allclose(early.dual, 1e-4 * y, rtol=1e-3)


def test_one_sample_one_feature():
    for depth in (0, 1, 3):
        got = fit([[2.0]], [0.6], 0.3, TIMES, **start(depth))
        # theta' = 2 K (y - 2 theta): z = y / 2, with time 4 times as fast.
        want = ef.flow.solve(0.3, 0.3, 4 * TIMES, **start(depth))
        np.testing.assert_allclose(got.coefficients[:, 0], want, rtol=3e-6)
        assert got.predict([[1.0], [-3.0]]).shape == (4, 2)


@pytest.mark.usefixtures("any_integrator")
@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize(("y_size", "e_size"), [(1e-200, 1.0), (1e100, 1e-20), (1e3, 1e8)])
def test_any_scale_is_the_same_problem(y_size, e_size, depth):
    features, y, lam = problem(10, 15)
    u = (y_size / e_size) ** (1 / (depth + 2))
    time = u ** -(2 * depth + 2) / e_size**2
    want = fit(features, y, lam, TIMES, **start(depth))
    b0 = 0.5 * u if depth else None
    scaled = fit(features * e_size, y * y_size, lam * u**2, TIMES * time, depth=depth, b0=b0)
    assert scaled.converged
    assert gap(scaled.coefficients / (y_size / e_size), want.coefficients) < 4e-6


def test_nothing_to_learn():
    features, y, lam = problem(10, 15)
    for target, eigenvalues in [(0 * y, lam), (y, 0.0)]:
        got = fit(features, target, eigenvalues, [1.0, np.inf])
        assert got.converged
        assert np.all(got.coefficients == 0)
        np.testing.assert_allclose(got.residual_norm, np.linalg.norm(target))
    saddle = fit(features, y, np.where(np.arange(15) < 4, 0, lam), 1e3)
    assert np.all(saddle.coefficients[:4] == 0)
    assert np.all(saddle.coefficients[4:] != 0)
    assert fit(features, y, lam, []).coefficients.shape == (0, 15)
    assert np.all(fit(features, y, lam, 0.0).coefficients == 0)


@pytest.mark.usefixtures("any_integrator")
def test_times_of_any_shape_and_order():
    features, y, lam = problem(10, 15)
    times = np.array([[5.0, 0.0], [5.0, 1.0]])
    got = fit(features, y, lam, times)
    assert got.coefficients.shape == (2, 2, 15)
    assert got.fitted_values.shape == (2, 2, 10)
    assert got.residual_norm.shape == got.error_estimate.shape == (2, 2)
    np.testing.assert_array_equal(got.coefficients[0, 0], got.coefficients[1, 0])
    assert np.all(got.coefficients[0, 1] == 0)
    one = fit(features, y, lam, 1.0)
    assert one.coefficients.shape == (15,)
    assert gap(got.coefficients[1, 1], one.coefficients) < 2e-6
    np.testing.assert_allclose(got.fitted_values, got.coefficients @ features.T, atol=1e-14)
    np.testing.assert_allclose(got.predict(features), got.fitted_values, atol=1e-14)
    np.testing.assert_allclose(got.predict(aslinearoperator(features)), got.fitted_values)


@pytest.mark.usefixtures("any_integrator")
def test_stopping_early_warns_and_says_where():
    features, y, lam = problem(10, 15)
    with pytest.warns(ef.flow.FlowWarning, match=r"max_steps = 12"):
        got = fit(features, y, lam, [1e-3, 50.0, 90.0], max_steps=12)
    assert not got.converged
    assert got.reached[0] == 1e-3
    assert 0 < got.reached[1] == got.reached[2] < 50
    again = fit(features, y, lam, got.reached[1])
    assert gap(got.coefficients[2], again.coefficients) < 2e-6


def test_single_precision_read_only_and_progress(capsys):
    features, y, lam = problem(10, 15)
    single, target = features.astype(np.float32), y.astype(np.float32)
    single.flags.writeable = False
    got = fit(single, target, lam, TIMES, progress=True)
    assert "steps" in capsys.readouterr().err
    assert got.coefficients.dtype == got.fitted_values.dtype == np.float32
    want = fit(single.astype(float), target.astype(float), lam, TIMES)
    np.testing.assert_array_equal(got.coefficients, want.coefficients.astype(np.float32))
    np.testing.assert_array_equal(single, features.astype(np.float32))


def test_wrong_arguments_are_named():
    features, y, lam = problem(6, 4)
    nan, operator = features.copy(), LinearOperator((6, 4), matvec=lambda x: np.full(6, np.nan))
    nan[2, 1] = np.nan
    for arguments, options, error, text in [
        ((features, y[:5], lam, 1.0), {}, ValueError, "y: got 5 samples, want 6"),
        ((features, np.where(y > 0, y, np.nan), lam, 1.0), {}, ValueError, "y: got nan"),
        ((features, y[:, None], lam, 1.0), {}, ValueError, "y: got 2 dimensions"),
        ((features[:0], y[:0], lam, 1.0), {}, ValueError, "y: got no samples"),
        ((features[:, :0], y, 1.0, 1.0), {}, ValueError, "features: got shape (6, 0)"),
        ((nan, y, lam, 1.0), {}, ValueError, "features: got nan at position (2, 1)"),
        ((sparse.csr_array(nan), y, lam, 1.0), {}, ValueError, "features.data: got nan"),
        ((features + 1j, y, lam, 1.0), {}, TypeError, "features: got dtype complex"),
        ((y, y, lam, 1.0), {}, ValueError, "features: got 1 dimensions"),
        ((features, y, lam[:3], 1.0), {}, ValueError, "eigenvalues: got shapes"),
        ((features, y, -lam, 1.0), {}, ValueError, "eigenvalues: got -"),
        ((features, y, np.ones((2, 1)), 1.0), {}, ValueError, "eigenvalues: got shape"),
        ((features, y, lam, -1.0), {}, ValueError, "times: got -1"),
        ((features, y, lam, 1.0), {"depth": 1}, ValueError, "b0: got None"),
        ((features, y, lam, 1.0), {"b0": 1.0}, ValueError, "b0: got a value"),
        ((features, y, lam, 1.0), {"method": "euler"}, ValueError, "method: got 'euler'"),
        ((features, y, lam, 1.0), {"method": "orthogonal"}, ValueError, "method: got 'ortho"),
        ((features, y, lam, 1.0), {"rtol": 1e-20}, ValueError, "rtol: got"),
        ((features, y, lam, 1.0), {"max_steps": 0}, ValueError, "max_steps: got"),
        ((operator, y, lam, 1.0), {}, ValueError, "features: got a product that is not"),
        (((np.sin, np.cos), y, 0.1, 1.0), {}, ValueError, "features: got two callables"),
        (((np.sin, np.cos), y, lam, 1.0), {}, ValueError, "features: got a product of shape"),
    ]:
        with pytest.raises(error) as caught:
            fit(*arguments, **options)
        assert str(caught.value).startswith(text), str(caught.value)
    with pytest.raises(ValueError, match=r"^features: got 3 columns, want 4"):
        fit(features, y, lam, 1.0).predict(features[:, :3])
