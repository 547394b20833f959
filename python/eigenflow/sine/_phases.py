"""What the numbers of an operator lead to: its divisor, and phases that the dtype can hold."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from eigenflow import _arrays

if TYPE_CHECKING:
    from eigenflow.sine.operator import SineLowRank


def gain_of(gain: float | None, n: int) -> float:
    """Return the divisor of the entries: sqrt(n) by default, n columns; 1 where there is none."""
    return max(n, 1) ** 0.5 if gain is None else _arrays.finite_number(gain, "gain")


class PhaseWarning(UserWarning):
    """Phases are so large that rounding may change a sine by more than the tolerance."""


def check_phases(op: "SineLowRank", backend: Any, tolerated: float) -> tuple[float, float]:
    """Largest phase in half-turns, and the bound of the rounding of a sine; may warn."""
    half_turns, bound, overflows = backend.phase_accuracy(op.U, op.V, op.omega, op.exact_phase)
    if overflows:
        msg = (
            f"omega: got {op.omega:g}, with which phases reach {half_turns:.3g} half-turns "
            f"and leave the range of {op.dtype}; want a smaller omega or smaller factors"
        )
        raise ValueError(msg)
    if bound > tolerated:
        advice = "exact_phase=True, " if not op.exact_phase else ""
        advice += "float64 factors or " if op.dtype == np.float32 else ""
        warnings.warn(
            f"omega: phases reach up to {half_turns:.3g} half-turns, where rounding in "
            f"{op.dtype} may change a sine by up to {bound:.2g}, more than rtol="
            f"{tolerated:g}; want {advice}a smaller omega",
            PhaseWarning,
            stacklevel=3,
        )
    return half_turns, bound
