"""Inequalities that Li and Lin (arXiv 2409.00894) prove along the path, for z > 0.

D is the depth; b is one shared factor. The constants are the paper's.
"""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import eigenflow as ef

SLACK = 1 + 1e-9

depths = st.integers(1, 8)


def powers_of_ten(low, high):
    return st.floats(low, high).map(lambda e: 10.0**e)


lams, b0s, zs = powers_of_ten(-8, 1), powers_of_ten(-1.5, 0.5), powers_of_ten(-3, 1)
many = settings(max_examples=300, deadline=None)


def noise_times(z, lam, b0, depth):
    """T1 and T2 of Lemma D.2: until the lesser of them nothing has grown."""
    c = 2 ** ((depth + 1) / 2)
    return 1 / (c * b0**depth * z), 1 / (c * np.sqrt(depth * lam) * b0 ** (depth - 1) * z)


@many
@given(z=zs, lam=lams, b0=b0s, depth=depths, part=st.floats(0, 1))
def test_noise_grows_linearly_at_first(z, lam, b0, depth, part):
    t = part * min(noise_times(z, lam, b0, depth))
    s = ef.flow.state(z, lam, t, depth=depth, b0=b0)
    c = 2 ** ((depth + 1) / 2)
    assert s.beta <= c * np.sqrt(lam) * b0**depth * z * t * SLACK
    assert s.theta <= c**2 * lam * b0 ** (2 * depth) * z * t * SLACK


@many
@given(z=zs, lam=lams, b0=b0s, depth=depths, part=st.floats(0, 1))
def test_noise_then_grows_exponentially_at_most(z, lam, b0, depth, part):
    assume(np.sqrt(lam) <= b0 / np.sqrt(depth))
    first, _ = noise_times(z, lam, b0, depth)
    t = part * (1 + np.log(b0 / np.sqrt(depth * lam))) * first
    s = ef.flow.state(z, lam, t, depth=depth, b0=b0)
    c, late = 2 ** ((depth + 1) / 2), max(t - first, 0)
    assert s.beta <= np.sqrt(lam) * np.exp(c * b0**depth * z * late) * SLACK
    assert s.theta <= c * lam * b0**depth * np.exp(2 * c * b0**depth * z * late) * SLACK


def signal_time_bound(z, lam, b0, depth):
    """Lemma D.3: the time by which theta has reached z / 2."""
    if np.sqrt(lam) <= b0 / np.sqrt(depth):
        goal = (depth ** (-depth / 2) * z / 2) ** (1 / (depth + 2))
        return 2 / (b0**depth * z) * (1 + max(np.log(goal / np.sqrt(lam)), 0))
    wait = np.log((depth * z / 2) ** (1 / (depth + 2)) / b0) if depth == 1 else 1 / (depth - 1)
    return 2 / (np.sqrt(depth * lam) * b0 ** (depth - 1) * z) * (1 + max(wait, 0))


@many
@given(z=zs, lam=lams, b0=b0s, depth=depths, wait=st.floats(0, 20))
def test_signals_are_half_fitted_in_time_and_then_decay(z, lam, b0, depth, wait):
    half = ef.flow.hitting_time(0.5, z, lam, depth=depth, b0=b0)
    assert half <= signal_time_bound(z, lam, b0, depth) * SLACK
    rate = depth ** (depth / (depth + 2)) * z ** ((2 * depth + 2) / (depth + 2)) / 4
    later = wait / rate
    residual = ef.flow.state(z, lam, half + later, depth=depth, b0=b0).residual
    # The time is known to eps, and a decay at the last rate multiplies that.
    rounding = 1e-14 * (depth + 2) * ef.flow.learned_eigenvalues(z, lam, depth=depth, b0=b0)
    assert residual <= z / 2 * np.exp(-rate * later) * (1 + 1e-9 + rounding * (half + later))


@many
@given(z=zs, lam=lams, b0=b0s, depth=depths, t=powers_of_ten(-3, 6))
def test_factors_are_as_large_as_their_larger_part(z, lam, b0, depth, t):
    s = ef.flow.state(z, lam, t, depth=depth, b0=b0)
    for factor, start, grown in (
        (s.a, np.sqrt(lam), s.beta),
        (s.b, b0, np.sqrt(depth) * s.beta),
    ):
        assert factor * SLACK >= max(start, grown)
        assert factor <= np.sqrt(2) * max(start, grown) * SLACK


@many
@given(z=zs, lam=lams, t=powers_of_ten(-3, 6))
def test_depth_0_bounds_and_the_surrogate(z, lam, t):
    """beta^2 <= theta <= a^2, and Lemma D.1 with the flow of rate lambda + 2 theta."""
    s = ef.flow.state(z, lam, t)
    assert s.beta**2 <= s.theta * SLACK
    assert s.theta <= s.a**2 * SLACK

    def surrogate(time):
        # z lambda (E - 1) / (2 z + lambda E), E = exp((2 z + lambda) time), divided by E.
        decay = np.exp(-(2 * z + lam) * time)
        return z * lam * (1 - decay) / (2 * z * decay + lam)

    assert surrogate(t / np.sqrt(2)) <= s.theta * SLACK
    assert s.theta <= surrogate(t) * SLACK


@many
@given(z=zs, lam=lams, b0=b0s, depth=st.integers(0, 8), start=powers_of_ten(-3, 4))
def test_the_path_is_monotone(z, lam, b0, depth, start):
    times = start * np.array([0, 0.5, 1, 2, 10, np.inf])
    s = ef.flow.state(z, lam, times, depth=depth, b0=b0 if depth else None)
    for grown in (s.theta, -s.residual, s.beta, s.learned_eigenvalues):
        assert np.all(np.diff(grown) >= -1e-13 * np.abs(grown[1:]))
    assert np.all((s.theta >= 0) & (s.theta <= z))


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_eigenvalues_of_signals_grow_and_of_noise_stay(depth):
    """Proposition 3.4, in the square root a b^D of the learned eigenvalue, at the universal time.

    Signals above 2 eps ln(1 / eps) reach |signal|^((D + 1) / (D + 2)); noise stays at the order of
    sqrt(eigenvalue) eps^(D / (D + 2)), where it started.
    """
    eps, n = 1e-4, 400
    rng = np.random.default_rng(depth)
    choice = ef.flow.universal_choice(eps**2, depth=depth)
    lam = eps ** (2 / (depth + 2)) * np.arange(1.0, n + 1) ** -1.5
    signal = np.zeros(n)
    signal[::4] = np.geomspace(2 * eps * np.log(1 / eps), 1, n // 4)
    z = signal + eps * rng.uniform(-1, 1, n)
    s = ef.flow.state(z, lam, choice.time, depth=depth, b0=choice.b0)
    learned, loud = np.sqrt(s.learned_eigenvalues), signal > 0
    assert np.all(learned[loud] >= 0.5 * signal[loud] ** ((depth + 1) / (depth + 2)))
    started = np.sqrt(lam) * eps ** (depth / (depth + 2))
    assert np.all(learned[~loud] <= 4 * started[~loud])
    assert learned[loud].min() > learned[~loud].max()
    # Clear signals are learned in their own order, the reverse of the one they began in.
    clear = np.flatnonzero(signal > 8 * eps * np.log(1 / eps))
    clear = clear[np.argsort(z[clear])]
    assert np.all(np.diff(learned[clear]) > 0)
    assert np.all(np.diff(lam[clear]) < 0)
