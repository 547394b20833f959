"""Coordinates, series and sine operators as Dask arrays: the results of NumPy arrays, lazily."""

import dataclasses

import numpy as np
import pytest

import eigenflow as ef

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def unread(shape, chunks, dtype=float):
    """An array that nobody may compute."""

    def refuse(block_id):
        raise AssertionError

    empty = np.empty((0,) * len(shape), dtype)
    sizes = da.core.normalize_chunks(chunks, shape, dtype=dtype)
    return da.map_blocks(refuse, chunks=sizes, dtype=dtype, meta=empty)


def coordinates(dtype=np.float64, shape=(30, 7)):
    rng = np.random.default_rng(0)
    z = rng.normal(size=shape).astype(dtype)
    return z, rng.uniform(0.01, 1, shape[1:]).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("times", [2.0, [0.5, 3.0], [[0.1], [1.0]]])
@pytest.mark.parametrize("kwargs", [{}, {"depth": 1, "b0": 0.2}])
def test_flow_of_coordinates(dtype, times, kwargs):
    z, values = coordinates(dtype)
    lazy = da.from_array(z, chunks=((11, 0, 19), (4, 3)))
    got = ef.flow.solve(lazy, values, times, **kwargs)
    want = ef.flow.solve(z, values, times, **kwargs)
    assert isinstance(got, da.Array)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    assert got.chunks[-2:] == ((11, 0, 19), (4, 3))
    assert got.compute().tobytes() == want.tobytes()


def test_every_field_of_the_state():
    z, values = coordinates()
    got = ef.flow.state(z, da.from_array(values, chunks=3), [1.0, 2.0])
    want = ef.flow.state(z, values, [1.0, 2.0])
    for field in dataclasses.fields(want):
        lazy = getattr(got, field.name)
        assert lazy.chunks == ((2,), (30,), (3, 3, 1))
        assert lazy.compute().tobytes() == getattr(want, field.name).tobytes()


def test_all_fields_of_a_block_are_one_computation(monkeypatch):
    from eigenflow.dask.coordinates import _Task

    z, values = coordinates()
    lazy, count, call = da.from_array(z, chunks=(10, 7)), [], _Task.__call__
    state = ef.flow.state(lazy, values, [1.0, 2.0])
    slopes = ef.flow.derivatives(lazy, values, [1.0, 2.0])
    monkeypatch.setattr(_Task, "__call__", lambda *given: count.append(1) or call(*given))
    dask.compute(vars(state))
    assert len(count) == 3
    dask.compute(vars(slopes))
    assert len(count) == 6


def test_other_functions_of_coordinates():
    z, values = coordinates()
    lazy = da.from_array(z, chunks=(10, 7))
    cases = [
        (ef.flow.vanilla, (lazy, values, [1.0]), (z, values, [1.0])),
        (ef.flow.learned_eigenvalues, (lazy, values), (z, values)),
        (ef.flow.hitting_time, (0.5, lazy, values), (0.5, z, values)),
    ]
    for function, given, plain in cases:
        got, want = function(*given), function(*plain)
        assert isinstance(got, da.Array)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got.compute(), want)


@pytest.mark.parametrize("depth", [0, 1])
def test_sums_over_coordinates(depth):
    z, values = coordinates()
    lazy = da.from_array(z, chunks=(10, 4))
    noise = np.full((30, 7), 0.2)
    noise[3] = 0.0
    kwargs = {"depth": depth, "b0": 0.5 if depth else None}
    for function in (ef.flow.sure, ef.flow.expected_risk):
        for times, variance in (([0.5, 2.0, np.inf], noise), (1.0, 0.1)):
            want = function(z, values, times, variance, **kwargs)
            got = function(lazy, values, times, variance, **kwargs)
            assert type(got) is type(want)
            np.testing.assert_allclose(got, want, rtol=1e-7)
            rows = function(lazy, values, times, variance, axis=1, **kwargs)
            assert rows.chunks[-1] == (10, 10, 10)
            plain = function(z, values, times, variance, axis=1, **kwargs)
            np.testing.assert_allclose(rows.compute(), plain, rtol=1e-7)
    with dask.config.set(scheduler="threads", num_workers=3):
        again = ef.flow.sure(lazy, values, [0.5, 2.0], noise, **kwargs)
    assert again.tobytes() == ef.flow.sure(lazy, values, [0.5, 2.0], noise, **kwargs).tobytes()


@pytest.mark.parametrize("rule", ["sure", "discrepancy", "universal"])
def test_stopping_times(rule):
    z, values = coordinates()
    lazy = da.from_array(z, chunks=(10, 4))
    want = ef.flow.stopping_time(z, values, 0.05, rule)
    got = ef.flow.stopping_time(lazy, values, 0.05, rule)
    assert isinstance(got, float)
    assert got == pytest.approx(want, rel=1e-5)
    columns = ef.flow.stopping_time(lazy, values, 0.05, rule, axis=0)
    assert columns.chunks == ((4, 3),)
    plain = ef.flow.stopping_time(z, values, 0.05, rule, axis=0)
    np.testing.assert_array_equal(columns.compute(), plain)
    deep = {"depth": 2, "b0": np.full((30, 7), 0.4)}
    want = ef.flow.stopping_time(z, values, 0.05, rule, **deep)
    assert ef.flow.stopping_time(lazy, values, 0.05, rule, **deep) == pytest.approx(want, rel=1e-5)


def test_derivatives_of_coordinates():
    z, values = coordinates()
    lazy = da.from_array(z, chunks=(10, 4))
    for kwargs in ({}, {"depth": 1, "b0": 0.3}, {"wrt": ("z", "b0")}):
        want = ef.flow.derivatives(z, values, [1.0, 3.0], **kwargs)
        got = ef.flow.derivatives(lazy, values, [1.0, 3.0], **kwargs)
        for name in ("theta", "z", "eigenvalues", "b0", "times"):
            ours, plain = getattr(got, name), getattr(want, name)
            assert (ours is None) == (plain is None)
            if ours is not None:
                np.testing.assert_array_equal(ours.compute(), plain)


def test_flow_computes_nothing_and_refuses_early():
    z = unread((30, 7), (10, 7))
    assert ef.flow.solve(z, 0.1, [1.0, 2.0]).shape == (2, 30, 7)
    for call, error, message in [
        (lambda: ef.flow.solve(z, 0.1, -1.0), ValueError, "times: got -1"),
        (lambda: ef.flow.solve(z, 0.1, 1.0, depth=9, b0=1), ValueError, "depth: got 9"),
        (lambda: ef.flow.solve(z, 0.1, 1.0, depth=1), ValueError, "b0: got None at depth 1"),
        (lambda: ef.flow.solve(z, np.ones(5), 1.0), ValueError, "eigenvalues: got shapes"),
        (lambda: ef.flow.solve(z, 0.1, 1.0, out=np.ones(3)), ValueError, "out: got a value"),
        (lambda: ef.flow.solve(z + 1j, 0.1, 1.0), TypeError, "z: got dtype complex128"),
        (lambda: ef.flow.sure(z, 0.1, 1.0, 1.0, axis=2), ValueError, "axis: got 2"),
        (lambda: ef.flow.sure(z, 0.1, 1.0, -1.0), ValueError, "noise_variance: got -1"),
        (lambda: ef.flow.stopping_time(z, 0.1, 1.0, "no"), ValueError, "rule: got 'no'"),
        (lambda: ef.flow.vjp(z, 0.1, 1.0, 1.0), TypeError, "z: got a Dask array"),
    ]:
        with pytest.raises(error, match=rf"^{message}"):
            call()


def test_bad_coordinates_are_named_by_their_place_in_all_blocks():
    z, _ = coordinates()
    values = np.ones((30, 7))
    z[22, 6], values[13, 2] = np.nan, -1.0
    good = da.from_array(np.ones((30, 7)), chunks=(10, 4))
    bad, negative = (da.from_array(a, chunks=(10, 4)) for a in (z, values))
    for call in (
        lambda: ef.flow.solve(bad, 0.1, [1.0, 2.0]).compute(),
        lambda: ef.flow.state(bad, 0.1, 1.0).a.compute(),
        lambda: ef.flow.sure(bad, 0.1, 1.0, 0.1),
        lambda: ef.flow.stopping_time(bad, 0.1, 0.1),
        lambda: ef.flow.stopping_time(bad, 0.1, 0.1, axis=1).compute(),
    ):
        with pytest.raises(ValueError, match=r"^z: got nan at position \(22, 6\), want finite"):
            call()
    with pytest.raises(ValueError, match=r"^eigenvalues: got -1.0 at position \(13, 2\)"):
        ef.flow.expected_risk(good, negative, 1.0, 0.1)


SYSTEM = ef.lds.LinearSystem([[0.9, 0.2], [0.0, 0.8]], [[1.0, 0.5]], np.eye(2), 2.0)
DRIVEN = ef.lds.LinearSystem(0.7, 1.0, 0.5, 1.0, B=1.5, D=0.2)
FIELDS = ("filtered_mean", "predicted_mean", "innovations", "log_likelihood_terms")
COVS = ("filtered_cov", "predicted_cov", "innovation_cov")


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("method", ["auto", "full"])
def test_one_long_series(missing, method):
    y = np.random.default_rng(1).normal(size=900)
    if missing:
        y[[0, 400, 401]] = np.nan
    sizes = ((3, 200, 0, 397, 300),)
    got = ef.lds.filter(SYSTEM, da.from_array(y, chunks=sizes), store=FIELDS, method=method)
    want = ef.lds.filter(SYSTEM, y, store=FIELDS, method=method)
    for name in FIELDS:
        lazy = getattr(got, name)
        assert lazy.chunks[0] == sizes[0]
        assert lazy.shape == getattr(want, name).shape
        np.testing.assert_allclose(lazy.compute(), getattr(want, name), atol=1e-11)
    assert got.log_likelihood == pytest.approx(want.log_likelihood, rel=1e-12)
    assert got.n_diffuse == want.n_diffuse
    assert got.diffuse_convention == want.diffuse_convention
    np.testing.assert_allclose(got.final_state.mean, want.final_state.mean, atol=1e-11)
    np.testing.assert_allclose(got.final_state.cov, want.final_state.cov, rtol=1e-10)
    assert got.filtered_cov is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_covariances_of_one_series_and_of_many(dtype):
    y = np.random.default_rng(1).normal(size=(3, 300, 1)).astype(dtype)
    y[:, [0, 150]] = np.nan
    got = ef.lds.filter(SYSTEM, da.from_array(y[0], chunks=((3, 90, 0, 207), 1)), store=COVS)
    many = ef.lds.filter(SYSTEM, da.from_array(y, chunks=(2, 300, 1)), store=COVS)
    want = ef.lds.filter(SYSTEM, y, store=COVS)
    for name in COVS:
        one, plain = getattr(got, name), getattr(want, name).dense()
        assert one.chunks[0] == (3, 90, 0, 207)
        assert one.dtype == getattr(many, name).dtype == np.float64
        assert one.shape == plain.shape[1:]
        np.testing.assert_allclose(one.compute(), plain[0], rtol=1e-9)
        np.testing.assert_array_equal(getattr(many, name).compute(), plain)
    assert got.filtered_mean is None


def test_inputs_diffuse_start_and_going_on():
    rng = np.random.default_rng(2)
    y, u = rng.normal(size=(2, 500))
    lazy = da.from_array(y, chunks=120)
    for system, inputs in ((DRIVEN, u), (ef.lds.LinearSystem(1.0, 1.0, 0.3, 2.0), None)):
        want = ef.lds.filter(system, y, inputs=inputs)
        got = ef.dask.filter(system, lazy, inputs=inputs)
        np.testing.assert_allclose(got.filtered_mean.compute(), want.filtered_mean, atol=1e-11)
        head = ef.dask.filter(system, lazy[:200], inputs=None if inputs is None else u[:200])
        tail = ef.dask.filter(
            system,
            lazy[200:],
            inputs=None if inputs is None else da.from_array(u[200:], chunks=77),
            state=head.final_state,
        )
        total = head.log_likelihood + tail.log_likelihood
        assert total == pytest.approx(want.log_likelihood, rel=1e-12)
        assert ef.lds.log_likelihood(system, lazy, inputs=inputs) == pytest.approx(total)


def test_one_series_is_read_once_unless_it_does_not_forget():
    y = np.random.default_rng(6).normal(size=(6000, 1))
    y[[3, 4000]] = np.nan
    read = []

    def block(block_id=None):
        read.append(block_id[0])
        return y[1500 * block_id[0] :][:1500]

    lazy = da.map_blocks(block, chunks=((1500,) * 4, (1,)), dtype=float, meta=np.empty((0, 0)))
    constant = ef.lds.LinearSystem(np.diag([1.0, 0.5]), [[1.0, 1.0]], np.diag([0.0, 1.0]), 1.0)
    for system, reads in ((SYSTEM, [0, 1, 2, 3]), (constant, [0, 1, 1, 2, 2, 3, 3])):
        read.clear()
        got = ef.lds.filter(system, lazy, store=())
        assert sorted(read) == reads
        want = ef.lds.filter(system, y, store=())
        assert got.log_likelihood == pytest.approx(want.log_likelihood, rel=1e-12)
        assert got.n_diffuse == want.n_diffuse
        np.testing.assert_allclose(got.final_state.cov, want.final_state.cov, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_series(dtype):
    y = np.random.default_rng(3).normal(size=(5, 6, 80, 1)).astype(dtype)
    y[2, 3, 10] = np.nan
    got = ef.lds.filter(SYSTEM, da.from_array(y, chunks=(2, 6, 30, 1)), store=FIELDS)
    want = ef.lds.filter(SYSTEM, y, store=FIELDS)
    for name in (*FIELDS, "log_likelihood", "n_diffuse", "steady_from", "error_bound"):
        lazy, plain = getattr(got, name), getattr(want, name)
        assert isinstance(lazy, da.Array)
        assert (lazy.shape, lazy.dtype) == (plain.shape, plain.dtype)
        np.testing.assert_array_equal(lazy.compute(), plain)
    assert ef.lds.filter(SYSTEM, unread((5, 6, 80, 1), (2, 6, 80, 1))).filtered_mean.ndim == 4


def test_series_that_are_refused():
    y = da.from_array(np.zeros((50, 1)), chunks=20)
    stack = da.zeros((3, 50, 1))
    twice = ef.lds.LinearSystem([[[0.5]], [[0.6]]], 1.0, 1.0, 1.0)
    for call, error, message in [
        (lambda: ef.lds.filter(twice, y), ValueError, "system: got"),
        (lambda: ef.lds.filter(SYSTEM, da.zeros((50, 2))), ValueError, r"y: got shape \(50, 2\)"),
        (lambda: ef.lds.filter(SYSTEM, y, store="smoothed_cov"), ValueError, "store: got"),
        (lambda: ef.lds.filter(SYSTEM, y, method="no"), ValueError, "method: got 'no'"),
        (lambda: ef.lds.filter(SYSTEM, y, out={}), ValueError, "out: got a value"),
        (lambda: ef.lds.filter(SYSTEM, y, inputs=np.ones(50)), ValueError, "inputs: got"),
        (lambda: ef.lds.filter(SYSTEM, stack, inputs=np.ones(50)), ValueError, "inputs: got"),
        (lambda: ef.dask.filter(SYSTEM, np.zeros(9)), TypeError, "y: got ndarray"),
    ]:
        with pytest.raises(error, match=rf"^{message}"):
            call()
    bad = np.zeros(50)
    bad[33] = np.inf
    with pytest.raises(ValueError, match=r"^y: got inf at position 33,"):
        ef.lds.filter(SYSTEM, da.from_array(bad, chunks=20))
    with pytest.raises(ValueError, match=r"^y: got inf at position \(33, 0\)"):
        ef.lds.filter(SYSTEM, da.from_array(bad[:, None], chunks=20))
    many = np.zeros((4, 3, 50, 1))
    many[2, 1, 33] = np.inf
    lazy = ef.lds.log_likelihood(SYSTEM, da.from_array(many, chunks=(3, 2, 50, 1)))
    with pytest.raises(
        ValueError, match=r"^y: got inf at position \(33, 0\).* \(series \(2, 1\)\)$"
    ):
        lazy.compute()
    one = ef.lds.log_likelihood(SYSTEM, da.from_array(many[:, 1], chunks=(2, 50, 1)))
    with pytest.raises(ValueError, match=r" \(series \(2,\)\)$"):
        one.compute()


def test_sine_operator_times_a_dask_array():
    rng = np.random.default_rng(4)
    op = ef.sine.SineLowRank(rng.uniform(-1, 1, (40, 2)), rng.uniform(-1, 1, (30, 2)), 5.0)
    X = rng.normal(size=(30, 9))
    for lazy in (da.from_array(X, chunks=(30, 4)), da.from_array(X, chunks=(11, 4))):
        got = op @ lazy
        assert isinstance(got, da.Array)
        assert got.chunks == ((40,), (4, 4, 1))
        np.testing.assert_allclose(got.compute(), op @ X, rtol=1e-12)
    one = op.T @ da.from_array(np.ones(40), chunks=7)
    np.testing.assert_allclose(one.compute(), op.T @ np.ones(40), rtol=1e-12)
    assert (op @ unread((30, 9), (30, 3))).shape == (40, 9)
    X[7, 6] = np.nan
    with pytest.raises(ValueError, match=r"^X: got nan at position \(7, 6\), want finite values"):
        (op @ da.from_array(X, chunks=(11, 4))).compute()
    with pytest.raises(ValueError, match=r"^X: got shape \(9, 30\), want 30 rows"):
        _ = op @ da.from_array(X.T)
    with pytest.raises(TypeError, match=r"^U: got a Dask array"):
        ef.sine.SineLowRank(da.from_array(op.U), op.V, 5.0)


def test_sine_operator_with_rows_in_blocks():
    rng = np.random.default_rng(5)
    U, V, X = rng.uniform(-1, 1, (50, 2)), rng.uniform(-1, 1, (30, 2)), rng.normal(size=(30, 3))
    G = rng.normal(size=(50, 3))
    plain = ef.sine.SineLowRank(U, V, 7.0, method="fused")
    op = ef.dask.SineLowRank(da.from_array(U, chunks=((20, 0, 30), (1, 1))), V, 7.0)
    assert (op.shape, op.dtype, op.gain) == (plain.shape, plain.dtype, plain.gain)
    assert "50x30" in repr(op)
    assert (op @ X).compute().tobytes() == (plain @ X).tobytes()
    assert (op @ X[:, 0]).compute().tobytes() == (plain @ X[:, 0]).tobytes()
    assert op.toarray().compute().tobytes() == plain.toarray().tobytes()
    np.testing.assert_allclose(op.rmatmat(G), plain.T @ G, rtol=1e-12)
    np.testing.assert_allclose(op.rmatvec(da.from_array(G[:, 0], chunks=9)), plain.T @ G[:, 0])
    got, want = op.vjp(X, G), plain.vjp(X, G)
    np.testing.assert_allclose(got.U.compute(), want.U, rtol=1e-10)
    for name in ("V", "omega", "gain", "X"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-10)
    with pytest.raises(ValueError, match=r"^V: got 3 columns, want 2"):
        ef.dask.SineLowRank(op.U, np.ones((4, 3)), 1.0)
    with pytest.raises(ValueError, match=r"^Y: got shape \(3,\), want 50 rows"):
        op.rmatmat(np.ones(3))


def test_bad_rows_of_an_operator_are_named_by_their_place_in_all_blocks():
    U, Y = np.ones((10, 2)), np.ones(10)
    good = ef.dask.SineLowRank(da.from_array(U, chunks=(4, 2)), np.ones((3, 2)), 1.0)
    U[7, 1], Y[6] = np.nan, np.inf
    bad = ef.dask.SineLowRank(da.from_array(U, chunks=(4, 2)), np.ones((3, 2)), 1.0)
    y, column = da.from_array(Y, chunks=4), da.from_array(Y[:, None], chunks=4)
    for call, message in [
        (lambda: (bad @ np.ones(3)).compute(), r"U: got nan at position \(7, 1\)"),
        (lambda: bad.rmatmat(np.ones(10)), r"U: got nan at position \(7, 1\)"),
        (lambda: good.rmatmat(y), r"Y: got inf at position 6"),
        (lambda: good.rmatmat(column), r"Y: got inf at position \(6, 0\)"),
        (lambda: good.vjp(np.ones(3), y), r"grad_output: got inf at position 6"),
    ]:
        with pytest.raises(ValueError, match=f"^{message}, want finite values"):
            call()


def test_xarray_by_apply_ufunc():
    xarray = pytest.importorskip("xarray")
    z, values = coordinates()
    field = xarray.DataArray(z, dims=("place", "frequency")).chunk(place=10)
    theta = xarray.apply_ufunc(
        ef.flow.solve,
        field,
        xarray.DataArray(values, dims="frequency"),
        kwargs={"times": 2.0},
        dask="parallelized",
        output_dtypes=[float],
    )
    assert isinstance(theta.data, da.Array)
    np.testing.assert_array_equal(theta.values, ef.flow.solve(z, values, 2.0))
