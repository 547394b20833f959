"""Risks and stopping times of coordinates on threads that act as ranks."""

import numpy as np
import pytest

import eigenflow as ef
from support.ranks import cut, on_ranks, same_error, succeed

SIZES = [[50, 30, 20], [0, 97, 3], [1, 98, 0, 1], [100]]
TIMES = np.array([0.5, 2.0, 8.0, np.inf])


def coordinates(sizes):
    rng = np.random.default_rng(0)
    n = sum(sizes)
    z = np.arange(1.0, n + 1) ** -0.5 + 0.2 * rng.standard_normal(n)
    return z, rng.random(n), np.where(np.arange(n) % 3, 0.04, 0.02)


def spread(sizes, call):
    """What `call(comm, z, eigenvalues, variance)` returns on ranks with these blocks; all alike."""
    parts = [cut(a, sizes) for a in coordinates(sizes)]
    results = succeed(len(sizes), lambda c: call(c, *(part[c.rank] for part in parts)))
    for other in results[1:]:
        assert np.asarray(other).tobytes() == np.asarray(results[0]).tobytes()
    return results[0]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("flow", [{}, {"depth": 2, "b0": 0.3}, {"depth": 1, "b0": 0.3}])
@pytest.mark.parametrize("name", ["sure", "expected_risk"])
def test_risks_are_sums_over_ranks(name, flow, sizes):
    z, values, variance = coordinates(sizes)
    ours, plain = getattr(ef.mpi, name), getattr(ef.flow, name)
    times = TIMES if name == "sure" else TIMES[:3].reshape(3, 1)
    got = spread(sizes, lambda c, z, l, v: ours(z, l, times, v, comm=c, **flow))
    want = plain(z, values, times, variance, **flow)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-12)
    one = spread(sizes, lambda c, z, l, v: ours(z, l, 2.0, 0.04, comm=c, **flow))
    assert isinstance(one, float)
    assert one == pytest.approx(plain(z, values, 2.0, 0.04, **flow), rel=1e-7)


@pytest.mark.parametrize("sizes", [*SIZES, [0, 0]])
@pytest.mark.parametrize("flow", [{}, {"depth": 1, "b0": 0.3}])
@pytest.mark.parametrize("rule", ["sure", "discrepancy", "universal"])
def test_stopping_times(rule, flow, sizes):
    z, values, variance = coordinates(sizes)
    got = spread(sizes, lambda c, z, l, v: ef.mpi.stopping_time(z, l, v, rule, comm=c, **flow))
    assert isinstance(got, float)
    want = ef.flow.stopping_time(z, values, variance, rule, **flow)
    assert got == pytest.approx(want, rel=1e-5)


def test_settings_of_the_rules():
    def run(**settings):
        return spread([60, 40], lambda c, *a: ef.mpi.stopping_time(*a, comm=c, **settings))

    z, values, variance = coordinates([100])
    for settings in ({"points_per_decade": 3}, {"rule": "discrepancy", "tau": 1.2}):
        want = ef.flow.stopping_time(z, values, variance, **settings)
        assert run(**settings) == pytest.approx(want, rel=1e-5)


def test_errors_reach_all_ranks():
    def bad(comm):
        return np.array([1.0, np.nan if comm.rank else 2.0])

    for call, name in [
        (lambda c: ef.mpi.sure(bad(c), 1.0, 1.0, 0.1, comm=c), "z_local"),
        (lambda c: ef.mpi.expected_risk(bad(c), 1.0, 1.0, 0.1, comm=c), "signal_local"),
        (lambda c: ef.mpi.stopping_time(bad(c), 1.0, 0.1, comm=c), "z_local"),
        (lambda c: ef.mpi.sure([1.0, 2.0], bad(c), 1.0, 0.1, comm=c), "eigenvalues_local"),
    ]:
        text = same_error(on_ranks(2, call), ValueError, f"{name}: got nan at position 1")
        assert text.endswith("(on rank 1 of 2)")
    z = np.ones(3)
    same_error(
        on_ranks(2, lambda c: ef.mpi.sure(z, 1.0, [1.0] * (1 + c.rank), 0.1, comm=c)),
        ValueError,
        "times: got 1 on rank 0 and 2 on rank 1",
    )
    rules = ("sure", "universal")
    same_error(
        on_ranks(2, lambda c: ef.mpi.stopping_time(z, 1.0, 0.1, rules[c.rank], comm=c)),
        ValueError,
        "rule: got 0 on rank 0 and 2 on rank 1, want one rule on every rank",
    )
    same_error(
        on_ranks(2, lambda c: ef.mpi.stopping_time(z, 1.0, 0.1, "no", comm=c)),
        ValueError,
        "rule: got 'no'",
    )
