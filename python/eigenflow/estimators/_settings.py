"""Checks of the parameters that the estimators share; scikit-learn checks nothing before `fit`."""

import numbers
from typing import Any

import numpy as np

from eigenflow._flow_problem import require_known
from eigenflow.flow.stopping import universal_choice


def require_flow(depth: Any, b0: Any, coupling: Any) -> None:
    """Check which flow it is; b0 may be missing at every depth."""
    require_known(depth, coupling, None, 1.0 if b0 is None and depth != 0 else b0)
    if b0 is not None and not (is_number(b0) and b0 > 0):
        msg = f"b0: got {b0!r}, want a positive number or None"
        raise ValueError(msg)


def start_of_b(b0: float | None, depth: int, noise_variance: Any) -> Any:
    """Return b0, or the paper's choice for this noise; None at depth 0."""
    return universal_choice(noise_variance, depth=depth).b0 if b0 is None else b0


def smoothness_of(smoothness: Any, n_dimensions: int, depth: int) -> float:
    """Return the given smoothness, or dimensions / (depth + 2).

    With that one, about 1 / eps of the eigenvalues (1 + |m|^2)^-smoothness exceed eps^(2 / (depth
    + 2)), the level up to which the paper's Theorem 3.2 counts the noise: the same at all depths.
    """
    if smoothness is None:
        return n_dimensions / (depth + 2)
    return require_positive(smoothness, "smoothness")


def require_positive(value: Any, name: str) -> float:
    """Check a positive, finite number."""
    if not (is_number(value) and 0 < value < np.inf):
        msg = f"{name}: got {value!r}, want a positive number"
        raise ValueError(msg)
    return float(value)


def require_count(value: Any, name: str, *, least: int = 1) -> None:
    """Check an integer that is at least `least`."""
    if not (is_number(value) and value == int(value) and value >= least):
        msg = f"{name}: got {value!r}, want an integer of at least {least}"
        raise ValueError(msg)


def is_number(value: Any) -> bool:
    """Tell real numbers from all else; booleans are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)


def require_stopping(stopping: Any, rules: tuple[str, ...]) -> None:
    """Check a rule's name or a time."""
    if isinstance(stopping, str) and stopping in rules:
        return
    if is_number(stopping) and stopping >= 0:
        return
    named = ", ".join(repr(rule) for rule in rules)
    msg = f"stopping: got {stopping!r}, want {named} or a non-negative time"
    raise ValueError(msg)
