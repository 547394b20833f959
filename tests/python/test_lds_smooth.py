"""The smoother in chunks of time, from checkpoints, and what it says of pairs of states."""

import numpy as np
import pytest

from eigenflow import lds
from eigenflow.lds import LinearSystem
from reference.lds_joint import everything

MEANS = ("smoothed_mean", "state_disturbance", "obs_disturbance")
COVS = ("smoothed_cov", "lag_one_cov", "state_disturbance_cov", "obs_disturbance_cov")
ALL = MEANS + COVS


def random_system(seed, n, p, *, m=0, cross=False, radius=0.9, **options):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    A *= radius / np.max(np.abs(np.linalg.eigvals(A)))
    root = rng.standard_normal((n + p, n + p))
    noise = root @ root.T
    if cross:
        options["cross_cov"] = noise[:n, n:]
    if m:
        options |= {"B": rng.standard_normal((n, m)), "D": rng.standard_normal((p, m))}
    C = rng.standard_normal((p, n))
    return LinearSystem(A, C, noise[:n, :n], noise[n:, n:] + 0.1 * np.eye(p), **options)


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("T", [None, 5])
@pytest.mark.parametrize(("n", "p", "k"), [(1, 1, 0), (1, 1, 1), (2, 1, 2), (2, 2, 1), (3, 1, 2)])
def test_pairs_of_states_against_one_big_gaussian(n, p, k, T, cross):
    rng = np.random.default_rng(n + p + k)
    lead = () if T is None else (T,)
    root = rng.standard_normal((*lead, n + p, n + p))
    noise = root @ np.swapaxes(root, -2, -1)
    mask = np.arange(n) < k
    start = rng.standard_normal((n, n)) * ~mask[:, None]
    system = LinearSystem(
        rng.standard_normal((*lead, n, n)),
        rng.standard_normal((*lead, p, n)),
        noise[..., :n, :n],
        noise[..., n:, n:],
        cross_cov=noise[..., :n, n:] if cross else None,
        diffuse=mask,
        cov0=start @ start.T,
        time_varying=T is not None,
    )
    y = rng.standard_normal((5, p))
    y[1, 0] = np.nan
    y[3] = np.nan
    want = everything(system, y)
    got = lds.smooth(system, y, store=ALL)
    size = np.max(np.abs(want["smoothed_cov"]))
    close = {"rtol": 1e-8, "atol": 1e-9 * size}
    for name in MEANS:
        np.testing.assert_allclose(getattr(got, name), want[name], **close, err_msg=name)
    for name in COVS:
        np.testing.assert_allclose(getattr(got, name).dense(), want[name], **close, err_msg=name)


@pytest.mark.parametrize("n_steps", [1, 769, 20_011])
@pytest.mark.parametrize(("n", "p"), [(1, 1), (2, 1), (3, 2), (4, 1), (5, 3), (9, 1), (16, 4)])
def test_chunks_of_time_agree_with_the_plain_recursion(n, p, n_steps):
    system = random_system(n, n, p, m=1, cross=True)
    rng = np.random.default_rng(0)
    u = rng.standard_normal((n_steps, 1))
    y = lds.simulate(system, n_steps, inputs=u, rng=n).observations
    if n_steps > 10_000:
        y[n_steps // 2, 0] = np.nan
        y[n_steps // 3 : n_steps // 3 + 4] = np.nan
    fast, full = (lds.smooth(system, y, inputs=u, store=ALL, method=m) for m in ("auto", "full"))
    scale = np.sqrt(np.trace(system.cov0))
    for name in MEANS:
        a, b = getattr(fast, name), getattr(full, name)
        np.testing.assert_allclose(a, b, atol=1e-10 * scale, err_msg=name)
    for name in COVS:
        a, b = (getattr(r, name).dense() for r in (fast, full))
        np.testing.assert_allclose(a, b, atol=1e-10 * scale**2, err_msg=name)
    np.testing.assert_allclose(fast.log_likelihood, full.log_likelihood, rtol=1e-12)
    if n_steps > 10_000:
        assert fast.steady_from is not None
        assert all(len(getattr(fast, name).values) < n_steps / 8 for name in COVS)
    assert fast.error_bound < 1e-6


@pytest.mark.parametrize("n_steps", [700, 6000])
def test_systems_too_wide_for_the_lanes(n_steps):
    system = random_system(0, 34, 1)
    y = lds.simulate(system, n_steps, rng=0).observations
    fast, full = (lds.smooth(system, y, method=m).smoothed_mean for m in ("auto", "full"))
    np.testing.assert_allclose(fast, full, atol=1e-8 * np.sqrt(np.trace(system.cov0)))


def test_laws_that_do_not_fit_are_made_again_from_checkpoints():
    # 160,000 laws of 6 states are more than the 32 MB that are kept.
    system = random_system(1, 6, 1, diffuse=True)
    y = lds.simulate(random_system(1, 6, 1), 160_000, rng=0).observations
    y[[1, 50_000]] = np.nan
    fast, full = (
        lds.smooth(system, y, store=("smoothed_mean",), method=m) for m in ("auto", "joseph")
    )
    np.testing.assert_allclose(fast.smoothed_mean, full.smoothed_mean, atol=1e-8)
    np.testing.assert_allclose(fast.log_likelihood, full.log_likelihood, rtol=1e-11)
    assert fast.n_diffuse == full.n_diffuse == 7


@pytest.mark.parametrize("rho", [1e-3, 1e-5])
def test_a_filter_that_hardly_forgets_is_smoothed_exactly(rho):
    q = rho**2
    steady = lds.steady_state(LinearSystem(1, 1, q, 1.0))
    system = LinearSystem(1, 1, q, 1.0, cov0=steady.predicted_cov)
    y = lds.simulate(system, 50_000, rng=0).observations
    fast, full = (lds.smooth(system, y, method=m) for m in ("auto", "full"))
    assert fast.steady_from == 0
    np.testing.assert_allclose(fast.smoothed_mean, full.smoothed_mean, atol=1e-11)
    np.testing.assert_allclose(fast.log_likelihood, full.log_likelihood, rtol=1e-12)


@pytest.mark.parametrize("workers", [2, 5])
def test_any_number_of_workers_gives_the_same_bytes(workers):
    system = random_system(4, 4, 1)
    y = lds.simulate(system, 100_003, rng=0).observations
    y[5000] = np.nan
    a, b = (lds.smooth(system, y, store=ALL, workers=w) for w in (1, workers))
    for name in MEANS:
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes()
    assert a.error_bound == b.error_bound
    assert a.lag_one_cov.values.tobytes() == b.lag_one_cov.values.tobytes()
    assert a.log_likelihood == b.log_likelihood


def test_out_may_be_a_file(tmp_path):
    system = random_system(4, 2, 1)
    y = lds.simulate(system, 30_000, rng=0).observations
    file = np.memmap(tmp_path / "means", np.float64, "w+", shape=(30_000, 2))
    got = lds.smooth(system, y, store=(), out={"smoothed_mean": file})
    assert got.smoothed_mean is file
    np.testing.assert_array_equal(file, lds.smooth(system, y).smoothed_mean)
    with pytest.raises(ValueError, match=r"^out: got 'filtered_mean'"):
        lds.smooth(system, y, out={"filtered_mean": file})


def test_a_batch_is_its_series():
    system = random_system(4, 2, 1)
    y = lds.simulate(system, 300, n_series=5, rng=0).observations
    y[2, 100:120] = np.nan
    batch = lds.smooth(system, y, store=ALL)
    for i in range(5):
        one = lds.smooth(system, y[i], store=ALL)
        for name in MEANS:
            np.testing.assert_array_equal(getattr(batch, name)[i], getattr(one, name))
        for name in COVS:
            a, b = getattr(batch, name).dense()[i], getattr(one, name).dense()
            np.testing.assert_array_equal(a, b)
        assert batch.log_likelihood[i] == one.log_likelihood
    assert lds.smooth(system, np.empty((0, 7, 1)), store=ALL).smoothed_mean.shape == (0, 7, 2)


@pytest.mark.parametrize("seasonal", [None, 4])
def test_disturbances_of_statsmodels(seasonal):
    structural = pytest.importorskip("statsmodels.tsa.statespace.structural")
    from eigenflow.demo.nile import FLOW

    y = np.array(FLOW, np.float64)
    y[20:40] = np.nan
    params = [15099.0, 1469.1, 10.0, *([100.0] if seasonal else [])]
    peer = structural.UnobservedComponents(
        y, "local linear trend", seasonal=seasonal, use_exact_diffuse=True
    )
    want = peer.smooth(params)
    system = lds.structural("local linear trend", seasonal=seasonal).system(params)
    got = lds.smooth(system, y, store=ALL)
    loadings = peer.ssm["selection"]
    w = loadings @ want.smoothed_state_disturbance
    np.testing.assert_allclose(got.state_disturbance, w.T, atol=1e-8 * np.abs(w).max())
    W = np.einsum("ij,jkt,lk->til", loadings, want.smoothed_state_disturbance_cov, loadings)
    np.testing.assert_allclose(got.state_disturbance_cov.dense(), W, atol=1e-9 * W.max())
    seen = np.isfinite(y)
    v = want.smoothed_measurement_disturbance[0]
    np.testing.assert_allclose(got.obs_disturbance[seen, 0], v[seen], atol=1e-8 * np.abs(v).max())
    V = want.smoothed_measurement_disturbance_cov[0, 0]
    got_cov = got.obs_disturbance_cov.dense()[:, 0, 0]
    np.testing.assert_allclose(got_cov[seen], V[seen], rtol=1e-8)
    np.testing.assert_array_equal(got.obs_disturbance[~seen, 0], 0)
    np.testing.assert_allclose(got_cov[~seen], 15099.0)


def test_small_disturbances_keep_their_digits():
    # States near 1e3 and disturbances near 1e-16: nothing would be left of a difference of states.
    y = np.random.default_rng(0).standard_normal(5000)
    shift = 2.0**10
    there, here = (
        lds.smooth(LinearSystem(1.0, 1.0, 1e-18, 1.0, mean0=[m], cov0=1e-9), y + m, store=MEANS)
        for m in (shift, 0.0)
    )
    size = np.abs(here.state_disturbance).max()
    assert 0 < size < 1e-14
    np.testing.assert_allclose(there.state_disturbance, here.state_disturbance, atol=1e-5 * size)


@pytest.mark.parametrize("radius", [0.5, 0.9, 0.99])
def test_error_bound_of_the_smoother_holds(radius):
    system = random_system(5, 3, 1, radius=radius)
    y = lds.simulate(system, 60_000, rng=3).observations
    y[30_000] = np.nan
    fast = lds.smooth(system, y)
    exact = lds.smooth(system, y, method="full")
    scale = np.sqrt(np.diag(lds.steady_state(system).predicted_cov))
    error = np.max(np.abs(fast.smoothed_mean - exact.smoothed_mean) / scale)
    assert 0 < fast.error_bound < 1e-7
    assert error <= 6 * fast.error_bound  # innovations are below six standard deviations


def test_no_steps_and_one_step():
    system = random_system(4, 2, 1)
    none = lds.smooth(system, np.empty((0, 1)), store=ALL)
    assert none.lag_one_cov.dense().shape == (0, 2, 2)
    one = lds.smooth(system, np.ones((1, 1)), store=ALL)
    assert one.lag_one_cov.dense().shape == (0, 2, 2)
    assert one.smoothed_cov.dense().shape == (1, 2, 2)


@pytest.mark.parametrize("function", [lds.filter, lds.smooth, lds.score])
def test_progress_reaches_the_end(function, capsys):
    pytest.importorskip("tqdm")
    system = random_system(4, 2, 1)
    function(system, np.zeros((40_000, 1)), progress=True)
    assert "40.0k/40.0k" in capsys.readouterr().err


@pytest.mark.parametrize("function", [lds.filter, lds.smooth, lds.score])
def test_a_batch_is_told_of_as_it_goes(function, capsys, monkeypatch):
    tqdm = pytest.importorskip("tqdm").tqdm
    told = []
    update = tqdm.update
    monkeypatch.setattr(tqdm, "update", lambda bar, n: told.append(n) or update(bar, n))
    system = random_system(4, 2, 1)
    function(system, np.zeros((2000, 50, 1)), progress=True, workers=1)
    assert "50.0/50.0" in capsys.readouterr().err
    assert len(told) > 1
    assert all(n >= 0 for n in told)
    assert sum(told) == pytest.approx(50)
