"""What makes the BBOB functions irregular (section 0.2 of RR-6829), over rows (..., dim).

Where a formula has no derivative, at its zero, autograd finds 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def ramp(x: Tensor) -> Tensor:
    """(i - 1) / (dim - 1) for i = 1 ... dim; shape (dim,)."""
    dim = x.shape[-1]
    return torch.arange(dim, dtype=x.dtype, device=x.device) / (dim - 1)


def oscillated(x: Tensor) -> Tensor:
    """T_osz: a small oscillation, so that regular steps do not fit; any shape."""
    size = torch.where(x == 0, 1.0, x.abs())
    log, positive = size.log(), x > 0
    first = torch.sin(torch.where(positive, 10 * log, 5.5 * log))
    second = torch.sin(torch.where(positive, 7.9 * log, 3.1 * log))
    return x.sign() * size * torch.exp(0.049 * (first + second))


def asymmetric(x: Tensor, beta: float) -> Tensor:
    """T_asy: positive coordinates to a power that rises with them and with their place."""
    positive = x > 0
    size = torch.where(positive, x, 1.0)
    return torch.where(positive, size ** (1 + beta * ramp(x) * size.sqrt()), x)


def penalty(x: Tensor) -> Tensor:
    """f_pen: squares of what lies outside of [-5, 5]; shape (...,)."""
    return (x.abs() - 5).clamp_min(0).square().sum(-1)


def power(x: Tensor, exponent: Tensor | float) -> Tensor:
    """x^exponent of x >= 0, with the derivative 0 at 0."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0) ** exponent, 0.0)


def rounded(x: Tensor) -> Tensor:
    """Nearest whole number, halves up."""
    return torch.floor(x + 0.5)


def rastrigin(z: Tensor) -> Tensor:
    """Rastrigin's function of what was made of x."""
    return 10 * (z.shape[-1] - torch.cos(2 * math.pi * z).sum(-1)) + z.square().sum(-1)


def rosenbrock(z: Tensor) -> Tensor:
    """Terms of Rosenbrock's function; shape (..., dim - 1)."""
    here, following = z[..., :-1], z[..., 1:]
    return 100 * (here.square() - following).square() + (here - 1).square()
