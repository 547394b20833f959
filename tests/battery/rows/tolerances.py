"""R1: for every function with a tolerance, the error stays within it, down to a floor."""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import eigenflow as ef
from battery.children import run_child, say
from battery.table import Figure, Row

FACTOR = 4  # errors up to this times the tolerance pass; FINUFFT allows 4 to 5
PER_DECADE = 8


def spectra(n: int) -> dict[str, np.ndarray]:
    j = np.arange(1, n + 1)
    return {
        "slow": j**-0.5,
        "harmonic": 1.0 / j,
        "quadratic": j**-2.0,
        "fast": np.exp(-j / 2),
        "step": np.where(j < n // 3, 1.0, 1e-7),
        "flat": np.ones(n),
    }


def matrix(s: np.ndarray, rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.standard_normal((rows, len(s))))
    right, _ = np.linalg.qr(rng.standard_normal((len(s), len(s))))
    return (left * s) @ right.T


def symmetric(s: np.ndarray, seed: int) -> np.ndarray:
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(s), len(s))))
    return (basis * (s * (-1.0) ** np.arange(len(s)))) @ basis.T


def relative(A: np.ndarray, made: np.ndarray) -> float:
    wide = A.astype(np.float64)
    return float(np.linalg.norm(wide - made.astype(np.float64)) / np.linalg.norm(wide))


def svd_error(A: np.ndarray, tol: float) -> float:
    found = ef.lowrank.svd(A, rtol=tol, rng=0)
    return relative(A, found.U.astype(np.float64) * found.s @ found.Vh)


def eigh_error(A: np.ndarray, tol: float) -> float:
    found = ef.lowrank.eigh(A, rtol=tol, rng=0)
    vectors = found.eigenvectors.astype(np.float64)
    return relative(A, vectors * found.eigenvalues @ vectors.T)


def qr_error(A: np.ndarray, tol: float) -> float:
    found = ef.lowrank.pivoted_qr(A, rtol=tol, rng=0)
    made = np.empty_like(A, dtype=np.float64)
    made[:, found.pivots] = found.Q.astype(np.float64) @ found.R
    return relative(A, made)


def interpolative_error(A: np.ndarray, tol: float) -> float:
    found = ef.lowrank.interpolative(A, rtol=tol, rng=0)
    return relative(A, A[:, found.indices].astype(np.float64) @ found.coefficients)


def select_error(A: np.ndarray, tol: float) -> float:
    s = np.linalg.svd(A.astype(np.float64), compute_uv=False)
    rank = ef.lowrank.select_rank(s, A.shape, "fro", rtol=tol)
    return float(np.linalg.norm(s[rank:]) / np.linalg.norm(s))


def sine_error(method: str) -> Callable[[np.ndarray, float], float]:
    def error(A: np.ndarray, tol: float) -> float:
        U, V = A[:, :2], A[:30, 2:4]
        X = A[:30, 4:6]
        op = ef.sine.SineLowRank(U, V, 3.0, method=method, rtol=tol)
        wide = np.sin(3.0 * U.astype(np.float64) @ V.astype(np.float64).T) / np.sqrt(len(V))
        # A sine is off by the tolerance at most, so a product by that times the sums of |X|.
        scale = np.abs(X.astype(np.float64)).sum(axis=0).max() / np.sqrt(len(V))
        return float(np.abs(op @ X - wide @ X.astype(np.float64)).max() / scale)

    return error


FUNCTIONS: dict[str, Callable[[np.ndarray, float], float]] = {
    "lowrank.svd": svd_error,
    "lowrank.eigh": eigh_error,
    "lowrank.pivoted_qr": qr_error,
    "lowrank.interpolative": interpolative_error,
    "lowrank.select_rank": select_error,
    "sine anchors": sine_error("anchors"),
    "sine taylor": sine_error("taylor"),
    "sine auto": sine_error("auto"),
}


def tolerances(dtype: Any) -> np.ndarray:
    """Eight a decade, from 0.5 down to the half of an ulp."""
    least = np.finfo(dtype).eps / 2
    count = int(np.ceil(PER_DECADE * np.log10(0.5 / least)))
    return np.geomspace(0.5, least, count)


def fit_error(tol: float) -> float:
    """Coefficients of a regression by its flow, against the same with a tolerance of 1e-12."""
    E = matrix(spectra(12)["harmonic"], 20, 3) * 5
    y = E @ np.linspace(-1, 1, 12)
    arguments = (E, y, 0.1, [1.0, 20.0])
    fits = (ef.flow.fit(*arguments, depth=1, b0=0.3, rtol=r) for r in (tol, 1e-12))
    got, want = (fit.coefficients for fit in fits)
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def main(step: int) -> None:
    warnings.simplefilter("ignore")
    checks, refused, faults, worst = {"float64": 0, "float32": 0}, 0, [], (0.0, "")
    cases = [
        (f"{name} {dtype.__name__} {kind}", function, made.astype(dtype), dtype)
        for dtype in (np.float64, np.float32)
        for seed, (kind, s) in enumerate(spectra(40).items())
        for name, function in FUNCTIONS.items()
        for made in [symmetric(s, seed) if "eigh" in name else matrix(s, 60, seed)]
    ]
    for name, function, A, dtype in cases:
        floor = 200 * np.finfo(dtype).eps
        for tol in tolerances(dtype)[::step]:
            try:
                error = function(A, tol)
            except (ValueError, ef.ConvergenceError) as said:
                refused += 1
                if tol > floor:
                    faults.append(f"{name} {tol:.2e}: {said}")
                continue
            checks[np.dtype(dtype).name] += 1
            worst = max(worst, (error / max(floor, tol), f"{name} {tol:.2e}"))
            if not error <= max(floor, FACTOR * tol):
                faults.append(f"{name} {tol:.2e}: error {error:.2e}")
    for tol in np.geomspace(0.1, 1e-11, PER_DECADE * 10)[::step]:
        error = fit_error(tol)
        checks["float64"] += 1
        worst = max(worst, (error / max(1e-12, tol), f"flow.fit {tol:.2e}"))
        if not error <= max(1e-11, FACTOR * tol):
            faults.append(f"flow.fit {tol:.2e}: error {error:.2e}")
    said = {"checks": checks, "refused": refused, "worst": worst}
    say(**said, faults=faults[:30], n_faults=len(faults))


def measure(full: bool) -> Figure:
    step = 1 if full else 8
    status, found, errors = run_child("battery.rows.tolerances", step, seconds=3600)
    if status:
        return Figure(f"status {status}: {errors[-900:]}", False)
    print(*found["faults"], sep="\n", file=sys.stderr)
    text = (
        f"{found['checks']['float64']} float64 and {found['checks']['float32']} float32 checks, "
        f"{found['refused']} unreachable tolerances refused; {found['n_faults']} beyond "
        f"the bar; worst error {found['worst'][0]:.2f} times max(tolerance, floor)"
    )
    return Figure(text, not found["n_faults"])


ROW = Row(
    "A tolerance that a function takes is kept.",
    "tolerances from 0.5 to half an ulp, 8 a decade, for every function that takes one",
    "error at most max(200 eps, 4 tolerances)",
    measure,
)

if __name__ == "__main__":
    main(int(sys.argv[1]))
