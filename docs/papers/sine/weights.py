"""Three kinds of weights for one layer: full rank, plain low rank, and its sine."""

from dataclasses import dataclass

from torch import Tensor, nn

import eigenflow as ef


@dataclass(frozen=True)
class Weights:
    """`rank` is 0 for full weights; `omega` is 0 for plain low rank."""

    rank: int = 0
    omega: float = 0.0

    @property
    def name(self) -> str:
        """How tables call it."""
        if not self.rank:
            return "full rank"
        return f"sine, omega = {self.omega:g}" if self.omega else "low rank"

    def linear(self, n: int, m: int) -> nn.Module:
        """Make a layer of m outputs; all kinds start as PyTorch's and the authors' layers do."""
        if not self.rank:
            return nn.Linear(n, m)
        if self.omega:
            return ef.nn.SineLinear(n, m, self.rank, omega=self.omega)
        return LowRank(n, m, self.rank)


class LowRank(nn.Module):
    """``U V^T x + b``: the same factors and start as the sine's, without the sine."""

    def __init__(self, n: int, m: int, rank: int) -> None:
        super().__init__()
        self.right = nn.Linear(n, rank, bias=False)
        self.left = nn.Linear(rank, m)
        bound = n**-0.5
        nn.init.uniform_(self.left.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the right factor, then the left one."""
        y: Tensor = self.left(self.right(x))
        return y


def count(model: nn.Module) -> int:
    """Number of parameters that learn."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def low_rank(*pairs: tuple[int, tuple[float, ...]]) -> list[Weights]:
    """Full weights, then for each rank plain low rank and the sine at each frequency."""
    found = [Weights()]
    for rank, frequencies in pairs:
        found += [Weights(rank), *(Weights(rank, omega) for omega in frequencies)]
    return found
