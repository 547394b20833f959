"""R2: LAPACK's test ratios of complete decompositions: norms of errors in ulps times the size."""

import sys
import warnings
from collections.abc import Callable

import numpy as np
import scipy.linalg

import eigenflow as ef
from battery.children import pet, run_child, say
from battery.table import Figure, Row

BAR = 30.0
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 17, 20, 24, 31, 32, 40, 48)
SHAPES = ((1, 1), (1, 2), (2, 1), (1, 5), (5, 1))  # multiples of the size
TYPES = (np.float32, np.float64, np.complex64, np.complex128)


def with_values(s: np.ndarray, m: int, n: int, rng: np.random.Generator) -> np.ndarray:
    k = min(m, n)
    left, _ = np.linalg.qr(rng.standard_normal((m, k)))
    right, _ = np.linalg.qr(rng.standard_normal((n, k)))
    return (left * s[:k]) @ right.T


def kinds(eps: float) -> dict[str, Callable[[int, int, np.random.Generator], np.ndarray]]:
    """Sixteen kinds of matrix, after LAPACK's generators of test matrices."""

    def values(law: Callable[[np.ndarray, int], np.ndarray]) -> Callable[..., np.ndarray]:
        return lambda m, n, rng: with_values(law(np.arange(min(m, n)), min(m, n)), m, n, rng)

    return {
        "zero": lambda m, n, rng: np.zeros((m, n)),
        "identity": lambda m, n, rng: np.eye(m, n),
        "ones": lambda m, n, rng: np.ones((m, n)),
        "normal": lambda m, n, rng: rng.standard_normal((m, n)),
        "uniform": lambda m, n, rng: rng.uniform(-1, 1, (m, n)),
        "even": values(lambda j, k: 1 - j / max(k, 1) * (1 - eps)),
        "geometric": values(lambda j, k: eps ** (j / max(k - 1, 1))),
        "clustered at eps": values(lambda j, k: np.where(j == 0, 1.0, eps)),
        "clustered at one": values(lambda j, k: np.where(j == k - 1, eps, 1.0)),
        "rank one": lambda m, n, rng: np.outer(rng.standard_normal(m), rng.standard_normal(n)),
        "pairs": values(lambda j, k: 2.0 ** -(j // 2)),
        "Hilbert": lambda m, n, rng: 1.0 / (np.arange(m)[:, None] + np.arange(n) + 1),
        "bidiagonal": lambda m, n, rng: np.eye(m, n) + np.eye(m, n, 1),
        "graded rows": lambda m, n, rng: (
            rng.standard_normal((m, n)) * np.geomspace(1, eps, m)[:, None]
        ),
        "near overflow": lambda m, n, rng: rng.standard_normal((m, n)) * 2.0**100,
        "near underflow": lambda m, n, rng: rng.standard_normal((m, n)) * 2.0**-100,
    }


def norm(a: np.ndarray) -> float:
    """Norm of a matrix whose squares may leave the range of numbers."""
    largest = float(np.abs(a).max(initial=0))
    return largest * float(np.linalg.norm(a / largest)) if largest else 0.0


def svd_ratios(A: np.ndarray) -> tuple[float, ...]:
    """Residual, orthogonality of U and of V, and distance of the values from LAPACK's."""
    m, n = A.shape
    k, eps = min(m, n), np.finfo(A.dtype).eps
    found = ef.lowrank.svd(A, k, rng=0)
    wide = np.complex128 if np.iscomplexobj(A) else np.float64
    U, Vh = found.U.astype(wide), found.Vh.astype(wide)
    size = norm(A.astype(wide)) or 1.0
    exact = scipy.linalg.svdvals(A.astype(wide))
    return (
        norm(A - (U * found.s) @ Vh) / (size * max(m, n) * eps),
        float(np.linalg.norm(np.eye(k) - U.conj().T @ U)) / (m * eps),
        float(np.linalg.norm(np.eye(k) - Vh @ Vh.conj().T)) / (n * eps),
        float(np.abs(found.s - exact).max() / (exact[0] or 1.0)) / (max(m, n) * eps),
    )


def main(step: int) -> None:
    warnings.simplefilter("ignore")
    names = ("residual", "U", "V", "values")
    worst, cases, faults = dict.fromkeys(names, (0.0, "")), 0, []
    for dtype in TYPES:
        for kind, make in kinds(float(np.finfo(dtype).eps)).items():
            for size in SIZES[::step]:
                for tall, wide in SHAPES:
                    pet(60)
                    rng = np.random.default_rng(size)
                    A = make(tall * size, wide * size, rng).astype(dtype)
                    if np.issubdtype(dtype, np.complexfloating):
                        A = A * np.exp(1j * rng.uniform(0, 6, (1, A.shape[1]))).astype(dtype)
                    case = f"{kind} {A.shape} {np.dtype(dtype)}"
                    cases += 1
                    ratios = svd_ratios(A)
                    for name, ratio in zip(names, ratios, strict=True):
                        worst[name] = max(worst[name], (ratio, case))
                    if not max(ratios) < BAR:
                        faults.append(f"{case}: {ratios}")
    say(cases=cases, worst=worst, faults=faults[:20], n_faults=len(faults))


def measure(full: bool) -> Figure:
    status, found, errors = run_child("battery.rows.ratios", 1 if full else 5, seconds=3600)
    if status:
        return Figure(f"status {status}: {errors[-900:]}", False)
    print(*found["faults"], sep="\n", file=sys.stderr)
    worst = ", ".join(f"{name} {ratio:.2f}" for name, (ratio, _) in found["worst"].items())
    text = f"{found['cases']} cases of four types: worst {worst}"
    return Figure(text, not found["n_faults"])


ROW = Row(
    "Complete decompositions are as accurate as LAPACK's.",
    "LAPACK's ratios on 19 sizes x 16 kinds x 5 shapes, in each of four types",
    "below 30",
    measure,
)

if __name__ == "__main__":
    main(int(sys.argv[1]))
