"""A function with what is known of it: its box, its minimum, and where a search has to begin.

The raw functions of the field have their minimum at the origin or at the centre of the box, where some
optimizers look first. `place` moves them: z = R (x - shift) + z*, with shift and rotation R by seed, so that
the point z* of the raw function lands at `shift`, exactly, also in floating point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.rng import generator

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

    @property
    def bounds(self) -> Tensor:
        """The box as pairs (lower, upper), shape (dim, 2), as `minimize` takes it."""
        return torch.stack([self.lower, self.upper], dim=1)


@dataclass(frozen=True, eq=False)
class Placed:
    """A raw function after a shift and a rotation: z = R (x - shift) + anchor.

    Attributes
    ----------
    raw : callable, (..., dim) -> (...)
    shift : Tensor, shape (dim,)
        The point at which z is `anchor`.
    rotation : Tensor, shape (dim, dim)
    anchor : float
        Every coordinate of z at `shift`.
    """

    raw: Function
    shift: Tensor
    rotation: Tensor
    anchor: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """Values at rows; shape (...,) of x's shape (..., dim), in x's dtype and on its device."""
        return self.raw((x - self.shift.to(x)) @ self.rotation.to(x).T + self.anchor)

    def at(self, z: Tensor) -> Tensor:
        """Points x that lie at `z` in the coordinates of the raw function, shape (..., dim)."""
        return self.shift + (z - self.anchor) @ self.rotation


def place(
    raw: Function,
    lower: Tensor,
    upper: Tensor,
    *,
    seed: int,
    name: str,
    anchor: float = 0.0,
    reach: float = 0.7,
) -> Placed:
    """Move a raw function to a random place in the box and turn it there.

    Parameters
    ----------
    raw : callable, (..., dim) -> (...)
    lower, upper : Tensor, shape (dim,)
    seed : int
        Which instance.
    name : str
        Functions of different names are moved differently.
    anchor : float
        The point of the raw function (every coordinate) that is moved; it stays off the centre of the box by
        a tenth of its half width in every coordinate.
    reach : float
        And within this share of it.

    Returns
    -------
    Placed
    """
    dim = lower.shape[0]
    g = generator(seed, "problem", name, "shift")
    side = torch.where(torch.rand(dim, generator=g) < 0.5, -1.0, 1.0)
    share = 0.1 + (reach - 0.1) * torch.rand(dim, generator=g, dtype=lower.dtype)
    shift = (lower + upper) / 2 + (upper - lower) / 2 * side * share
    return Placed(raw, shift, rotation(dim, generator(seed, "problem", name, "rotation")), anchor)


def rotation(dim: int, g: torch.Generator) -> Tensor:
    """Orthogonal matrix of shape (dim, dim), uniform among all (Haar): QR of normals, signs moved."""
    q, r = torch.linalg.qr(torch.randn(dim, dim, generator=g, dtype=torch.float64))
    turned: Tensor = q * r.diagonal().sign()
    return turned


def box(dim: int, lower: float, upper: float) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds, each of shape (dim,)."""
    return torch.full((dim,), lower, dtype=torch.float64), torch.full((dim,), upper, dtype=torch.float64)
