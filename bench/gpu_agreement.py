"""In how many numbers a CUDA device and the host differ: `python bench/gpu_agreement.py`.

The kernels are the host's code, compiled without contraction: what has no sums in another order
should be the same bytes.
"""

from typing import Any

import cupy
import numpy as np

import eigenflow as ef
from eigenflow import _rng
from eigenflow._gpu.rng import random_normals

PRECISIONS = (np.float32, np.float64)


def compare(what: str, device: Any, host: Any) -> None:
    """Print how many numbers differ, and by how much of the largest."""
    got = device.get()
    largest = float(np.abs(got - host).max() / np.abs(host).max())
    print(f"{what}: {int((got != host).sum())} of {host.size} differ, by {largest:.2g} at most")


def main() -> None:
    """Compare sketches, the flow and the entries of sine matrices."""
    for dtype in PRECISIONS:
        shape = (2000, 2000)
        name = f"normals, {np.dtype(dtype)}"
        compare(name, random_normals(7, shape, dtype), _rng.random_normals(7, shape, dtype))
    rng = np.random.default_rng(0)
    z = rng.normal(size=200_000)
    eigenvalues = 10.0 ** rng.uniform(-6, 0, z.size)
    on_device = cupy.asarray(z), cupy.asarray(eigenvalues)
    for options in ({}, {"depth": 1, "b0": 0.5}, {"depth": 3, "b0": 0.8}):
        device = ef.flow.solve(*on_device, 30.0, **options)
        compare(f"flow, {options}", device, ef.flow.solve(z, eigenvalues, 30.0, **options))
    U, V = rng.uniform(-1, 1, (500, 8)), rng.uniform(-1, 1, (400, 8))
    for dtype in PRECISIONS:
        left, right = U.astype(dtype), V.astype(dtype)
        device = ef.sine.SineLowRank(cupy.asarray(left), cupy.asarray(right), 200.0).toarray()
        host = ef.sine.SineLowRank(left, right, 200.0).toarray()
        compare(f"sine entries, {np.dtype(dtype)}", device, host)


if __name__ == "__main__":
    main()
