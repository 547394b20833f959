"""The table of arrays that functions take: CuPy's."""

import numpy as np
import pytest

from support.array_kinds import CASES, column, told


def made(result):
    return "NumPy" if isinstance(result, np.ndarray) else "yes"


@pytest.mark.parametrize("name", CASES)
def test_cupy(cupy, name):
    assert told(CASES[name], cupy.asarray, made) == column("CuPy")[name]
