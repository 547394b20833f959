"""LoRA factors from the leading singular vectors of a 4096 x 4096 matrix, against other ways.

PiSSA (Meng, Wang and Zhang 2024) trains B A, the leading triplets of the weights W, and freezes the
rest W - B A. Needs PyTorch. Writes docs/results/lora.csv:

    python bench/lora.py
"""

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import scipy.fft
import scipy.linalg
import torch
from sklearn.utils.extmath import randomized_svd

import eigenflow as ef

SIZE = 4096
RANKS = (16, 64, 128)
RESULTS = Path(__file__).parents[1] / "docs" / "results" / "lora.csv"


def weights(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A float32 matrix with the singular values j^-1/2 and random singular vectors, and these.

    The vectors are cosines with random signs, twice: orthonormal, spread out, and made in seconds.
    """
    rng = np.random.default_rng(0)
    s = np.arange(1.0, size + 1) ** -0.5
    W = np.diag(s)
    for axis in (0, 1):
        for _ in range(2):
            signs = rng.choice([-1.0, 1.0], size)
            W = scipy.fft.dct(W * (signs[:, None] if axis == 0 else signs), axis=axis, norm="ortho")
    return W.astype(np.float32), s


def lora(U: np.ndarray, s: np.ndarray, Vh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """B (m, rank) and A (rank, n), the values shared between them."""
    root = np.sqrt(s)
    return U * root, root[:, None] * Vh


def ways(W: np.ndarray, rank: int) -> dict[str, Callable[[], tuple[np.ndarray, ...]]]:
    """Who finds U, s, Vh, and how."""
    tensor = torch.from_numpy(W)

    def low_rank(steps: int) -> tuple[np.ndarray, ...]:
        torch.manual_seed(0)
        U, s, V = torch.svd_lowrank(tensor, q=rank, niter=steps)
        return U.numpy(), s.numpy(), V.mT.numpy()

    return {
        "eigenflow": lambda: tuple(ef.lowrank.svd(W, rank, rng=0)),
        "torch.svd_lowrank, niter=4": lambda: low_rank(4),
        "torch.svd_lowrank, niter=16": lambda: low_rank(16),
        "scikit-learn randomized_svd": lambda: randomized_svd(W, rank, random_state=0),
    }


def excess(W: np.ndarray, found: tuple[np.ndarray, ...], s: np.ndarray) -> float:
    """||W - B A|| over the least possible, less 1."""
    B, A = lora(*found)
    best = np.sqrt(np.sum(s[B.shape[1] :] ** 2))
    return float(np.linalg.norm(W.astype(np.float64) - B.astype(np.float64) @ A) / best - 1)


def measure(rounds: int, full: bool) -> list[dict[str, str]]:
    """One row for each rank and way: seconds and the excess of the error."""
    W, s = weights(SIZE)
    rows = []
    for rank in RANKS:
        times: dict[str, list[float]] = {}
        contestants, found = ways(W, rank), {}
        for _ in range(rounds):
            for who, find in contestants.items():
                start = time.perf_counter()
                found[who] = find()
                times.setdefault(who, []).append(time.perf_counter() - start)
        for who, seconds in times.items():
            rows.append(row(rank, who, median(seconds), excess(W, found[who], s)))
    if full:
        start = time.perf_counter()
        U, values, Vh = torch.linalg.svd(torch.from_numpy(W), full_matrices=False)
        seconds = time.perf_counter() - start
        k = RANKS[0]
        kept = (U[:, :k].numpy(), values[:k].numpy(), Vh[:k].numpy())
        rows.append(row("any", "torch.linalg.svd, all values", seconds, excess(W, kept, s)))
    return rows


def row(rank: object, who: str, seconds: float, above: float) -> dict[str, str]:
    return {
        "rank": str(rank),
        "way": who,
        "seconds": f"{seconds:.2f}",
        "error above the least": f"{above:.1e}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-full", action="store_true", help="leave the full SVD out")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = measure(options.rounds, not options.no_full)
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(options.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
