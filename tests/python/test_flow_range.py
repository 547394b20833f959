"""Depth 1 to 8 over the whole range of scales, against mpmath.

Each computed theta is put back into the time integral: how far the time there is from the time that
was asked for, times d ln theta / d t, is the relative error. Its unit is eps max(1, K t), K the
last rate of decay.
"""

import mpmath as mp
import numpy as np
import pytest

import eigenflow as ef
from reference import flow as truth

EPS = np.finfo(float).eps
COUPLINGS = ["shared", "separate"]

TINY = [  # eigenvalue, z, b0, t: far below the other scales, before and after the escape
    (1e-290, 1e-5, 1.0, 1e3),
    (1e-300, 0.3, 0.5, 1e3),
    (1e-300, 0.3, 0.5, 1e4),
    (1e-300, 1e6, 1e-3, 0.35),
    (1e-300, 1e6, 1e3, 1e-7),
    (1e-200, 1e-300, 1e3, 1e12),
    (1e-9, 1e-300, 1.0, 1e9),
    (1e-300, 1e-12, 1e3, 1e10),
    (1e-99, 0.5, 0.7, 900.0),
]


def errors(got, case, depth, coupling):
    """Errors of the fields of one state, in units of eps max(1, K t)."""
    lam, z, b0, t = (mp.mpf(float(x)) for x in case)
    deep = truth.Deep(z, lam, b0, depth, coupling)
    unit = EPS * max(1, deep.last_rate() * t)
    residual, theta = mp.mpf(float(got.residual)), mp.mpf(float(got.theta))
    late = residual < z / 2
    if residual <= z * mp.mpf(10) ** -18:  # at the end to round-off
        assert deep.last_rate() * t > 30
        return [abs(theta / z - 1) / unit]
    exact = z - residual if late else theta
    beta = deep.beta_of(exact)
    late_by = t - deep.time_of(beta)
    rate = deep.k(beta)
    found = [late_by * rate * (1 if late else (z - exact) / exact)]
    at_t = {  # first-order change from where the integral was taken to the time asked for
        "theta": (exact, rate * (z - exact) / exact),
        "beta": (beta, deep.g(beta) * (z - exact) / beta),
    }
    for name, (value, slope) in at_t.items():
        found.append(mp.mpf(float(getattr(got, name))) / value - 1 - slope * late_by)
    return [abs(e) / unit for e in found]


def draws(n, seed):
    """Yield problems and times over the whole box; half of the times are near the escape."""
    rng = np.random.default_rng(seed)
    while n:
        lam, b0 = 10.0 ** rng.uniform(-300, 6), 10.0 ** rng.uniform(-3, 3)
        z = 10.0 ** (rng.uniform(-300, 6) if n % 3 == 0 else rng.uniform(-4, 6))
        depth, coupling = int(rng.integers(1, 9)), COUPLINGS[int(rng.integers(2))]
        t = 10.0 ** rng.uniform(-12, 12)
        if n % 2:
            t = ef.flow.hitting_time(rng.random(), z, lam, depth=depth, b0=b0, coupling=coupling)
        got = ef.flow.state(z, lam, t, depth=depth, b0=b0, coupling=coupling)
        if 1e-12 < t < 1e12 and got.theta > 1e-306:
            n -= 1
            yield (lam, z, b0, t), depth, coupling, got


def test_random_problems_over_the_whole_range():
    with mp.workdps(30):
        for case, depth, coupling, got in draws(20, 1):
            assert max(errors(got, case, depth, coupling)) < 20, (case, depth, coupling)


@pytest.mark.parametrize("depth", [1, 2, 8])
def test_eigenvalues_and_observations_far_below_the_rest(depth):
    with mp.workdps(30):
        for case in TINY:
            lam, z, b0, t = case
            got = ef.flow.state(z, lam, t, depth=depth, b0=b0)
            if got.theta > 1e-306:
                assert max(errors(got, case, depth, "shared")) < 20, case
            assert ef.flow.solve(-z, lam, t, depth=depth, b0=b0) == -got.theta


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_hitting_times_far_below_the_rest(depth):
    with mp.workdps(30):
        for lam, z, b0, _ in TINY[::2]:
            deep = truth.Deep(z, lam, b0, depth)
            for fraction in (1e-120, 0.3):
                want = deep.time_of(deep.beta_at(fraction))
                got = ef.flow.hitting_time(fraction, z, lam, depth=depth, b0=b0)
                assert abs(got - want) < 30 * EPS * want, (lam, z, b0, fraction)


def test_a_known_value_before_the_escape():
    """Found wrong once: 1e-282 where 1e-292 is right."""
    theta = ef.flow.solve(1e-5, 1e-290, 1e3, depth=1, b0=1.0)
    assert theta == pytest.approx(1e-290 * np.sinh(0.02) / 2, rel=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_theta_grows_through_all_switches_of_the_form(depth):
    """From the closed form of the start to the march, and over the eigenvalue that is raised."""
    z, b0 = 0.4, 0.6
    t = np.linspace(1, ef.flow.hitting_time(0.9, z, 1e-280, depth=depth, b0=b0), 4001)
    log_theta = np.log(ef.flow.solve(z, 1e-280, t, depth=depth, b0=b0))
    steps = np.diff(log_theta)
    assert np.all(steps > 0)
    bends = np.diff(steps)[200:3400]  # exponential growth, which the switch does not disturb
    assert np.all(np.abs(bends) <= 1e-10)
    lam = np.geomspace(1e-104, 1e-96, 4001)
    theta = ef.flow.solve(z, lam, 300.0, depth=depth, b0=b0)
    assert np.all(np.diff(theta) > 0)


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_learned_eigenvalues_of_tiny_states(coupling):
    with mp.workdps(40):
        for lam, z, b0 in [(1e-300, 1e-300, 1.0), (1e-300, 1e-20, 0.1), (1e-9, 1e-250, 3.0)]:
            deep = truth.Deep(z, lam, b0, 2, coupling)
            want = float(deep.g(deep.beta_of(deep.z)) ** 2)
            got = ef.flow.learned_eigenvalues(-z, lam, depth=2, b0=b0, coupling=coupling)
            assert got == pytest.approx(want, rel=1e-14)
