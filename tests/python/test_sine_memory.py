"""Peak memory of whole processes: the kernels' own allocations are invisible to tracemalloc."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs /proc/self/status"
)

SCRIPT = """
import numpy as np
import scipy.special  # which choosing a method imports
import eigenflow as ef

def kib(field):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field))

m, n, k, t, transposed, dtype, omega, settings = {case}
rng = np.random.default_rng(0)
U, V = (rng.standard_normal((rows, k)).astype(dtype) for rows in (m, n))
op = ef.sine.SineLowRank(U, V, omega, **settings)
op = op.T if transposed else op
X = np.ones((op.shape[1], t), dtype)
out = np.ones((op.shape[0], t), dtype)
small = ef.sine.SineLowRank(np.ones((2, 1), dtype), np.ones((2, 1), dtype), 1.0)
small.matmat(np.ones((2, 1), dtype), workers={workers})
with open("/proc/self/clear_refs", "w") as f:
    f.write("5")  # resets the peak
before = kib("VmRSS")
op.matmat(X, out=out, workers={workers}, check_finite=False)
print(kib("VmHWM") - before)
"""


@pytest.mark.parametrize(
    "case",
    [
        (1_000_000, 20, 8, 1, False, "float32", 0.01, {}),
        (1_000_000, 20, 8, 1, True, "float32", 0.01, {}),
        (1_000_000, 20, 2, 1, True, "float32", 0.01, {}),
        (3_000, 50, 3_000, 4, False, "float64", 0.01, {"exact_phase": True}),
        (200, 300, 4, 5_000, False, "float64", 0.01, {"exact_phase": True}),
        (300, 20_000, 1, 600, False, "float32", 300.0, {"method": "anchors"}),
        (300, 20_000, 3, 50, False, "float64", 0.3, {"method": "anchors", "rtol": 1e-5}),
        (20_000, 3_000, 8, 500, False, "float64", 2e-3, {"method": "taylor", "rtol": 1e-9}),
    ],
)
def test_scratch_stays_under_four_mebibytes_for_each_worker(case):
    workers = 2
    code = SCRIPT.format(case=case, workers=workers)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(run.stdout) < workers * 4 * 1024


MILLION = """
import numpy as np
import eigenflow as ef

def kib(field):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field))

rng = np.random.default_rng(0)
U, V = (rng.standard_normal((1_000_000, 2)).astype("float32") for _ in range(2))
whole = ef.sine.SineLowRank(U, V, 0.5, method="fused")
assert whole.shape == (1_000_000, 1_000_000)
small = ef.sine.SineLowRank(np.ones((2, 1)), np.ones((2, 1)), 1.0)
small.vjp(np.ones(2), np.ones(2), workers=2), small.jvp(np.ones(2), {{"omega": 1.0}}, workers=2)
op = whole.submatrix(slice(500_000, 500_200), slice(None))
X, Y = np.ones((1_000_000, 1), "float32"), np.ones((200, 1), "float32")
out = np.ones((200, 1), "float32")
with open("/proc/self/clear_refs", "w") as f:
    f.write("5")
before = kib("VmRSS")
result = {call}
print(kib("VmHWM") - before - {outputs} // 1024)
"""


@pytest.mark.parametrize(
    ("call", "outputs"),
    [
        ("op.matmat(X, out=out, workers=2, check_finite=False)", 0),
        ("op.vjp(X, Y, workers=2, check_finite=False)", 4 * (2 * 200 + 3 * 1_000_000)),
        ("op.T.vjp(Y, X, workers=2, check_finite=False)", 4 * (3 * 200 + 2 * 1_000_000)),
        ("op.jvp(X, {'omega': 1.0, 'gain': 1.0}, workers=2, check_finite=False)", 4 * 200),
    ],
)
def test_a_slice_of_a_million_by_a_million(call, outputs):
    code = MILLION.format(call=call, outputs=outputs)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(run.stdout) < 2 * 4 * 1024
