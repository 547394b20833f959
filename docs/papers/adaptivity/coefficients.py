"""Figure 6: empirical Fourier coefficients of real data, in the kernel's order and sorted.

The paper shows California Housing and Concrete, which neither ship with scikit-learn nor can be
fetched without a network. Here are two tables that do ship with it; `--table FILE` adds a local
one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adaptivity.fourier import features, multi_indices
from adaptivity.sequence import Array

SMOOTHNESS = 2.0  # of the kernel; the order of its eigenvalues does not depend on it


@dataclass(frozen=True)
class Table:
    """Inputs spread evenly over [-1, 1) along each axis, and a target of mean 0 and variance 1."""

    name: str
    inputs: Array
    target: Array


def measure(quick: bool, tick: Callable[[], None], table: Path | None = None) -> dict[str, Any]:
    """Coefficients of each table."""
    loaders = [diabetes, tumours, *([lambda: from_file(table)] if table else [])]
    found = []
    for load in loaders:
        found.append(_coefficients(load(), 2 if quick else 4))
        tick()
    return {"tables": found}


def n_ticks(quick: bool, table: Path | None = None) -> int:
    """How often `measure` calls `tick`."""
    return 3 if table else 2


def diabetes() -> Table:
    """442 patients: progression of diabetes after a year; sex left out, it has two values only."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    return scaled("Diabetes", np.delete(data.data, 1, axis=1), data.target)


def tumours() -> Table:
    """569 tumours: benign or malignant, from 10 measurements of the shape of their cells."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return scaled("Breast cancer", data.data[:, :10], data.target)


def from_file(path: Path) -> Table:
    """Comma-separated numbers under one line of names; the last column is the target."""
    rows = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    return scaled(path.stem, rows[:, :-1], rows[:, -1])


def scaled(name: str, inputs: Array, target: Array) -> Table:
    """Replace each input by its rank, so that it is uniform on [-1, 1); standardise the target.

    Uniform inputs keep each coefficient of pure noise at a standard deviation of n^-1/2.
    """
    from scipy.stats import rankdata

    ranks = rankdata(inputs, axis=0)
    return Table(name, (2 * ranks - 1) / len(ranks) - 1, (target - target.mean()) / target.std())


def empirical(table: Table, indices: Array, *, block: int = 512) -> Array:
    """(1/n) sum_i y_i e_m(x_i), a cosine and a sine for each m, in blocks that fit into memory."""
    blocks = [
        features(table.inputs, indices[k : k + block]).T @ table.target / len(table.target)
        for k in range(0, len(indices), block)
    ]
    return np.concatenate(blocks)


def _coefficients(table: Table, radius_squared: int) -> dict[str, Any]:
    indices = multi_indices(table.inputs.shape[1], radius_squared)
    size = np.abs(empirical(table, indices))
    levels = np.repeat(np.sum(indices**2, axis=1), 2)
    eigenvalues = (1.0 + levels) ** -SMOOTHNESS
    order = np.argsort(-eigenvalues, kind="stable")
    n = len(table.target)
    above = np.sort(size)[::-1]
    return {
        "name": table.name,
        "n": n,
        "dimension": table.inputs.shape[1],
        "n_coefficients": len(size),
        "size": size[order].tolist(),
        "level": levels[order].tolist(),
        "noise": float(1 / np.sqrt(n)),
        "n_significant": int(np.sum(size > significance(len(size), n))),
        "energy_top_1_percent": float(np.sum(above[: len(size) // 100] ** 2) / np.sum(size**2)),
        "energy_first_1_percent": float(
            np.sum(size[order][: len(size) // 100] ** 2) / np.sum(size**2)
        ),
    }


def significance(count: int, n: int) -> float:
    """Size that the largest of `count` coefficients of pure noise hardly exceeds."""
    return float(np.sqrt(2 * np.log(count) / n))
