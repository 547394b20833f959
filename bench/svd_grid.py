"""The grid of the truncated SVD: every shape, rank, precision and spectrum against its rivals.

    python bench/svd_grid.py results.jsonl --matrices /tmp/grid --seconds 0    # make the matrices
    python bench/svd_grid.py results.jsonl --matrices /tmp/grid --seconds 180  # until "complete"
    python bench/svd_grid.py results.jsonl --report

A cell that is in the file is not run again, so the grid can be run in short slices on a quiet
machine. Within a cell all contestants run one after the other, on the same matrix and the same
number of threads; the first call of each is not timed, unless it takes more than a second. Between
contestants there is a pause: the threads of an OpenBLAS wait for 0.1 s by spinning, which would
slow down whoever comes next.
"""

import argparse
import json
import time
from collections import defaultdict
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import eigenflow as ef

SHAPES = [(3000, 1000), (4000, 2000), (12000, 400), (4096, 4096)]
RANKS = [20, 50, 100]
DTYPES = ["float32", "float64"]
SPECTRA = {
    "j^-1/2": lambda j: j**-0.5,
    "1/j": lambda j: 1 / j,
    "exp(-j/40)": lambda j: np.exp(-j / 40),
}
OURS, SKLEARN = "eigenflow", "scikit-learn"
PAUSE = 0.15


@cache
def vectors(shape):
    """Random orthonormal columns for both sides."""
    rng = np.random.default_rng(0)
    return [np.linalg.qr(rng.standard_normal((n, min(shape))))[0] for n in shape]


def matrix(shape, spectrum, dtype):
    """A matrix with known singular values and random singular vectors."""
    U, V = vectors(shape)
    s = SPECTRA[spectrum](np.arange(1.0, min(shape) + 1))
    return ((U * s) @ V.T).astype(dtype)


def stored(folder, shape, spectrum, dtype):
    """The same from a file, which is made when it is not there: 0.9 GB for the whole grid."""
    if folder is None:
        return matrix(shape, spectrum, dtype)
    name = f"{shape[0]}_{shape[1]}_{list(SPECTRA).index(spectrum)}_{dtype}.npy"
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, matrix(shape, spectrum, dtype))
    return np.load(path)


def error_of(A, triplets):
    """Relative Frobenius error, in double precision."""
    U, s, Vh = (np.asarray(x, np.float64) for x in triplets)
    return float(np.linalg.norm(A - (U * s) @ Vh) / np.linalg.norm(A.astype(np.float64)))


def eigenflow(A, rank, threads):
    """Ours, at its defaults."""
    return tuple(ef.lowrank.svd(A, rank, rng=0, workers=threads))


def scikit_learn(A, rank, threads):
    """`randomized_svd` at its defaults."""
    from sklearn.utils.extmath import randomized_svd

    return randomized_svd(A, rank, random_state=0)


def torch_lowrank(A, rank, threads):
    """`torch.svd_lowrank` with its documentation's choice of more columns, and four steps."""
    import torch

    torch.set_num_threads(threads)
    U, s, V = torch.svd_lowrank(torch.from_numpy(A), q=rank + 10, niter=4)
    return U[:, :rank].numpy(), s[:rank].numpy(), V[:, :rank].numpy().T


def fbpca(steps):
    """`fbpca.pca` without centring; its default is two steps, and seven are scikit-learn's."""

    def run(A, rank, threads):
        import fbpca

        return fbpca.pca(A, rank, raw=True, n_iter=steps)

    return run


def svds(solver):
    """`scipy.sparse.linalg.svds` with one of its solvers."""

    def run(A, rank, threads):
        from scipy.sparse.linalg import svds

        U, s, Vh = svds(A, rank, solver=solver, rng=0)
        order = np.argsort(-s)
        return U[:, order], s[order], Vh[order]

    return run


CONTESTANTS = {
    OURS: eigenflow,
    SKLEARN: scikit_learn,
    "torch svd_lowrank": torch_lowrank,
    "fbpca": fbpca(2),
    "fbpca, 7 steps": fbpca(7),
    "svds arpack": svds("arpack"),
    "svds propack": svds("propack"),
}


def measure(A, rank, threads, who, rounds):
    """Median and all times of one contestant; long calls get one more round and no warm-up."""
    with threadpool_limits(threads, user_api="blas"):
        time.sleep(PAUSE)
        begin = time.perf_counter()
        triplets = CONTESTANTS[who](A, rank, threads)
        first = time.perf_counter() - begin
        times = [first] if first > 1 else []
        for _ in range(1 if first > 1 else rounds):
            begin = time.perf_counter()
            CONTESTANTS[who](A, rank, threads)
            times.append(time.perf_counter() - begin)
    return {
        "who": who,
        "median": float(np.median(times)),
        "times": times,
        "error": error_of(A, triplets),
    }


def cells(contestants):
    """All cells in an order that makes each matrix's vectors once."""
    for shape in SHAPES:
        for spectrum in SPECTRA:
            for dtype in DTYPES:
                for rank in RANKS:
                    for threads in (1, 2):
                        cell = {
                            "shape": list(shape),
                            "rank": rank,
                            "dtype": dtype,
                            "spectrum": spectrum,
                            "threads": threads,
                        }
                        for who in contestants:
                            yield cell | {"who": who}


KEYS = ("shape", "rank", "dtype", "spectrum", "threads", "who")


def key_of(record):
    return json.dumps([record[name] for name in KEYS])


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(path, contestants, seconds, rounds, only, folder):
    """Run what is missing for at most `seconds`; True when nothing is."""
    known = {key_of(record) for record in read(path)}
    begin, held = time.perf_counter(), (None, None)
    with path.open("a") as out:
        for cell in cells(contestants):
            if key_of(cell) in known or any(str(cell[k]) != v for k, v in only.items()):
                continue
            if time.perf_counter() - begin > seconds:
                return False
            name = (tuple(cell["shape"]), cell["spectrum"], cell["dtype"])
            if held[0] != name:
                held = (name, stored(folder, *name))
            found = measure(held[1], cell["rank"], cell["threads"], cell["who"], rounds)
            out.write(json.dumps(cell | found) + "\n")
            out.flush()
    return True


def geometric_mean(values):
    return float(np.exp(np.mean(np.log(values)))) if len(values) else float("nan")


def report(path):
    """Print a table of the medians, and how many times eigenflow's time each rival takes."""
    table = defaultdict(dict)
    for record in read(path):
        cell = (tuple(record["shape"]), record["dtype"], record["spectrum"], record["rank"])
        table[cell][record["who"], record["threads"]] = record
    rivals = [who for who in CONTESTANTS if who != OURS]
    ratios, worse = defaultdict(list), defaultdict(list)
    print("| matrix | threads | eigenflow, ms | " + " | ".join(rivals) + " |")
    print("|" + "---|" * (3 + len(rivals)))
    for (shape, dtype, spectrum, rank), got in table.items():
        for threads in (1, 2):
            mine = got.get((OURS, threads))
            if mine is None:
                continue
            row = []
            for who in rivals:
                other = got.get((who, threads))
                if other is None:
                    row.append("")
                    continue
                ratio = other["median"] / mine["median"]
                ratios[who, threads].append((shape, ratio))
                worse[who].append(mine["error"] / other["error"])
                row.append(f"{ratio:.2f}")
            name = f"{shape[0]} x {shape[1]}, {dtype}, {spectrum}, rank {rank}"
            print(f"| {name} | {threads} | {1e3 * mine['median']:.1f} | " + " | ".join(row) + " |")
        both = [got.get((SKLEARN, threads)) for threads in (1, 2)]
        if all(both) and (OURS, 2) in got:
            faster = min(record["median"] for record in both)
            ratio = faster / got[OURS, 2]["median"]
            ratios[f"{SKLEARN}, the faster of one and two threads", 2].append((shape, ratio))
    summary(ratios, sorted({shape for shape, *_ in table}, key=SHAPES.index))
    print("\nError over the rival's, largest and least:")
    for who, values in worse.items():
        print(f"- {who}: {max(values):.8f}, {min(values):.4f}")


def summary(ratios, shapes):
    """Print what the ratios of each rival are over all cells, and their means by shape."""
    columns = " | ".join(f"{m} x {n}" for m, n in shapes)
    head = f"| rival | threads | geometric mean | median | least | most | {columns} | cells |"
    print("\n" + head + "\n" + "|---" * (7 + len(shapes)) + "|")
    for (who, threads), found in ratios.items():
        values = [ratio for _, ratio in found]
        means = [geometric_mean([ratio for at, ratio in found if at == shape]) for shape in shapes]
        numbers = [geometric_mean(values), np.median(values), min(values), max(values), *means]
        line = " | ".join("" if np.isnan(number) else f"{number:.2f}" for number in numbers)
        print(f"| {who} | {threads} | {line} | {len(values)} |")


def main():
    """Run a slice of the grid, or print what is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--seconds", type=float, default=180, help="start no cell after this long")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--matrices", type=Path, help="keep the matrices in this folder")
    parser.add_argument("--who", nargs="+", default=list(CONTESTANTS), choices=list(CONTESTANTS))
    parser.add_argument("--only", nargs="*", default=[], help="for example rank=20 threads=1")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if options.report:
        report(options.results)
        return
    only = dict(item.split("=", 1) for item in options.only)
    if options.seconds <= 0 and options.matrices:
        for name in product(SHAPES, SPECTRA, DTYPES):
            stored(options.matrices, *name)
    done = run(
        options.results, options.who, options.seconds, options.rounds, only, options.matrices
    )
    print("complete" if done else "more to do")


if __name__ == "__main__":
    main()
