"""The parameters of one sine-activated matrix."""

from __future__ import annotations  # so that the docs can be built without PyTorch

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from eigenflow.nn.sine_ops import sine_matrix
from eigenflow.sine._phases import gain_of

if TYPE_CHECKING:
    from collections.abc import Callable

_LOW = (torch.bfloat16, torch.float16)


def check_number(x: Any, name: str, *, positive: bool = False, nonzero: bool = False) -> float:
    """Return a finite float, or raise an error that names the argument."""
    if isinstance(x, bool) or not isinstance(x, int | float):
        msg = f"{name}: got {x!r}, want a number"
        raise TypeError(msg)
    if not math.isfinite(x) or (positive and x <= 0) or (nonzero and x == 0):
        kind = "a positive number" if positive else "a finite number"
        msg = f"{name}: got {x}, want {kind}{' other than 0' if nonzero else ''}"
        raise ValueError(msg)
    return float(x)


def check_rank(rank: Any) -> int:
    """Return a positive int, or raise an error."""
    if isinstance(rank, bool) or not isinstance(rank, int):
        msg = f"rank: got {rank!r}, want an integer"
        raise TypeError(msg)
    if rank < 1:
        msg = f"rank: got {rank}, want at least 1"
        raise ValueError(msg)
    return rank


def keeping_wide(module: nn.Module, names: tuple[str, ...], apply: Callable[[], Any]) -> None:
    """Move or cast a module, but take tensors of these names to no lower precision."""
    kept = {name: getattr(module, name).detach() for name in names}
    apply()
    for name, before in kept.items():
        after = getattr(module, name)
        if after.dtype in _LOW:
            wide = torch.empty_like(after, dtype=before.dtype)
            after.data = wide if before.is_meta else wide.copy_(before)


class SineFactors(nn.Module):  # type: ignore[misc]
    """``sin(omega U V^T) / gain`` with U of shape (m, k) and V of shape (n, k).

    `omega` and `gain` are parameters if learned, else buffers; either way they stay in float32 or
    float64 when the module goes to lower precision, and so do phases.
    """

    U: Tensor
    V: Tensor
    omega: Tensor
    gain: Tensor

    def __init__(
        self,
        m: int,
        n: int,
        rank: int,
        *,
        omega: float = 200.0,
        gain: float | None = None,
        learn_omega: bool = False,
        learn_gain: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        rank = check_rank(rank)
        omega = check_number(omega, "omega")
        gain = gain_of(None, n) if gain is None else check_number(gain, "gain", nonzero=True)
        self.U = nn.Parameter(torch.empty(m, rank, device=device, dtype=dtype))
        self.V = nn.Parameter(torch.empty(n, rank, device=device, dtype=dtype))
        wide = torch.float64 if self.U.dtype == torch.float64 else torch.float32
        for name, value, learn in (("omega", omega, learn_omega), ("gain", gain, learn_gain)):
            scalar = torch.tensor(value, device=device, dtype=wide)
            if learn:
                self.register_parameter(name, nn.Parameter(scalar))
            else:
                self.register_buffer(name, scalar)

    @property
    def rank(self) -> int:
        """Number of columns k of U and V."""
        return int(self.U.shape[1])

    def reset_parameters(self, *, zero: bool = False) -> None:
        """Draw U in +-1/sqrt(k), or set it to 0, and V in +-1/sqrt(n): the authors' start."""
        with torch.no_grad():
            bound = 1 / math.sqrt(self.rank)
            self.U.zero_() if zero else self.U.uniform_(-bound, bound)
            bound = 1 / math.sqrt(max(self.V.shape[0], 1))
            self.V.uniform_(-bound, bound)

    def matrix(self) -> Tensor:
        """Return the (m, n) matrix, with gradients."""
        return sine_matrix(self.U, self.V, self.omega, self.gain)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SineFactors:
        keeping_wide(self, ("omega", "gain"), lambda: super(SineFactors, self)._apply(fn, recurse))
        return self

    def extra_repr(self) -> str:
        """Show the sizes."""
        m, n = self.U.shape[0], self.V.shape[0]
        learned = [s for s in ("omega", "gain") if s in self._parameters]
        text = f"{m}x{n}, rank={self.rank}, omega={_shown(self.omega)}, gain={_shown(self.gain)}"
        return text + (f", learned: {', '.join(learned)}" if learned else "")


def _shown(scalar: Tensor) -> str:
    return "?" if scalar.is_meta else f"{scalar.item():.4g}"


class Mergeable(nn.Module):  # type: ignore[misc]
    """Dense weights that are made once, used instead of the factors, and thrown away again.

    The factors (and a base) are never changed, so merging and unmerging returns to the same bits.
    Nothing can be learned meanwhile: `train()` unmerges, and so does loading a state.
    """

    merged_weight: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("merged_weight", None, persistent=False)

    def effective_weight(self) -> Tensor:
        """Return the dense weights that the layer stands for, with gradients."""
        raise NotImplementedError

    @property
    def merged(self) -> bool:
        """Whether dense weights are in use."""
        return self.merged_weight is not None

    def merge(self) -> None:
        """Make the dense weights; then the layer costs what a plain one costs."""
        with torch.no_grad():
            self.merged_weight = self.effective_weight().detach()

    def unmerge(self) -> None:
        """Drop the dense weights."""
        self.merged_weight = None

    def train(self, mode: bool = True) -> Mergeable:
        """Set the mode; training unmerges."""
        if mode:
            self.unmerge()
        super().train(mode)
        return self

    def _load_from_state_dict(self, *arguments: Any, **keywords: Any) -> None:
        self.unmerge()
        super()._load_from_state_dict(*arguments, **keywords)
