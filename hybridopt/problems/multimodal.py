"""Functions with many local minima in a box, and the lowest of them.

A raw function and a factory each; every raw function takes rows (..., dim).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hybridopt.problems.catalogue import problem
from hybridopt.problems.placement import Placed, placed
from hybridopt.problems.problem import Problem, at_least
from hybridopt.rng import generator

# root of tan(t) = -t/2 near 20.5, squared: 420.968746359982027311844...
SCHWEFEL_X = 420.96874635998203
# the lowest value of -z sin(sqrt(|z|)) on [-500, 500]: -418.982887272433706274786...
SCHWEFEL_VALUE = -418.98288727243371
# lowest root of 4 z^3 - 32 z + 5 = 0: -2.90353402777117709511891...
STYBLINSKI_TANG_X = -2.9035340277711771
# (z^4 - 16 z^2 + 5 z) / 2 there: -39.1661657037714154638931...
STYBLINSKI_TANG_VALUE = -39.166165703771415


@problem("rastrigin")
def rastrigin(dim: int, seed: int = 0) -> Problem:
    """About 11^dim local minima on a grid, in a bowl (Rastrigin 1974)."""
    return placed("rastrigin", _rastrigin, dim, seed, 5.12)


@problem("ackley")
def ackley(dim: int, seed: int = 0) -> Problem:
    """Ripples on a plain with a funnel in it (Ackley 1987).

    At the minimum it has a kink, like the norm has, and no gradient; torch's is the subgradient 0 there.
    """
    return placed("ackley", _ackley, dim, seed, 32.768)


@problem("griewank")
def griewank(dim: int, seed: int = 0) -> Problem:
    """Ripples on a wide bowl, flatter in more dimensions (Griewank 1981)."""
    return placed("griewank", _griewank, dim, seed, 600.0)


@problem("levy")
def levy(dim: int, seed: int = 0) -> Problem:
    """Walls of sine across a bowl (Levy and Montalvo 1985)."""
    return placed("levy", _levy, dim, seed, 10.0, anchor=1.0)


@problem("styblinski_tang")
def styblinski_tang(dim: int, seed: int = 0) -> Problem:
    """2^dim local minima, the deepest far from the others (Styblinski and Tang 1990)."""
    value = STYBLINSKI_TANG_VALUE * dim
    return placed("styblinski_tang", _styblinski_tang, dim, seed, 5.0, anchor=STYBLINSKI_TANG_X, value=value)


@problem("schwefel")
def schwefel(dim: int, seed: int = 0) -> Problem:
    """The second best minimum is far from the best, which is near a corner of the box (Schwefel 1981).

    Outside of its customary box the function has lower values, so it is not turned: by seed every axis is
    reflected or not, and the box is moved together with the function by up to 100. The value is 0 up to the
    rounding of 418.98 dim.
    """
    at_least("schwefel", dim, 1)
    g = generator(seed, "problem", "schwefel", "shift")
    sign = torch.where(torch.rand(dim, generator=g) < 0.5, -1.0, 1.0).double()
    centre = 200 * torch.rand(dim, generator=g, dtype=torch.float64) - 100
    fun = Placed(_schwefel, centre + sign * SCHWEFEL_X, torch.diag(sign), SCHWEFEL_X)
    return Problem("schwefel", dim, fun, centre - 500, centre + 500, value=0.0, x=fun.shift[None])


def _rastrigin(z: Tensor) -> Tensor:
    return (z.square() + 10 * (1 - torch.cos(2 * math.pi * z))).sum(-1)


def _ackley(z: Tensor) -> Tensor:
    root_mean_square = torch.linalg.vector_norm(z, dim=-1) / math.sqrt(z.shape[-1])
    ripple = torch.cos(2 * math.pi * z).mean(-1) - 1
    return -20 * torch.expm1(-0.2 * root_mean_square) - math.e * torch.expm1(ripple)  # exactly 0 at 0


def _griewank(z: Tensor) -> Tensor:
    root = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype, device=z.device).sqrt()
    return z.square().sum(-1) / 4000 + 1 - torch.cos(z / root).prod(-1)


def _levy(z: Tensor) -> Tensor:
    v = (z - 1) / 4  # with w = 1 + v of the literature: sin(pi w)^2 = sin(pi v)^2, so exactly 0 at 1
    here, last = v[..., :-1], v[..., -1]
    walls = (here.square() * (1 + 10 * torch.sin(math.pi * here + 1).square())).sum(-1)
    end = last.square() * (1 + torch.sin(2 * math.pi * last).square())
    return torch.sin(math.pi * v[..., 0]).square() + walls + end


def _styblinski_tang(z: Tensor) -> Tensor:
    return (z.pow(4) - 16 * z.square() + 5 * z).sum(-1) / 2


def _schwefel(z: Tensor) -> Tensor:
    root = z.abs().clamp_min(torch.finfo(z.dtype).tiny).sqrt()  # the root alone has no derivative at 0
    return (-SCHWEFEL_VALUE - z * torch.sin(root)).sum(-1)
