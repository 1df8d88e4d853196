"""Where to search: what users write for a start and for bounds, as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybridopt.rng import generator
from hybridopt.start import middle


def parse_start_and_bounds(
    x0: Any, bounds: Any, seed: int, *, central: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Start rows, lower and upper bounds.

    Parameters
    ----------
    x0 : array-like or Tensor of shape (dim,) or (n, dim), or None
        None: one row, uniform in the box, which then must be finite.
    bounds : see `hybridopt.minimize`
    seed : int
    central : bool
        Whether that row is the middle of the box, and not drawn.

    Returns
    -------
    x : Tensor, shape (n, dim)
        float64 unless x0 or the bounds are floating tensors; on the device of x0 or of the bounds.
    lower, upper : Tensor, shape (dim,)

    Raises
    ------
    ValueError
        If a shape is wrong, a bound reversed or NaN, a start outside, or both are missing.
    """
    like = next((t for t in (x0, bounds) if isinstance(t, Tensor) and t.is_floating_point()), None)
    kind = {
        "dtype": torch.float64 if like is None else like.dtype,
        "device": next((t.device for t in (x0, bounds) if isinstance(t, Tensor)), None),
    }
    if kind["dtype"] == torch.float16:
        raise ValueError("float16 is too coarse to search in; expected float64, float32 or bfloat16")
    x = None if x0 is None else _start(x0, kind)
    dim = None if x is None else x.shape[1]
    lower, upper = _bounds(bounds, dim, kind)
    if x is None:
        return _inside(lower, upper, None if central else seed), lower, upper
    _check_inside(x, lower, upper)
    return x, lower, upper


def _start(x0: Any, kind: dict[str, Any]) -> Tensor:
    if x0.is_complex() if isinstance(x0, Tensor) else np.iscomplexobj(x0):
        raise ValueError("x0 must be real numbers, got complex ones; minimise over real and imaginary parts")
    if isinstance(x0, Tensor):
        x = x0.detach().to(**kind).clone()
    else:
        try:
            x = torch.as_tensor(np.array(x0, dtype=float), **kind)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"x0 must be numbers of shape (dim,) or (n, dim): {error}") from error
    if x.ndim == 0:
        x = x[None]
    if x.ndim == 1:
        x = x[None]
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"x0 must have shape (dim,) or (n, dim), got {tuple(x.shape)}")
    if not torch.isfinite(x).all():
        raise ValueError(f"x0 must be finite, got {x[~torch.isfinite(x).all(1)][0].tolist()}")
    return x


def _bounds(bounds: Any, dim: int | None, kind: dict[str, Any]) -> tuple[Tensor, Tensor]:
    if bounds is None:
        if dim is None:
            raise ValueError("give x0 (a start), bounds (a box to search), or both; got neither")
        free = torch.full((dim,), torch.inf, **kind)
        return -free, free
    pairs = _pairs(bounds)
    if dim is not None and pairs.shape == (2,) and dim != 1:
        pairs = np.tile(pairs, (dim, 1))
    if pairs.shape == (2,):
        if dim is None:
            raise ValueError("bounds are one pair for all coordinates: give x0 too, so that dim is known")
        pairs = pairs[None]
    if pairs.ndim != 2 or pairs.shape[1] != 2 or (dim is not None and pairs.shape[0] != dim):
        expected = "(dim, 2)" if dim is None else f"(dim, 2) = ({dim}, 2)"
        hint = "; pass bounds.T" if pairs.ndim == 2 and pairs.shape[0] == 2 else ""
        raise ValueError(f"bounds must have shape {expected}, got {pairs.shape}{hint}")
    wrong = np.flatnonzero(~(pairs[:, 0] <= pairs[:, 1]) | (pairs[:, 0] == np.inf) | (pairs[:, 1] == -np.inf))
    if len(wrong):
        i = wrong[0]
        raise ValueError(f"bounds must be lower <= upper, got {tuple(pairs[i].tolist())} for coordinate {i}")
    lower, upper = torch.as_tensor(pairs, **kind).T
    return lower.contiguous(), upper.contiguous()


def _pairs(bounds: Any) -> np.ndarray:
    """Bounds of any accepted kind as an array, (dim, 2) or (2,); None in a pair means free."""
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):  # scipy.optimize.Bounds
        lower, upper = np.broadcast_arrays(np.asarray(bounds.lb, float), np.asarray(bounds.ub, float))
        pairs = np.stack([lower, upper], -1)
        return pairs[0] if len(pairs) == 1 else pairs
    if isinstance(bounds, Tensor):
        return bounds.detach().cpu().double().numpy()
    try:
        bounds = list(bounds)
        rows = [bounds] if _is_pair(bounds) else bounds
        pairs = np.array([_numbers(row) for row in rows], dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"bounds must be pairs (lower, upper), one a coordinate or one for all: {error}"
        ) from error
    return pairs[0] if _is_pair(bounds) else pairs


def _is_pair(bounds: Any) -> bool:
    return len(bounds) == 2 and all(b is None or np.ndim(b) == 0 for b in bounds)


def _numbers(row: Any) -> list[float]:
    """A row of bounds; in a pair None stands for no bound."""
    free = [-np.inf, np.inf]
    return [free[i % 2] if entry is None else entry for i, entry in enumerate(row)]


def _inside(lower: Tensor, upper: Tensor, seed: int | None) -> Tensor:
    """A row of a finite box: uniform in it, or its middle; (1, dim)."""
    width = upper - lower
    if not torch.isfinite(width).all():
        free = torch.nonzero(~torch.isfinite(width))[0].item()
        raise ValueError(f"without x0 every bound must be finite; coordinate {free} is not: give x0 too")
    if seed is None:
        return middle(lower, upper)[None]
    g = generator(seed, "start", device=lower.device)
    u = torch.rand(1, len(lower), generator=g, dtype=lower.dtype, device=lower.device)
    return lower + u * width


def _check_inside(x: Tensor, lower: Tensor, upper: Tensor) -> None:
    outside = torch.nonzero((x < lower) | (x > upper))
    if len(outside):
        row, i = outside[0].tolist()
        raise ValueError(
            f"x0 must lie inside the bounds; coordinate {i} is {x[row, i].item()}, "
            f"expected {lower[i].item()} .. {upper[i].item()}: clip it or widen the bounds"
        )
