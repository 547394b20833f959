"""Inputs, correlated noises, matrices that change: against one big Gaussian in 60 digits."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eigenflow import lds
from eigenflow.lds import LinearSystem
from reference.lds_joint import everything

FILTERED = ("filtered_mean", "filtered_cov", "predicted_mean", "predicted_cov")
SMOOTHED = ("smoothed_mean", "smoothed_cov")


def draw(seed, n, p, *, m=0, T=None, cross=False, offsets=True, diffuse=None, rank=None):
    """Parts of a random system; with T, all of them change in time."""
    rng = np.random.default_rng(seed)
    lead = () if T is None else (T,)
    joint = rng.standard_normal((*lead, n + p, rank or n + p))
    noise = joint @ np.swapaxes(joint, -2, -1)
    parts = {
        "A": rng.standard_normal((*lead, n, n)) / np.sqrt(n),
        "C": rng.standard_normal((*lead, p, n)),
        "Q": noise[..., :n, :n],
        "R": noise[..., n:, n:],
        "time_varying": T is not None,
    }
    if cross:
        parts["cross_cov"] = noise[..., :n, n:]
    if offsets:
        parts["state_offset"] = rng.standard_normal((*lead, n))
        parts["obs_offset"] = rng.standard_normal((*lead, p))
    if m:
        parts["B"], parts["D"] = (rng.standard_normal((*lead, k, m)) for k in (n, p))
    if diffuse is not None:
        mask = np.arange(n) < diffuse
        root = rng.standard_normal((n, n)) * ~mask[:, None]
        parts |= {"diffuse": mask, "cov0": root @ root.T}
    elif T is not None:
        parts |= {"cov0": np.eye(n), "mean0": rng.standard_normal(n)}
    return parts


def holes(rng, shape, share):
    y = 3 * rng.standard_normal(shape)
    y[rng.random(shape) < share] = np.nan
    return y


# One case serves all methods, and the truth costs half a second.
@functools.cache
def case(n, p, m, T, cross, diffuse=None):
    system = LinearSystem(**draw(10 * n + p, n, p, m=m, T=T, cross=cross, diffuse=diffuse))
    rng = np.random.default_rng(5)
    y = holes(rng, (5, p), 0.25)
    u = rng.standard_normal((5, m)) if m else None
    return system, y, u, everything(system, y, u)


def check(system, y, inputs=None, want=None, method="auto", tol=1e-10):
    want = everything(system, y, inputs) if want is None else want
    diffuse = system.diffuse_directions.shape[-1] > 0
    got = lds.filter(system, y, inputs=inputs, store=FILTERED, method=method)
    smooth = lds.smooth(system, y, inputs=inputs, store=SMOOTHED, method=method)
    size = np.max(np.abs(want["smoothed_cov"]), initial=1.0)
    close = {"rtol": tol, "atol": tol * size}
    start = got.n_diffuse if diffuse else 0
    np.testing.assert_allclose(got.filtered_mean[start:], want["filtered_mean"][start:], **close)
    np.testing.assert_allclose(
        got.filtered_cov.dense()[start:], want["filtered_cov"][start:], **close
    )
    np.testing.assert_allclose(smooth.smoothed_mean, want["smoothed_mean"], **close)
    np.testing.assert_allclose(smooth.smoothed_cov.dense(), want["smoothed_cov"], **close)
    if not got.final_state.diffuse.size:
        np.testing.assert_allclose(got.final_state.mean, want["next_mean"], **close)
        np.testing.assert_allclose(got.final_state.cov, want["next_cov"], **close)
        np.testing.assert_allclose(got.log_likelihood, want["log_likelihood"], rtol=tol)
        np.testing.assert_allclose(smooth.log_likelihood, want["log_likelihood"], rtol=tol)


METHODS = ("auto", "full", "standard", "joseph", "array")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("T", [None, 5])
@pytest.mark.parametrize(("n", "p", "m"), [(1, 1, 1), (2, 1, 0), (2, 2, 2), (3, 2, 1)])
def test_filter_and_smoother_are_the_conditional_law(n, p, m, T, cross, method):
    check(*case(n, p, m, T, cross), method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "p", "k", "T"), [(2, 1, 1, 5), (2, 2, 2, None), (3, 2, 2, 5)])
def test_diffuse_starts_with_inputs_and_correlated_noises(n, p, k, T, method):
    check(*case(n, p, 1, T, True, k), method, tol=1e-9)


@pytest.mark.parametrize("p", [1, 2])
def test_noises_may_share_a_source(p):
    # The shocks of the observations drive the states too, as in an innovations form.
    system = LinearSystem(**draw(3, 2, p, cross=True, rank=p, diffuse=0))
    check(system, holes(np.random.default_rng(1), (5, p), 0.2), tol=1e-8)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 3),
    p=st.integers(1, 2),
    T=st.integers(1, 5),
    share=st.floats(0, 1),
    scale=st.integers(-30, 30),
)
def test_any_unit_gives_the_same_digits(seed, n, p, T, share, scale):
    parts = draw(seed, n, p, T=T, cross=True)
    unit = 10.0**scale
    rng = np.random.default_rng(seed)
    y = holes(rng, (T, p), share)
    plain = LinearSystem(**parts)
    for name in ("Q", "R", "cross_cov", "cov0"):
        parts[name] = parts[name] * unit**2
    for name in ("state_offset", "obs_offset", "mean0"):
        parts[name] = parts[name] * unit
    scaled = LinearSystem(**parts)
    a, b = (lds.smooth(s, v, store=SMOOTHED) for s, v in ((plain, y), (scaled, unit * y)))
    np.testing.assert_allclose(b.smoothed_mean / unit, a.smoothed_mean, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize(("n", "p", "m"), [(1, 1, 1), (3, 2, 2), (9, 1, 1)])
def test_inputs_go_through_the_time_chunks(n, p, m, cross):
    parts = draw(1, n, p, m=m, cross=cross)
    parts["A"] *= 0.5
    system = LinearSystem(**parts)
    rng = np.random.default_rng(0)
    y, u = rng.standard_normal((20_011, p)), rng.standard_normal((20_011, m))
    y[7000] = np.nan
    names = ("filtered_mean", "predicted_mean", "innovations", "log_likelihood_terms")
    fast = lds.filter(system, y, inputs=u, store=names)
    full = lds.filter(system, y, inputs=u, store=names, method="full")
    assert fast.steady_from < 2000
    for name in names:
        np.testing.assert_allclose(getattr(fast, name), getattr(full, name), atol=1e-9)
    np.testing.assert_allclose(fast.log_likelihood, full.log_likelihood, rtol=1e-12)


def test_offsets_that_change_keep_the_steady_covariance():
    rng = np.random.default_rng(0)
    c, d = rng.standard_normal((5000, 2)), rng.standard_normal((5000, 1))
    A, C = [[0.9, 0.1], [0, 0.5]], [[1.0, 1.0]]
    system = LinearSystem(
        A, C, np.eye(2), 1, state_offset=c, obs_offset=d, cov0=np.eye(2), time_varying=True
    )
    y = rng.standard_normal(5000)
    fast, full = lds.filter(system, y), lds.filter(system, y, method="full")
    assert fast.steady_from is not None
    np.testing.assert_allclose(fast.filtered_mean, full.filtered_mean, atol=1e-11)
    eye = np.eye(2)
    as_inputs = LinearSystem(
        A,
        C,
        eye,
        1,
        B=np.hstack([eye, np.zeros((2, 1))]),
        D=[[0, 0, 1]],
        cov0=eye,
    )
    other = lds.filter(as_inputs, y, inputs=np.hstack([c, d]))
    np.testing.assert_allclose(other.filtered_mean, fast.filtered_mean, atol=1e-13)


def test_a_regression_with_changing_coefficients_is_least_squares():
    # Constant coefficients observed through changing rows: recursive least squares.
    rng = np.random.default_rng(3)
    X, beta = rng.standard_normal((200, 1, 3)), np.array([1.0, -2.0, 0.5])
    y = X[:, 0] @ beta + 0.1 * rng.standard_normal(200)
    system = LinearSystem(np.eye(3), X, np.zeros((3, 3)), 0.01, diffuse=True, time_varying=True)
    result = lds.filter(system, y, store=("filtered_mean", "filtered_cov"))
    assert result.n_diffuse == 3
    best, *_ = np.linalg.lstsq(X[:, 0], y, rcond=None)
    np.testing.assert_allclose(result.filtered_mean[-1], best, rtol=1e-10)
    np.testing.assert_allclose(
        result.filtered_cov[-1], 0.01 * np.linalg.inv(X[:, 0].T @ X[:, 0]), rtol=1e-9
    )


@pytest.mark.parametrize("method", ["array", "auto"])
def test_a_wide_start_keeps_its_digits(method):
    system = LinearSystem(
        [[1, 1], [0, 1]], [[1, 0]], np.diag([1e-3, 1e-4]), 1e-3, cov0=1e9 * np.eye(2)
    )
    y = np.random.default_rng(0).standard_normal((6, 1)).cumsum(0)
    want = everything(system, y)
    got = lds.filter(system, y, store=FILTERED, method=method)
    np.testing.assert_allclose(got.filtered_cov.dense(), want["filtered_cov"], rtol=1e-9)
    np.testing.assert_allclose(got.log_likelihood, want["log_likelihood"], rtol=1e-12)


# ---- batches


def test_a_batch_of_systems_is_its_systems_one_by_one():
    rng = np.random.default_rng(0)
    A = rng.uniform(0.2, 0.9, (2, 3, 1, 1))
    Q = rng.uniform(0.5, 2, (3, 1, 1))
    system = LinearSystem(A, 1, Q, 1, B=[[1.0]])
    assert system.batch_shape == (2, 3)
    y, u = rng.standard_normal((3, 50, 1)), rng.standard_normal((50, 1))
    batch = lds.filter(system, y, inputs=u, store=FILTERED)
    smooth = lds.smooth(system, y, inputs=u, store=SMOOTHED)
    for i in np.ndindex(2, 3):
        one = LinearSystem(A[i], 1, Q[i[1]], 1, B=[[1.0]])
        single = lds.filter(one, y[i[1]], inputs=u, store=FILTERED)
        np.testing.assert_array_equal(batch.filtered_mean[i], single.filtered_mean)
        np.testing.assert_array_equal(batch.predicted_cov[i], single.predicted_cov.dense())
        assert batch.log_likelihood[i] == single.log_likelihood
        np.testing.assert_array_equal(
            smooth.smoothed_mean[i], lds.smooth(one, y[i[1]], inputs=u).smoothed_mean
        )
    alone = lds.filter(system, y[0], inputs=u)
    assert alone.filtered_mean.shape == (2, 3, 50, 1)
    np.testing.assert_array_equal(alone.filtered_mean[:, 0], batch.filtered_mean[:, 0])


def test_a_batch_may_mix_starts_and_change_in_time():
    A = np.stack([np.full((9, 1, 1), 0.5), np.ones((9, 1, 1))])
    system = LinearSystem(A[:, :1], 1, 1, 1, time_varying=True)
    assert (system.n_steps, system.batch_shape) == (1, (2,))
    system = LinearSystem(A, 1, 1, 1, diffuse=True, time_varying=True)
    assert (system.n_steps, system.batch_shape) == (9, (2,))
    y = np.arange(9.0)
    both = lds.filter(system, y)
    for i in range(2):
        one = LinearSystem(A[i], 1, 1, 1, diffuse=True, time_varying=True)
        np.testing.assert_array_equal(both.filtered_mean[i], lds.filter(one, y).filtered_mean)
    mixed = LinearSystem(A[:, 0], 1, 1, 1)
    assert mixed.start == "exact diffuse, stationary"
    result = lds.filter(mixed, np.broadcast_to(y[:, None], (2, 9, 1)))
    assert list(result.n_diffuse) == [0, 1]


@pytest.mark.parametrize("workers", [2, 5])
def test_a_batch_gives_the_same_bytes_for_any_workers(workers):
    system = LinearSystem(**draw(4, 2, 1, cross=True))
    y = holes(np.random.default_rng(0), (400, 60, 1), 0.05)
    a, b = (lds.filter(system, y, store=FILTERED, workers=w) for w in (1, workers))
    assert a.filtered_mean.tobytes() == b.filtered_mean.tobytes()
    assert a.predicted_cov.dense().tobytes() == b.predicted_cov.dense().tobytes()
    assert a.log_likelihood.tobytes() == b.log_likelihood.tobytes()


# ---- out, blocks


def test_out_is_filled_and_returned(tmp_path):
    system = LinearSystem(**draw(4, 2, 1))
    y = np.random.default_rng(0).standard_normal((9000, 1))
    want = lds.filter(system, y, store=("filtered_mean", "log_likelihood_terms"))
    file = np.memmap(tmp_path / "means", np.float64, "w+", shape=(9000, 2))
    strided = np.zeros((2, 9000, 2), order="F")[1]
    for out in (file, strided):
        terms = np.empty(9000)
        got = lds.filter(
            system, y, store=(), out={"filtered_mean": out, "log_likelihood_terms": terms}
        )
        assert got.filtered_mean is out
        np.testing.assert_array_equal(out, want.filtered_mean)
        np.testing.assert_array_equal(terms, want.log_likelihood_terms)


@pytest.mark.parametrize("cuts", [(1,), (5000,), (1, 2, 3, 9000), tuple(range(0, 12000, 701))])
def test_blocks_are_the_whole(cuts, tmp_path):
    system = LinearSystem(**draw(7, 2, 1, cross=True, diffuse=1, m=1))
    rng = np.random.default_rng(0)
    y = np.memmap(tmp_path / "y", np.float64, "w+", shape=(12000, 1))
    y[:] = holes(rng, (12000, 1), 0.001)
    u = rng.standard_normal((12000, 1))
    whole = lds.filter(system, y, inputs=u, store=("filtered_mean",))
    pieces = np.split(np.arange(12000), cuts)
    blocks = lds.filter_blocks(
        system, (y[i] for i in pieces), inputs=(u[i] for i in pieces), store=("filtered_mean",)
    )
    results = list(blocks)
    got = np.concatenate([r.filtered_mean for r in results])
    np.testing.assert_allclose(got, whole.filtered_mean, rtol=1e-9, atol=1e-11)
    total = sum(r.log_likelihood for r in results)
    np.testing.assert_allclose(total, whole.log_likelihood, rtol=1e-12)


# ---- bad input


LEVEL = LinearSystem(1, 1, 1, 1)
DRIVEN = LinearSystem(1, 1, 1, 1, B=[[1.0, 2.0]])
CHANGING = LinearSystem(np.ones((5, 1, 1)), 1, 1, 1, diffuse=True, time_varying=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lds.filter(DRIVEN, np.ones(5)), r"^inputs: got None, want shape \(\*batch, 5, 2"),
        (lambda: lds.filter(LEVEL, np.ones(5), inputs=np.ones(5)), r"^inputs: got a value, want"),
        (lambda: lds.filter(DRIVEN, np.ones(5), inputs=np.ones((4, 2))), r"^inputs: got shape"),
        (lambda: lds.filter(DRIVEN, np.ones(1), inputs=[[1, np.nan]]), r"^inputs: got nan"),
        (lambda: lds.filter(CHANGING, np.ones(4)), r"^y: got 4 steps, want 5"),
        (lambda: lds.filter(LEVEL, np.ones(5), out={"x": 1}), r"^out: got 'x'"),
        (
            lambda: lds.filter(LEVEL, np.ones(5), out={"filtered_mean": np.ones((4, 1))}),
            r"^out\['filtered_mean'\]: got shape \(4, 1\)",
        ),
        (
            lambda: lds.filter(LEVEL, np.ones(5), out={"innovations": np.ones((5, 1), "f4")}),
            r"^out\['innovations'\]: .*float32, want a writeable float64",
        ),
        (lambda: list(lds.filter_blocks(CHANGING, [np.ones(5)])), r"^system: .*does not change"),
        (lambda: list(lds.filter_blocks(DRIVEN, [[1.0]], inputs=[])), r"^inputs\[0\]: got None"),
        (lambda: lds.steady_state(CHANGING), r"^system: .*want one system"),
        (
            lambda: LinearSystem(np.ones((5, 1, 1)), np.ones((4, 1, 1)), 1, 1, time_varying=True),
            r"^C: got 4 steps, want 5",
        ),
        (
            lambda: LinearSystem(np.ones((5, 1, 1)), np.ones((4, 1, 1)), 1, 1),
            r"^C: got batch axes \(4,\)",
        ),
        (
            lambda: LinearSystem(np.full((5, 1, 1), 0.5), 1, 1, 1, time_varying=True),
            r"^cov0: got None, want cov0 or diffuse=True, as A changes",
        ),
        (lambda: LinearSystem(1, 1, 1, 1, B=np.ones((2, 1))), r"^B: got shape \(2, 1\)"),
        (
            lambda: LinearSystem(1, 1, 1, 1, B=np.ones((1, 2)), D=np.ones((1, 3))),
            r"^D: got 3 columns, want 2",
        ),
        (lambda: LinearSystem(1, 1, 1, 1, cross_cov=1.5), r"^cross_cov: got noises whose joint"),
        (lambda: LinearSystem(1, 1, 1, 1, cross_cov=[[1, 1]]), r"^cross_cov: got shape"),
        (
            lambda: LinearSystem(np.eye(2), np.ones((1, 2)), np.stack([np.eye(2), -np.eye(2)]), 1),
            r"^Q: got smallest eigenvalue -1 at \(1,\)",
        ),
        (
            lambda: LinearSystem(1, 1, np.r_[np.ones(99), -1].reshape(-1, 1, 1), 1),
            r"^Q: got smallest eigenvalue -1 at \(99,\)",
        ),
        (
            lambda: lds.filter(LinearSystem(np.full((3, 1, 1), 0.5), 1, 1, 1), np.ones((2, 5, 1))),
            r"^y: got batch axes \(2,\)",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
