"""Where children start: noise scaled tensor by tensor, a leap along the way so far, negative curvature."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hybridopt.autodiff import flatten, unflatten
from hybridopt.rng import generator

VECTOR_SCALE = 0.1  # biases and scalars that are zero: about what trained biases come to
STRIDE = 20.0  # of a leap, as a multiple of the way so far
STILL = 1e-4  # a way shorter than this, as a share of the size of the weights, leads nowhere
ALONG = 0.3  # how far a child goes along negative curvature, as a share of the size of the weights
CURVATURE_TOL = 1e-2
SADDLE = -0.1  # a smallest eigenvalue below this share of the largest absolute one tells that it is one
MOST_WEIGHTS = 1_000_000
SECOND_MOMENTS = ("exp_avg_sq", "square_avg", "sum", "exp_inf")
DRAWN_OUT = 10.0  # how much more than on average noise may go where second moments are small


def scale(weight: Tensor) -> Tensor:
    """Natural size of a tensor's entries; shape ().

    The root mean square of the weights, and at least the one torch's initialisation gives a matrix or a
    convolution, 1 / sqrt(3 * fan_in): weights at or near zero, where saddles lie, have no size of their own.

    Parameters
    ----------
    weight : Tensor
        Not empty.
    """
    precise = torch.promote_types(weight.dtype, torch.float32)
    size: Tensor = torch.linalg.vector_norm(weight.detach(), dtype=precise) / math.sqrt(weight.numel())
    if weight.ndim < 2:
        return size.clamp_min(VECTOR_SCALE)
    fan_in = weight.numel() / weight.shape[0]
    return size.clamp_min(1.0 / math.sqrt(3.0 * fan_in))


def noise(
    parents: Sequence[Tensor],
    sigma: float,
    moments: Sequence[Tensor | None],
    seed: int,
    *path: int | str,
) -> list[Tensor]:
    """Parent + sigma * scale * standard normal, tensor by tensor.

    Parameters
    ----------
    parents : sequence of Tensor
        Not empty ones.
    sigma : float
        Share of each tensor's `scale`.
    moments : sequence of Tensor or None
        Second moments of the gradients, one a tensor. Noise is drawn out where they are small: along flat
        directions weights can go far.
    seed, path : int, int or str
        Name of the child; the same name gives the same child.
    """
    children = []
    for index, (parent, moment) in enumerate(zip(parents, moments, strict=True)):
        g = generator(seed, *path, index, device=parent.device)
        normal = torch.randn(parent.shape, generator=g, dtype=parent.dtype, device=parent.device)
        if moment is not None:
            normal *= _flatness(moment).to(parent.dtype)
        children.append(parent.detach() + normal * (sigma * scale(parent)))
    return children


def _flatness(moment: Tensor) -> Tensor:
    """Factors of mean square 1, large where second moments are small; NaN-free."""
    size = moment.detach().clamp_min(0).sqrt()
    mean = size.square().mean().sqrt()
    flat = 1 / (size / mean + 1 / DRAWN_OUT)
    flat = flat / flat.square().mean().sqrt()
    return flat if bool(torch.isfinite(flat).all()) else torch.ones_like(flat)


def second_moment(state: Any, param: Tensor) -> Tensor | None:
    """What a base knows of the size of a parameter's gradients; None if nothing."""
    if not isinstance(state, Mapping):
        return None
    for name in SECOND_MOMENTS:
        moment = state.get(name)
        if isinstance(moment, Tensor) and moment.shape == param.shape:
            return moment
    return None


def leap(origin: Sequence[Tensor], now: Sequence[Tensor]) -> list[Tensor] | None:
    """Weights far ahead on the way from `origin` to `now`, across a plain in one jump; None if it ends."""
    ways = [weight.detach() - before for before, weight in zip(origin, now, strict=True)]
    if not sum(float(way.norm()) ** 2 for way in ways) > (STILL * whole(now)) ** 2:
        return None
    return [weight.detach() + STRIDE * way for weight, way in zip(now, ways, strict=True)]


def downhill(
    parents: Sequence[Tensor],
    here: Tensor,
    gradient: Callable[[Sequence[Tensor]], Tensor],
    products: int,
    seed: int,
) -> tuple[float, list[Tensor] | None]:
    """Child along the direction of most negative curvature.

    Parameters
    ----------
    parents : sequence of Tensor
    here : Tensor, shape (dim,)
        Gradient at the parents, flat.
    gradient : callable
        The same at other weights.
    products : int
        Steps of Lanczos' method; each product is a difference of gradients.
    seed : int

    Returns
    -------
    curvature : float
        Smallest eigenvalue that was found, as a share of the largest absolute one; NaN where the Hessian is
        zero or not finite.
    child : list of Tensor or None
        None if that is not clearly negative.
    """
    from hybridopt.landscape.spectrum import krylov

    x = flatten(parents)
    h = math.sqrt(torch.finfo(x.dtype).eps) * max(1.0, float(x.norm()))

    def product(rows: Tensor) -> Tensor:
        return torch.stack([(gradient(unflatten(x + h * row, parents)) - here) / h for row in rows])

    found = krylov(product, x, seed=seed, products=products)
    size = max(abs(found.smallest), abs(found.largest))
    if not size > 0:
        return math.nan, None
    curvature = found.smallest / size
    if curvature > -CURVATURE_TOL:
        return curvature, None
    direction = found.vector if float(found.vector @ here) <= 0 else -found.vector
    return curvature, unflatten(x + ALONG * whole(parents) * direction, parents)


def whole(weights: Sequence[Tensor]) -> float:
    """Norm of noise of the size of the weights."""
    return math.sqrt(sum(weight.numel() * float(scale(weight)) ** 2 for weight in weights if weight.numel()))
