"""Gains found again by what was missing since the covariance was last known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eigenflow import lds
from eigenflow.lds import LinearSystem

MEANS = ("filtered_mean", "predicted_mean", "innovations", "log_likelihood_terms")
COVS = ("filtered_cov", "predicted_cov", "innovation_cov")


def random_system(seed, n, p, *, radius=0.95, noise=1.0, offsets=False, **options):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    A *= radius / np.max(np.abs(np.linalg.eigvals(A)))
    root = rng.standard_normal((n + p, n + p))
    both = root @ root.T + 0.1 * np.eye(n + p)
    return LinearSystem(
        A,
        rng.standard_normal((p, n)),
        noise * both[:n, :n],
        noise * both[n:, n:],
        cross_cov=noise * both[:n, n:] if options.pop("cross", False) else None,
        **{k: rng.standard_normal((n if k == "B" else p, v)) for k, v in options.items()},
        state_offset=rng.standard_normal(n) * noise**0.5 if offsets else None,
        obs_offset=rng.standard_normal(p) * noise**0.5 if offsets else None,
    )


def compare(system, y, inputs=None, scale=1.0, tolerance=1e-10):
    fast, full = (
        lds.filter(system, y, inputs=inputs, store=MEANS + COVS, method=m) for m in ("auto", "full")
    )
    for name in MEANS:
        unit = 1.0 if name == "log_likelihood_terms" else scale
        a, b = getattr(fast, name), getattr(full, name)
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=tolerance * unit, err_msg=name)
    for name in COVS:
        a, b = getattr(fast, name).dense(), getattr(full, name).dense()
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=tolerance * scale**2, err_msg=name)
    np.testing.assert_allclose(fast.log_likelihood, full.log_likelihood, rtol=1e-11)
    for part in ("mean", "cov"):
        a, b = (getattr(r.final_state, part) for r in (fast, full))
        unit = scale if part == "mean" else scale**2
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=tolerance * unit)
    return fast, full


@pytest.mark.parametrize("period", [2, 7, 40])
@pytest.mark.parametrize(("n", "p", "cross"), [(1, 1, False), (4, 1, True), (3, 2, True)])
def test_regular_gaps_have_few_covariances(n, p, cross, period):
    system = random_system(n, n, p, cross=cross, B=1)
    u = np.random.default_rng(1).standard_normal((6000, 1))
    y = lds.simulate(system, 6000, inputs=u, rng=0).observations
    y[3::period, 0] = np.nan
    fast, full = compare(system, y, u, 10.0)
    assert len(full.predicted_cov.values) > 5000
    assert len(fast.predicted_cov.values) < 2500 / period + 600
    assert fast.error_bound < 1e-7


def test_a_filter_that_never_settles_repeats_its_gaps():
    # Forgetting takes 600 steps and the gaps come every 50, from the first step on.
    system = LinearSystem(1.0, 1.0, 1e-3, 1.0, cov0=1.0)
    y = np.random.default_rng(0).standard_normal(20_000)
    y[::50] = np.nan
    fast, _ = compare(system, y)
    assert fast.steady_from is None
    assert len(fast.predicted_cov.values) < 3000


def test_gaps_of_all_kinds_in_one_series():
    system = random_system(5, 3, 3)
    y = lds.simulate(system, 8000, rng=2).observations
    rng = np.random.default_rng(3)
    y[rng.random(y.shape) < 0.003] = np.nan
    for begin in rng.integers(0, 7900, 20):
        y[begin : begin + rng.integers(1, 60)] = np.nan
    compare(system, y, scale=10.0)


def test_a_full_cache_is_emptied_or_given_up():
    # 40 % missing at random with slow forgetting: hardly any gap comes twice.
    system = random_system(6, 4, 2, radius=0.999, noise=1e-2)
    y = lds.simulate(system, 30_000, rng=2).observations
    y[np.random.default_rng(3).random(y.shape) < 0.4] = np.nan
    compare(system, y, scale=10.0)


@pytest.mark.parametrize("unit", [1e-100, 1e-8, 1e8, 1e100])
def test_units_do_not_matter(unit):
    system = random_system(7, 2, 1)
    scaled = random_system(7, 2, 1, noise=unit**2)
    y = lds.simulate(system, 3000, rng=0).observations
    y[::30] = np.nan
    a, b = lds.filter(system, y), lds.filter(scaled, y * unit)
    np.testing.assert_allclose(b.filtered_mean / unit, a.filtered_mean, rtol=1e-9, atol=1e-12)
    compare(scaled, y * unit, scale=10 * unit)


def test_an_approximately_diffuse_start_keeps_square_roots():
    system = LinearSystem(
        [[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0]], np.diag([0.0, 1e-4]), 1.0, cov0=1e8 * np.eye(2)
    )
    y = np.cumsum(np.random.default_rng(0).standard_normal(4000)) * 1e-2
    y[::25] = np.nan
    fast, full = (lds.filter(system, y, method=m) for m in ("auto", "array"))
    np.testing.assert_allclose(fast.filtered_mean, full.filtered_mean, atol=1e-8)
    np.testing.assert_allclose(fast.log_likelihood, full.log_likelihood, rtol=1e-10)


def test_blocks_batches_and_workers():
    system = random_system(8, 3, 1)
    y = lds.simulate(system, 4000, n_series=3, rng=0).observations
    y[:, ::60] = np.nan
    whole = lds.filter(system, y, workers=3)
    for i in range(3):
        one = lds.filter(system, y[i], workers=1)
        assert one.filtered_mean.tobytes() == whole.filtered_mean[i].tobytes()
        parts = list(lds.filter_blocks(system, np.split(y[i], [1000, 1001, 2500])))
        joined = np.concatenate([part.filtered_mean for part in parts])
        np.testing.assert_allclose(joined, one.filtered_mean, atol=1e-11)


def test_the_smoother_sees_the_same_laws():
    system = random_system(9, 4, 1, cross=True)
    y = lds.simulate(system, 5000, rng=0).observations
    y[::80] = np.nan
    fields = ("smoothed_mean", "smoothed_cov", "state_disturbance")
    fast, full = (lds.smooth(system, y, store=fields, method=m) for m in ("auto", "full"))
    np.testing.assert_allclose(fast.smoothed_mean, full.smoothed_mean, atol=1e-9)
    np.testing.assert_allclose(fast.state_disturbance, full.state_disturbance, atol=1e-9)
    np.testing.assert_allclose(
        fast.smoothed_cov.dense(), full.smoothed_cov.dense(), rtol=1e-8, atol=1e-9
    )


@pytest.mark.parametrize("n", range(1, 10))
@pytest.mark.parametrize("p", [1, 2])
def test_every_size_between_gaps(n, p):
    system = random_system(n, n, p, radius=0.8, offsets=True)
    y = lds.simulate(system, 1500, rng=n).observations
    y[::50, 0] = np.nan
    compare(system, y, scale=10.0)


def test_strides_of_series_and_results_do_not_matter():
    system = random_system(2, 3, 2)
    y = lds.simulate(system, 900, rng=1).observations
    y[::40] = np.nan
    plain = lds.filter(system, y, store=MEANS)
    wide = np.full((900, 6), 7.0)
    out = {"filtered_mean": wide[:, ::2], "predicted_mean": np.empty((3, 900)).T}
    odd = lds.filter(system, np.asfortranarray(y), store=MEANS, out=out)
    for name in MEANS:
        assert getattr(odd, name).tobytes() == getattr(plain, name).tobytes(), name
    assert (wide[:, 1::2] == 7).all()


@pytest.mark.parametrize("at", [130, 500, 899])
def test_an_infinity_between_gaps_is_refused_or_taken(at):
    system = random_system(3, 4, 1)
    y = lds.simulate(system, 900, rng=1).observations
    y[::30] = np.nan
    clean = lds.filter(system, y)
    y[at] = -np.inf
    with pytest.raises(ValueError, match=rf"y: got -inf at position \({at}, 0\)"):
        lds.filter(system, y)
    taken = lds.filter(system, y, check_finite=False).filtered_mean
    assert taken[:at].tobytes() == clean.filtered_mean[:at].tobytes()
    assert not np.isfinite(taken[at]).any()


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 4),
    p=st.integers(1, 2),
    period=st.integers(1, 40),
    share=st.floats(0, 0.2),
    seed=st.integers(0, 10**6),
)
def test_any_gaps(n, p, period, share, seed):
    system = random_system(seed, n, p, radius=0.9)
    y = lds.simulate(system, 400, rng=seed).observations
    rng = np.random.default_rng(seed)
    y[:: period + 1, rng.integers(p)] = np.nan
    y[rng.random(y.shape) < share] = np.nan
    compare(system, y, scale=max(10.0, float(np.nanmax(np.abs(y), initial=1.0))))
