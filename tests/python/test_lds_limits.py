"""Where float64 ends, and Ctrl-C: never a silent NaN, never a long wait."""

import dataclasses

import numpy as np
import pytest

from eigenflow import lds
from eigenflow.lds import LinearSystem
from reference.lds_joint import everything
from support.interrupts import check_stopped

OUT_OF_RANGE = "(variance|state) that leaves the range|the state leaves the range"
ONES = np.ones(10)
GAP = np.full(3000, np.nan)


@pytest.mark.parametrize("method", ["auto", "full"])
@pytest.mark.parametrize("function", [lds.filter, lds.smooth, lds.log_likelihood])
@pytest.mark.parametrize(
    ("system", "y"),
    [
        (LinearSystem(1e200, 1, 1, 1), ONES),  # A P A' overflows
        (LinearSystem(0.9, 1e200, 1, 1), ONES),  # C P C' overflows
        (LinearSystem(1, 1e-200, 1, 1), ONES),  # the square of what a diffuse start shows is zero
        (LinearSystem(1, 1, 1e308, 1e308), ONES),
        (LinearSystem(3, 1, 1, 1, mean0=0, cov0=1), GAP),  # a variance of 9^t
        (LinearSystem(3, 1, 0, 1, mean0=1, cov0=0), GAP),  # a mean of 3^t
        (LinearSystem(3, 1, 0, 1, diffuse=True), GAP),  # a diffuse direction of length 3^t
        (LinearSystem(0.9, 1, 1, 1), 1.7e308 * (-1.0) ** np.arange(400)),
    ],
)
def test_leaving_the_range_of_float64_is_an_error(function, system, y, method):
    with pytest.raises(ValueError, match=f"^(system|y): got .*({OUT_OF_RANGE})"):
        function(system, y, method=method)


@pytest.mark.parametrize("function", [lds.filter, lds.smooth])
def test_the_series_that_leaves_the_range_is_named(function):
    y = np.stack([ONES, 1.7e308 * (-1) ** np.arange(10)])[..., None]
    with pytest.raises(ValueError, match=r"^y: .*\(series \(1,\)\)$"):
        function(LinearSystem(0.9, 1, 1, 1), y)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
@pytest.mark.parametrize(
    ("function", "store"),
    [
        (lds.filter, ("filtered_mean", "filtered_cov")),
        (lds.smooth, ("smoothed_mean", "smoothed_cov")),
    ],
)
def test_units_near_the_ends_of_the_range_change_nothing(function, store, scale):
    y = np.array([1, np.nan, 2, 1.5] * 9)
    A, C = [[0.9, 0.1], [0, 0.8]], [[1, 1]]

    def run(unit):
        system = LinearSystem(A, C, np.eye(2) * unit, unit)
        result = function(system, y * np.sqrt(unit), store=store)
        mean, cov = (getattr(result, name) for name in store)
        return mean / np.sqrt(unit), cov.dense() / unit

    for got, want in zip(run(scale), run(1.0), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("scale", [1e-108, 1.0, 1e108])
def test_the_dense_gaussian_in_many_digits_at_any_scale(scale):
    rng = np.random.default_rng(0)
    root = rng.standard_normal((2, 2))
    unit = scale**2
    system = LinearSystem(
        [[0.9, 0.3], [-0.2, 0.7]],
        [[1.0, 0.5]],
        unit * root @ root.T,
        unit,
        cov0=3 * unit * np.eye(2),
        mean0=scale * np.ones(2),
    )
    y = scale * rng.standard_normal((30, 1))
    y[[4, 11, 12]] = np.nan
    want = everything(system, y)
    filtered = lds.filter(system, y, store=("filtered_mean", "filtered_cov"))
    smoothed = lds.smooth(system, y, store=("smoothed_mean", "smoothed_cov"))
    for result, name in ((filtered, "filtered"), (smoothed, "smoothed")):
        mean, cov = getattr(result, f"{name}_mean"), getattr(result, f"{name}_cov").dense()
        size = np.sqrt(np.diagonal(want[f"{name}_cov"], axis1=1, axis2=2))
        assert np.max(np.abs(mean - want[f"{name}_mean"]) / size) < 1e-10
        np.testing.assert_allclose(cov / unit, want[f"{name}_cov"] / unit, rtol=1e-10, atol=1e-13)
    assert filtered.log_likelihood == pytest.approx(want["log_likelihood"], rel=1e-10)


@pytest.mark.parametrize(("store", "error"), [(3, TypeError), ((3,), ValueError)])
@pytest.mark.parametrize("function", [lds.filter, lds.smooth])
def test_what_to_store_is_named(function, store, error):
    with pytest.raises(error, match=r"^store: got"):
        function(LinearSystem(1, 1, 1, 1), ONES, store=store)


@pytest.mark.parametrize(
    "call",
    [
        # Nothing is observed of a random walk: many Riccati steps, none of which settles.
        "lds.steady_state(LinearSystem(np.eye(200), np.zeros((1, 200)), np.eye(200), 1))",
        # Too wide for the lanes: one step after the other.
        "lds.log_likelihood(LinearSystem(np.eye(40) / 2, np.ones((1, 40)), np.eye(40), 1), long)",
        # Long before the first gap is found.
        "lds.log_likelihood(LinearSystem(0.5, 1, 1, 1), long)",
        "lds.smooth(LinearSystem(0.5, 1, 1, 1), long[: 1 << 36], store=())",
        "lds.simulate(LinearSystem(half, np.ones((1, 12)), half, 1), 2_000_000, n_series=3)",
        "lds.smooth(LinearSystem(half, np.ones((1, 12)), half, 1), long[:300_000], method='full')",
        "lds.filter(LinearSystem(half, np.ones((1, 12)), half, 1), many, store=())",
        "lds.smooth(LinearSystem(half, np.ones((1, 12)), half, 1), many, store=())",
        "lds.score(LinearSystem(half, np.ones((1, 12)), half, 1), long[:4_000_000])",
        "lds.fit(lds.free_matrices(LinearSystem(half, np.ones((1, 12)), half, 1)), noise)",
    ],
)
def test_ctrl_c_stops_long_calls(call):
    # Each call has work for minutes, except those of 12 states, which have some for seconds.
    code = f"""
import os, signal, threading, numpy as np
from eigenflow import lds
from eigenflow.lds import LinearSystem
long = np.broadcast_to(0.0, (1 << 40, 1))
half = np.eye(12) / 2
many = np.broadcast_to(0.0, (1 << 17, 1000, 1))
noise = np.random.default_rng(0).standard_normal(100_000)
threading.Timer(0.25, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    {call}
except KeyboardInterrupt:
    print("stopped")
"""
    check_stopped(code, timeout=300)


STATE = lds.filter(LinearSystem(0.9, 1, 1, 1), ONES).final_state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": np.array([np.nan])}, r"^state\.mean: got nan"),
        ({"mean": np.zeros(2)}, r"^state\.mean: got shape \(2,\), want one that fits \(1,\)"),
        ({"cov": np.array([[-5.0]])}, r"^state\.cov: got a negative eigenvalue"),
        ({"cov": np.array([[np.inf]])}, r"^state\.cov: got inf"),
        ({"diffuse": np.zeros((3, 1))}, r"^state\.diffuse: got shape \(3, 1\)"),
    ],
)
def test_a_state_made_by_hand_is_checked(change, message):
    with pytest.raises(ValueError, match=message):
        lds.filter(LinearSystem(0.9, 1, 1, 1), ONES, state=dataclasses.replace(STATE, **change))


def test_a_state_of_integers_or_lists_is_read():
    system = LinearSystem(0.9, 1, 1, 1)
    plain = lds.FilterState(np.zeros(1), np.eye(1), np.zeros((1, 0)))
    want = lds.filter(system, ONES, state=plain).filtered_mean
    for state in (
        lds.FilterState(np.zeros(1, int), np.eye(1, dtype=int), np.zeros((1, 0))),
        lds.FilterState([0], [[1]], np.zeros((1, 0))),
    ):
        np.testing.assert_array_equal(lds.filter(system, ONES, state=state).filtered_mean, want)


@pytest.mark.parametrize(("dtype", "kept"), [("<f4", "f4"), (">f4", "f4"), (">f8", "f8")])
def test_float32_is_kept_in_any_byte_order(dtype, kept):
    y = np.arange(8.0).astype(dtype)
    system = LinearSystem(0.9, 1, 1, 1)
    assert lds.filter(system, y).filtered_mean.dtype == np.dtype(kept)
    assert lds.smooth(system, y).smoothed_mean.dtype == np.dtype(kept)
    np.testing.assert_array_equal(y, np.arange(8.0))


@pytest.mark.parametrize("noise", [1.0, 1e20, 1e300])
def test_a_law_far_below_the_steady_one_goes_on_growing_in_a_gap(noise):
    system = LinearSystem(3.0, 1.0, 1.0, noise, mean0=0.0, cov0=1.0)
    found = lds.filter(system, np.full((6, 1), np.nan), store=("predicted_cov",))
    want = [(9.0**t * 9 - 1) / 8 for t in range(6)]
    np.testing.assert_allclose(found.predicted_cov.dense()[:, 0, 0], want, rtol=1e-14)
