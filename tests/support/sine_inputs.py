"""Inputs of the sine operations of PyTorch, the same in every run."""

import torch


def drawn(m, n, k, dtype=torch.float64, *, omega=5.0, base=True, seed=0):
    """U, V, omega, gain and base weights, which may be left out."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        made = torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)
        return made.requires_grad_()

    wide = torch.float64 if dtype == torch.float64 else torch.float32
    scalars = [torch.tensor(v, dtype=wide, requires_grad=True) for v in (omega, 1.7)]
    return [normal(m, k), normal(n, k), *scalars, normal(m, n) if base else None]


def rows_of(rows, n, dtype=torch.float64):
    """Rows of an input."""
    generator = torch.Generator().manual_seed(9)
    made = torch.randn(rows, n, generator=generator, dtype=torch.float64)
    return made.to(dtype).requires_grad_()
