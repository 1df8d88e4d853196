"""Unit coordinates without bounds, and the fold that brings every one of their points into the box.

A coordinate is measured in widths of the box and runs along the whole real line: beyond a bound the function
is continued by its mirror image, which the strategy does not see (Darwinian reflection, in the words of [1]).
Nothing is cut off, so that samples keep the distribution that the strategy believes in.

Near a bound the map is a parabola, as in the package cma [2]: with w the distance from the last turning
point, x = w^2 / (4 bend) up to w = 2 bend, then x = w - bend, and likewise at the other end. A slope that
ends at a bound becomes a quadratic minimum, which is found sooner than the kink of a plain reflection.

References
----------
.. [1] R. Biedrzycki (2020), Handling bound constraints in CMA-ES: an experimental study, Swarm and
   Evolutionary Computation 52, 100627.
.. [2] N. Hansen, Y. Akimoto, P. Baudis (2019), CMA-ES/pycma on Github, doi:10.5281/zenodo.2559634.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.start import widths

BEND = 0.05  # of a unit, or of the width where that is less
MOST_OF_BOX = 1 / 3  # as in the package cma: wider, and samples see the mirror images of the box as well
_FAR = 1e30  # period of what has no second bound; of a size that float32 can multiply by zero
_WIDEST = 1e15  # keeps numbers finite on functions without a minimum


@dataclass(frozen=True)
class Fold:
    """How lines with bounds are folded; every tensor has shape (dim,) and is in units.

    Attributes
    ----------
    period : Tensor
        After which mirror images repeat: twice the width and four bends.
    reach : Tensor
        Where a parabola ends, two bends from the turning point; it reaches one bend into the box.
    width : Tensor
        Of the box; a huge one where there is one bound only.
    curvature : Tensor
        -1 / (4 bend).
    most : Tensor
        Largest variance that makes sense: of a standard deviation of `MOST_OF_BOX` of the width.
    free : Tensor, optional
        Which coordinates have no bound; None where all have one.
    """

    period: Tensor
    reach: Tensor
    width: Tensor
    curvature: Tensor
    most: Tensor
    free: Tensor | None


@dataclass(frozen=True)
class Coordinates:
    """Where unit coordinates begin and how long their unit is.

    Attributes
    ----------
    origin : Tensor, shape (dim,)
        A bend before the lower bound, or beyond the upper one where there is no lower, or the start where
        there is none.
    scale : Tensor, shape (dim,)
        Length of the unit; negative where measured downwards from an upper bound, 0 where fixed.
    fold : Fold, optional
        None where no coordinate has a bound.
    widest : float
        Largest step size that makes sense: the width of the box, where samples are near uniform.
    """

    origin: Tensor
    scale: Tensor
    fold: Fold | None
    widest: float


def coordinates(start: Tensor, lower: Tensor, upper: Tensor, scale: Tensor | None = None) -> Coordinates:
    """Unit coordinates of a box.

    Parameters
    ----------
    start : Tensor, shape (dim,)
        Origin of coordinates without bounds.
    lower, upper : Tensor, shape (dim,)
    scale : Tensor of shape (dim,), optional
        Lengths of the units; by default `hybridopt.start.widths`.
    """
    below, above = torch.isfinite(lower), torch.isfinite(upper)
    free = ~(below | above)
    unit = widths(start, lower, upper) if scale is None else torch.where(upper > lower, scale, 0.0)
    if bool(free.all()):
        return Coordinates(start.clone(), unit, None, _WIDEST)
    two = torch.isfinite(upper - lower) & (unit > 0)
    width = torch.where(two, (upper - lower) / torch.where(two, unit, 1.0), _FAR)
    bend = BEND * width.clamp_max(1)
    most = (MOST_OF_BOX * width).square().clamp_max(torch.finfo(width.dtype).max)
    some_free = free if bool(free.any()) else None
    fold = Fold(2 * (width + 2 * bend), 2 * bend, width, -0.25 / bend, most, some_free)
    signed = torch.where(above & ~below, -unit, unit)
    bound = torch.where(below, lower, torch.where(above, upper, start))
    origin = torch.where(free, start, bound - bend * signed)
    return Coordinates(origin, signed, fold, min(float(width.max()), _WIDEST))


def to_unit(x: Tensor, c: Coordinates) -> Tensor:
    """Unit coordinates of points (..., dim) inside the box; where fixed, some number."""
    u: Tensor = (x - c.origin) / torch.where(c.scale == 0, 1.0, c.scale)
    if c.fold is None:
        return u
    reach, width = c.fold.reach, c.fold.width
    bend = reach / 2
    v = u - bend  # distance from the bound
    from_end = torch.sqrt(2 * reach * (width - v).clamp_min(0))
    w = torch.where(v > width - bend, width + reach - from_end, u)
    w = torch.where(v < bend, torch.sqrt(2 * reach * v.clamp_min(0)), w)
    return w if c.fold.free is None else torch.where(c.fold.free, u, w)


def to_point(u: Tensor, c: Coordinates, lower: Tensor, upper: Tensor) -> Tensor:
    """Points inside the box of unit coordinates (..., dim)."""
    if c.fold is None:
        return torch.addcmul(c.origin, u, c.scale)
    turns = (u / c.fold.period).round_()
    w = torch.addcmul(u, turns, c.fold.period, value=-1).abs_()
    beyond = w - w.clamp(c.fold.reach, c.fold.width)  # into a parabola, negative in the lower one
    v = torch.addcmul(w, beyond * beyond.abs(), c.fold.curvature)
    if c.fold.free is not None:
        v = torch.where(c.fold.free, u, v)
    return torch.addcmul(c.origin, v, c.scale).clamp_(lower, upper)  # clamped for rounding
