"""Derivatives of products, by making the sines and cosines again instead of keeping them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eigenflow import _arrays

if TYPE_CHECKING:
    from eigenflow.sine.operator import SineLowRank

ARGUMENTS = ("U", "V", "omega", "gain", "X")


@dataclass(frozen=True, eq=False)
class SineGradients:
    """Gradients of a scalar function of ``op @ X``; those that were not asked for are None.

    Attributes
    ----------
    U : ndarray, shape (m, k)
    V : ndarray, shape (n, k)
    omega, gain : float
    X : ndarray, shape (n, T) or (n,)
        As the argument of the product.
    """

    U: Any = None
    V: Any = None
    omega: float | None = None
    gain: float | None = None
    X: Any = None


def vjp(
    op: "SineLowRank",
    X: Any,
    grad_output: Any,
    wrt: Sequence[str],
    workers: int | None,
    check_finite: bool,
) -> SineGradients:
    """See `SineLowRank.vjp`."""
    names = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    _require_known("wrt", names)
    _require_one_library(op, X, grad_output)
    found = op._backend.vjp(op, X, grad_output, names, op._threads(workers), check_finite)
    originals = {"U": op._original, "V": op._original, "X": X}
    fields = {
        name: op._finish(found[name], originals[name]) if name in originals else found[name]
        for name in names
    }
    return SineGradients(**fields)


def jvp(
    op: "SineLowRank",
    X: Any,
    tangents: Any,
    workers: int | None,
    check_finite: bool,
) -> Any:
    """See `SineLowRank.jvp`."""
    if not isinstance(tangents, Mapping):
        msg = f"tangents: got {type(tangents).__name__}, want a mapping of names to directions"
        raise TypeError(msg)
    _require_known("tangents", tuple(tangents))
    arrays = {name: tangents[name] for name in ("U", "V", "X") if tangents.get(name) is not None}
    _require_one_library(op, X, *arrays.values())
    omega, gain = (
        _arrays.finite_number(tangents.get(name, 0), f"tangents[{name!r}]")
        for name in ("omega", "gain")
    )
    result = op._backend.jvp(op, X, arrays, (omega, gain), op._threads(workers), check_finite)
    return op._finish(result, X)


def _require_known(argument: str, names: tuple[str, ...]) -> None:
    if unknown := [name for name in names if name not in ARGUMENTS]:
        msg = f"{argument}: got {unknown[0]!r}, want names out of {ARGUMENTS}"
        raise ValueError(msg)


def _require_one_library(op: "SineLowRank", X: Any, *others: Any) -> None:
    kinds = {_arrays.kind_of(a) for a in (X, *others)}
    if "cupy" in {op._kind, *kinds}:
        for other in others:
            _arrays.common_kind(X=X, U=op.U, other=other)
