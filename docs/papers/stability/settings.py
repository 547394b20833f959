"""Systems and printed numbers of the paper, and of the corrections."""

import numpy as np
import scipy.linalg

from eigenflow import lds

EIGENVALUES = (1.0, 1.1)
SIZES = tuple(range(1, 8))
HORIZONS = (10, 20, 30, 40, 50, 60, 70)
LONG_HORIZONS = (10**3, 10**6, 10**9, 10**12)
TRAJECTORIES = 20_000  # the paper: many more than 2^7


def jordan(size: int, eigenvalue: float) -> np.ndarray:
    """Upper Jordan block."""
    return eigenvalue * np.eye(size) + np.eye(size, k=1)


def figure_1(eigenvalue: float) -> np.ndarray:
    """Transition matrix of Figure 1: a chain of four and three states that die out."""
    return scipy.linalg.block_diag(jordan(4, eigenvalue), 0.4 * np.eye(3))


def observed(A: np.ndarray) -> lds.LinearSystem:
    """Every state is seen without noise; unit noise drives it, as in section 2 of the paper."""
    n = len(A)
    return lds.LinearSystem(A, np.eye(n), np.eye(n), np.zeros((n, n)))


COUNTED = {
    "diag(1.5, 1.2, 0.4)": np.diag([1.5, 1.2, 0.4]),
    "J2(1.2), 0.4": scipy.linalg.block_diag(jordan(2, 1.2), 0.4),
    "1.2 I2, 0.4": np.diag([1.2, 1.2, 0.4]),
    "J2(1.2), 1.2, 0.4": scipy.linalg.block_diag(jordan(2, 1.2), 1.2, 0.4),
    "J3(1.2)": jordan(3, 1.2),
    "J4(1.1), 0.4 I3": figure_1(1.1),
    "1.2, 0.4 I2": np.diag([1.2, 0.4, 0.4]),
}

# q / r and the horizon, for the noisy random walk.
WALKS = ((1e-1, 10**6), (1e-2, 10**6), (1e-4, 10**9))
TOLERANCE = 0.01
WALK = lds.LinearSystem(1.0, 1.0, 1.0, 4.0)

COS, SIN = float(np.cos(0.3)), float(np.sin(0.3))
FILTERED = {
    "double integrator": lds.LinearSystem(jordan(2, 1.0), [[1.0, 0.0]], 0.01 * np.eye(2), 1.0),
    "rotation by 0.3, one output": lds.LinearSystem(
        [[COS, -SIN], [SIN, COS]], [[1.0, 0.0]], 0.05 * np.eye(2), 1.0
    ),
    "rotation by 0.3, two outputs": lds.LinearSystem(
        [[COS, -SIN], [SIN, COS]], np.eye(2), 0.05 * np.eye(2), np.eye(2)
    ),
    "chain of four": lds.LinearSystem(
        jordan(4, 1.0), [[1.0, 0.0, 0.0, 0.0]], 0.01 * np.eye(4), 1.0
    ),
}
