"""Functions with a saddle in closed form, started exactly there: strict (x^2 - y^2) and degenerate (monkey).

The gradient at the start is 0.0 in every component, in every dtype, so that gradient descent stays.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hybridopt.problems.catalogue import problem
from hybridopt.problems.placement import Placed, place
from hybridopt.problems.problem import Problem, at_least, box, in_the_plane


@problem("strict_saddle")
def strict_saddle(dim: int = 2, seed: int = 0) -> Problem:
    """x^2 - y^2 + y^4/4 (and the squares of further coordinates), started exactly at the saddle.

    The Hessian at the saddle has the eigenvalues -2 (once) and 2. The minimum -1 lies at y = +-sqrt(2).
    """
    at_least("strict_saddle", dim, 2)
    lower, upper = box(dim, -4.0, 4.0)
    # sqrt(2) from a saddle within half of the half width 4 stays inside the box
    fun = place(_strict_saddle, lower, upper, seed=seed, name="strict_saddle", reach=0.5)
    minima = torch.zeros(2, dim, dtype=torch.float64)
    minima[:, 1] = torch.tensor([-math.sqrt(2), math.sqrt(2)], dtype=torch.float64)
    return Problem(
        "strict_saddle",
        dim,
        fun,
        lower,
        upper,
        value=-1.0,
        x=fun.at(minima),
        start=fun.shift.clone(),
        saddles=fun.shift[None],
    )


@problem("monkey_saddle")
def monkey_saddle(dim: int = 2, seed: int = 0) -> Problem:
    """x^3 - 3 x y^2 in a box, started exactly at its saddle, which is degenerate: the Hessian there is 0.

    Three valleys and three ridges meet at the saddle. The function is harmonic, Re (x + i y)^3, so its
    minimum in the box lies on the boundary: at a corner, or where the derivative along an edge, a quadratic,
    is 0. There are no other stationary points.
    """
    in_the_plane("monkey_saddle", dim)
    lower, upper = box(2, -2.0, 2.0)
    fun = place(_monkey_saddle, lower, upper, seed=seed, name="monkey_saddle")
    candidates = _edge_candidates(fun, lower, upper)
    values = fun(candidates)
    lowest = int(values.argmin())
    return Problem(
        "monkey_saddle",
        2,
        fun,
        lower,
        upper,
        value=float(values[lowest]),
        x=candidates[lowest : lowest + 1],
        start=fun.shift.clone(),
        saddles=fun.shift[None],
    )


def _strict_saddle(z: Tensor) -> Tensor:
    x, y, further = z[..., 0], z[..., 1], z[..., 2:]
    return x.square() - y.square() + y.pow(4) / 4 + further.square().sum(-1)


def _monkey_saddle(z: Tensor) -> Tensor:
    x, y = z[..., 0], z[..., 1]
    return x.pow(3) - 3 * x * y.square()


def _edge_candidates(fun: Placed, lower: Tensor, upper: Tensor) -> Tensor:
    """Corners, and stationary points along the edges; shape (n, 2).

    Along p + t d, as complex numbers, the derivative of Re (p + t d)^3 is 3 Re(d^3 t^2 + 2 p d^2 t + p^2 d).
    """
    corners = torch.cartesian_prod(torch.stack([lower[0], upper[0]]), torch.stack([lower[1], upper[1]]))
    points = [corners]
    for axis in (0, 1):
        for fixed in (lower, upper):
            begin = lower.clone()
            begin[1 - axis] = fixed[1 - axis]
            z = (begin - fun.shift) @ fun.rotation.T
            p, d = complex(z[0], z[1]), complex(fun.rotation[0, axis], fun.rotation[1, axis])
            roots = np.roots([(d**3).real, 2 * (p * d**2).real, (p**2 * d).real])
            width = float(upper[axis] - lower[axis])
            for t in (root.real for root in roots if root.imag == 0 and 0 < root.real < width):
                point = begin.clone()
                point[axis] += t
                points.append(point[None])
    return torch.cat(points)
