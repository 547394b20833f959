"""Regression by gradient flow with columns in blocks: of a Dask array, or on ranks."""

import numpy as np
import pytest

import eigenflow as ef
from eigenflow.flow import _dual
from support.ranks import on_ranks, same_error, succeed

TIMES = np.array([[0.5, 4.0], [0.0, 2.0]])
FIELDS = ("fitted_values", "residual_norm", "dual", "error_estimate", "reached")
SETTINGS = {"rtol": 1e-2}
DEEP = {**SETTINGS, "depth": 1, "b0": 0.5}


def problem(n=12, p=40, dtype=np.float64):
    rng = np.random.default_rng(0)
    E = rng.normal(size=(n, p)).astype(dtype)
    y = E[:, 0] - 0.5 * E[:, p // 2] + rng.normal(size=n, scale=0.1).astype(dtype)
    return E, y, 0.05 * np.arange(1.0, p + 1) ** -1.5


def twice():
    """Each sample two times, with different targets: a residual that nothing can reach."""
    E, y, values = problem(8)
    return np.repeat(E, 2, axis=0), np.repeat(y, 2) + 0.1 * (-1.0) ** np.arange(16), values


def huge():
    E, y, values = problem()
    return 1e30 * E, 1e90 * y, 1e60 * values


@pytest.fixture
def exponential_steps(monkeypatch):
    """Take the integrator of many samples."""
    monkeypatch.setattr(_dual, "SMALL", 0)


def assert_agree(got, want, coefficients, learned):
    assert (got.method, got.n_steps, got.converged) == ("dual", want.n_steps, want.converged)
    assert coefficients.dtype == want.coefficients.dtype
    size = np.abs(want.coefficients).max()
    np.testing.assert_allclose(coefficients, want.coefficients, atol=1e-9 * size)
    np.testing.assert_allclose(learned, want.learned_eigenvalues, rtol=1e-8)
    for name in FIELDS:
        a, b = getattr(got, name), getattr(want, name)
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9 * np.abs(b).max())


class TestDask:
    @pytest.fixture(autouse=True)
    def one_thread(self):
        self.dask = pytest.importorskip("dask")
        self.da = pytest.importorskip("dask.array")
        with self.dask.config.set(scheduler="synchronous"):
            yield

    def lazy(self, E, chunks=((12,), (15, 0, 1, 24))):
        return self.da.from_array(E, chunks=chunks)

    def agree(self, E, y, values, chunks, times=TIMES, **settings):
        E_lazy = self.lazy(E, chunks)
        got = ef.flow.fit(E_lazy, y, values, times, **settings)
        want = ef.flow.fit(E, y, values, times, method="dual", **settings)
        assert got.coefficients.chunks[-1] == got.learned_eigenvalues.chunks[-1]
        assert sum(got.coefficients.chunks[-1]) == E.shape[1]
        pair = self.dask.compute(got.coefficients, got.learned_eigenvalues)
        assert_agree(got, want, *pair)
        return got

    @pytest.mark.parametrize("settings", [SETTINGS, DEEP])
    def test_as_in_memory(self, settings):
        got = self.agree(*problem(), ((12,), (15, 0, 1, 24)), **settings)
        assert got.coefficients.chunks[-1] == (15, 0, 1, 24)
        E, y, values = problem()
        lazy, targets = self.lazy(E), self.da.from_array(y, chunks=5)
        starts = self.da.from_array(values, chunks=7)
        with self.dask.config.set(scheduler="threads", num_workers=3):
            again = ef.dask.fit(lazy, targets, starts, TIMES, **settings)
        assert again.dual.tobytes() == got.dual.tobytes()
        theta = got.coefficients.compute()
        assert again.coefficients.compute().tobytes() == theta.tobytes()

    def test_both_axes_cut_and_single_precision(self):
        E, y, _ = problem(dtype=np.float32)
        self.agree(E, y, 1e-3, (5, 15), **SETTINGS)

    @pytest.mark.parametrize(("data", "unit"), [(twice, 1.0), (huge, 1e-120)])
    def test_range_and_units(self, data, unit):
        E, y, values = data()
        self.agree(E, y, values, (len(E), 25), times=unit * TIMES, **SETTINGS)

    @pytest.mark.usefixtures("exponential_steps")
    def test_many_samples(self):
        self.agree(*problem(), (12, 25), **{**DEEP, "rtol": 0.1})

    def test_refusals(self):
        E, y, values = problem()
        lazy = self.lazy(E)
        for arguments, settings, error, message in [
            (
                (lazy, y, values),
                {"method": "primal"},
                ValueError,
                "method: got 'primal' with a Das",
            ),
            ((lazy, y, values), {"rtol": 2.0}, ValueError, "rtol: got 2"),
            ((lazy, y, values), {"depth": 1}, ValueError, "b0: got None"),
            ((lazy, y[:5], values), {}, ValueError, "y: got 5 samples, want 12"),
            ((lazy, y, values[:7]), {}, ValueError, r"eigenvalues: got shape \(7,\)"),
            ((lazy, y, -1.0), {}, ValueError, "eigenvalues: got -1"),
            ((lazy * 1j, y, values), {}, TypeError, "features: got dtype complex128"),
            ((lazy[0], y, values), {}, ValueError, "features: got 1 dimensions"),
            ((E, self.da.from_array(y), values), {}, TypeError, "y: got a Dask array"),
        ]:
            with pytest.raises(error, match=f"^{message}"):
                ef.flow.fit(*arguments, TIMES, **settings)
        with pytest.raises(
            MemoryError, match=r"^features: got blocks of 12 x 24.* at most \d+ col"
        ):
            ef.dask.fit(lazy, y, values, TIMES, max_memory=15_000)
        bad, wrong = E.copy(), values.copy()
        bad[7, 31], wrong[33] = np.nan, -2.0
        with pytest.raises(ValueError, match=r"^features: got nan at position \(7, 31\), want fin"):
            ef.flow.fit(self.lazy(bad), y, values, TIMES)
        with pytest.raises(ValueError, match=r"^eigenvalues: got -2.0 at position 33, want non-n"):
            ef.flow.fit(lazy, y, wrong, TIMES)

    def test_too_few_steps(self):
        E, y, values = problem()
        with pytest.warns(ef.flow.FlowWarning, match="fit stopped after 3 steps"):
            got = ef.flow.fit(self.lazy(E), y, values, TIMES, max_steps=3, **SETTINGS)
        assert not got.converged


class TestRanks:
    @staticmethod
    def fit(sizes, E, y, values, times, **settings):
        ends = np.cumsum([0, *sizes])

        def one(comm):
            mine = slice(ends[comm.rank], ends[comm.rank + 1])
            target = y if comm.rank == 0 else 0 * y  # that of rank 0 counts
            return ef.mpi.fit(E[:, mine], target, values[mine], times, comm=comm, **settings)

        return succeed(len(sizes), one)

    def agree(self, sizes, *given, times=TIMES, **settings):
        results = self.fit(sizes, *given, times, **settings)
        want = ef.flow.fit(*given, times, method="dual", **settings)
        for got in results:
            coefficients = np.concatenate([r.coefficients for r in results], axis=-1)
            learned = np.concatenate([r.learned_eigenvalues for r in results], axis=-1)
            assert_agree(got, want, coefficients, learned)
            assert got.dual.tobytes() == results[0].dual.tobytes()

    @pytest.mark.parametrize("sizes", [[40], [15, 25], [10, 0, 30]])
    def test_as_on_one(self, sizes):
        self.agree(sizes, *problem(), **DEEP)

    @pytest.mark.parametrize(("data", "unit"), [(twice, 1.0), (huge, 1e-120)])
    def test_range_and_units(self, data, unit):
        self.agree([15, 5, 20], *data(), times=unit * TIMES, **SETTINGS)

    @pytest.mark.usefixtures("exponential_steps")
    def test_many_samples(self):
        self.agree([15, 25], *problem(), **DEEP)

    def test_products_on_one_rank_only(self):
        E, y, values = problem()

        def one(comm):
            mine = slice(0, 15) if comm.rank == 0 else slice(15, 40)
            block = E[:, mine]
            pair = (lambda x: block @ x, lambda r: block.T @ r)
            given = block if comm.rank else pair
            return ef.mpi.fit(given, y, values[mine], TIMES, comm=comm, **SETTINGS)

        results = succeed(2, one)
        want = ef.flow.fit(E, y, values, TIMES, method="dual", **SETTINGS)
        coefficients = np.concatenate([r.coefficients for r in results], axis=-1)
        np.testing.assert_allclose(coefficients, want.coefficients, atol=1e-9)

    def test_errors_reach_all_ranks(self):
        E, y, values = problem()

        def run(**changed):
            def one(comm):
                given = {"features": E[:, :20], "y": y, "values": values[:20], "times": TIMES}
                given.update({k: v for k, v in changed.items() if comm.rank == 1})
                ef.mpi.fit(
                    given["features"], given["y"], given["values"], given["times"], comm=comm
                )

            return one

        bad = E[:, :20].copy()
        bad[2, 3] = np.inf
        for changed, error, message in [
            ({"features": bad}, ValueError, "features_local: got inf at position"),
            (
                {"features": E[:8, :20], "y": y[:8]},
                ValueError,
                "y: got 8 on rank 1 and 12 on rank 0",
            ),
            ({"features": E[:8, :20]}, ValueError, "features_local: got 8 on rank 1 and 12"),
            ({"times": 1.0}, ValueError, "times: got 1 on rank 1 and 4 on rank 0"),
            (
                {"features": E[:, :20].astype("f4"), "y": y.astype("f4")},
                TypeError,
                "features_local",
            ),
        ]:
            same_error(on_ranks(2, run(**changed)), error, message)
