"""The table of arrays that functions take: PyTorch's, in CPU memory."""

import numpy as np
import pytest

from support.array_kinds import CASES, column, told

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def made(result):
    return "NumPy" if isinstance(result, np.ndarray) else "yes"


@pytest.mark.parametrize("name", CASES)
def test_torch(name):
    assert told(CASES[name], lambda x: torch.tensor(x), made) == column("PyTorch")[name]
