"""The smoother in chunks of time, from checkpoints, and what it says of pairs of states."""

import numpy as np
import pytest

from eigenflow import lds
from eigenflow.lds import LinearSystem
from reference.lds_joint import everything

ALL = ("smoothed_mean", "smoothed_cov", "lag_one_cov")


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
    np.testing.assert_allclose(got.smoothed_mean, want["smoothed_mean"], **close)
    np.testing.assert_allclose(got.smoothed_cov.dense(), want["smoothed_cov"], **close)
    np.testing.assert_allclose(got.lag_one_cov.dense(), want["lag_one_cov"], **close)


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
    np.testing.assert_allclose(fast.smoothed_mean, full.smoothed_mean, atol=1e-10 * scale)
    for name in ALL[1:]:
        a, b = (getattr(r, name).dense() for r in (fast, full))
        np.testing.assert_allclose(a, b, atol=1e-10 * scale**2)
    np.testing.assert_allclose(fast.log_likelihood, full.log_likelihood, rtol=1e-12)
    if n_steps > 10_000:
        assert fast.steady_from is not None
        assert len(fast.smoothed_cov.values) < n_steps / 8


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
    assert a.smoothed_mean.tobytes() == b.smoothed_mean.tobytes()
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
        np.testing.assert_array_equal(batch.smoothed_mean[i], one.smoothed_mean)
        np.testing.assert_array_equal(batch.lag_one_cov.dense()[i], one.lag_one_cov.dense())
        assert batch.log_likelihood[i] == one.log_likelihood
    assert lds.smooth(system, np.empty((0, 7, 1)), store=ALL).smoothed_mean.shape == (0, 7, 2)


def test_no_steps_and_one_step():
    system = random_system(4, 2, 1)
    none = lds.smooth(system, np.empty((0, 1)), store=ALL)
    assert none.lag_one_cov.dense().shape == (0, 2, 2)
    one = lds.smooth(system, np.ones((1, 1)), store=ALL)
    assert one.lag_one_cov.dense().shape == (0, 2, 2)
    assert one.smoothed_cov.dense().shape == (1, 2, 2)


@pytest.mark.parametrize("function", [lds.filter, lds.smooth])
def test_progress_reaches_the_end(function, capsys):
    pytest.importorskip("tqdm")
    system = random_system(4, 2, 1)
    function(system, np.zeros((40_000, 1)), progress=True)
    assert "40.0k/40.0k" in capsys.readouterr().err
