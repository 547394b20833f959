"""What holds for the error that a decomposition states, beside the true one."""

from typing import Any


def check_stated_error(result: Any, true: float, rounding: float) -> None:
    """Check its size, and that the odds of being wrong are those of its kind."""
    if true > rounding:
        assert 0.5 <= result.error / true <= 3
    else:
        assert result.error <= 3 * rounding
    if result.error_kind == "tail-energy":
        assert result.failure_probability == 0
    else:
        assert result.error_kind == "hold-out"
        assert 0 < result.failure_probability < 1e-4
