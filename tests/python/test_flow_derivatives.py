"""Derivatives of the flow as users see them: against many digits, by duality, in any shape."""

import tracemalloc

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eigenflow as ef
from eigenflow import _blocks
from reference import flow as truth

NAMES = ("z", "eigenvalues", "b0", "times")
OPTIONS = [{}, {"depth": 1}, {"depth": 3, "coupling": "separate"}]


def flow(arguments, **options):
    """Evaluate theta at a dictionary of arguments."""
    b0 = arguments["b0"] if options.get("depth") else None
    return ef.flow.solve(
        arguments["z"], arguments["eigenvalues"], arguments["times"], b0=b0, **options
    )


def call(function, arguments, *rest, **options):
    """Call a derivative function at a dictionary of arguments."""
    given_b0 = {"b0": arguments["b0"]} if options.get("depth") else {}
    return function(
        arguments["z"], arguments["eigenvalues"], arguments["times"], *rest, **given_b0, **options
    )


def test_depth_0_against_fifty_digits():
    with mp.workdps(50):
        h = mp.mpf(10) ** -20
        for z, lam, t in [(0.5, 1e-4, 12.0), (-2.0, 0.3, 0.7), (1e-3, 1e-2, 300.0)]:
            point = [mp.mpf(z), mp.mpf(lam), mp.mpf(t)]
            got = ef.flow.derivatives(z, lam, t)
            for i, name in enumerate(("z", "eigenvalues", "times")):
                up, down = list(point), list(point)
                up[i] *= 1 + h
                down[i] *= 1 - h
                slope = (truth.closed_form(*up) - truth.closed_form(*down)) / (2 * h * point[i])
                assert getattr(got, name) == pytest.approx(float(slope), rel=1e-13)
            assert got.theta == pytest.approx(float(truth.closed_form(z, lam, t)), rel=1e-14)


@pytest.mark.parametrize("coupling", ["shared", "separate"])
def test_depth_2_against_fifty_digits(coupling):
    with mp.workdps(50):
        deep = truth.Deep(0.8, 1e-3, 0.4, 2, coupling)
        beta = deep.beta_at(mp.mpf("0.6"))
        t, h = float(deep.time_of(beta)), mp.mpf(10) ** -16
        got = ef.flow.derivatives(0.8, 1e-3, t, depth=2, b0=0.4, coupling=coupling)
        for name, attribute in (("z", "z"), ("eigenvalues", "lam"), ("b0", "b0")):
            want = float(deep.parameter_derivative(attribute, beta, h))
            assert getattr(got, name) == pytest.approx(want, rel=1e-12)
        want = float(deep.k(beta) * (deep.z - beta * deep.g(beta)))
        assert got.times == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_only_what_is_wanted(options):
    rng = np.random.default_rng(0)
    point = {"z": rng.normal(size=7), "eigenvalues": 0.1, "b0": 0.5, "times": [1.0, 4.0]}
    everything = call(ef.flow.derivatives, point, **options)
    assert (everything.b0 is None) == (not options)
    for name in NAMES:
        d = call(ef.flow.derivatives, point, wrt=(name,), **options)
        g = call(ef.flow.vjp, point, np.ones((2, 7)), wrt=(name,), **options)
        for other in NAMES:
            wanted = other == name and (name != "b0" or bool(options))
            assert (getattr(d, other) is not None) == wanted
            assert (getattr(g, other) is not None) == wanted
        if getattr(d, name) is not None:
            np.testing.assert_array_equal(getattr(d, name), getattr(everything, name))
            assert getattr(d, name).shape == (2, 7)


sizes = st.floats(1e-3, 3)


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.sampled_from(
        [
            ((), (), (), ()),
            ((5,), (), (5,), (2,)),
            ((3, 1), (4,), (3, 4), (2, 3)),
            ((4,), (2, 1, 1), (1, 3, 1), ()),
            ((1,), (6,), (), (1,)),
        ]
    ),
    seed=st.integers(0, 2**32 - 1),
    depth=st.integers(0, 4),
    coupling=st.sampled_from(["shared", "separate"]),
)
def test_forward_and_reverse_are_adjoint(shapes, seed, depth, coupling):
    """<g, J v> = <J^T g, v>, and J v is the slope along v."""
    rng = np.random.default_rng(seed)
    point = {name: rng.uniform(0.1, 2, s) for name, s in zip(NAMES, shapes, strict=True)}
    point["z"] = point["z"] * rng.choice([-1, 1])
    names = NAMES if depth else ("z", "eigenvalues", "times")
    v = {name: rng.normal(size=np.shape(point[name])) for name in names}
    options = {"depth": depth, "coupling": coupling}
    theta, slope = call(ef.flow.jvp, point, v, **options)
    np.testing.assert_allclose(theta, flow(point, **options), rtol=1e-15)
    g = rng.normal(size=theta.shape)
    gradients = call(ef.flow.vjp, point, g, **options)
    terms = [getattr(gradients, name) * v[name] for name in names]
    size = sum(np.sum(np.abs(t)) for t in terms) + np.sum(np.abs(g * slope))
    assert abs(sum(np.sum(t) for t in terms) - np.sum(g * slope)) <= 1e-13 * size
    for name in names:
        assert getattr(gradients, name).shape == np.shape(point[name])
    h = 1e-6
    up, down = ({k: x + s * h * v[k] if k in v else x for k, x in point.items()} for s in (1, -1))
    if all(np.all(p[k] >= 0) for p in (up, down) for k in ("eigenvalues", "b0", "times")):
        difference = (flow(up, **options) - flow(down, **options)) / (2 * h)
        np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(
    z=st.floats(-10, 10),
    lam=st.floats(1e-6, 10),
    b0=st.floats(0.1, 3),
    t=st.floats(0, 10),
    depth=st.integers(1, 8),
)
def test_the_direction_of_the_scaling_symmetry(z, lam, b0, t, depth):
    """Along z (D + 2), 2 lambda, b0, -(2 D + 2) t the flow changes by (D + 2) theta."""
    tangents = {
        "z": (depth + 2) * z,
        "eigenvalues": 2 * lam,
        "b0": b0,
        "times": -(2 * depth + 2) * t,
    }
    theta, slope = ef.flow.jvp(z, lam, t, tangents, depth=depth, b0=b0)
    d = ef.flow.derivatives(z, lam, t, depth=depth, b0=b0)
    size = sum(abs(getattr(d, name) * tangent) for name, tangent in tangents.items())
    learned = ef.flow.learned_eigenvalues(z, lam, depth=depth, b0=b0)
    rate = (depth + 2) * learned * t
    assert abs(slope - (depth + 2) * theta) <= 1e-14 * max(1, rate) * size + 1e-300


@pytest.mark.parametrize("options", OPTIONS)
def test_saddles_zeros_and_the_ends_of_time(options):
    z, lam = np.array([0.0, 0.5, 0.5]), np.array([0.2, 0.0, 0.2])
    point = {"z": z, "eigenvalues": lam, "b0": 0.6, "times": [0.0, 2.0, np.inf]}
    d = call(ef.flow.derivatives, point, **options)
    power = 0.6 ** options.get("depth", 0)
    rate = 0.2 * power**2
    np.testing.assert_allclose(d.z[:, 0], [0, 1 - np.exp(-2 * rate), 1], rtol=1e-14)
    np.testing.assert_array_equal(d.z[:, 1], 0)
    np.testing.assert_allclose(d.eigenvalues[1, 1], power * np.sinh(2 * power) / 2, rtol=1e-13)
    np.testing.assert_allclose(d.times[0], lam * power**2 * z, rtol=1e-14)
    np.testing.assert_array_equal(d.times[2], 0)
    np.testing.assert_array_equal(d.z[2, 2], 1)
    _, slope = call(ef.flow.jvp, point, {"z": [1.0, 2.0, 3.0]}, **options)
    np.testing.assert_array_equal(slope, d.z * [1, 2, 3])


@pytest.mark.parametrize("options", OPTIONS)
def test_blocks_are_cut_anywhere_and_sums_do_not_notice(options, monkeypatch):
    rng = np.random.default_rng(1)
    point = {
        "z": rng.normal(size=(3, 1, 50)),
        "eigenvalues": rng.random((4, 1)),
        "b0": np.float64(0.5),
        "times": rng.random((2, 9)),
    }
    v = {name: rng.normal(size=np.shape(x)) for name, x in point.items() if name != "b0"}
    g = rng.normal(size=(2, 9, 3, 4, 50))
    d = call(ef.flow.derivatives, point, **options)
    want = {
        "z": np.sum(g * d.z, axis=(0, 1, 3))[:, None],
        "eigenvalues": np.sum(g * d.eigenvalues, axis=(0, 1, 2, 4))[:, None],
        "times": np.sum(g * d.times, axis=(2, 3, 4)),
        "b0": np.sum(g * d.b0) if options else None,
    }
    slopes = call(ef.flow.jvp, point, v, **options)
    for block in (_blocks.BLOCK, 1000, 64, 16):
        monkeypatch.setattr(_blocks, "BLOCK", block)
        runs = [call(ef.flow.vjp, point, g, workers=w, **options) for w in (1, 3)]
        for name, value in want.items():
            if value is None:
                continue
            np.testing.assert_allclose(getattr(runs[0], name), value, rtol=1e-12, atol=1e-12)
            np.testing.assert_array_equal(getattr(runs[0], name), getattr(runs[1], name))
        for got, one in zip(call(ef.flow.jvp, point, v, **options), slopes, strict=True):
            np.testing.assert_array_equal(got, one)


def test_memory_stays_bounded():
    n, t = 20_000, np.linspace(0.1, 5, 100)
    z, lam = np.linspace(-1, 1, n), np.full(n, 0.1)
    g = np.broadcast_to(1.0, (100, n))
    tracemalloc.start()
    try:
        gradients = ef.flow.vjp(z, lam, t, g)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert gradients.z.nbytes <= held
    assert peak - held < 8 << 20


@pytest.mark.parametrize("options", OPTIONS)
def test_types_and_empty(options):
    z = np.array([0.5, -0.3], np.float32)
    point = {"z": z, "eigenvalues": 0.125, "b0": np.float32(0.5), "times": 3.0}
    double = {**point, "z": z.astype(float), "b0": 0.5}
    d, d_double = (call(ef.flow.derivatives, p, **options) for p in (point, double))
    np.testing.assert_array_equal(d.z, d_double.z.astype(d.z.dtype))
    _, slope = call(ef.flow.jvp, point, {"z": 1}, **options)
    np.testing.assert_array_equal(slope, d.z)
    g = call(ef.flow.vjp, point, np.ones(2, np.float32), **options)
    assert g.z.dtype == np.float32
    assert g.times.dtype == np.float64
    assert g.eigenvalues.shape == g.times.shape == ()
    empty = {**point, "z": np.zeros((0, 3))}
    assert call(ef.flow.vjp, empty, np.zeros((0, 3)), **options).z.shape == (0, 3)
    assert call(ef.flow.vjp, empty, np.zeros((0, 3)), **options).eigenvalues == 0
    assert call(ef.flow.jvp, empty, {}, **options)[1].shape == (0, 3)
    none = {**point, "times": []}
    np.testing.assert_array_equal(call(ef.flow.vjp, none, np.zeros((0, 2)), **options).z, [0, 0])


def test_inputs_of_any_layout_stay_as_they_are():
    rng = np.random.default_rng(4)
    z, g = rng.normal(size=(6, 8)), rng.normal(size=(2, 6, 8))
    want = ef.flow.vjp(z, 0.1, [1.0, 2.0], g)
    frozen = z.copy()
    frozen.flags.writeable = False
    for other in (np.asfortranarray(z), frozen, np.repeat(z, 2, axis=1)[:, ::2]):
        before = other.copy()
        got = ef.flow.vjp(other, 0.1, [1.0, 2.0], np.asfortranarray(g))
        np.testing.assert_array_equal(got.z, want.z)
        np.testing.assert_array_equal(other, before)


CALLS = [
    (lambda: ef.flow.derivatives(1.0, 1.0, 1.0, wrt=("depth",)), "wrt: got 'depth'"),
    (lambda: ef.flow.vjp(1.0, 1.0, 1.0, 1.0, wrt="theta"), "wrt: got 'theta'"),
    (lambda: ef.flow.vjp(np.ones(3), 1.0, 1.0, np.ones(4)), "grad_output: got shape (4,)"),
    (lambda: ef.flow.vjp(np.ones(3), 1.0, 1.0, np.nan), "grad_output: got nan"),
    (lambda: ef.flow.jvp(1.0, 1.0, 1.0, 1.0), "tangents: got float"),
    (lambda: ef.flow.jvp(1.0, 1.0, 1.0, {"b0": 1.0}), "tangents: got 'b0'"),
    (lambda: ef.flow.jvp(np.ones(3), 1.0, 1.0, {"z": np.ones(2)}), "tangents['z']: got shape"),
    (lambda: ef.flow.derivatives(1.0, 1.0, 1.0, depth=1), "b0: got None at depth 1"),
    (lambda: ef.flow.vjp(1.0, -1.0, 1.0, 1.0), "eigenvalues: got -1.0"),
]


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_errors_name_the_argument(call, message):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert str(error.value).startswith(message)
