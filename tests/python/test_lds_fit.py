"""Maximum likelihood against published values and statsmodels."""

import dataclasses
import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.statespace.structural import UnobservedComponents

from eigenflow import lds
from eigenflow.demo.nile import FLOW
from eigenflow.lds.estimation.transforms import Transform

NILE = np.array(FLOW, float)


@pytest.fixture(scope="module")
def macro():
    return sm.datasets.macrodata.load_pandas().data


def hessian(model, params, y):
    """Second derivatives by differences of the filter's own likelihood."""
    params = np.asarray(params, float)
    steps = 1e-3 * np.abs(params)
    out = np.empty((len(params), len(params)))
    for i in range(len(params)):
        for j in range(len(params)):
            total = 0.0
            for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                moved = params.copy()
                moved[i] += a * steps[i]
                moved[j] += b * steps[j]
                total += a * b * lds.log_likelihood(model.system(moved), y)
            out[i, j] = total / (4 * steps[i] * steps[j])
    return out


@pytest.mark.parametrize(
    "model",
    [
        lds.structural("local linear trend", seasonal=4),
        lds.free_matrices(
            lds.LinearSystem(
                [[0.5, 0.1], [0.0, 0.3]], np.eye(2), [[2.0, 0.5], [0.5, 1.0]], 0.3 * np.eye(2)
            ),
            ("A", "Q", "R", "state_offset"),
        ),
    ],
)
def test_derivatives_of_the_matrices_are_those_of_build(model):
    params = np.random.default_rng(0).uniform(0.5, 2, len(model.names))
    by_differences = dataclasses.replace(model, derivatives=None).jacobian(params)
    for got, want in zip(model.jacobian(params), by_differences, strict=True):
        for name in set(got) | set(want):
            np.testing.assert_allclose(got.get(name, 0.0), want.get(name, 0.0), atol=1e-11)


# ---- the Nile


def test_nile_by_quasi_newton():
    found = lds.fit(lds.local_level(), NILE)
    assert found.params == pytest.approx([15098.518, 1469.176], rel=1e-5)
    assert found.log_likelihood == pytest.approx(-633.464564, abs=5e-7)
    assert found.diffuse_convention.startswith("exact diffuse")
    assert found.converged
    assert np.abs(found.score * found.params).max() < 1e-4
    curvature = hessian(lds.local_level(), found.params, NILE)
    expected = np.sqrt(np.diag(np.linalg.inv(-curvature)))
    np.testing.assert_allclose(found.standard_errors, expected, rtol=1e-3)


def test_nile_by_em_climbs_to_the_same_place():
    found = lds.fit(lds.local_level(), NILE, method="em", max_iterations=2000, rtol=1e-12)
    assert found.params == pytest.approx([15098.518, 1469.176], rel=2e-3)
    model, params, heights = lds.local_level(), np.array([1e4, 1e4]), []
    for _ in range(20):
        step = lds.score(model.system(params), NILE)
        heights.append(step.log_likelihood)
        params = model.em_step(params, step, model.system(params))
    assert (np.diff(heights) > 0).all()


def test_nile_with_an_unknown_fixed_start():
    """MARSS's EM ends at R 15135.796, Q 1381.153, x0 1111.791 with -637.7569; x0 is at t = 0."""

    def build(params):
        q, r, x0 = params
        return lds.LinearSystem(1.0, 1.0, q, r, mean0=[x0], cov0=q)

    model = lds.StateSpaceModel(("q", "r", "x0"), build, ("variance", "variance", "free"))
    marss = [1381.153, 15135.796, 1111.791]
    assert model.score(marss, NILE)[0] == pytest.approx(-637.7569, abs=5e-5)
    found = lds.fit(model, NILE, start=marss)
    assert found.log_likelihood >= -637.7569
    assert found.converged


def test_gaps_do_not_matter_to_the_search():
    y = NILE.copy()
    y[20:40] = y[60:80] = np.nan
    found = lds.fit(lds.local_level(), y)
    at = lds.log_likelihood(lds.local_level().system([15099.0, 1469.1]), y)
    assert at == pytest.approx(-381.506001, abs=5e-7)
    assert found.log_likelihood > at
    assert found.n_observed == 60


# ---- against statsmodels


@pytest.mark.parametrize(
    ("level", "options"),
    [
        ("local level", {}),
        ("local linear trend", {}),
        ("smooth trend", {}),
        ("random walk", {}),
        ("fixed", {"ar": 1}),
        ("local level", {"seasonal": 4}),
        ("none", {"ar": 2}),
        ("local level", {"seasonal": 4, "ar": 2}),
    ],
)
def test_structural_likelihood_score_and_names(macro, level, options):
    y = 100 * np.log(macro["realgdp"].to_numpy()[:80])
    model = lds.structural(level, **options)
    names = {
        "local level": "llevel",
        "local linear trend": "lltrend",
        "smooth trend": "strend",
        "random walk": "rwalk",
        "fixed": "dconstant",
        "none": "irregular",
    }
    peer = UnobservedComponents(
        y,
        names[level],
        seasonal=options.get("seasonal"),
        autoregressive=options.get("ar"),
        use_exact_diffuse=True,
    )
    assert list(model.names) == peer.param_names
    peer.tolerance = 0  # its steady state is absolute
    params = np.array([0.3 + 0.1 * i for i in range(len(model.names))])
    if "ar" in options:
        params[-options["ar"] :] = [0.5, -0.2][: options["ar"]]
    value, slope = model.score(params, y)
    assert value == pytest.approx(peer.loglike(params), rel=1e-10)
    expected = peer.score(params, approx_complex_step=False, approx_centered=True)
    np.testing.assert_allclose(slope, np.ravel(expected), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("level", ["local linear trend", "smooth trend"])
def test_structural_fits_are_at_least_as_high(macro, level):
    y = 100 * np.log(macro["realgdp"].to_numpy())
    short = {"local linear trend": "lltrend", "smooth trend": "strend"}[level]
    peer = UnobservedComponents(y, short, use_exact_diffuse=True).fit(disp=0, maxiter=500)
    found = lds.fit(lds.structural(level), y)
    assert found.converged
    assert found.log_likelihood >= peer.llf - 1e-9
    assert found.log_likelihood == pytest.approx(peer.llf, abs=1e-4)
    assert (found.aic, found.bic) == pytest.approx((peer.aic, peer.bic), abs=1e-3)
    at_zero = found.params < 1e-6
    assert np.isinf(found.standard_errors[at_zero]).all() or level == "smooth trend"


@pytest.mark.parametrize(("p", "q"), [(1, 0), (2, 1), (0, 2)])
def test_arma_fits(macro, p, q):
    y = macro["infl"].to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on its starting values
        peer = ARIMA(y, order=(p, 0, q)).fit()
    model = lds.arma(p, q, mean=True)
    assert list(model.names) == peer.param_names
    assert model.score(peer.params, y)[0] == pytest.approx(peer.llf, rel=1e-10)
    found = lds.fit(model, y)
    assert found.log_likelihood >= peer.llf - 1e-8
    np.testing.assert_allclose(found.params, peer.params, rtol=2e-3, atol=2e-3)
    assert found.aic == pytest.approx(peer.aic, abs=1e-3)


def test_free_matrices_by_em_and_by_quasi_newton_agree():
    truth = lds.LinearSystem(0.8, [[1.0], [0.5]], 1.0, np.diag([0.5, 1.0]), mean0=[0.0], cov0=1.0)
    y = lds.simulate(truth, 150, rng=1).observations
    model = lds.free_matrices(truth, ("A", "C", "R"))
    assert model.names[:3] == ("A[0,0]", "C[0,0]", "C[1,0]")
    by_em = lds.fit(model, y, method="em", max_iterations=3000, rtol=1e-12)
    by_steps = lds.fit(model, y)
    assert by_em.log_likelihood == pytest.approx(by_steps.log_likelihood, abs=1e-5)
    np.testing.assert_allclose(by_em.params, by_steps.params, rtol=5e-3)


def test_em_of_all_matrices_never_goes_down():
    rng = np.random.default_rng(0)
    truth = lds.LinearSystem(
        [[0.7, 0.2], [0.0, 0.5]], rng.standard_normal((2, 2)), np.eye(2), np.eye(2), cov0=np.eye(2)
    )
    y = lds.simulate(truth, 80, rng=2).observations
    y[rng.random(y.shape) < 0.1] = np.nan
    model = lds.free_matrices(truth, ("A", "C", "Q", "R"))
    params, heights = model.start_params(y), []
    for _ in range(30):
        found = lds.score(model.system(params), y)
        heights.append(found.log_likelihood)
        params = model.em_step(params, found, model.system(params))
    assert (np.diff(heights) > 0).all()


# ---- a map of one's own


def test_any_map_from_parameters_to_systems():
    """A damped rotation, by frequency and damping: the map returns a LinearSystem."""

    def build(params):
        frequency, damping, noise = params
        c, s = np.cos(frequency), np.sin(frequency)
        A = damping * np.array([[c, s], [-s, c]])
        return lds.LinearSystem(A, [[1.0, 0.0]], noise * np.eye(2), 1.0)

    model = lds.StateSpaceModel(("frequency", "damping", "noise"), build)
    params = np.array([0.5, 0.9, 0.3])
    y = lds.simulate(model.system(params), 300, rng=0).observations
    value, slope = model.score(params, y)
    for i in range(3):
        step = np.zeros(3)
        step[i] = 1e-5
        low, high = (lds.log_likelihood(build(params + s * step), y) for s in (-1, 1))
        assert slope[i] == pytest.approx((high - low) / 2e-5, rel=1e-5)
    found = lds.fit(model, y, start=params)
    assert found.log_likelihood > value
    np.testing.assert_array_less(np.abs(found.params - params), 4 * found.standard_errors)


@pytest.mark.parametrize("kind", ["stationary", "invertible", "variance", "free"])
def test_transforms_invert_and_differentiate(kind):
    transform = Transform((kind,) * 3, 2.5)
    u = np.array([0.3, -1.2, 0.7])
    params = transform.params(u)
    back = transform.inverse(params)
    np.testing.assert_allclose(np.abs(back) if kind == "variance" else back,
                               np.abs(u) if kind == "variance" else u, rtol=1e-12)  # fmt: skip
    for j in range(3):
        step = np.eye(3)[j] * 1e-6
        slope = (transform.params(u + step) - transform.params(u - step)) / 2e-6
        np.testing.assert_allclose(transform.jacobian(u)[:, j], slope, atol=1e-8)
    if kind in ("stationary", "invertible"):
        sign = 1 if kind == "stationary" else -1
        assert np.abs(np.roots([1.0, *(-sign * params)])).max() < 1


def test_fits_name_what_is_wrong():
    with pytest.raises(TypeError, match=r"^model: got str"):
        lds.fit("llevel", NILE)
    with pytest.raises(ValueError, match=r"^method: got 'newton'"):
        lds.fit(lds.local_level(), NILE, method="newton")
    with pytest.raises(ValueError, match=r"^method: got 'em', want 'lbfgs'"):
        lds.fit(lds.arma(1, 0), NILE, method="em")
    with pytest.raises(ValueError, match=r"^params: got 1 numbers, want 2: sigma2.irregular"):
        lds.fit(lds.local_level(), NILE, start=[1.0])
    with pytest.raises(ValueError, match=r"^params: got the names \['x'\]"):
        lds.fit(lds.local_level(), NILE, start={"x": 1.0})
    with pytest.raises(ValueError, match=r"^y: got no observed number"):
        lds.fit(lds.local_level(), [np.nan] * 3)
    with pytest.raises(ValueError, match=r"^level: got 'cubic'"):
        lds.structural("cubic")
    with pytest.raises(ValueError, match=r"^level: got 'none' without"):
        lds.structural("none")
    with pytest.raises(ValueError, match=r"^seasonal: got 1, want at least 2"):
        lds.structural(seasonal=1)
    with pytest.raises(ValueError, match=r"^p: got -1"):
        lds.arma(-1, 0)
    with pytest.raises(ValueError, match=r"^kinds: got \('odd',\)"):
        lds.StateSpaceModel(("a",), lambda _: {}, ("odd",))
    with pytest.raises(ValueError, match=r"^free: got 'B'"):
        lds.free_matrices(lds.LinearSystem(1.0, 1.0, 1.0, 1.0), ("B",))
    with pytest.raises(ValueError, match=r"^Q: got a singular matrix"):
        lds.free_matrices(lds.LinearSystem(1.0, 1.0, 0.0, 1.0), ("Q",))


def test_a_search_that_steps_outside_does_not_stop_there():
    # A longer first step leaves the region where the two noises have a joint law.
    system = lds.LinearSystem(0.8, 1.0, 1.0, 1.0, cross_cov=0.4, cov0=3.0)
    y = np.stack([lds.simulate(system, 150, rng=i).observations for i in range(3)])
    start = lds.LinearSystem(0.8, 1.0, 2.0, 0.5, cross_cov=0.4, cov0=3.0)
    found = lds.fit(lds.free_matrices(start), y)
    assert found.converged
    np.testing.assert_allclose(found.score, 0, atol=1e-3)


def test_variances_at_zero_have_no_standard_error():
    y = np.cumsum(np.random.default_rng(0).standard_normal(100))
    found = lds.fit(lds.local_level(), np.random.default_rng(0).standard_normal(100))
    assert found.params[1] < 1e-3
    walk = lds.fit(lds.local_level(), y)
    assert walk.params[1] > 0.3
    assert "inf" in str(found) or np.isfinite(found.standard_errors).all()


@pytest.mark.parametrize("method", ["lbfgs", "em"])
def test_progress_counts_the_steps(method, capsys):
    pytest.importorskip("tqdm")
    model = lds.free_matrices(lds.LinearSystem(1.0, 1.0, 1000.0, 10000.0))
    found = lds.fit(model, NILE, method=method, max_iterations=20, progress=True)
    assert f"{found.n_iterations}" in capsys.readouterr().err
