"""The truncated SVD of a matrix that stays in its file: memory, passes, and the time of a pass.

    python bench/svd_file.py /folder/with/room --rows 1000000 --cols 1000 --rank 50

Writes a float32 matrix (4 GB at these sizes) with decaying singular values and noise, decomposes
the `numpy.memmap` of it, and compares each pass with what it cannot do without: one read of the
file, and its two products (32 columns, as the driver has them) from memory that is read already:
by NumPy, and by the driver's own kernel.
"""

import argparse
import threading
import time
from pathlib import Path

import numpy as np

import eigenflow as ef
from eigenflow._core import call_log, runtime

WIDTH = 32  # columns of a block of the driver
BLOCK = 4000  # rows that are made or read at once


def anonymous_mib():
    """Memory of this process that is not a file's."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def write_matrix(path, rows, cols):
    """Singular values like 1/j over noise, a block of rows at a time."""
    rng = np.random.default_rng(0)
    right = np.linalg.qr(rng.standard_normal((cols, 200)))[0].T.astype(np.float32)
    scaled = right / np.arange(1, 201, dtype=np.float32)[:, None]
    with path.open("wb") as out:
        for begin in range(0, rows, BLOCK):
            n = min(BLOCK, rows - begin)
            block = rng.standard_normal((n, 200), dtype=np.float32) @ scaled
            block += 1e-3 * rng.standard_normal((n, cols), dtype=np.float32)
            block.tofile(out)


def time_of_read(A):
    """One read of the file, a block at a time."""
    held = np.empty((BLOCK, A.shape[1]), A.dtype)
    begin = time.perf_counter()
    for at in range(0, A.shape[0], BLOCK):
        n = min(BLOCK, A.shape[0] - at)
        held[:n] = A[at : at + n]
    return time.perf_counter() - begin


def time_of_products(A):
    """A V and A^T (A V) over as many rows, from one block that is in memory."""
    block = np.array(A[:BLOCK])
    V = np.random.default_rng(1).standard_normal((A.shape[1], WIDTH), dtype=np.float32)
    W = np.zeros((A.shape[1], WIDTH), np.float32)
    begin = time.perf_counter()
    for _ in range(0, A.shape[0], BLOCK):
        W += block.T @ (block @ V)
    return time.perf_counter() - begin


def time_of_own_products(A, workers):
    """The same by the driver's kernel, on a Gaussian block."""
    block = (min(BLOCK, A.shape[0]), A.shape[1])
    times = call_log.repeat("both products", 4, True, *block, WIDTH, 50, workers)
    return float(np.median(times)) * A.shape[0] / block[0]


class Watch:
    """The most anonymous memory while the block runs, over what there was before."""

    def __enter__(self):
        self.before = self.peak = anonymous_mib()
        self.over = False
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while not self.over:
            self.peak = max(self.peak, anonymous_mib())
            time.sleep(0.01)

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


def main():
    """Make the file, measure, delete it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--cols", type=int, default=1000)
    parser.add_argument("--rank", type=int, default=50)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--keep", action="store_true", help="use and leave a file that is there")
    options = parser.parse_args()
    path = options.folder / f"svd_file_{options.rows}_{options.cols}.f32"
    if not (options.keep and path.exists()):
        write_matrix(path, options.rows, options.cols)
    try:
        A = np.memmap(path, np.float32, "r", shape=(options.rows, options.cols))
        ef.lowrank.svd(A[:3000], options.rank, rng=0)  # buffers that BLAS keeps
        with Watch() as watch:
            begin = time.perf_counter()
            result = ef.lowrank.svd(A, options.rank, rng=0, workers=options.workers)
            total = time.perf_counter() - begin
        outputs = sum(x.nbytes for x in (*result, result.residuals)) / 2**20
        read, products = time_of_read(A), time_of_products(A)
        reads = result.passes + 1  # the norm is one more
        print(f"{result.method}, error {result.relative_error:.4g}, passes {result.passes} + norm")
        extra = watch.peak - watch.before - outputs
        print(f"anonymous memory: {extra:.0f} MiB beyond the {outputs:.0f} MiB of the results")
        own = time_of_own_products(A, options.workers or runtime.default_workers())
        one = total / reads
        print(f"total {total:.2f} s, mean pass {one:.2f} s, a read {read:.2f} s")
        for who, seconds in (("NumPy", products), ("our own", own)):
            ratio = one / max(read, seconds)
            print(f"{who} products {seconds:.2f} s: {ratio:.2f} times the larger of the two a pass")
    finally:
        if not options.keep:
            path.unlink()


if __name__ == "__main__":
    main()
