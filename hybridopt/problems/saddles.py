"""Functions with known saddle points, to be started there."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hybridopt.problems.catalogue import problem
from hybridopt.problems.functions import at_least
from hybridopt.problems.problem import Problem, box, place


@problem("strict_saddle")
def strict_saddle(dim: int = 2, seed: int = 0) -> Problem:
    """x^2 - y^2 + y^4/4 (and the squares of further coordinates), started exactly at the saddle.

    The gradient at the start is 0.0 in every component, in every dtype, so that gradient descent stays. The
    minimum -1 lies at y = +-sqrt(2).
    """
    at_least("strict_saddle", dim, 2)
    lower, upper = box(dim, -4.0, 4.0)
    # sqrt(2) from a saddle within half of the half width 4 stays inside the box
    fun = place(_strict_saddle, lower, upper, seed=seed, name="strict_saddle", reach=0.5)
    minima = torch.zeros(2, dim, dtype=torch.float64)
    minima[:, 1] = torch.tensor([-math.sqrt(2), math.sqrt(2)], dtype=torch.float64)
    return Problem(
        "strict_saddle", dim, fun, lower, upper, value=-1.0, x=fun.at(minima), start=fun.shift.clone()
    )


def _strict_saddle(z: Tensor) -> Tensor:
    x, y, further = z[..., 0], z[..., 1], z[..., 2:]
    return x.square() - y.square() + y.pow(4) / 4 + further.square().sum(-1)
