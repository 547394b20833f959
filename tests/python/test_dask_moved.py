"""Arrays that come from another process lie at any address: kernels never see such memory."""

import pickle

import numpy as np
import pytest

import eigenflow as ef
from eigenflow import _core
from eigenflow._arrays import aligned

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

SYSTEM = ef.lds.LinearSystem([[0.9, 0.2], [0.0, 0.5]], [[1.0, 0.5]], np.eye(2) / 4, 0.5)
RNG = np.random.default_rng(0)
VALUES = RNG.standard_normal((300, 40))


def lazy():
    return da.from_array(VALUES, chunks=((100, 0, 150, 50), (40,)))


def decomposed():
    found = ef.dask.svd(lazy(), 4, passes=3, method="krylov", residuals=True, rng=0)
    return found.U, found.s, found.Vh, found.residuals


def exact():
    found = ef.dask.svd(lazy(), 4, method="exact")
    return found.U, found.s


def filtered():
    past = ef.lds.filter(SYSTEM, VALUES[:9, 0])
    found = ef.lds.filter(SYSTEM, lazy()[:, 1], state=past.final_state)
    return found.filtered_mean, found.log_likelihood


def flow():
    return ef.flow.solve(lazy(), 0.5, [1.0, 9.0], depth=1, b0=0.5), ef.flow.sure(
        lazy(), 1, 2.0, 0.1
    )


def operator():
    op = ef.sine.SineLowRank(VALUES[:40, :3], VALUES[40:80, :3], 2.0)
    return (ef.dask.SineLowRank(lazy()[:, :3], VALUES[:9, :3], 2.0) @ VALUES[:9, :2], op @ lazy().T)


@pytest.mark.parametrize("call", [decomposed, exact, filtered, flow, operator])
def test_the_same_bytes_from_any_address(call):
    from support.moved import get

    with dask.config.set(scheduler="synchronous"):
        want = dask.compute(*call())
    with dask.config.set(scheduler=get):
        found = dask.compute(*call())
    for a, b in zip(found, want, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def received(x):
    from support.moved import _dumps, _loads

    return _loads(_dumps(x))


@pytest.mark.parametrize(
    "x",
    [
        SYSTEM,
        ef.lds.filter(SYSTEM, VALUES[:9, 0]).final_state,
        ef.sine.SineLowRank(VALUES[:9, :3], VALUES[:8, :3], 2.0),
        ef.sine.quantize(VALUES[:9, :3], 2),
    ],
    ids=lambda x: type(x).__name__,
)
def test_objects_are_aligned_when_they_arrive(x):
    arrays = {k: v for k, v in vars(received(x)).items() if isinstance(v, np.ndarray)}
    assert arrays
    for name, array in arrays.items():
        assert array.flags.aligned, name
        np.testing.assert_array_equal(array, vars(x)[name])
    assert type(pickle.loads(pickle.dumps(x))) is type(x)


def test_nested_arrays_are_aligned_and_the_rest_is_kept():
    far = received(VALUES)
    assert not far.flags.aligned
    parts = aligned({"a": (far, 1), "b": [far, None], "c": ef.lowrank.svd(np.eye(3), 2)})
    assert parts["a"][0].flags.aligned
    assert parts["b"][0].flags.aligned
    assert type(parts["c"]) is ef.lowrank.SVDResult
    assert aligned(VALUES) is VALUES
    with pytest.raises(ValueError, match=r"^A: misaligned memory"):
        _core.svd.measure(far, 1)
