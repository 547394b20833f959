"""What a decomposition may be asked for: tolerances, single reads, room; the odds of its error."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from eigenflow import _core
from eigenflow.lowrank import requests

FLOAT64 = np.dtype(np.float64)


@dataclass
class Shape:
    """A matrix, as far as requests look at it."""

    shape: tuple[int, int] = (420, 300)
    dtype: np.dtype = FLOAT64


LEAST = _core.svd.resolvable_tolerance(FLOAT64, 420, 300)


@pytest.mark.parametrize(
    ("norm", "rtol", "atol", "refused"),
    [
        (8.0, None, None, None),
        (8.0, LEAST, None, None),
        (8.0, None, 8 * LEAST, None),
        (8.0, LEAST / 2, None, "rtol"),
        (8.0, None, 4 * LEAST, "atol"),
        (8.0, 0.0, None, "rtol"),
        (8.0, None, 0.0, "atol"),
        # One that can be met is enough; of two that cannot, the larger is named.
        (8.0, LEAST / 2, 16 * LEAST, None),
        (8.0, 2 * LEAST, 0.0, None),
        (8.0, LEAST / 2, 2 * LEAST, "rtol"),
        (8.0, LEAST / 4, 4 * LEAST, "atol"),
        (8.0, LEAST / 2, 4 * LEAST, "rtol"),
        # A matrix of zeros meets any.
        (0.0, 0.0, None, None),
        (0.0, None, 0.0, None),
        # Nothing is known of the norm: an absolute tolerance may yet be large.
        (-1.0, LEAST / 2, None, "rtol"),
        (-1.0, LEAST, None, None),
        (-1.0, None, 1e-300, None),
        (-1.0, LEAST / 2, 1e-300, None),
        (-1.0, None, None, None),
    ],
)
def test_tolerances_that_can_be_met(norm, rtol, atol, refused):
    if refused is None:
        want = tuple(-1.0 if x is None else x for x in (atol, rtol))
        assert requests.as_tolerances(Shape(), norm, rtol, atol) == want
        return
    got, least = (rtol, LEAST) if refused == "rtol" else (atol, norm * LEAST)
    with pytest.raises(ValueError, match="want at least") as error:
        requests.as_tolerances(Shape(), norm, rtol, atol)
    assert str(error.value) == (
        f"{refused}: got {got!r}, want at least {least:.2g}: float64 resolves no less for this A"
    )


@pytest.mark.parametrize("name", ["rtol", "atol"])
@pytest.mark.parametrize("value", [-1e-300, np.nan, np.inf])
def test_what_is_no_tolerance_is_refused(name, value):
    given = {"rtol": None, "atol": None, name: value}
    with pytest.raises(ValueError, match=rf"^{name}: got {value}, want a finite number >= 0$"):
        requests.as_tolerances(Shape(), 1.0, **given)


def test_integers_between_two_bounds():
    assert [requests.as_integer(k, "k", 2, 4) for k in (2, np.int8(3), 4)] == [2, 3, 4]
    assert requests.as_integer(2**31 - 1, "k", 0) == 2**31 - 1
    for k in (1, 5):
        with pytest.raises(ValueError, match=rf"^k: got {k}, want 2 to 4$"):
            requests.as_integer(k, "k", 2, 4)
    with pytest.raises(ValueError, match=r"^k: got 2147483648, want 0 to 2147483647$"):
        requests.as_integer(2**31, "k", 0)
    with pytest.raises(TypeError, match=r"^k: got 2.0, want an integer$"):
        requests.as_integer(2.0, "k", 2, 4)


def test_the_odds_of_an_error():
    r = _core.svd.hold_out_vectors
    once = stats.chi2.cdf(r / 4, r)
    for looks in (1, 7):
        found = requests.failure_probability("hold-out", looks)
        assert found == pytest.approx(looks * once, rel=1e-12)
        found = requests.failure_probability("power-bound", looks)
        assert found == pytest.approx(looks * 10.0**-_core.svd.bound_vectors, rel=1e-12)
    for kind in ("hold-out", "power-bound"):
        assert requests.failure_probability(kind, 10**30) == 1
    assert math.isnan(requests.failure_probability("leave-one-out", 1))
    assert requests.failure_probability("tail-energy", 1) == 0


def test_a_single_read_goes_with_some_options():
    def once(passes, wants=(3,), refuses=(None,)):
        return requests.reads_once(passes, "a rank", wants=wants, refuses=refuses)

    assert once(1) is True
    assert once(None) is False
    assert once(None, (None,), (1,)) is False
    assert once(np.int64(1), (1, 2), (None, None)) is True
    for passes in (0, 2):
        with pytest.raises(ValueError, match=rf"^passes: got {passes}, want 1 or None"):
            once(passes)
    with pytest.raises(ValueError, match=r"^passes: got -1, want 0 to"):
        once(-1)
    for wants, refuses in [((3, None), (None,)), ((3,), (None, 0.1))]:
        with pytest.raises(ValueError, match=r"^passes: got 1, which wants a rank$"):
            once(1, wants, refuses)


def test_vectors_that_fit_nowhere_are_refused_by_their_size():
    wide = Shape((2**25, 2**25))
    with pytest.raises(MemoryError, match=r"^A: got shape .*need 8,388,608.0 GiB: \(33554432, 33"):
        requests.require_room(wide, None)
    requests.require_room(wide, 1)
    requests.require_room(wide, None, None, 0.1)  # one column is the least there may be
    with pytest.raises(MemoryError, match=r"\(1, 2305843009213693952\), float64$"):
        requests.require_room(Shape((3, 2**61)), None, 0.1)
    with pytest.raises(
        MemoryError, match=r"^A: got shape .*GiB: \(1, 4611686018427387904\), float64$"
    ):
        requests.require_room(Shape((3, 2**62)), 1)


def test_the_cores_tolerances_have_their_users_names():
    for inner, outer in [("tolerance", "atol"), ("relative_tolerance", "rtol")]:
        refused = pytest.raises(ValueError, match=f"^{outer}: tolerance: low$")
        with refused, requests.tolerance_as_atol():
            raise ValueError(f"{inner}: tolerance: low")
    with pytest.raises(ValueError, match=r"^rank: low$"), requests.tolerance_as_atol():
        raise ValueError("rank: low")
