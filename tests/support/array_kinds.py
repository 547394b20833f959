"""Which arrays a function takes: docs/results/support.csv, held to what the functions do.

A case calls a function on arrays that `put` makes of NumPy's, and returns what it made of them.
"""

import csv
from pathlib import Path

import numpy as np

import eigenflow as ef

TABLE = Path(__file__).parents[2] / "docs" / "results" / "support.csv"

_rng = np.random.default_rng(0)
Z, VALUES = _rng.normal(size=12), np.arange(1.0, 13) ** -1.5
A = _rng.normal(size=(40, 8))
SYMMETRIC = A.T @ A
S = np.linalg.svd(A, compute_uv=False)
B = A[:8, 0]
U, V, X = _rng.normal(size=(9, 2)), _rng.normal(size=(7, 2)), _rng.normal(size=(7, 3))
SYSTEM = ef.lds.LinearSystem([[0.9, 0.2], [0.0, 0.8]], [[1.0, 0.5]], np.eye(2), 2.0)
Y = _rng.normal(size=60)

CASES = {
    "flow.solve": lambda put: ef.flow.solve(put(Z), put(VALUES), 2.0),
    "flow.vanilla": lambda put: ef.flow.vanilla(put(Z), put(VALUES), 2.0),
    "flow.state": lambda put: ef.flow.state(put(Z), put(VALUES), 2.0).b,
    "flow.learned_eigenvalues": lambda put: ef.flow.learned_eigenvalues(put(Z), put(VALUES)),
    "flow.hitting_time": lambda put: ef.flow.hitting_time(0.5, put(Z), put(VALUES)),
    "flow.derivatives": lambda put: ef.flow.derivatives(put(Z), put(VALUES), 2.0).z,
    "flow.jvp": lambda put: ef.flow.jvp(put(Z), put(VALUES), 2.0, {"z": 1.0})[1],
    "flow.vjp": lambda put: ef.flow.vjp(put(Z), put(VALUES), 2.0, 1.0).z,
    "flow.sure": lambda put: ef.flow.sure(put(Z), put(VALUES), [1.0, 2.0], 0.1),
    "flow.expected_risk": lambda put: ef.flow.expected_risk(put(Z), put(VALUES), [1.0, 2.0], 0.1),
    "flow.stopping_time": lambda put: ef.flow.stopping_time(put(Z), put(VALUES), 0.1),
    "flow.descend": lambda put: ef.flow.descend(put(Z), put(VALUES), 0.01, 5).theta,
    "flow.fit": lambda put: ef.flow.fit(put(A.T), B, 0.1, [1.0], rtol=0.1).coefficients,
    "lowrank.svd": lambda put: ef.lowrank.svd(put(A), 2, rng=0).U,
    "lowrank.svd_many": lambda put: ef.lowrank.svd_many([put(A)], 2, rng=0)[0].U,
    "lowrank.eigh": lambda put: ef.lowrank.eigh(put(SYMMETRIC), 2, rng=0).eigenvectors,
    "lowrank.range_finder": lambda put: ef.lowrank.range_finder(put(A), 2, rng=0),
    "lowrank.pivoted_qr": lambda put: ef.lowrank.pivoted_qr(put(A)).Q,
    "lowrank.interpolative": lambda put: ef.lowrank.interpolative(put(A), 2).coefficients,
    "lowrank.select_rank": lambda put: ef.lowrank.select_rank(put(S), A.shape),
    "lowrank.perturb": lambda put: ef.lowrank.perturb(put(A), put(1.1 * A)).left,
    "sine.SineLowRank @ X": lambda put: ef.sine.SineLowRank(put(U), put(V), 2.0) @ put(X),
    "the same, X alone": lambda put: ef.sine.SineLowRank(U, V, 2.0) @ put(X),
    "sine.fit": lambda put: ef.sine.fit(put(A), 2, max_iterations=3, omega=1.0).U,
    "lds.filter": lambda put: ef.lds.filter(SYSTEM, put(Y)).filtered_mean,
    "lds.log_likelihood": lambda put: ef.lds.log_likelihood(SYSTEM, put(Y)),
    "lds.smooth": lambda put: ef.lds.smooth(SYSTEM, put(Y)).smoothed_mean,
    "lds.forecast": lambda put: ef.lds.forecast(SYSTEM, put(Y), 3).mean,
    "lds.score": lambda put: ef.lds.score(SYSTEM, put(Y)).C,
}
# The name in `eigenflow.mpi`.
ON_RANKS = {
    "flow.solve": "flow",
    "flow.sure": "sure",
    "flow.expected_risk": "expected_risk",
    "flow.stopping_time": "stopping_time",
    "flow.fit": "fit",
    "lowrank.svd": "svd",
    "sine.SineLowRank @ X": "SineLowRank",
    "lds.filter": "filter",
    "lds.log_likelihood": "log_likelihood",
}


def column(kind: str) -> dict[str, str]:
    """What the table says of a kind of arrays, by function."""
    with TABLE.open() as file:
        return {row["function"]: row[kind] for row in csv.DictReader(file)}


def told(case, put, made) -> str:
    """What `made` says of a result; "—" for a refusal of this kind of arrays by a message."""
    try:
        result = case(put)
    except (TypeError, ValueError) as error:
        if ": got " not in str(error):
            raise
        return "—"
    return made(result)
