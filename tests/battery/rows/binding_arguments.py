"""Arguments of the functions of the extension that small calls of the library do not reach."""

from collections.abc import Callable
from typing import Any

import numpy as np

from battery.calls import TALL, grid
from eigenflow._core import ranks, svd


class Alone:
    """A communicator of one process."""

    rank, size = 0, 1

    def allreduce(self, array: Any, how: str) -> None:
        return

    def exscan(self, array: Any, combine: Any) -> None:
        return

    def bcast(self, array: Any, root: int) -> None:
        return


class Broken(Alone):
    """A communicator that says it is one of three, and raises."""

    size = 3

    def allreduce(self, array: Any, how: str) -> None:
        raise OSError(how)


class Lying(Alone):
    """A communicator with a rank outside its size, that writes what it should not."""

    rank, size = 7, -2

    def allreduce(self, array: Any, how: str) -> None:
        array.fill(np.nan if array.dtype.kind == "f" else 2**62)


def operator(A: np.ndarray = TALL) -> Any:
    return svd.dense(A, svd.measure(A, 1), False, 1)


def matrices(*shapes: tuple[int, int]) -> list[np.ndarray]:
    return [grid(*shape, low=-1.0) for shape in shapes]


def columns(n: int) -> np.ndarray:
    return np.asfortranarray(grid(n, 2))


def read(first: int, count: int) -> np.ndarray:
    return TALL[first : first + count]


def product(x: np.ndarray) -> np.ndarray:
    return TALL @ x


def back(x: np.ndarray) -> np.ndarray:
    return TALL.T @ x


def wrong_callables() -> list[Callable[..., Any]]:
    """Functions of the caller that answer with something else, or raise, or never answer right."""

    def fails(*_: Any) -> Any:
        raise KeyError("fails")

    return [
        fails,
        lambda *_: None,
        lambda *_: "x",
        lambda *_: np.zeros((0, 0)),
        lambda *_: np.zeros((12, 8), np.float32),
        lambda *_: np.full((12, 8), np.nan),
        lambda *_: np.zeros((12, 8))[::-1, ::-1],
        lambda *_: np.broadcast_to(1.0, (2**40, 8)),
        lambda *_: TALL.astype(complex),
        len,
    ]


def extra() -> dict[str, list[tuple[Any, ...]]]:
    """Arguments by the function's name."""
    m, n = TALL.shape
    dtype, size = np.dtype(float), svd.measure(TALL, 1)
    rows, cols = grid(m), grid(n)
    U, V, X, out = matrices((10, 2), (8, 2), (8, 3), (10, 3))
    alone = ranks.Ranks(Alone())
    spectra, ends = np.sort(grid(6))[::-1].copy(), [3, 6]
    table = grid(2, 6)
    return {
        "svd.row_blocks": [(read, m, n, dtype, size, 1)],
        "svd.measure_rows": [(read, m, n, dtype, 1)],
        "svd.products": [(product, back, m, n, dtype, 1.0, 1.0)],
        "svd.weighted_dense": [(TALL, rows, cols, True, streamed, 1) for streamed in (True, False)],
        "svd.weighted_blocks": [(read, m, n, dtype, rows, cols, True, 1)],
        "svd.weighted": [(operator(), rows, cols, np.zeros(n), 1.0)],
        "svd.apply": [(operator(), columns(n), columns(m))],
        "svd.apply_gram": [(operator(), columns(n), columns(n))],
        "svd.decompose": [
            (operator(), 3, -1.0, -1.0, spectral, one_pass, 2, steps, 7, 1)
            for spectral, one_pass, steps in ((True, False, 1), (False, True, 0), (False, False, 2))
        ],
        "svd.decompose_rows": [(alone, TALL, 3, -1.0, -1.0, False, 2, 7, 1)],
        "svd.orthonormalise": [(TALL.copy("F"), np.zeros((n, n), order="F"))],
        "ranks.Ranks": [(Alone(),), (Broken(),), (Lying(),)],
        "ranks.Ranks.agree": [(alone,), (ranks.Ranks(Broken()),)],
        "ranks.Ranks.fail": [(alone, "ValueError", "x"), (ranks.Ranks(Lying()), "x", "y")],
        "rank.frobenius": [(spectra, 6, 9.0, 1e-16, 0.1, 0.0)],
        "rank.gavish_donoho": [(spectra, 12, 6, 0.5), (spectra, 12, 6, -1.0)],
        "rank.gavish_donoho_lambda": [(0.5,)],
        "rank.gavish_donoho_omega": [(0.5,)],
        "rank.marchenko_pastur_median": [(0.5,)],
        "rank.allocate_by_budget": [(spectra, ends, table, 9.0, 1)],
        "rank.allocate_by_share": [(spectra, ends, table, 0.5, 9.0, 1)],
        "rng.fill_words": [(7, 0, 0, np.zeros((5, 4), np.uint32), 1)],
        "sine.apply_anchors": [(U, V, X, out, [4, 6], [1.0, 1.0], 2.0, 1.0, 1)],
        "sine.apply_taylor": [(U, V, X, out, 3, 2.0, 1.0, 1)],
        "sine.sincospi": [(grid(9), np.zeros(9), np.zeros(9))],
        "sine.register_loop": [(2, 2, 64, False)],
        "call_log.repeat": [("gemm", 8, True, 4, 5, 6, 2, 1), ("product", 8, True, 4, 5, 6, 2, 1)],
        "call_log.start": [()],
        "call_log.stop": [()],
        "runtime.cpu_level": [()],
        "runtime.set_stop_check": [(lambda: None,)],
        "runtime.blas_available": [()],
    }
