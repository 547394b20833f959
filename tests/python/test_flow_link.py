"""The link of coupled flows: beta from the integrated force, held to 30-digit quadrature."""

import mpmath as mp
import numpy as np
import pytest

from eigenflow import _core
from reference.flow_regression import link_integral

EPS = np.finfo(float).eps


def link(v, eigenvalues, b0=None, depth=0, coupling="shared", dtype=float, workers=1):
    rows = [np.atleast_1d(np.asarray(x, dtype)) for x in (v, eigenvalues, 1 if b0 is None else b0)]
    v, lam, b = (x[None] for x in np.broadcast_arrays(*rows))
    out = {name: np.empty(v.shape, dtype) for name in ("beta", "theta", "rate")}
    _core.flow.link(v, lam, b if depth else None, depth, coupling == "separate", out, workers)
    return {name: field[0] for name, field in out.items()}


def problems(depth):
    rng = np.random.default_rng(depth)
    for k in range(9):
        b0 = 10.0 ** rng.uniform(-2, 1)
        lam = 10.0 ** (rng.uniform(-12, 3) if k % 4 else rng.uniform(-60, 0))
        if k % 3 == 0:  # both lengths about equal: the modulus goes to 0
            lam = b0**2 / max(depth, 1) * (1 + [0.0, -1e-9, 0.2][k // 3])
        yield lam, b0, 10.0 ** rng.uniform(-8, 2)


@pytest.mark.parametrize("coupling", ["shared", "separate"])
@pytest.mark.parametrize("depth", [0, 1, 2, 3, 5, 8])
def test_against_many_digits(depth, coupling):
    rate = depth if coupling == "shared" and depth else 1
    seen = 0
    with mp.workdps(30):
        for lam, b0, beta in problems(depth):
            exact, g = link_integral(beta, lam, b0, depth, rate)
            v = float(exact)
            want = mp.mpf(beta) + (mp.mpf(v) - exact) * g
            condition = max(1, float(exact * g / beta))
            if condition > 1e10:  # the blow-up: v has no digits left for beta
                continue
            seen += 1
            got = link(v, lam, b0, depth, coupling)
            assert abs(got["beta"][0] - want) < 40 * EPS * condition * want, (lam, b0, beta)
            theta = want * g
            spread = (want / mp.sqrt(lam + want**2)) ** 2
            if depth:
                spread += depth * rate * want**2 / (mp.mpf(b0) ** 2 + rate * want**2)
            allowed = 40 * EPS * condition * (depth + 2)
            assert abs(got["theta"][0] - theta) < allowed * theta
            # K changes by its own size when beta does.
            assert abs(got["rate"][0] - g**2 * (1 + spread)) < 3 * allowed * g**2 * (1 + spread)
    assert seen > 4


@pytest.mark.parametrize("depth", range(6))
def test_odd_monotone_and_a_saddle_at_zero(depth):
    v = np.linspace(0, 3, 400)
    up, down = link(v, 1e-3, 0.5, depth), link(-v, 1e-3, 0.5, depth)
    for name in ("beta", "theta"):
        np.testing.assert_array_equal(up[name], -down[name])
        finite = up[name][np.isfinite(up[name])]
        assert np.all(np.diff(finite) > 0)
        assert finite[0] == 0
    np.testing.assert_array_equal(up["rate"], down["rate"])
    assert not np.any(np.isnan(np.concatenate(list(up.values()))))
    for lam, b0 in [(0.0, 0.5), (1.0, 0.0)]:
        if depth or lam == 0:
            saddle = link([0.0, 2.0, -1e300], lam, b0, depth)
            assert all(np.all(field == 0) for field in saddle.values())


@pytest.mark.parametrize("depth", range(9))
def test_finite_input_never_gives_nan(depth):
    v = np.array([0, 5e-324, 1e-300, 1e-9, 1, 1e9, 1e300, -1e308])
    for lam in (5e-324, 1e-300, 1e-20, 1.0, 1e6, 1e300):
        for b0 in (1e-200, 1e-3, 1.0, 1e3, 1e100):
            got = link(v, lam, b0, depth)
            assert not np.any(np.isnan(np.concatenate(list(got.values())))), (lam, b0)
            assert np.all(got["beta"][1:-1] >= got["beta"][:-2])


def test_blow_up_is_where_the_whole_integral_is_used_up():
    # lambda = b0^2 / 2 at depth 2: v_max = 1 / b0^2 is elementary.
    last = 1 / 0.5**2
    got = link([last * (1 - 1e-12), last * (1 + 1e-12)], 0.5 * 0.25, 0.5, 2)["beta"]
    assert got[0] == pytest.approx(np.sqrt(0.125 / 2e-12), rel=1e-3)
    assert got[1] == np.inf


def test_float32_is_float64_rounded_and_workers_agree():
    rng = np.random.default_rng(0)
    v, lam = rng.normal(size=5000).astype(np.float32), rng.random(5000).astype(np.float32)
    for depth in (0, 1, 2, 4):
        single = link(v, lam, 0.5, depth, dtype=np.float32)
        double = link(v, lam, 0.5, depth)
        many = link(v, lam, 0.5, depth, workers=3)
        for name, field in double.items():
            with np.errstate(over="ignore"):
                np.testing.assert_array_equal(single[name], field.astype(np.float32))
            np.testing.assert_array_equal(many[name], field)
