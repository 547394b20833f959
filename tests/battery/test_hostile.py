"""R4: hostile arrays and numbers in every argument of every public function, by a written table."""

import inspect
from fnmatch import fnmatchcase

import numpy as np
import pytest

import eigenflow as ef
from battery.calls import CALLS, outputs
from battery.hostile import KINDS, NUMBERS
from battery.outcomes import ARRAYS

pytestmark = pytest.mark.filterwarnings("ignore")

ARGUMENTS = [(call, name) for call in CALLS for name in call.arrays]
SCALARS = [(call, name) for call in CALLS for name in call.scalars]


def ids(value):
    return value if isinstance(value, str) else value.name


def expected(kind, call, argument):
    for name, calls, arguments, outcome in ARRAYS:
        if kind.name == name and fnmatchcase(call.name, calls) and fnmatchcase(argument, arguments):
            return outcome
    return kind.outcome


def outcome_of(call, **changed):
    """What the call returns, or the error it raises."""
    try:
        return call(**changed)
    except Exception as error:
        return error


def assert_same(got, want, rtol):
    if isinstance(want, Exception):
        assert type(got) is type(want), f"got {got!r}, want {want!r}"
        return
    if isinstance(got, Exception):
        raise got
    for x, y in zip(outputs(got), outputs(want), strict=True):
        if y is None or isinstance(y, str):
            assert x == y
        else:
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol / 100)


def assert_named(error, kind, call, argument):
    """The message starts with the argument's name; sizes that disagree may name another one."""
    names = [call.called.get(argument, argument)]
    if kind.outcome != "TypeError":
        names += inspect.signature(call.function).parameters
        names += call.called.values()
    assert type(error) in (TypeError, ValueError), repr(error)
    subject = str(error).partition(":")[0]
    assert subject in names or subject.partition("[")[0] in names, repr(error)


def judge_array(kind, call, argument):
    hostile = kind.make(call.arrays[argument])
    got = outcome_of(call, **{argument: hostile})
    want = expected(kind, call, argument)
    if want == "same":
        plain = np.array(hostile, np.float32 if kind.single else np.float64, order="C")
        assert_same(got, outcome_of(call, **{argument: plain}), 1e-4 if kind.single else 1e-9)
    elif want == "works":
        assert not isinstance(got, Exception), repr(got)
    else:
        assert type(got).__name__ == want, repr(got)
    if isinstance(got, Exception):
        assert_named(got, kind, call, argument)


def judge_number(kind, call, argument):
    got = outcome_of(call, **{argument: kind.make(None)})
    if isinstance(got, Exception):
        assert_named(got, kind, call, argument)
    else:
        assert kind.outcome == "maybe", repr(got)


def assert_all(judge, kinds, call, argument):
    """Judge every kind, and report all that went wrong at once."""
    wrong = []
    for kind in kinds:
        try:
            judge(kind, call, argument)
        except Exception as error:
            wrong.append(f"{kind.name}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("call", "argument"), ARGUMENTS, ids=ids)
def test_arrays(call, argument):
    assert_all(judge_array, KINDS, call, argument)


@pytest.mark.parametrize(("call", "argument"), SCALARS, ids=ids)
def test_numbers(call, argument):
    assert_all(judge_number, NUMBERS, call, argument)


@pytest.mark.parametrize("name", ["system", "learner", "model"])
@pytest.mark.parametrize("wrong", [None, "x", 3, np.eye(2)], ids=["None", "str", "int", "array"])
def test_objects(name, wrong):
    for call in CALLS:
        if name in call.fixed:
            with pytest.raises(TypeError, match=f"^{name}: "):
                call(**{name: wrong})


@pytest.mark.parametrize("call", [call for call in CALLS if call.takes("workers")], ids=ids)
@pytest.mark.parametrize("wrong", [0, "2", 1.5, 2**40])
def test_workers(call, wrong):
    with pytest.raises((TypeError, ValueError), match=r"^workers: "):
        call(workers=wrong)


@pytest.mark.parametrize("call", CALLS, ids=ids)
def test_inputs_are_never_written(call):
    before = {name: array.copy() for name, array in call.arrays.items()}
    call()
    for name, array in call.arrays.items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@pytest.mark.parametrize("module", ["flow", "lowrank", "sine", "lds"])
def test_every_public_function_has_a_call(module):
    called = {call.name for call in CALLS}
    for name in getattr(ef, module).__all__:
        if not inspect.isclass(getattr(getattr(ef, module), name)):
            assert f"{module}.{name}" in called
