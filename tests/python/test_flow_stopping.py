"""Stopping times: where the criterion says, at the ends, and in batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eigenflow as ef

OPTIONS = [{}, {"depth": 1, "b0": 0.3}, {"depth": 2, "b0": 0.4, "coupling": "separate"}]


def observed(n=400, seed=0, sigma=0.05):
    rng = np.random.default_rng(seed)
    signal = np.arange(1.0, n + 1) ** -1.0
    signal[::2] = 0
    return signal, signal + sigma * rng.normal(size=n), np.arange(1.0, n + 1) ** -1.5, sigma**2


@pytest.mark.parametrize("options", OPTIONS)
def test_sure_is_least_at_its_stopping_time(options):
    for seed in range(3):
        _, z, lam, variance = observed(seed=seed)
        t = ef.flow.stopping_time(z, lam, variance, **options)
        least = ef.flow.sure(z, lam, t, variance, **options)
        dense = ef.flow.sure(z, lam, np.geomspace(1e-3, 1e6, 4000), variance, **options)
        assert least <= dense.min() + 1e-9
        assert least <= ef.flow.sure(z, lam, [0.0, np.inf], variance, **options).min()


def test_stopping_by_sure_is_close_to_the_oracle():
    signal, z, lam, variance = observed(n=4000)
    t = ef.flow.stopping_time(z, lam, variance)
    times = np.geomspace(0.1, 1e4, 300)
    loss = np.sum((ef.flow.solve(z, lam, times) - signal) ** 2, axis=1)
    at_t = np.sum((ef.flow.solve(z, lam, t) - signal) ** 2)
    assert at_t < 1.2 * loss.min()
    assert at_t < 0.3 * min(loss[0], loss[-1])


@pytest.mark.parametrize("options", OPTIONS)
def test_sure_at_the_ends(options):
    z = np.array([0.5, -0.3, 0.1])
    assert ef.flow.stopping_time(z, 0.1, 1.0, **options) == 0
    assert ef.flow.stopping_time(z, 0.0, 0.01, **options) == 0
    assert ef.flow.stopping_time([], 0.1, 1.0, **options) == 0
    loud = ef.flow.stopping_time(100 * z, 0.1, 1e-6, **options)
    best = ef.flow.sure(100 * z, 0.1, loud, 1e-6, **options)
    assert best <= ef.flow.sure(100 * z, 0.1, np.inf, 1e-6, **options)
    silent = ef.flow.stopping_time(z, 0.1, 0.0, **options)
    assert ef.flow.sure(z, 0.1, silent, 0.0, **options) <= 1e-12


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 30),
    noise=st.floats(1e-6, 3),
    tau=st.floats(0.1, 2),
    options=st.sampled_from(OPTIONS),
)
def test_the_discrepancy_is_met_first_at_its_stopping_time(seed, n, noise, tau, options):
    rng = np.random.default_rng(seed)
    z, lam = rng.normal(size=n), 10.0 ** rng.uniform(-8, 1, n)
    t = ef.flow.stopping_time(z, lam, noise, "discrepancy", tau=tau, **options)
    target = tau**2 * n * noise

    def misfit(time):
        return np.sum(ef.flow.state(z, lam, time, **options).residual ** 2)

    if t == 0:
        assert np.sum(z**2) <= target
    else:
        assert misfit(t * (1 + 1e-8)) <= target * (1 + 1e-12)
        assert misfit(t * (1 - 1e-8)) >= target * (1 - 1e-12)


def test_discrepancy_at_the_ends():
    stop = ef.flow.stopping_time
    assert stop([0.1, 0.2], 1.0, 1.0, "discrepancy") == 0
    assert stop([], 1.0, 1.0, "discrepancy") == 0
    assert stop([0.0, 0.0], 1.0, 0.0, "discrepancy") == 0
    assert stop([1.0, 0.2], 1.0, 0.0, "discrepancy") == np.inf
    assert stop([1.0, 0.2], [0.0, 1.0], 0.01, "discrepancy") == np.inf
    assert stop([1.0, 0.2], 1.0, 0.01, "discrepancy", depth=1, b0=0.0) == np.inf
    one = stop(1.0, 1.0, 0.25, "discrepancy")
    assert one == pytest.approx(ef.flow.hitting_time(0.5, 1.0, 1.0), rel=1e-9)
    slow = stop(1e-3, 1e-9, 1e-7, "discrepancy")
    want = ef.flow.hitting_time(1 - np.sqrt(1e-7) / 1e-3, 1e-3, 1e-9)
    assert slow == pytest.approx(want, rel=1e-8)


@pytest.mark.parametrize("rule", ["sure", "discrepancy", "universal"])
def test_batches_stop_one_by_one(rule):
    _, z, lam, variance = observed(n=60)
    z = np.stack([z, 2 * z, -z]).reshape(3, 1, 60)
    noise = variance * np.array([1.0, 4.0, 1.0])[:, None, None]
    runs = [
        ef.flow.stopping_time(z, lam, noise, rule, axis=-1, depth=1, b0=0.3, workers=w)
        for w in (1, 3)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert runs[0].shape == (3, 1)
    assert runs[0][0] == runs[0][2]
    for i in range(3):
        alone = ef.flow.stopping_time(z[i, 0], lam, noise[i, 0, 0], rule, depth=1, b0=0.3)
        assert runs[0][i, 0] == alone
        assert isinstance(alone, float)


@pytest.mark.parametrize("depth", range(9))
def test_the_universal_choice_balances(depth):
    """In units of the noise, b0^(depth + 2) = eps and b0^depth t = 1 / eps."""
    eps = np.array([1e-3, 0.2])
    choice = ef.flow.universal_choice(eps**2, depth=depth)
    b0 = np.ones(2) if choice.b0 is None else choice.b0
    np.testing.assert_allclose(b0**depth * choice.time, 1 / eps, rtol=1e-12)
    if depth:
        np.testing.assert_allclose(b0 ** (depth + 2), eps, rtol=1e-12)
    b0 = None if depth == 0 else choice.b0[0]
    stop = ef.flow.stopping_time(np.ones(4), 1.0, 1e-6, "universal", depth=depth, b0=b0)
    assert stop == pytest.approx(choice.time[0], rel=1e-12)


def test_universal_values_of_the_paper():
    n = 2000
    assert ef.flow.universal_choice(1 / n).time == pytest.approx(n**0.5)
    assert ef.flow.universal_choice(1 / n).b0 is None
    assert ef.flow.universal_choice(1 / n, depth=1).time == pytest.approx(n ** (2 / 3))
    assert ef.flow.universal_choice(1 / n, depth=2).time == pytest.approx(n**0.75)
    assert ef.flow.universal_choice(1 / n, depth=1).b0 == pytest.approx(n ** (-1 / 6))
    assert ef.flow.stopping_time([1.0], 1.0, 0.0, "universal") == np.inf


@pytest.mark.parametrize("rule", ["sure", "discrepancy", "universal"])
@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1e12, 1e150])
def test_extremes_are_numbers(rule, scale):
    z = scale * np.array([1.0, -0.5, 0.1, 0.0])
    for lam in (1e-300, 1e-12, 1.0, 1e12):
        for noise in (1e-4 * scale**2, 1e-4):
            assert ef.flow.stopping_time(z, lam, noise, rule) >= 0


CALLS = [
    (lambda: ef.flow.stopping_time(1.0, 1.0, 1.0, "aic"), "rule: got 'aic'"),
    (lambda: ef.flow.stopping_time(1.0, 1.0, -1.0), "noise_variance: got -1.0"),
    (lambda: ef.flow.stopping_time(1.0, 1.0, 1.0, tau=0.0), "tau: got 0.0"),
    (lambda: ef.flow.stopping_time(1.0, 1.0, 1.0, points_per_decade="x"), "points_per_decade: got"),
    (lambda: ef.flow.stopping_time(1.0, 1.0, 1.0, axis=2), "axis: got 2"),
    (lambda: ef.flow.stopping_time(np.nan, 1.0, 1.0), "z: got nan"),
    (lambda: ef.flow.stopping_time(1.0, 1.0, 1.0, depth=1), "b0: got None at depth 1"),
    (lambda: ef.flow.universal_choice(0.0), "noise_variance: got 0.0"),
    (lambda: ef.flow.universal_choice(1.0, depth=9), "depth: got 9"),
]


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_errors_name_the_argument(call, message):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert str(error.value).startswith(message)
