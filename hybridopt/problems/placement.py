"""Move a raw function away from where it is too easy to find.

The raw functions of the field have their minimum at the origin or at the centre of the box, where some
optimizers look first. `place` moves them: z = R (x - shift) + anchor, with shift and rotation R by seed, so
that the point `anchor` of the raw function lands at `shift`, exactly, also in floating point.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.problems.problem import Function, Problem, at_least, box
from hybridopt.rng import generator


@dataclass(frozen=True, eq=False)
class Placed:
    """A raw function after a shift and a rotation: z = R (x - shift) + anchor.

    Attributes
    ----------
    raw : callable, (..., dim) -> (...)
    shift : Tensor, shape (dim,)
        The point at which z is `anchor`.
    rotation : Tensor, shape (dim, dim)
    anchor : float or Tensor of shape (dim,)
        z at `shift`; a number stands for every coordinate.
    """

    raw: Function
    shift: Tensor
    rotation: Tensor
    anchor: float | Tensor = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """Values at rows; shape (...,) of x's shape (..., dim), in x's dtype and on its device."""
        anchor = torch.as_tensor(self.anchor, dtype=x.dtype, device=x.device)
        return self.raw((x - self.shift.to(x)) @ self.rotation.to(x).T + anchor)

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
    anchor: float | Tensor = 0.0,
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
    anchor : float or Tensor of shape (dim,)
        The point of the raw function that is moved (a number stands for every coordinate); it stays off the
        centre of the box by a tenth of its half width in every coordinate.
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


def placed(
    name: str,
    raw: Function,
    dim: int,
    seed: int,
    half_width: float,
    *,
    anchor: float | Tensor = 0.0,
    value: float = 0.0,
    reach: float = 0.7,
) -> Problem:
    """Problem on [-half_width, half_width]^dim of a raw function with the minimum `value` at `anchor`."""
    at_least(name, dim, 1)
    low, high = box(dim, -half_width, half_width)
    fun = place(raw, low, high, seed=seed, name=name, anchor=anchor, reach=reach)
    return Problem(name, dim, fun, low, high, value=value, x=fun.shift[None])


def rotation(dim: int, g: torch.Generator) -> Tensor:
    """Orthogonal matrix of shape (dim, dim), uniform among all (Haar): QR of normals, signs moved."""
    q, r = torch.linalg.qr(torch.randn(dim, dim, generator=g, dtype=torch.float64))
    turned: Tensor = q * r.diagonal().sign()
    return turned
