"""Arrays of any library that follows the array API standard go in, and the same kind comes out."""

import dataclasses

import numpy as np
import pytest

import eigenflow as ef

strict = pytest.importorskip("array_api_strict")
rng = np.random.default_rng(7)
VECTOR, MATRIX = rng.standard_normal(12), rng.standard_normal((12, 8))
SYSTEM = ef.lds.LinearSystem(A=0.9, C=1.0, Q=0.1, R=1.0)


def gradients(v, m):
    op = ef.sine.SineLowRank(m, m, omega=2.0)
    return op.vjp(v, v)


# Each takes the vector and the matrix, and gives an array or a result whose fields may be arrays.
CALLS = {
    "flow.solve": lambda v, m: ef.flow.solve(v, v * v, 2.0, depth=1, b0=0.5),
    "flow.state": lambda v, m: ef.flow.state(v, v * v, 2.0, depth=1, b0=0.5),
    "flow.vanilla": lambda v, m: ef.flow.vanilla(v, v * v, 2.0),
    "flow.sure": lambda v, m: ef.flow.sure(v, v * v, [1.0, 2.0], 0.1),
    "flow.derivatives": lambda v, m: ef.flow.derivatives(v, v * v, 2.0),
    "flow.hitting_time": lambda v, m: ef.flow.hitting_time(0.5, v, v * v),
    "flow.descend": lambda v, m: ef.flow.descend(v, v * v, 0.01, 5),
    "flow.fit": lambda v, m: ef.flow.fit(m, v, np.ones(8), 1.0).coefficients,
    "lowrank.svd": lambda v, m: ef.lowrank.svd(m, 3, rng=0),
    "lowrank.range_finder": lambda v, m: ef.lowrank.range_finder(m, 3, rng=0),
    "lowrank.pivoted_qr": lambda v, m: ef.lowrank.pivoted_qr(m, 3, rng=0),
    "sine @": lambda v, m: ef.sine.SineLowRank(m, m, omega=2.0) @ v,
    "sine.vjp": gradients,
    "lds.filter": lambda v, m: ef.lds.filter(SYSTEM, v).filtered_mean,
    "lds.smooth": lambda v, m: ef.lds.smooth(SYSTEM, v).smoothed_mean,
}


def arrays_of(result):
    if not dataclasses.is_dataclass(result):
        return {"result": result}
    fields = {f.name: getattr(result, f.name) for f in dataclasses.fields(result)}
    return {name: x for name, x in fields.items() if getattr(x, "ndim", 0)}


@pytest.mark.parametrize("name", CALLS)
def test_the_kind_of_array_is_kept(name):
    expected = arrays_of(CALLS[name](VECTOR, MATRIX))
    got = arrays_of(CALLS[name](strict.asarray(VECTOR), strict.asarray(MATRIX)))
    assert expected.keys() == got.keys()
    assert expected
    for field, x in got.items():
        assert type(x) is type(strict.asarray(VECTOR)), field
        np.testing.assert_array_equal(np.asarray(x), expected[field])
