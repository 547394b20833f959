"""Peak memory of whole processes: the kernels' own allocations are invisible to tracemalloc."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs /proc/self/status"
)

SCRIPT = """
import numpy as np
import eigenflow as ef

def kib(field):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field))

rng = np.random.default_rng(0)
n, n_times, depth, dtype, what = {case}
z = rng.normal(size=n).astype(dtype)
lam = rng.random(n).astype(dtype)
t = np.linspace(0.1, 3.0, n_times)
b0 = dtype(0.5) if depth else None

def run(z, lam, out):
    if what == "solve":
        ef.flow.solve(z, lam, t, depth=depth, b0=b0, workers=2, out=out)
    elif what == "state":
        ef.flow.state(z, lam, t, depth=depth, b0=b0, workers=2)
    elif what == "sure":
        ef.flow.sure(z, lam, t, 0.1, depth=depth, b0=b0, workers=2)

out = np.ones((n_times, n), dtype) if what == "solve" else None
run(z[:50], lam[:50], None if out is None else np.ones((n_times, 50), dtype))
results = 6 * n * n_times * np.dtype(dtype).itemsize if what == "state" else 0
with open("/proc/self/clear_refs", "w") as f:
    f.write("5")  # resets the peak
before = kib("VmRSS")
run(z, lam, out)
print(kib("VmHWM") - before - results // 1024)
"""


@pytest.mark.parametrize(
    "case",
    [
        "2_000_000, 1, 0, np.float64, 'solve'",
        "2_000_000, 1, 0, np.float32, 'solve'",
        "500_000, 3, 0, np.float64, 'state'",
        "500_000, 75, 0, np.float64, 'sure'",
        "2_000, 3_000, 1, np.float64, 'solve'",
        "2_000, 3_000, 1, np.float32, 'solve'",
        "300, 3_000, 2, np.float64, 'state'",
        "300, 3_000, 2, np.float32, 'state'",
        "2_000, 2_000, 1, np.float64, 'sure'",
    ],
)
def test_scratch_stays_under_eight_mebibytes(case):
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(case=case)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert int(run.stdout) < 8 * 1024


def test_a_memory_mapped_input_is_not_copied(tmp_path):
    code = """
import numpy as np, eigenflow as ef
def kib(field):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field))
np.ones(4_000_000).tofile("z")
z = np.memmap("z", float, "r")
out = np.memmap("theta", float, "w+", shape=z.shape)
ef.flow.solve(z[:50], 0.3, 1.0, workers=2)
before = kib("RssAnon")
ef.flow.solve(z, 0.3, 1.0, out=out, workers=2)
print(kib("RssAnon") - before, float(out[-1]))
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=tmp_path,
    )
    grown, last = run.stdout.split()
    assert int(grown) < 8 * 1024
    assert 0 < float(last) < 1
