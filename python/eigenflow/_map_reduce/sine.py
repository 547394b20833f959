"""Pieces of products with ``sin(omega U V^T) / gain`` for rows of U; V is everywhere."""

from typing import Any, NamedTuple

from eigenflow._arrays import Array, require_finite


class Settings(NamedTuple):
    """What makes an operator of two factors."""

    omega: float
    gain: float
    exact_phase: bool = False


class Sums(NamedTuple):
    """What rows of U add to the gradients of a product."""

    V: Array
    omega: float
    gain: float
    X: Array


def operator(first: int, U: Array, V: Array, settings: Settings) -> Any:
    """Return the operator of a block of rows, by fused tiles: bytes do not depend on the block."""
    from eigenflow.sine import SineLowRank

    require_finite(U, "U", first=(first, 0))
    omega, gain, exact_phase = settings
    return SineLowRank(U, V, omega, gain=gain, method="fused", exact_phase=exact_phase, workers=1)


def product(first: int, U: Array, V: Array, X: Array, settings: Settings) -> Array:
    """Return rows of ``S X``."""
    return operator(first, U, V, settings).matmat(X)  # type: ignore[no-any-return]


def adjoint(first: int, U: Array, Y: Array, V: Array, settings: Settings) -> Array:
    """Return what rows of U and Y add to ``S^T Y``."""
    require_finite(Y, "Y", first=(first, 0))
    return operator(first, U, V, settings).rmatmat(Y)  # type: ignore[no-any-return]


def entries(first: int, U: Array, V: Array, settings: Settings) -> Array:
    """Return rows of the matrix."""
    return operator(first, U, V, settings).toarray()  # type: ignore[no-any-return]


def gradient_rows(first: int, U: Array, G: Array, V: Array, X: Array, settings: Settings) -> Array:
    """Return rows of the gradient with respect to U of ``sum(G * (S X))``."""
    require_finite(G, "grad_output", first=(first, 0))
    return operator(first, U, V, settings).vjp(X, G, wrt="U").U  # type: ignore[no-any-return]


def gradient_sums(first: int, U: Array, G: Array, V: Array, X: Array, settings: Settings) -> Sums:
    """Return what rows of U and G add to the gradients with respect to V, omega, gain and X."""
    require_finite(G, "grad_output", first=(first, 0))
    found = operator(first, U, V, settings).vjp(X, G, wrt=Sums._fields)
    return Sums(found.V, found.omega, found.gain, found.X)


def add(a: Array, b: Array) -> Array:
    """Combine two sums of arrays."""
    return a + b


def add_sums(a: Sums, b: Sums) -> Sums:
    """Combine what two blocks add to the gradients."""
    return Sums(a.V + b.V, a.omega + b.omega, a.gain + b.gain, a.X + b.X)
