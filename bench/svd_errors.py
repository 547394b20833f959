"""Errors of the truncated SVD by rank, at its defaults: beside scikit-learn's and beside the least.

    python bench/svd_errors.py [--part 2] [--only 3000 1000]

The first part is every cell of `svd_grid.py`: the Frobenius error over that of `randomized_svd`.
The second is what single precision hides: float32 matrices whose first singular value is so many
times the next, and how far the error is above the least there is. No times: it may run beside other
work.
"""

import argparse
from itertools import product

import numpy as np

import eigenflow as ef
from svd_grid import (
    DTYPES,
    OURS,
    RANKS,
    SHAPES,
    SKLEARN,
    SPECTRA,
    eigenflow,
    error_of,
    matrix,
    scikit_learn,
)
from svd_grid import vectors as orthonormal

FACTORS = (1, 1e2, 1e3)
MORE = f"{OURS}, oversampling=50"
FLAT = {**SPECTRA, "all alike": lambda j: np.ones(j.shape)}
THREADS = 2


def beside_scikit_learn(shapes):
    """Ratios of the errors by precision and shape; prints the largest of each, and of all."""
    print(f"Error of {OURS} over that of {SKLEARN}, largest over spectra and ranks\n")
    print("| matrix | precision | largest | least | at |\n|---|---|---|---|---|")
    every = []
    for shape, dtype in product(shapes, DTYPES):
        found = {}
        for spectrum in SPECTRA:
            A = matrix(shape, spectrum, dtype)
            for rank in RANKS:
                ours, theirs = (error_of(A, f(A, rank, THREADS)) for f in (eigenflow, scikit_learn))
                found[spectrum, rank] = ours / theirs
        (spectrum, rank), worst = max(found.items(), key=lambda item: item[1])
        every += found.values()
        name = f"{shape[0]} x {shape[1]}"
        least = min(found.values())
        print(
            f"| {name} | {dtype} | {worst:.8f} | {least:.6f} | {spectrum}, rank {rank} |",
            flush=True,
        )
    print(f"\nLargest of {len(every)} cells: {max(every):.8f}; least {min(every):.6f}\n")


def with_one_large_value(shape, factor, spectrum):
    """Print the largest error over the least there is, float32, over ranks."""
    U, V = orthonormal(shape)
    s = FLAT[spectrum](np.arange(1.0, min(shape) + 1))
    s[0] = factor * s[1]
    A = ((U * s) @ V.T).astype(np.float32)
    ways = {
        OURS: lambda rank: tuple(ef.lowrank.svd(A, rank, rng=0, workers=THREADS)),
        MORE: lambda rank: tuple(ef.lowrank.svd(A, rank, oversampling=50, rng=0, workers=THREADS)),
        SKLEARN: lambda rank: scikit_learn(A, rank, THREADS),
    }
    least = {
        rank: np.linalg.norm(s[rank:]) / np.linalg.norm(A.astype(np.float64)) for rank in RANKS
    }
    above = {
        name: max(error_of(A, way(rank)) / least[rank] - 1 for rank in RANKS)
        for name, way in ways.items()
    }
    cells = " | ".join(f"{100 * max(value, 0):.3f} %" for value in above.values())
    print(f"| {factor:g} | {spectrum} | {cells} |", flush=True)


def main():
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=int, nargs=2, help="one shape of the grid")
    parser.add_argument("--part", type=int, choices=(1, 2), help="one of the two")
    options = parser.parse_args()
    shapes = [tuple(options.only)] if options.only else SHAPES
    if options.part != 2:
        beside_scikit_learn(shapes)
    if options.part != 1:
        m, n = shapes[0]
        print(f"Error above the least, float32, {m} x {n}, largest over ranks {RANKS}\n")
        print(f"| first value over the next | the others | {OURS} | {MORE} | {SKLEARN} |")
        print("|---|---|---|---|---|")
        for factor, spectrum in product(FACTORS, FLAT):
            with_one_large_value(shapes[0], factor, spectrum)


if __name__ == "__main__":
    main()
