import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eigenflow import lds
from eigenflow.demo.nile import FLOW
from eigenflow.lds import LinearSystem
from reference import lds as truth

EVERYTHING = (
    "filtered_mean",
    "filtered_cov",
    "predicted_mean",
    "predicted_cov",
    "innovations",
    "innovation_cov",
    "log_likelihood_terms",
)
NILE = np.array(FLOW, float)
LEVEL = LinearSystem(1, 1, 1469.1, 15099)


def random_system(seed, n, p, *, radius=0.9, rank_q=None, rank_r=None, **options):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    A *= radius / np.max(np.abs(np.linalg.eigvals(A)))
    C = rng.standard_normal((p, n))
    Lq = rng.standard_normal((n, n if rank_q is None else rank_q))
    Lr = rng.standard_normal((p, p if rank_r is None else rank_r))
    return LinearSystem(A, C, Lq @ Lq.T, Lr @ Lr.T, **options)


def with_gaps(y, share, seed=0):
    y = y.copy()
    y[np.random.default_rng(seed).random(y.shape) < share] = np.nan
    return y


def parts(system):
    return system.A, system.C, system.Q, system.R, system.mean0, system.cov0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("n", "p"), [(1, 1), (2, 1), (3, 2), (4, 1), (2, 5), (9, 3)])
@pytest.mark.parametrize("method", ["auto", "full"])
def test_filter_is_the_textbook_filter(n, p, share, method):
    system = random_system(n + p, n, p, state_offset=np.arange(n), obs_offset=-np.arange(p))
    y = with_gaps(lds.simulate(system, 200, rng=1).observations, share)
    result = lds.filter(system, y, store=EVERYTHING, method=method)
    offsets = {"state_offset": system.state_offset, "obs_offset": system.obs_offset}
    expected = truth.kalman(*parts(system), y, **offsets)
    scale = np.sqrt(np.trace(system.cov0))
    for name in ("filtered_mean", "predicted_mean"):
        np.testing.assert_allclose(getattr(result, name), expected[name], atol=1e-11 * scale)
    for name in ("filtered_cov", "predicted_cov"):
        got = getattr(result, name).dense()
        np.testing.assert_allclose(got, expected[name], atol=1e-11 * scale**2)
    np.testing.assert_allclose(result.log_likelihood, expected["log_likelihood"], rtol=1e-11)
    np.testing.assert_allclose(
        result.log_likelihood_terms.sum(), result.log_likelihood, rtol=1e-12, atol=1e-12
    )
    innovations = y - system.obs_offset - result.predicted_mean @ system.C.T
    np.testing.assert_allclose(result.innovations, innovations, atol=1e-11 * scale)
    S = system.C @ result.predicted_cov.dense() @ system.C.T + system.R
    np.testing.assert_allclose(result.innovation_cov.dense(), S, rtol=1e-11, atol=1e-11 * scale**2)
    assert "proper" in result.diffuse_convention


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7])
def test_time_chunks_agree_with_the_plain_recursion(n, p):
    system = random_system(n, n, p, state_offset=np.ones(n), obs_offset=np.full(p, 3.0))
    y = lds.simulate(system, 20011, rng=n).observations
    names = ("filtered_mean", "predicted_mean", "innovations", "log_likelihood_terms")
    fast = lds.filter(system, y, store=names)
    full = lds.filter(system, y, store=names, method="full")
    assert fast.steady_from is not None
    assert fast.steady_from < 2000
    assert full.steady_from is None
    for name in names:
        np.testing.assert_allclose(getattr(fast, name), getattr(full, name), atol=1e-9, rtol=1e-10)
    np.testing.assert_allclose(fast.log_likelihood, full.log_likelihood, rtol=1e-12)
    alone = lds.log_likelihood(system, y)
    np.testing.assert_allclose(alone, full.log_likelihood, rtol=1e-12)
    deviation = np.sqrt(np.diag(lds.steady_state(system).predicted_cov))
    worst = np.max(np.abs(fast.predicted_mean - full.predicted_mean) / deviation)
    assert worst <= 100 * fast.error_bound + 1e-12
    assert fast.error_bound < 1e-8


@pytest.mark.parametrize("workers", [2, 3, 7])
@pytest.mark.parametrize("n_steps", [100, 5000, 100_003])
def test_any_number_of_workers_gives_the_same_bytes(workers, n_steps):
    system = random_system(4, 4, 1)
    y = lds.simulate(system, n_steps, rng=0).observations
    y[n_steps // 3] = np.nan
    one = lds.filter(system, y, workers=1)
    many = lds.filter(system, y, workers=workers)
    assert one.filtered_mean.tobytes() == many.filtered_mean.tobytes()
    assert one.log_likelihood == many.log_likelihood
    smooth_one, smooth_many = (lds.smooth(system, y, workers=w) for w in (1, workers))
    assert smooth_one.smoothed_mean.tobytes() == smooth_many.smoothed_mean.tobytes()


def test_slowly_forgetting_and_persistent_modes_go_through_the_chunks():
    # rho is close to one, so that no chunk forgets its start.
    system = LinearSystem(1, 1, 1e-7, 1.0, cov0=1.0)
    y = lds.simulate(system, 60_000, rng=0).observations
    steady = lds.steady_state(system)
    warm = LinearSystem(1, 1, 1e-7, 1.0, cov0=steady.predicted_cov)
    fast = lds.filter(warm, y)
    full = lds.filter(warm, y, method="full")
    assert fast.steady_from == 0
    np.testing.assert_allclose(fast.filtered_mean, full.filtered_mean, atol=1e-12)
    np.testing.assert_allclose(fast.log_likelihood, full.log_likelihood, rtol=1e-12)


@pytest.mark.parametrize("exponent", [-13, -7, 7, 13])
@pytest.mark.parametrize("ratio", [1.0, 1e-2, 1e-4])
def test_the_steady_switch_does_not_depend_on_units(exponent, ratio):
    unit = 2.0**exponent
    y = lds.simulate(LinearSystem(1, 1, ratio, 1, cov0=1), 3000, rng=0).observations
    names = ("filtered_mean", "predicted_cov")
    plain = lds.filter(LinearSystem(1, 1, ratio, 1), y, store=names)
    scaled = lds.filter(LinearSystem(1, 1, ratio * unit**2, unit**2), unit * y, store=names)
    assert plain.steady_from == scaled.steady_from
    assert plain.steady_from is not None
    # A power of two changes no digit.
    np.testing.assert_array_equal(unit * plain.filtered_mean, scaled.filtered_mean)
    np.testing.assert_array_equal(
        unit**2 * plain.predicted_cov.dense(), scaled.predicted_cov.dense()
    )
    np.testing.assert_allclose(
        # The first number only fixes the diffuse level.
        plain.log_likelihood - (len(y) - 1) * np.log(unit),
        scaled.log_likelihood,
        rtol=1e-12,
    )
    steady = lds.steady_state(LinearSystem(1, 1, ratio, 1)).predicted_cov
    np.testing.assert_allclose(plain.predicted_cov[-1], steady, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1e-8, 1e-4, 1e4, 1e8, 1e12])
def test_data_of_any_variance_settle_at_the_same_step(scale):
    system, other = (LinearSystem(1, 1, 1e-2 * s, s) for s in (1.0, scale))
    y = lds.simulate(LinearSystem(1, 1, 1e-2, 1, cov0=1), 500, rng=3).observations
    plain = lds.filter(system, y)
    scaled = lds.filter(other, np.sqrt(scale) * y)
    assert plain.steady_from == scaled.steady_from
    np.testing.assert_allclose(
        np.sqrt(scale) * plain.filtered_mean, scaled.filtered_mean, rtol=1e-12
    )


def test_each_state_may_have_its_own_unit():
    system = random_system(2, 3, 1)
    y = lds.simulate(system, 400, rng=1).observations
    units = np.array([2.0**-20, 1.0, 2.0**20])
    other = LinearSystem(
        system.A * units[:, None] / units,
        system.C / units,
        system.Q * np.outer(units, units),
        system.R,
        cov0=system.cov0 * np.outer(units, units),
    )
    plain, scaled = lds.filter(system, y), lds.filter(other, y)
    assert plain.steady_from == scaled.steady_from
    np.testing.assert_allclose(plain.filtered_mean * units, scaled.filtered_mean, rtol=1e-9)


def test_a_gap_restarts_the_covariance_and_the_fast_path_returns():
    system = random_system(7, 3, 2)
    y = lds.simulate(system, 30_000, rng=1).observations
    y[10_000:10_003, 0] = np.nan
    y[20_000] = np.nan
    names = ("filtered_mean", "predicted_cov", "filtered_cov")
    fast = lds.filter(system, y, store=names)
    full = lds.filter(system, y, store=names, method="full")
    assert len(fast.predicted_cov.values) < 1000
    np.testing.assert_allclose(fast.filtered_mean, full.filtered_mean, atol=1e-10)
    for name in ("predicted_cov", "filtered_cov"):
        np.testing.assert_allclose(
            getattr(fast, name).dense(), getattr(full, name).dense(), atol=1e-12
        )
    np.testing.assert_allclose(fast.log_likelihood, full.log_likelihood, rtol=1e-12)
    # The steady covariance is stored once: before the gap and long after it.
    assert fast.predicted_cov.index[9_999] == fast.predicted_cov.index[29_999]
    assert fast.predicted_cov.index[10_000] == fast.predicted_cov.index[9_999]


def test_a_companion_form_without_observation_noise_settles():
    system = LinearSystem([[0.5, 1], [0.3, 0]], [[1, 0]], np.diag([1.0, 0]), 0)
    y = lds.simulate(system, 2000, rng=0).observations
    fast = lds.filter(system, y)
    assert fast.steady_from is not None
    assert fast.steady_from < 10
    # An AR(2) without noise: innovations are the driving noise, of variance one.
    noise = y[2:, 0] - 0.5 * y[1:-1, 0] - 0.3 * y[:-2, 0]
    tail = lds.filter(system, y, store=("innovations",)).innovations[2:, 0]
    np.testing.assert_allclose(tail, noise, atol=1e-12)


def test_two_equal_rows_without_noise_count_once():
    once = LinearSystem(0.5, 1, 1, 0)
    twice = LinearSystem(0.5, [[1], [1]], 1, np.zeros((2, 2)))
    y = lds.simulate(once, 50, rng=0).observations
    a = lds.filter(once, y)
    b = lds.filter(twice, np.repeat(y, 2, axis=1))
    np.testing.assert_allclose(a.filtered_mean, b.filtered_mean, atol=1e-14)
    np.testing.assert_allclose(a.log_likelihood, b.log_likelihood, rtol=1e-14)


def test_correlated_and_singular_noise_is_split_up():
    system = random_system(3, 3, 4, rank_r=2)
    y = with_gaps(lds.simulate(system, 60, rng=1).observations, 0.3)
    _, _, expected = truth.smooth(*parts(system), y)
    np.testing.assert_allclose(lds.log_likelihood(system, y), expected, rtol=1e-8)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 4),
    p=st.integers(1, 3),
    share=st.floats(0, 0.9),
    radius=st.floats(0.05, 0.99),
    scale=st.floats(-6, 6),
)
def test_filter_and_smoother_condition_the_joint_gaussian(seed, n, p, share, radius, scale):
    base = random_system(seed, n, p, radius=radius)
    system = LinearSystem(base.A, base.C, base.Q * 10**scale, base.R * 10**scale)
    y = with_gaps(lds.simulate(system, 12, rng=seed).observations, share, seed)
    means, covs, expected = truth.smooth(*parts(system), y)
    result = lds.smooth(system, y, store=("smoothed_mean", "smoothed_cov"))
    size = np.trace(system.cov0)
    np.testing.assert_allclose(result.smoothed_mean, means, atol=1e-6 * np.sqrt(size))
    np.testing.assert_allclose(result.smoothed_cov.dense(), covs, atol=1e-6 * size)
    np.testing.assert_allclose(result.log_likelihood, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        lds.filter(system, y).filtered_mean[-1], means[-1], atol=1e-6 * np.sqrt(size)
    )
    assert np.all(np.diagonal(result.smoothed_cov.dense(), axis1=1, axis2=2) >= 0)


def test_no_steps_change_nothing():
    result = lds.filter(LEVEL, np.empty((0, 1)), store=EVERYTHING)
    assert result.filtered_mean.shape == (0, 1)
    assert result.predicted_cov.dense().shape == (0, 1, 1)
    assert (result.log_likelihood, result.n_diffuse, result.steady_from) == (0.0, 0, None)
    np.testing.assert_array_equal(result.final_state.diffuse, [[1.0]])
    assert lds.smooth(LEVEL, []).smoothed_mean.shape == (0, 1)


def test_all_missing_is_pure_prediction():
    system = LinearSystem(0.5, 1, 1, 1, mean0=8, cov0=0)
    result = lds.filter(system, np.full(5, np.nan), store=EVERYTHING)
    np.testing.assert_array_equal(result.filtered_mean[:, 0], [8, 4, 2, 1, 0.5])
    np.testing.assert_array_equal(result.filtered_cov.dense().ravel()[:3], [0, 1, 1.25])
    assert result.log_likelihood == 0.0
    assert np.isnan(result.innovations).all()
    diffuse = lds.filter(LEVEL, np.full(5, np.nan))
    assert diffuse.n_diffuse == 5
    assert diffuse.final_state.diffuse.shape == (1, 1)


@pytest.mark.parametrize("cut", [0, 1, 2, 30, 99, 100])
def test_final_state_goes_on_where_the_series_was_cut(cut):
    y = NILE.copy()
    y[20:40] = np.nan
    whole = lds.filter(LEVEL, y)
    first = lds.filter(LEVEL, y[:cut])
    second = lds.filter(LEVEL, y[cut:], state=first.final_state)
    got = np.concatenate([first.filtered_mean, second.filtered_mean])
    np.testing.assert_allclose(got, whole.filtered_mean, rtol=1e-13)
    total = first.log_likelihood + second.log_likelihood
    np.testing.assert_allclose(total, whole.log_likelihood, rtol=1e-13)
    assert first.n_diffuse + second.n_diffuse == whole.n_diffuse


def test_a_batch_is_its_series_one_by_one():
    system = random_system(3, 2, 1, radius=1.0, diffuse=True)
    y = lds.simulate(system, 300, n_series=6, rng=2).observations.reshape(2, 3, 300, 1)
    y[0, 1, :2] = np.nan
    y[1, 2, 50] = np.nan
    batch = lds.filter(system, y, store=EVERYTHING)
    assert batch.log_likelihood.shape == batch.n_diffuse.shape == (2, 3)
    for i in np.ndindex(2, 3):
        one = lds.filter(system, y[i], store=EVERYTHING)
        np.testing.assert_array_equal(batch.filtered_mean[i], one.filtered_mean)
        np.testing.assert_array_equal(batch.predicted_cov[i], one.predicted_cov.dense())
        assert batch.log_likelihood[i] == one.log_likelihood
        assert batch.n_diffuse[i] == one.n_diffuse
    assert batch.predicted_cov.dense().shape == (2, 3, 300, 2, 2) == batch.predicted_cov.shape
    halves = lds.filter(system, y[:, :, 1:], state=lds.filter(system, y[:, :, :1]).final_state)
    np.testing.assert_allclose(halves.filtered_mean, batch.filtered_mean[:, :, 1:], rtol=1e-9)
    empty = lds.filter(system, np.empty((0, 7, 1)))
    assert empty.filtered_mean.shape == (0, 7, 2)
    assert empty.log_likelihood.shape == (0,)


@pytest.mark.parametrize("n_steps", [40, 3000])
def test_memory_layout_does_not_matter(n_steps):
    system = random_system(1, 3, 2)
    y = lds.simulate(system, n_steps, rng=0).observations
    expected = lds.filter(system, y).filtered_mean
    read_only = y.copy()
    read_only.flags.writeable = False
    views = [
        np.asfortranarray(y),
        y.astype(">f8"),
        np.repeat(y, 2, axis=0)[::2],
        np.ascontiguousarray(y[::-1])[::-1],
        np.ascontiguousarray(y[:, ::-1])[:, ::-1],
        read_only,
        y.tolist(),
    ]
    for view in views:
        np.testing.assert_array_equal(lds.filter(system, view).filtered_mean, expected)
    single = lds.filter(system, y.astype(np.float32))
    assert single.filtered_mean.dtype == np.float32
    np.testing.assert_allclose(single.filtered_mean, expected, atol=1e-4)


def test_inputs_are_left_alone():
    y = NILE.copy()
    y[3] = np.nan
    before = y.copy()
    lds.filter(LEVEL, y)
    lds.smooth(LEVEL, y)
    np.testing.assert_array_equal(y, before)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lds.filter(LEVEL, np.ones((3, 2))), ValueError, r"^y: got shape \(3, 2\), want"),
        (lambda: lds.filter(LEVEL, 3.0), ValueError, r"^y: got shape \(\)"),
        (lambda: lds.filter(random_system(0, 2, 2), np.ones(4)), ValueError, r"^y: got shape \(4,"),
        (lambda: lds.filter(LEVEL, ["a"]), TypeError, r"^y: got dtype"),
        (lambda: lds.filter(LEVEL, [1j]), TypeError, r"^y: got dtype"),
        (lambda: lds.filter(LEVEL, [1, np.inf]), ValueError, r"^y: got inf at position 1,"),
        (
            lambda: lds.filter(LEVEL, [[1], [np.inf]]),
            ValueError,
            r"^y: got inf at position \(1, 0\)",
        ),
        (lambda: lds.filter(LEVEL, [*NILE, -np.inf]), ValueError, r"^y: got -inf at position 100,"),
        (
            lambda: lds.filter(LEVEL, [[[1.0]], [[np.inf]]]),
            ValueError,
            r"^y: got inf at position \(0, 0\).* \(series \(1,\)\)",
        ),
        (lambda: lds.smooth(LEVEL, [1, np.inf]), ValueError, r"^y: got inf at position 1,"),
        (lambda: lds.score(LEVEL, [1, np.inf]), ValueError, r"^y: got inf at position 1,"),
        (
            lambda: lds.simulate(LEVEL, 2, given=[1, np.inf], rng=0),
            ValueError,
            r"^given: got inf at position 1,",
        ),
        (
            lambda: lds.simulate(LEVEL, 2, given=np.ones((2, 3)), rng=0),
            ValueError,
            r"^given: got shape \(2, 3\)",
        ),
        (lambda: lds.filter(1, NILE), TypeError, r"^system: got int, want a LinearSystem"),
        (lambda: lds.filter(LEVEL, NILE, store=("mean",)), ValueError, r"^store: got 'mean'"),
        (lambda: lds.smooth(LEVEL, NILE, store="mean"), ValueError, r"^store: got 'mean'"),
        (lambda: lds.filter(LEVEL, NILE, method="x"), ValueError, r"^method: got 'x'"),
        (lambda: lds.filter(LEVEL, NILE, inputs=1), ValueError, r"^inputs: got a value, want None"),
        (lambda: lds.filter(LEVEL, NILE, state=1), TypeError, r"^state: got int"),
        (lambda: lds.filter(LEVEL, NILE, workers=0), ValueError, r"^workers: "),
        (lambda: lds.steady_state(3), TypeError, r"^system: "),
    ],
)
def test_bad_input_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_state_of_another_size_is_refused():
    state = lds.filter(random_system(0, 2, 1), NILE).final_state
    with pytest.raises(ValueError, match=r"^state\.mean: got shape \(2,\)"):
        lds.filter(LEVEL, NILE, state=state)
