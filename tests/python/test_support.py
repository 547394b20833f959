"""The table of arrays that functions take: NumPy, Dask and ranks."""

import inspect

import numpy as np
import pytest

import eigenflow as ef
from support.array_kinds import CASES, ON_RANKS, column, told


def test_the_table_names_all_functions():
    assert list(column("NumPy")) == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_numpy(name):
    assert told(CASES[name], lambda x: x, lambda _: "yes") == column("NumPy")[name]


@pytest.mark.parametrize("name", CASES)
def test_dask(name):
    dask = pytest.importorskip("dask")
    da = pytest.importorskip("dask.array")

    def put(x):
        return da.from_array(x, chunks=(-(-len(x) // 2), *x.shape[1:]))

    def made(result):
        return "lazy" if isinstance(result, da.Array) else "computed"

    with dask.config.set(scheduler="synchronous"):
        assert told(CASES[name], put, made) == column("Dask")[name]


def test_ranks():
    for name, said in column("MPI").items():
        assert said == (f"mpi.{ON_RANKS[name]}" if name in ON_RANKS else "—")
        if name in ON_RANKS:
            function = getattr(ef.mpi, ON_RANKS[name])
            assert any(
                argument.endswith("_local") for argument in inspect.signature(function).parameters
            )


def test_kinds_are_told_apart():
    def refuses(_):
        msg = "z: got a list, want an array"
        raise TypeError(msg)

    assert told(refuses, None, None) == "—"
    assert told(lambda put: put(np.ones(1)), len, str) == "1"
