"""Functions with a known minimum in a box.

A raw function and a factory each; every raw function takes rows (..., dim) and has the minimum 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hybridopt.problems.catalogue import problem
from hybridopt.problems.problem import Function, Problem, box, place


@problem("sphere")
def sphere(dim: int, seed: int = 0) -> Problem:
    """Sum of squares: convex, every direction alike."""
    return placed("sphere", _sphere, dim, seed, -5.0, 5.0)


@problem("rosenbrock")
def rosenbrock(dim: int, seed: int = 0) -> Problem:
    """A curved valley with a flat floor (Rosenbrock 1960, chained)."""
    at_least("rosenbrock", dim, 2)
    return placed("rosenbrock", _rosenbrock, dim, seed, -5.0, 10.0, anchor=1.0)


@problem("rastrigin")
def rastrigin(dim: int, seed: int = 0) -> Problem:
    """About 11^dim local minima on a grid, in a bowl (Rastrigin 1974)."""
    return placed("rastrigin", _rastrigin, dim, seed, -5.12, 5.12)


@problem("beale")
def beale(dim: int = 2, seed: int = 0) -> Problem:
    """Flat far out, sharp ridges; not moved, so that published figures hold: minimum at (3, 0.5)."""
    if dim != 2:
        raise ValueError(f"problem 'beale' has two dimensions, got dim={dim}; leave dim away")
    lower, upper = box(2, -4.5, 4.5)
    optimum = torch.tensor([[3.0, 0.5]], dtype=torch.float64)
    return Problem("beale", 2, _beale, lower, upper, value=0.0, x=optimum)


def placed(
    name: str, raw: Function, dim: int, seed: int, lower: float, upper: float, anchor: float = 0.0
) -> Problem:
    """Problem of a raw function whose minimum 0 lies where every coordinate is `anchor`, moved by seed."""
    at_least(name, dim, 1)
    low, high = box(dim, lower, upper)
    fun = place(raw, low, high, seed=seed, name=name, anchor=anchor)
    return Problem(name, dim, fun, low, high, value=0.0, x=fun.shift[None])


def at_least(name: str, dim: int, least: int) -> None:
    """Raise a ValueError where a problem does not exist in so few dimensions."""
    if dim < least:
        raise ValueError(f"problem {name!r} needs dim of at least {least}, got {dim}")


def _sphere(z: Tensor) -> Tensor:
    return z.square().sum(-1)


def _rosenbrock(z: Tensor) -> Tensor:
    here, following = z[..., :-1], z[..., 1:]
    return (100 * (following - here.square()).square() + (1 - here).square()).sum(-1)


def _rastrigin(z: Tensor) -> Tensor:
    return (z.square() + 10 * (1 - torch.cos(2 * math.pi * z))).sum(-1)


def _beale(z: Tensor) -> Tensor:
    x, y = z[..., 0], z[..., 1]
    return (
        (1.5 - x + x * y).square()
        + (2.25 - x + x * y.square()).square()
        + (2.625 - x + x * y.pow(3)).square()
    )
