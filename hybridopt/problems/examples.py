"""First examples of learning by gradients, small enough for a derivative by hand, which is `grad`.

The formulas stay as they are on paper; the seed draws the box, so that no minimum is at its centre.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.problems.catalogue import problem
from hybridopt.problems.problem import Problem, in_the_plane
from hybridopt.rng import generator


@problem("square")
def square(dim: int = 1, seed: int = 0) -> Problem:
    """x^2, with derivative 2 x."""
    if dim != 1:
        raise ValueError(f"problem 'square' has one dimension, got dim={dim}; leave dim away")
    lower, upper = drawn_box("square", 1, seed)
    origin = torch.zeros(1, 1, dtype=torch.float64)
    return Problem("square", 1, _square, lower, upper, value=0.0, x=origin, grad=_square_grad)


@problem("plane")
def plane(dim: int = 2, seed: int = 0) -> Problem:
    """4 x0 + 8 x1, with gradient (4, 8) everywhere; its minimum is the lower corner of the box."""
    in_the_plane("plane", dim)
    lower, upper = drawn_box("plane", 2, seed)
    lowest = float(_plane(lower))
    return Problem("plane", 2, _plane, lower, upper, value=lowest, x=lower[None], grad=_plane_grad)


@problem("product")
def product(dim: int = 3, seed: int = 0) -> Problem:
    """(x + y) z, with gradient (z, z, x + y), started at a saddle.

    The points with z = 0 and x = -y are strict saddles: the Hessian has the eigenvalues -sqrt(2), 0 and
    sqrt(2) everywhere. Two of them are in `saddles`. The minimum is at one of the corners of the box.
    """
    if dim != 3:
        raise ValueError(f"problem 'product' has three dimensions, got dim={dim}; leave dim away")
    lower, upper = drawn_box("product", 3, seed)
    saddles = torch.tensor([[0.5, -0.5, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    corners = torch.cartesian_prod(*torch.stack([lower, upper], 1))
    values = _product(corners)
    lowest = int(values.argmin())
    return Problem(
        "product",
        3,
        _product,
        lower,
        upper,
        value=float(values[lowest]),
        x=corners[lowest : lowest + 1],
        start=saddles[0].clone(),
        saddles=saddles,
        grad=_product_grad,
    )


def drawn_box(name: str, dim: int, seed: int) -> tuple[Tensor, Tensor]:
    """Lower bounds in [-4, -3] and upper bounds in [1, 2]: the centre is below -1/2 in every coordinate."""
    share = torch.rand(2, dim, generator=generator(seed, "problem", name, "box"), dtype=torch.float64)
    return share[0] - 4, share[1] + 1


def _square(x: Tensor) -> Tensor:
    return x[..., 0].square()


def _square_grad(x: Tensor) -> Tensor:
    return 2 * x


def _plane(x: Tensor) -> Tensor:
    return 4 * x[..., 0] + 8 * x[..., 1]


def _plane_grad(x: Tensor) -> Tensor:
    return torch.stack([torch.full_like(x[..., 0], 4), torch.full_like(x[..., 1], 8)], -1)


def _product(x: Tensor) -> Tensor:
    return (x[..., 0] + x[..., 1]) * x[..., 2]


def _product_grad(x: Tensor) -> Tensor:
    return torch.stack([x[..., 2], x[..., 2], x[..., 0] + x[..., 1]], -1)
