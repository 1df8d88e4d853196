"""Functions of two variables, known in every stationary point."""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.problems.catalogue import problem
from hybridopt.problems.placement import place, placed
from hybridopt.problems.problem import Problem, box, in_the_plane

# roots of the gradient to 17 digits
HIMMELBLAU_MINIMA = (
    (3.0, 2.0),
    (-2.8051180869527449, 3.1313125182505730),
    (-3.7793102533777469, -3.2831859912861694),
    (3.5844283403304917, -1.8481265269644036),
)
HIMMELBLAU_SADDLES = (
    (3.3851541836070209, 0.073851879837749288),
    (0.086677504555396352, 2.8842547011747761),
    (-3.0730257507643896, -0.081353044287967512),
    (-0.12796134673068007, -1.9537149802445764),
)


@problem("beale")
def beale(dim: int = 2, seed: int = 0) -> Problem:
    """Flat far out, sharp ridges (Beale 1958); `fun.raw` has the published form, with minimum at (3, 0.5)."""
    in_the_plane("beale", dim)
    anchor = torch.tensor([3.0, 0.5], dtype=torch.float64)
    return placed("beale", _beale, 2, seed, 4.5, anchor=anchor)


@problem("himmelblau")
def himmelblau(dim: int = 2, seed: int = 0) -> Problem:
    """Four minima of value 0, four saddles between them, one maximum (Himmelblau 1972).

    `fun.raw` has the published form, with a minimum at (3, 2). The box is wider than the customary
    [-5, 5]^2, so that all stationary points are in it wherever the seed moves and turns them to.
    """
    in_the_plane("himmelblau", dim)
    lower, upper = box(2, -8.0, 8.0)
    # all stationary points lie within 5.01 of the origin, and a quarter of the half width is 2
    fun = place(_himmelblau, lower, upper, seed=seed, name="himmelblau", reach=0.25)
    minima, saddles = (
        fun.at(torch.tensor(points, dtype=torch.float64))
        for points in (HIMMELBLAU_MINIMA, HIMMELBLAU_SADDLES)
    )
    return Problem("himmelblau", 2, fun, lower, upper, value=0.0, x=minima, saddles=saddles)


def _beale(z: Tensor) -> Tensor:
    x, y = z[..., 0], z[..., 1]
    return (
        (1.5 - x + x * y).square()
        + (2.25 - x + x * y.square()).square()
        + (2.625 - x + x * y.pow(3)).square()
    )


def _himmelblau(z: Tensor) -> Tensor:
    x, y = z[..., 0], z[..., 1]
    return (x.square() + y - 11).square() + (x + y.square() - 7).square()
