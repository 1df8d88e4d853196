"""A function with what is known of it: its box, its minima and saddles, and where a search has to begin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Problem:
    """A function of a box.

    Attributes
    ----------
    name : str
    dim : int
    fun : callable, (..., dim) -> (...)
        Made of torch operations, so differentiable; each value depends on its own row alone.
    lower, upper : Tensor, shape (dim,)
        The box, float64.
    value : float, optional
        The lowest value in the box, where it is known.
    x : Tensor of shape (n, dim), optional
        Points that have it, where they are known.
    start : Tensor of shape (dim,), optional
        Where a search has to begin, where that belongs to the problem.
    saddles : Tensor of shape (k, dim), optional
        Stationary points in the box that are neither minima nor maxima, where they are known; there may be
        more. A start at a saddle is the first of them.
    grad : callable, (..., dim) -> (..., dim), optional
        The gradient in closed form, to hold autograd's against.
    vectorized : bool
        Whether `fun` takes rows; only a user's own function of one point may not.

    Examples
    --------
    >>> import torch
    >>> from hybridopt import problems
    >>> sphere = problems.make("sphere", dim=3, seed=1)
    >>> sphere.fun(sphere.x)
    tensor([0.], dtype=torch.float64)
    """

    name: str
    dim: int
    fun: Function
    lower: Tensor
    upper: Tensor
    value: float | None = None
    x: Tensor | None = None
    start: Tensor | None = None
    saddles: Tensor | None = None
    grad: Function | None = None
    vectorized: bool = True

    @property
    def bounds(self) -> Tensor:
        """The box as pairs (lower, upper), shape (dim, 2), as `minimize` takes it."""
        return torch.stack([self.lower, self.upper], dim=1)


def box(dim: int, lower: float, upper: float) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds, each of shape (dim,)."""
    return torch.full((dim,), lower, dtype=torch.float64), torch.full((dim,), upper, dtype=torch.float64)


def at_least(name: str, dim: int, least: int) -> None:
    """Raise a ValueError where a problem does not exist in so few dimensions."""
    if dim < least:
        raise ValueError(f"problem {name!r} needs dim of at least {least}, got {dim}")


def in_the_plane(name: str, dim: int) -> None:
    """Raise a ValueError where a function of two variables is wanted in another dimension."""
    if dim != 2:
        raise ValueError(f"problem {name!r} has two dimensions, got dim={dim}; leave dim away")
