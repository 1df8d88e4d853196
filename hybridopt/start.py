"""Rows to begin with: as many as an optimizer needs, spread over the box or around what is known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hybridopt.rng import generator


def widths(x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Length scale of each coordinate: upper - lower where that is finite, else `max(1, |x|)`.

    Parameters
    ----------
    x : Tensor, shape (dim,)
        The point that sets the scale of free coordinates.
    lower, upper : Tensor, shape (dim,)

    Returns
    -------
    Tensor, shape (dim,)
        0 where a variable is fixed.
    """
    box = upper - lower
    return torch.where(torch.isfinite(box), box, x.abs().clamp_min(1.0))


def unit(x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Unit of distance of every coordinate (`widths`), 1 where it is fixed; (dim,)."""
    width = widths(x, lower, upper)
    return torch.where(width > 0, width, torch.ones_like(width))


def is_finite(lower: Tensor, upper: Tensor) -> bool:
    """Whether a box is finite in all coordinates."""
    return bool(torch.isfinite(upper - lower).all())


def middle(lower: Tensor, upper: Tensor) -> Tensor:
    """Of a box, (dim,); not finite where a bound is not."""
    return lower + 0.5 * (upper - lower)


def beside(x: Tensor, share: float, lower: Tensor, upper: Tensor, seed: int) -> Tensor:
    """Rows (n, dim) moved at random by at most so large a share of the `widths`, inside the bounds."""
    g = generator(seed, "beside", device=x.device)
    u = 2 * torch.rand(x.shape, generator=g, dtype=x.dtype, device=x.device) - 1
    return (x + share * u * widths(x[0], lower, upper)).clamp(lower, upper)


def fill(x: Tensor, count: int, lower: Tensor, upper: Tensor, seed: int) -> Tensor:
    """Exactly `count` rows: the first ones of `x`, then random ones.

    New rows are uniform where both bounds are finite; elsewhere normal around the first row with the
    standard deviation `widths` gives, projected onto the bound there is.

    Parameters
    ----------
    x : Tensor, shape (n, dim), n >= 1
    count : int
    lower, upper : Tensor, shape (dim,)
    seed : int

    Returns
    -------
    Tensor, shape (count, dim)
    """
    missing = count - x.shape[0]
    if missing <= 0:
        return x[:count].clone()
    g = generator(seed, "fill", device=x.device)
    kind: dict[str, Any] = {"generator": g, "dtype": x.dtype, "device": x.device}
    finite = torch.isfinite(upper - lower)
    new = torch.rand(missing, x.shape[1], **kind)
    if not bool(finite.all()):
        new = torch.where(finite, new, torch.randn(missing, x.shape[1], **kind))
    new.mul_(widths(x[0], lower, upper)).add_(torch.where(finite, lower, x[0]))
    return torch.cat([x, new.clamp_(lower, upper)])


def refuse_coarse(name: str, x: Tensor) -> None:
    """Raise ValueError where torch neither factors matrices nor measures distances, as in bfloat16."""
    if torch.finfo(x.dtype).bits < 32:
        raise ValueError(
            f"{name} needs matrices and distances, which torch can't work out in "
            f"{str(x.dtype).removeprefix('torch.')}; pass x0 and bounds in float32 or float64, or take a "
            "method without, such as 'adam' or 'genetic'"
        )
