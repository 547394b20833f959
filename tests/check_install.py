"""Does an installed eigenflow work? `python tests/check_install.py`, with its requirements only.

What cibuildwheel runs on every platform, and `.ci/run` on the wheel in an empty environment.
"""

import sys
from pathlib import Path

import numpy as np

import eigenflow as ef


def check_modules() -> None:
    """One call of each module, against what NumPy says."""
    rng = np.random.default_rng(0)
    z, eigenvalues = rng.standard_normal(1000), np.arange(1.0, 1001) ** -1.5
    grown = ef.flow.vanilla(z, eigenvalues, 3.0)
    np.testing.assert_allclose(grown, -np.expm1(-3.0 * eigenvalues) * z, rtol=1e-13)
    assert np.all(np.abs(ef.flow.solve(z, eigenvalues, 3.0, depth=2, b0=0.5)) <= np.abs(z))

    A = rng.standard_normal((300, 40)) @ rng.standard_normal((40, 200))
    U, s, Vh = ef.lowrank.svd(A, 40, rng=0)
    np.testing.assert_allclose((U * s) @ Vh, A, atol=1e-10)

    U, V, x = (rng.standard_normal(shape) for shape in ((90, 3), (70, 3), (70,)))
    y = ef.sine.SineLowRank(U, V, 5.0) @ x
    np.testing.assert_allclose(y, np.sin(5.0 * U @ V.T) @ x / np.sqrt(70), atol=1e-12)

    walk = ef.lds.LinearSystem(A=1.0, C=1.0, Q=0.1, R=1.0)
    y = ef.lds.simulate(walk, 500, rng=0).observations
    level = ef.lds.filter(walk, y).filtered_mean
    assert np.all(np.isfinite(level))
    assert np.isfinite(ef.lds.log_likelihood(walk, y))


def main() -> int:
    """Check, and print what was checked."""
    root = Path(__file__).parents[1]
    if root in Path(ef.__file__).parents and ".venv" not in ef.__file__:
        print(f"want an installed eigenflow, got {ef.__file__}")
        return 1
    check_modules()
    ef.show_config()
    return 0


if __name__ == "__main__":
    sys.exit(main())
