"""Functions with one valley: bowls, well and badly conditioned, and Rosenbrock's bend.

A raw function and a factory each; every raw function takes rows (..., dim) and has the minimum 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.problems.catalogue import problem
from hybridopt.problems.placement import place, placed
from hybridopt.problems.problem import Problem, at_least, box


@problem("sphere")
def sphere(dim: int, seed: int = 0) -> Problem:
    """Sum of squares: convex, every direction alike."""
    return placed("sphere", _sphere, dim, seed, 5.0)


@problem("ellipsoid")
def ellipsoid(dim: int, seed: int = 0) -> Problem:
    """Sum of squares with weights from 1 to 1e6: convex, badly conditioned (Hansen et al. 2009, f2, f10).

    References
    ----------
    N. Hansen, S. Finck, R. Ros, A. Auger, "Real-Parameter Black-Box Optimization Benchmarking 2009:
    Noiseless Functions Definitions", INRIA RR-6829, 2009; here without the oscillation of its figures.
    """
    return placed("ellipsoid", _ellipsoid, dim, seed, 5.0)


@problem("rosenbrock")
def rosenbrock(dim: int, seed: int = 0) -> Problem:
    """A curved valley with a flat floor (Rosenbrock 1960, chained)."""
    at_least("rosenbrock", dim, 2)
    lower, upper = box(dim, -5.0, 10.0)
    fun = place(_rosenbrock, lower, upper, seed=seed, name="rosenbrock", anchor=1.0)
    return Problem("rosenbrock", dim, fun, lower, upper, value=0.0, x=fun.shift[None])


def _sphere(z: Tensor) -> Tensor:
    return z.square().sum(-1)


def _ellipsoid(z: Tensor) -> Tensor:
    weights = torch.logspace(0, 6, z.shape[-1], dtype=z.dtype, device=z.device)
    return (weights * z.square()).sum(-1)


def _rosenbrock(z: Tensor) -> Tensor:
    here, following = z[..., :-1], z[..., 1:]
    return (100 * (following - here.square()).square() + (1 - here).square()).sum(-1)
