"""What goes in: memory layouts, types, seeds, workers, refusals, interruption."""

import os
import subprocess
import sys

import numpy as np
import pytest

import eigenflow as ef
from reference import lowrank as truth

SHAPE = (420, 300)
A = truth.with_spectrum(SHAPE, truth.decay("harmonic", 300), seed=11)
NORM = np.linalg.norm(A)
EPS = np.finfo(float).eps


def spaced(a):
    """The same entries, every third row and second column of a larger array."""
    held = np.full((3 * a.shape[0], 2 * a.shape[1]), np.nan, a.dtype)
    held[::3, ::2] = a
    return held[::3, ::2]


def unaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)
    held = raw[1:].view(a.dtype).reshape(a.shape)
    held[...] = a
    return held


def read_only(a):
    a = a.copy()
    a.setflags(write=False)
    return a


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "spaced": spaced,
    "negative rows": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "negative columns": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "negative both, F": lambda a: np.asfortranarray(a[::-1, ::-1])[::-1, ::-1],
    "part of a wider one": lambda a: np.hstack([a, a])[:, : a.shape[1]],
    "read-only": read_only,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": unaligned,
}


def same_up_to_rounding(got, want, a):
    slack = 50 * np.finfo(got.s.dtype).eps * want.s[0]
    np.testing.assert_allclose(got.s, want.s, rtol=0, atol=slack)
    gap = np.linalg.norm((got.U * got.s) @ got.Vh - (want.U * want.s) @ want.Vh)
    # Bases that differ by rounding converge alike, but not to the last digit of the vectors.
    assert gap <= 100 * slack + 1e-3 * truth.distance(a, *want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("steps", [None, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layouts_give_the_same_triplets_and_are_not_written(layout, steps, dtype):
    for a in (A.astype(dtype), A[:30, :20].astype(dtype)):
        x = LAYOUTS[layout](a)
        before = x.tobytes()
        got = ef.lowrank.svd(x, 7, power_iterations=steps, rng=3)
        Q = ef.lowrank.range_finder(x, 7, rng=3)
        assert x.tobytes() == before
        assert {part.dtype for part in (*got, got.residuals, Q)} == {np.dtype(dtype)}
        want = ef.lowrank.svd(a, 7, power_iterations=steps, rng=3)
        same_up_to_rounding(got, want, a)
        np.testing.assert_allclose(
            Q, ef.lowrank.range_finder(a, 7, rng=3), atol=1e4 * np.finfo(dtype).eps
        )


@pytest.mark.parametrize("steps", [None, 0])
@pytest.mark.parametrize("make", [np.asarray, np.ndarray.tolist])
def test_integers_and_lists_become_double(make, steps):
    whole = np.arange(12).reshape(3, 4)
    got = ef.lowrank.svd(make(whole), 2, power_iterations=steps)
    assert got.s.dtype == np.float64
    np.testing.assert_allclose(got.s, np.linalg.svd(whole)[1][:2], rtol=1e-12)
    assert ef.lowrank.range_finder(make(whole), 2).dtype == np.float64


def test_half_precision_and_booleans_are_widened():
    half = A[:20, :10].astype(np.float16)
    assert ef.lowrank.svd(half, 2).s.dtype == np.float32
    assert ef.lowrank.svd(np.eye(3, dtype=bool), 2).s.tolist() == [1, 1]


def test_the_result_unpacks_and_is_frozen():
    result = ef.lowrank.svd(A, 4, rng=0)
    U, s, Vh = result
    assert (U is result.U, s is result.s, Vh is result.Vh) == (True, True, True)
    with pytest.raises(AttributeError):
        result.rank = 3


@pytest.mark.parametrize("options", [{}, {"power_iterations": 1}, {"rtol": 0.2}])
def test_the_same_seed_gives_the_same_bytes(options):
    first = ef.lowrank.svd(A, 9, rng=12, workers=1, **options)
    again = ef.lowrank.svd(A, 9, rng=np.random.default_rng(12), workers=1, **options)
    for x, y in zip(first, again, strict=True):
        assert x.tobytes() == y.tobytes()
    assert first.error == again.error
    other = ef.lowrank.svd(A, 9, rng=13, workers=1, **options)
    assert other.U.tobytes() != first.U.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("rank", "options"),
    [(9, {}), (9, {"power_iterations": 2}), (9, {"rtol": 0.2}), (120, {}), (None, {})],
)
def test_workers_change_no_byte(rank, options, dtype):
    """Enough rows for several chunks; BLAS runs on one thread whatever the workers."""
    a = np.vstack([A] * 8).astype(dtype)
    one = ef.lowrank.svd(a, rank, rng=1, workers=1, **options)
    for workers in (2, 3, 7):
        more = ef.lowrank.svd(a, rank, rng=1, workers=workers, **options)
        for name in ("U", "s", "Vh", "residuals"):
            np.testing.assert_array_equal(getattr(more, name), getattr(one, name))
        assert (more.error, more.passes) == (one.error, one.passes)


def with_entry(value, at):
    a = A.copy()
    a[at] = value
    return a


REFUSALS = [
    ({"rank": -1}, ValueError, r"^rank: got -1, want 0 to 300"),
    ({"rank": 301}, ValueError, r"^rank: got 301, want 0 to 300"),
    ({"rank": 2.5}, TypeError, r"^rank: got 2.5, want an integer"),
    ({"rtol": 0.0}, ValueError, r"^rtol: got 0.0, want at least .*float64"),
    ({"rtol": -0.1}, ValueError, r"^rtol: got -0.1"),
    ({"rtol": np.nan}, ValueError, r"^rtol: got nan"),
    ({"rtol": np.inf}, ValueError, r"^rtol: got inf"),
    ({"atol": -1.0}, ValueError, r"^atol: got -1.0"),
    ({"atol": 0.0}, ValueError, r"^atol: got 0.0, want at least"),
    ({"rtol": 0.0, "atol": 0.0}, ValueError, r"^rtol: got 0.0, want at least"),
    ({"atol": 1e-20}, ValueError, r"^atol: got 1e-20, want at least"),
    ({"rtol": 1e-16}, ValueError, r"^rtol: got 1e-16, want at least .*float64 resolves"),
    ({"norm": "nuclear"}, ValueError, r"^norm: got 'nuclear'"),
    ({"oversampling": -1}, ValueError, r"^oversampling: got -1"),
    ({"oversampling": 1.5}, TypeError, r"^oversampling: got 1.5"),
    ({"power_iterations": -1}, ValueError, r"^power_iterations: got -1"),
    ({"power_iterations": "many"}, TypeError, r"^power_iterations: got 'many'"),
    ({"rng": "seed"}, TypeError, r"^rng: "),
    ({"workers": 0}, ValueError, r"^workers: "),
]


@pytest.mark.parametrize(("options", "error", "message"), REFUSALS)
def test_refusals_name_the_argument(options, error, message):
    with pytest.raises(error, match=message):
        ef.lowrank.svd(A, **options)


@pytest.mark.parametrize(
    ("a", "error", "message"),
    [
        (A[0], ValueError, r"^A: got 1 dimensions"),
        (A[None], ValueError, r"^A: got 3 dimensions"),
        (A.astype(np.longdouble), TypeError, r"^A: got dtype (float128|longdouble)"),
        (A.astype(object), TypeError, r"^A: got dtype object"),
        ([[1, 2], [3]], ValueError, r"^A: "),
        (with_entry(np.nan, (17, 5)), ValueError, r"^A: got nan at position \(17, 5\)"),
        (A + 1j * with_entry(np.nan, (2, 1)), ValueError, r"^A: got \(nan.* at position \(2, 1\)"),
        (with_entry(-np.inf, (0, 299)), ValueError, r"^A: got -inf at position \(0, 299\)"),
    ],
)
def test_refused_matrices(a, error, message):
    for call in (ef.lowrank.svd, ef.lowrank.range_finder):
        with pytest.raises(error, match=message):
            call(a, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_the_scan_a_bad_matrix_is_refused_all_the_same(value, dtype):
    a = with_entry(value, (3, 4)).astype(dtype)
    for call in (ef.lowrank.svd, ef.lowrank.range_finder):
        with pytest.raises(ValueError, match=r"^A: got NaN or infinity"):
            call(a, 3, check_finite=False)


@pytest.mark.parametrize(
    "call",
    [
        lambda a: ef.lowrank.svd(a, 5),
        lambda a: ef.lowrank.svd(a.T),
        lambda a: ef.lowrank.svd(a, rtol=0.1),
        lambda a: ef.lowrank.svd(a, 3, power_iterations=1),
        lambda a: ef.lowrank.range_finder(a, 5),
        lambda a: ef.lowrank.pivoted_qr(a, 5),
        lambda a: ef.lowrank.interpolative(a.T, 5),
        lambda a: ef.lowrank.eigh(np.broadcast_to(a[0, 0], (len(a) >> 12, len(a) >> 12))),
    ],
)
def test_vectors_that_fit_nowhere_are_refused_before_the_work(call):
    with pytest.raises(MemoryError, match=r"^A: got shape \(.*, whose vectors need .* GiB: "):
        call(np.broadcast_to(1.0, (2**40, 20)))


@pytest.mark.parametrize("size", [-1, 301, 1.5])
def test_refused_sizes(size):
    with pytest.raises((TypeError, ValueError), match=rf"^size: got {size}"):
        ef.lowrank.range_finder(A, size)


def test_rank_and_size_0_are_allowed():
    result = ef.lowrank.svd(A, 0)
    assert (result.rank, result.U.shape, result.Vh.shape) == (0, (420, 0), (0, 300))
    assert result.error == pytest.approx(NORM)
    assert ef.lowrank.range_finder(A, 0).shape == (420, 0)


def test_the_smallest_accepted_tolerance_is_met():
    for dtype in (np.float32, np.float64):
        a = A.astype(dtype)
        with pytest.raises(ValueError, match="want at least") as caught:
            ef.lowrank.svd(a, rtol=1e-18)
        least = float(str(caught.value).split("want at least ")[1].split(":")[0])
        result = ef.lowrank.svd(a, rtol=1.1 * least)
        assert result.method == "exact"
        assert truth.distance(a, *result) <= 1.1 * least * NORM


def test_oversampling_beyond_the_matrix_is_cut():
    for steps in (None, 0):
        result = ef.lowrank.svd(A, 5, oversampling=10**6, power_iterations=steps)
        np.testing.assert_allclose(result.s, 1 / np.arange(1.0, 6), rtol=1e-8)


INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
import eigenflow as ef

A = np.random.default_rng(0).normal(size=(6000, 2500))
before = A.sum()
# A shell that runs jobs in the background lets them ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
start = time.monotonic()
try:
    while time.monotonic() - start < 60:
        {call}
except KeyboardInterrupt:
    print("interrupted", A.sum() == before, A.flags.writeable)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a process there cannot send itself SIGINT")
@pytest.mark.parametrize(
    "call",
    [
        "ef.lowrank.svd(A, 300)",
        "ef.lowrank.svd(A, 200, power_iterations=50)",
        "ef.lowrank.range_finder(A, 200, power_iterations=200)",
    ],
)
def test_an_interrupt_ends_the_call_and_leaves_the_matrix(call):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(call=call)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ,
        check=False,
    )
    assert done.stdout.split() == ["interrupted", "True", "True"], done.stderr
