"""The score of systems with inputs, correlated noises, matrices that change, and of panels."""

import numpy as np
import pytest

from eigenflow import lds
from eigenflow.demo.nile import FLOW
from eigenflow.lds import LinearSystem

MATRICES = (
    "A",
    "C",
    "Q",
    "R",
    "cross_cov",
    "B",
    "D",
    "state_offset",
    "obs_offset",
    "mean0",
    "cov0",
)
SYMMETRIC = ("Q", "R", "cov0")
N_STEPS = 12


def parts_of(seed, n, p, m, T, batch=()):
    """Arguments of a random system with everything in it."""
    rng = np.random.default_rng(seed)
    lead = batch if T is None else (*batch, T)
    root = rng.standard_normal((*lead, n + p, n + p))
    noise = root @ np.swapaxes(root, -2, -1) + 0.2 * np.eye(n + p)
    start = rng.standard_normal((n, n))
    return {
        "A": 0.5 * rng.standard_normal((*lead, n, n)),
        "C": rng.standard_normal((*lead, p, n)),
        "Q": noise[..., :n, :n],
        "R": noise[..., n:, n:],
        "cross_cov": noise[..., :n, n:],
        "B": rng.standard_normal((*lead, n, m)),
        "D": rng.standard_normal((*lead, p, m)),
        "state_offset": rng.standard_normal((*lead, n)),
        "obs_offset": rng.standard_normal((*lead, p)),
        "mean0": rng.standard_normal(n),
        "cov0": start @ start.T + 0.1 * np.eye(n),
        "time_varying": T is not None,
    }


def data(seed, p, m, n_steps=N_STEPS, batch=()):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((*batch, n_steps, p))
    y[rng.random(y.shape) < 0.2] = np.nan
    return y, rng.standard_normal((*batch, n_steps, m))


def slope(parts, change, y, u):
    """Derivative by differences of fourth order."""
    h, values = 1e-4, []
    for step in (-2, -1, 1, 2):
        moved = parts | {k: parts[k] + step * h * dx for k, dx in change.items()}
        value = lds.log_likelihood(LinearSystem(**moved), y, inputs=u, method="full")
        values.append(np.sum(value))
    return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)


def direction(rng, name, like):
    change = rng.standard_normal(like.shape)
    return change + np.swapaxes(change, -2, -1) if name in SYMMETRIC else change


@pytest.mark.parametrize("diffuse", [0, 1])
@pytest.mark.parametrize("T", [None, N_STEPS])
@pytest.mark.parametrize(("n", "p", "m"), [(1, 1, 1), (2, 2, 1), (3, 1, 2)])
def test_every_derivative_is_that_of_the_likelihood(n, p, m, T, diffuse):
    parts = parts_of(n + p, n, p, m, T)
    parts["diffuse"] = np.arange(n) < diffuse
    parts["cov0"][:diffuse] = parts["cov0"][:, :diffuse] = 0
    y, u = data(n, p, m)
    found = lds.score(LinearSystem(**parts), y, inputs=u)
    rng = np.random.default_rng(0)
    for name in MATRICES:
        change = {name: direction(rng, name, parts[name])}
        if name == "cov0":
            keep = np.arange(n) >= diffuse
            change[name] *= np.outer(keep, keep)
        assert getattr(found, name).shape == parts[name].shape
        want = slope(parts, change, y, u)
        assert found.along(change) == pytest.approx(want, rel=1e-7, abs=1e-7), name


def test_what_is_common_to_all_steps_has_one_derivative():
    parts = parts_of(1, 2, 1, 1, N_STEPS)
    parts["A"] = parts["A"][:1]
    parts["C"] = parts["C"][0]
    y, u = data(1, 1, 1)
    found = lds.score(LinearSystem(**parts), y, inputs=u)
    rng = np.random.default_rng(0)
    for name in ("A", "C"):
        change = {name: direction(rng, name, parts[name])}
        assert getattr(found, name).shape == parts[name].shape
        assert found.along(change) == pytest.approx(slope(parts, change, y, u), rel=1e-7)


@pytest.mark.parametrize("own", [False, True])
def test_a_batch_is_the_sum_of_its_series(own):
    batch = (2, 3)
    parts = parts_of(2, 2, 2, 1, None, (3,) if own else ())
    y, u = data(3, 2, 1, batch=batch)
    whole = lds.score(LinearSystem(**parts), y, inputs=u, workers=3)
    again = lds.score(LinearSystem(**parts), y, inputs=u, workers=1)
    each = {}
    for i in np.ndindex(batch):
        one = {
            k: v[i[1]] if own and k not in ("mean0", "cov0", "time_varying") else v
            for k, v in parts.items()
        }
        each[i] = lds.score(LinearSystem(**one), y[i], inputs=u[i])
        assert whole.log_likelihood[i] == each[i].log_likelihood
    for name in (*MATRICES, "second_moment"):
        got = getattr(whole, name)
        assert got.tobytes() == getattr(again, name).tobytes()
        if own and name not in ("mean0", "cov0"):
            want = [sum(getattr(each[i, j], name) for i in range(2)) for j in range(3)]
        else:
            want = sum(getattr(r, name) for r in each.values())
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12, err_msg=name)
    assert whole.n_series == 6
    assert whole.n_observed == np.isfinite(y).sum()
    none = lds.score(LinearSystem(**parts), np.empty((0, 3, 4, 2)), inputs=np.empty((0, 3, 4, 1)))
    assert none.A.shape == parts["A"].shape
    assert not none.A.any()


def test_forgotten_diffuse_columns_leave_no_trace():
    # 24 states, 13 of them diffuse; columns are dropped long before the end.
    model = lds.structural("local linear trend", seasonal=12)
    params = np.array([1.0, 0.1, 0.01, 0.1])
    y = np.random.default_rng(0).standard_normal(1500).cumsum()
    found = lds.score(model.system(params), y)
    for i in range(4):
        h = 1e-3 * params[i]
        values = []
        for step in (-2, -1, 1, 2):
            moved = params.copy()
            moved[i] += step * h
            values.append(lds.log_likelihood(model.system(moved), y, method="full"))
        want = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
        assert model.gradient(params, found)[i] == pytest.approx(want, rel=1e-6)


def regression(x):
    """Local level with a regressor, as a model with an input."""

    def build(params):
        return {
            "A": np.eye(1), "C": np.eye(1), "Q": params[1:2, None], "R": params[:1, None],
            "D": params[2:, None], "diffuse": True,
        }  # fmt: skip

    return lds.StateSpaceModel(
        ("irregular", "level", "beta"), build, ("variance", "variance", "free")
    ), x[:, None]


def test_a_regression_is_that_of_statsmodels():
    structural = pytest.importorskip("statsmodels.tsa.statespace.structural")
    x = np.random.default_rng(0).standard_normal(100)
    y = np.array(FLOW, float) + 50 * x
    model, inputs = regression(x)
    found = lds.fit(model, y, inputs=inputs)
    peer = structural.UnobservedComponents(y, "llevel", exog=x, use_exact_diffuse=True)
    want = peer.loglike(found.params)
    assert found.log_likelihood == pytest.approx(want, rel=1e-9)
    best = peer.fit(disp=0)
    assert found.log_likelihood >= best.llf - 1e-6
    np.testing.assert_allclose(found.params, best.params, rtol=1e-2)  # theirs stops early
    assert found.standard_errors[2] == pytest.approx(best.bse[2], rel=0.05)


@pytest.mark.parametrize("method", ["lbfgs", "em"])
def test_a_panel_has_one_maximum(method):
    true = LinearSystem(0.8, 1.0, 1.0, 0.5, B=1.0)
    u = np.random.default_rng(1).standard_normal((8, 200, 1))
    y = np.array([lds.simulate(true, 200, inputs=v, rng=i).observations for i, v in enumerate(u)])
    model = lds.free_matrices(true, ("A", "Q", "R"))
    found = lds.fit(model, y, inputs=u, method=method, rtol=1e-12)
    assert found.converged
    total = np.sum(lds.log_likelihood(found.system, y, inputs=u))
    assert found.log_likelihood == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(found.score, 0, atol=0.05 if method == "em" else 1e-3)
    np.testing.assert_allclose(found.params, [0.8, 1.0, 0.5**0.5], atol=0.1)
    moved = lds.fit(lds.free_matrices(true, ("A", "B")), y, inputs=u)
    assert moved.params[1] == pytest.approx(1.0, abs=0.1)
