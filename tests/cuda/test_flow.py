"""The flow on CuPy arrays is the flow on NumPy arrays: values, shapes, types and errors."""

import numpy as np
import pytest

import eigenflow as ef

OPTIONS = [
    {},
    {"depth": 1, "b0": 0.5},
    {"depth": 3, "b0": 0.8, "coupling": "separate"},
    {"depth": 8, "b0": 1.2},
]
FIELDS = ("theta", "residual", "a", "b", "beta", "learned_eigenvalues")
TIMES = [2.0, 0.0, 40.0, 5.0, np.inf]


def problem(shape=(37,), dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    z, lam = rng.normal(size=shape), 10.0 ** rng.uniform(-6, 0, shape)
    z.flat[3], lam.flat[5] = 0.0, 0.0
    return z.astype(dtype), lam.astype(dtype)


def close(cupy, got, want, digits=1e-12):
    """Compare a device result with the host's, in units of the host's type."""
    want = np.asarray(want)
    assert isinstance(got, cupy.ndarray)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    eps = digits if want.dtype == np.float64 else 1e-6
    np.testing.assert_allclose(got.get(), want, rtol=eps, atol=1e-300)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS)
def test_solve_and_state(cupy, options, dtype):
    z, lam = problem(dtype=dtype)
    on_device = cupy.asarray(z), cupy.asarray(lam)
    theta = ef.flow.solve(*on_device, TIMES, **options)
    close(cupy, theta, ef.flow.solve(z, lam, TIMES, **options))
    got = ef.flow.state(*on_device, TIMES, **options)
    want = ef.flow.state(z, lam, TIMES, **options)
    for name in FIELDS:
        close(cupy, getattr(got, name), getattr(want, name))
    learned = ef.flow.learned_eigenvalues(theta, on_device[1], **options)
    close(cupy, learned, ef.flow.learned_eigenvalues(theta.get(), lam, **options))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS)
def test_derivatives(cupy, options, dtype):
    z, lam = problem(dtype=dtype)
    times = [1.0, 0.0, 30.0]
    got = ef.flow.derivatives(cupy.asarray(z), cupy.asarray(lam), times, **options)
    want = ef.flow.derivatives(z, lam, times, **options)
    for name in ("theta", "z", "eigenvalues", "b0", "times"):
        if name != "b0" or options:
            close(cupy, getattr(got, name), getattr(want, name), 1e-11)
    assert (got.b0 is None) == (not options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS[:2])
def test_jvp_and_vjp(cupy, options, dtype):
    z, lam = problem((2, 19), dtype=dtype)
    times = [[1.0, 0.0], [30.0, 2.0]]
    given = {"z": z, "eigenvalues": lam[0]}
    on_device = {name: cupy.asarray(a) for name, a in given.items()}
    ones = {name: np.ones_like(a) for name, a in given.items()}
    want = ef.flow.jvp(**given, times=times, tangents={**ones, "times": 0.5}, **options)
    moving = {**{name: cupy.asarray(a) for name, a in ones.items()}, "times": 0.5}
    got = ef.flow.jvp(**on_device, times=times, tangents=moving, **options)
    for a, b in zip(got, want, strict=True):
        close(cupy, a, b, 1e-11)
    outer = np.linspace(-1, 1, 4 * z.size).reshape(2, 2, *z.shape).astype(dtype)
    want = ef.flow.vjp(**given, times=times, grad_output=outer, **options)
    got = ef.flow.vjp(**on_device, times=times, grad_output=cupy.asarray(outer), **options)
    for name in ("z", "eigenvalues", "times"):
        close(cupy, getattr(got, name), getattr(want, name), 1e-11)
    if options:
        close(cupy, got.b0, want.b0, 1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vanilla(cupy, dtype):
    z, lam = problem(dtype=dtype)
    got = ef.flow.vanilla(cupy.asarray(z), cupy.asarray(lam), TIMES)
    close(cupy, got, ef.flow.vanilla(z, lam, TIMES))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS)
def test_hitting_time(cupy, options, dtype):
    z, lam = problem(dtype=dtype)
    fractions = [[0.5, 0.0], [1.0, 1e-9]]
    want = ef.flow.hitting_time(fractions, z, lam, **options)
    for given in (fractions, np.array(fractions), cupy.asarray(fractions)):
        got = ef.flow.hitting_time(given, cupy.asarray(z), cupy.asarray(lam), **options)
        close(cupy, got, want)


@pytest.mark.parametrize("axis", [None, -1, (0, 2), ()])
@pytest.mark.parametrize("options", OPTIONS[:3])
def test_sure_sums_over_axes(cupy, options, axis):
    z, lam = problem((2, 3, 300))
    variance = np.linspace(0.1, 0.2, 300)
    want = ef.flow.sure(z, lam[0], [[1.0, 20.0]], variance, axis=axis, **options)
    got = ef.flow.sure(
        cupy.asarray(z),
        cupy.asarray(lam[0]),
        [[1.0, 20.0]],
        cupy.asarray(variance),
        axis=axis,
        **options,
    )
    close(cupy, got, want, 1e-12)
    one = ef.flow.sure(cupy.asarray(z), 0.1, 1.0, 0.1, axis=axis, **options)
    close(cupy, one, ef.flow.sure(z, 0.1, 1.0, 0.1, axis=axis, **options), 1e-12)


def test_risks_are_the_same_bytes_for_any_launch_shape(cupy, monkeypatch):
    z, lam = (cupy.asarray(x) for x in problem((20_000,), np.float32))
    want = ef.flow.sure(z, lam, [1.0, 9.0], 0.1).get()
    for blocks, threads in ((1, 32), (3, 64), (40, 128)):
        monkeypatch.setattr(
            "eigenflow._gpu.flow.launch_shape", lambda *_, b=blocks, t=threads: ((b,), (t,))
        )
        np.testing.assert_array_equal(ef.flow.sure(z, lam, [1.0, 9.0], 0.1).get(), want)


def test_many_coordinates_share_a_lane(cupy, monkeypatch):
    z, lam = problem((3, 1000))
    want = ef.flow.sure(z, lam, [1.0, 9.0], 0.1, axis=1)
    monkeypatch.setattr("eigenflow._gpu.flow._MOST_LANES", 64)
    got = ef.flow.sure(cupy.asarray(z), cupy.asarray(lam), [1.0, 9.0], 0.1, axis=1)
    close(cupy, got, want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", OPTIONS)
def test_descend(cupy, options, dtype, monkeypatch):
    monkeypatch.setattr("eigenflow._gpu.flow._STEPS", 16)
    z, lam = problem(dtype=dtype)
    for steps, record in ((50, None), (50, [[32, 0, 50], [7, 16, 7]]), (0, [0]), (48, [48, 48])):
        want = ef.flow.descend(z, lam, 0.01, steps, record=record, **options)
        got = ef.flow.descend(
            cupy.asarray(z), cupy.asarray(lam), 0.01, steps, record=record, **options
        )
        for name in FIELDS:
            close(cupy, getattr(got, name), getattr(want, name))


@pytest.mark.parametrize("options", [{}, {"depth": 2, "b0": 0.5}])
def test_divergence_names_the_step_and_the_coordinate(cupy, options, monkeypatch):
    monkeypatch.setattr("eigenflow._gpu.flow._STEPS", 4)
    z = np.full(200, 0.1)
    z[[131, 190]] = 50.0
    messages = []
    for given in (z, cupy.asarray(z)):
        with pytest.raises(ValueError, match=r"^step_size: .* in coordinate 131;") as error:
            ef.flow.descend(given, 1.0, 0.1, 1000, **options)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("options", OPTIONS[:2])
def test_layouts_and_broadcasting(cupy, options):
    z, lam = problem((6, 8))
    for first, second in [(z, lam[0]), (z[:, :1], lam[0]), (z[::2, ::-1], 0.1), (z.T, lam.T)]:
        given = cupy.asarray(first), cupy.asarray(second)
        want = ef.flow.solve(first, second, TIMES, **options)
        close(cupy, ef.flow.solve(*given, TIMES, **options), want)
    wide = cupy.asarray(z)[::2, ::-1]
    close(
        cupy,
        ef.flow.solve(wide, 0.1, 3.0, **options),
        ef.flow.solve(z[::2, ::-1], 0.1, 3.0, **options),
    )
    close(
        cupy,
        ef.flow.solve(cupy.asarray(0.5), 0.1, 3.0, **options),
        ef.flow.solve(0.5, 0.1, 3.0, **options),
    )
    rate = cupy.asarray(lam[0])
    close(cupy, ef.flow.solve(2, rate, 3.0, **options), ef.flow.solve(2, lam[0], 3.0, **options))
    whole = cupy.asarray(np.arange(4))
    close(cupy, ef.flow.solve(whole, 1, 3, **options), ef.flow.solve(range(4), 1, 3, **options))


def test_results_without_dimensions_stay_on_the_device(cupy):
    z = cupy.asarray([0.5, 0.1])
    assert ef.flow.sure(z, 0.1, 1.0, 0.1).shape == ()
    close(cupy, ef.flow.hitting_time(0.5, z[0], 0.1), ef.flow.hitting_time(0.5, 0.5, 0.1))


def test_times_live_anywhere_and_out_is_used(cupy):
    z, lam = problem()
    given = cupy.asarray(z), cupy.asarray(lam)
    want = ef.flow.solve(z, lam, TIMES)
    for times in (TIMES, np.array(TIMES), cupy.asarray(TIMES)):
        out = cupy.empty(want.shape)
        assert ef.flow.solve(*given, times, out=out) is out
        close(cupy, out, want)
    with pytest.raises(TypeError, match=r"^z \(numpy\), times \(cupy\): "):
        ef.flow.solve(z, lam, cupy.asarray(TIMES))


@pytest.mark.parametrize("options", OPTIONS[:2])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_no_coordinates_and_no_times(cupy, shape, options):
    empty = cupy.asarray(np.zeros(shape))
    assert ef.flow.solve(empty, 1.0, [1.0, 2.0], **options).shape == (2, *shape)
    assert ef.flow.state(cupy.asarray([1.0]), 1.0, [], **options).a.shape == (0, 1)
    np.testing.assert_array_equal(ef.flow.sure(empty, 1.0, [1.0], 0.1, **options).get(), [0.0])
    assert ef.flow.learned_eigenvalues(empty, 1.0, **options).shape == shape
    assert ef.flow.hitting_time(0.5, empty, 1.0, **options).shape == shape
    assert ef.flow.descend(empty, 1.0, 0.1, 3, **options).theta.shape == shape
    none = ef.flow.descend(cupy.asarray([1.0]), 1.0, 0.1, 3, record=[], **options)
    assert none.theta.shape == (0, 1)


NAN = np.array([[1.0, np.nan]])
BAD = [
    lambda to: ef.flow.solve(to(NAN), 1.0, 1.0),
    lambda to: ef.flow.solve(to(np.inf), 1.0, 1.0),
    lambda to: ef.flow.solve(to([1.0]), to([1.0, -2.0]), 1.0),
    lambda to: ef.flow.solve(to([1.0]), to(np.array(-0.1, np.float32)), 1.0),
    lambda to: ef.flow.solve(to([1.0]), 1.0, to([0.0, -1.0])),
    lambda to: ef.flow.solve(to(np.ones(3)), to(np.ones(4)), 1.0),
    lambda to: ef.flow.solve(to([1.0]), 1.0, 1.0, depth=1, b0=to([-1.0])),
    lambda to: ef.flow.solve(to([1j]), 1.0, 1.0),
    lambda to: ef.flow.solve(to([1.0]), 1.0, 1.0, out=to(np.empty(4))),
    lambda to: ef.flow.solve(to([1.0]), 1.0, 1.0, out=to(np.empty(1, np.float32))),
    lambda to: ef.flow.state(to([1.0]), 1.0, 1.0, workers=0),
    lambda to: ef.flow.sure(to(np.ones(3)), 1.0, 1.0, to([-1.0])),
    lambda to: ef.flow.sure(to(np.ones(3)), 1.0, 1.0, 1.0, axis=1),
    lambda to: ef.flow.hitting_time(to([0.5, 2.0]), to([1.0]), 1.0),
    lambda to: ef.flow.learned_eigenvalues(to(NAN), 1.0),
    lambda to: ef.flow.descend(to([1.0]), 1.0, 0.1, 3, record=to([4])),
    lambda to: ef.flow.jvp(to([1.0]), 1.0, 1.0, {"z": to(NAN)}),
    lambda to: ef.flow.vjp(to([1.0]), 1.0, 1.0, to(np.ones(3))),
]


@pytest.mark.parametrize("call", BAD)
def test_errors_are_those_of_the_host(cupy, call):
    with pytest.raises((ValueError, TypeError)) as want:
        call(np.asarray)
    with pytest.raises(type(want.value)) as got:
        call(cupy.asarray)
    assert str(got.value) == str(want.value)


def test_memories_do_not_mix(cupy):
    z = cupy.asarray([1.0])
    for call in (
        lambda: ef.flow.solve(z, np.ones(1), 1.0),
        lambda: ef.flow.state(z, 1.0, 1.0, depth=1, b0=np.ones(1)),
        lambda: ef.flow.sure(z, 1.0, 1.0, np.ones(1)),
        lambda: ef.flow.descend(np.ones(1), z, 0.1, 3),
        lambda: ef.flow.hitting_time(z, np.ones(1), 1.0),
        lambda: ef.flow.jvp(z, 1.0, 1.0, {"z": np.ones(1)}),
        lambda: ef.flow.vjp(z, 1.0, 1.0, np.ones(1)),
    ):
        with pytest.raises(TypeError, match="different libraries"):
            call()
    with pytest.raises(TypeError, match=r"^z \(cupy\), out \(numpy\)"):
        ef.flow.solve(z, 1.0, 1.0, out=np.empty(1))
    with pytest.raises(ValueError, match=r"^out: shares memory"):
        ef.flow.solve(z, 1.0, 1.0, out=z)


def test_what_has_no_kernels_says_so(cupy):
    z = cupy.asarray([1.0])
    for call in (
        lambda: ef.flow.expected_risk(z, 1.0, 1.0, 0.1),
        lambda: ef.flow.stopping_time(z, 1.0, 0.1),
        lambda: ef.flow.landweber(z, 1.0, 0.1, 3),
        lambda: ef.flow.diagonal_network(z, 1.0, 1.0),
    ):
        with pytest.raises(TypeError, match=r"got a CuPy array, want NumPy"):
            call()


def test_nan_may_pass_unchecked(cupy):
    got = ef.flow.solve(cupy.asarray([1.0, np.nan]), 1.0, 1.0, check_finite=False).get()
    assert np.isfinite(got[0])
    assert np.isnan(got[1])
