"""A Dask array with the means of its columns taken out, and with weights of rows and columns."""

import math
from typing import Any

import dask.array as da
import numpy as np
from dask import delayed

from eigenflow._arrays import Array
from eigenflow._map_reduce import lowrank as pieces
from eigenflow._map_reduce.engine import Rows
from eigenflow._map_reduce.lowrank import Frame, FramedRows
from eigenflow.dask.arrays import as_dask
from eigenflow.dask.rows import DaskRows
from eigenflow.dask.running import Runner
from eigenflow.lowrank.operands import as_weights


def in_frame(
    run: Runner, A: Any, center: bool, row_weights: Any, column_weights: Any
) -> tuple[Rows, Array | None, dict[str, Any]]:
    """Return the rows of A in their frame, the means, and what a checkpoint must know of it.

    Raises
    ------
    TypeError, ValueError
        If a weight is missing, negative or not finite, or all are zero; for entries of A that are
        not finite, where the means are computed.
    """
    lazy = isinstance(row_weights, da.Array)
    given = as_weights(A.shape, center, None if lazy else row_weights, column_weights)
    weighted = [row_weights is not None, given.col_factors.size > 0]
    framed = {"center": given.center, "weights": weighted}
    if not (given.center or any(weighted)):
        return DaskRows(run, A), None, framed
    blocks, length = [A], math.sqrt(max(1, A.shape[0]))
    if row_weights is not None:
        weights = row_weights if lazy else da.from_array(given.row_factors**2)
        roots = da.sqrt(weights) if lazy else da.from_array(given.row_factors)
        length = _length(run, weights, A) if lazy else float(np.linalg.norm(given.row_factors))
        blocks.append(roots.rechunk((A.chunks[0],))[:, None])
    rows = DaskRows(run, *blocks)
    mean = _mean(rows, length) if given.center and A.size else None
    columns = given.col_factors if given.col_factors.size else None
    return FramedRows(rows, Frame(mean, columns, row_weights is not None)), mean, framed


def _length(run: Runner, weights: Any, A: Any) -> float:
    """Return the root of the sum of weights that are a Dask array, checked."""
    as_dask(weights, "row_weights", 1)
    if weights.shape != (A.shape[0],):
        msg = f"row_weights: got {weights.shape[0]} weights, want {A.shape[0]}"
        raise ValueError(msg)
    if not A.shape[0]:
        return 1.0
    least, total = run(delayed([weights.min(), weights.sum(dtype=np.float64)]))
    if not (least >= 0 and 0 < total < math.inf):
        got = least if not least >= 0 else f"a sum of {total}"
        msg = f"row_weights: got {got}, want finite weights >= 0, not all of them zero"
        raise ValueError(msg)
    return math.sqrt(total)


def _mean(rows: DaskRows, length: float) -> Array:
    found = rows.reduce(pieces.means, pieces.add, length)
    if found.refused is not None:
        position, value = found.refused
        msg = f"A: got {value} at position {position}, want finite values"
        raise ValueError(msg)
    return found.product[:, 0]
