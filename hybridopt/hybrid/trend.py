"""The trend of local minima: a convex quadratic through the lower ones, and points around its minimum.

Where minima lie like the stones of a bowl, the bowl tells where the lowest one is, however rough the function
is between them. The quadratic has a full matrix where there are points enough for one, else a diagonal, else
one curvature for all variables; curvatures are made positive, and nothing is believed beyond the points.

References
----------
K. A. Dill, A. T. Phillips, J. B. Rosen (1997), Protein structure and energy landscape dependence on sequence
using a continuous energy function, J. Comput. Biol. 4, 227-239 (convex global underestimation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SHARE = 0.4  # of the points: the lowest ones, which the quadratic is put through
SPARE = 1.2  # points for every coefficient
RIDGE = 1e-4  # of the squares of coefficients
FLATTEST = 1e-2  # least curvature, as a share of the largest
ROUNDS = 60  # of the search for the quadratic's minimum


@dataclass(frozen=True)
class Trend:
    """A convex quadratic in coordinates u = (x - middle) / half, in which the points fill [-1, 1]^dim.

    Attributes
    ----------
    middle, half : Tensor, shape (dim,)
    minimum : Tensor, shape (dim,)
        Of the quadratic among the points' coordinates, as u.
    curvature : Tensor, shape (dim,)
        Eigenvalues of its matrix.
    axes : Tensor of shape (dim, dim), optional
        Eigenvectors, as columns; None where they are the coordinates.
    noise : Tensor, shape ()
        Standard deviation of the points' values around it.
    """

    middle: Tensor
    half: Tensor
    minimum: Tensor
    curvature: Tensor
    axes: Tensor | None
    noise: Tensor


def needed(dim: int) -> int:
    """Points for the simplest trend."""
    return math.ceil((dim + 3) / SHARE)


def fit(x: Tensor, value: Tensor) -> Trend:
    """Trend of points (count, dim) of these values (count,); count is at least `needed`."""
    count, dim = x.shape
    lowest = torch.argsort(value, stable=True)[: max(dim + 3, int(SHARE * count))]
    x, value = x[lowest], value[lowest]
    lower, upper = x.amin(0), x.amax(0)
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    half = torch.where(half > 0, half, 1.0)
    u = (x - middle) / half
    height = value.median() - value[0]
    target = (value - value[0]) / torch.where(height > 0, height, 1.0)
    pairs = _pairs(len(u), dim, u)
    weight = torch.linspace(1.0, 0.1, len(u), dtype=u.dtype, device=u.device)
    coefficients, noise = _least_squares(_features(u, pairs), target, weight)
    slope, second = coefficients[1 : dim + 1], coefficients[dim + 1 :]
    curvature, axes = _convex(second, pairs, dim)
    return Trend(middle, half, _lowest(slope, curvature, axes), curvature, axes, noise)


def sample(trend: Trend, count: int, generator: torch.Generator) -> Tensor:
    """The minimum, and points around it as far as the noise leaves open where it is; (count, dim)."""
    dim = len(trend.minimum)
    normal = torch.randn(
        count, dim, generator=generator, dtype=trend.minimum.dtype, device=trend.minimum.device
    )
    normal[0] = 0.0
    step = normal * (2 * trend.noise / trend.curvature / dim).sqrt()
    u = trend.minimum + (step if trend.axes is None else step @ trend.axes.mT)
    return torch.addcmul(trend.middle, u.clamp(-1, 1), trend.half)


def _pairs(count: int, dim: int, like: Tensor) -> Tensor | None:
    """Which products of coordinates so many points can tell apart, (2, products); None: only their sum."""
    if count >= SPARE * (dim + 1) * (dim + 2) / 2:
        return torch.triu_indices(dim, dim, device=like.device)
    if count >= SPARE * (2 * dim + 1):
        return torch.arange(dim, device=like.device).expand(2, dim)
    return None


def _features(u: Tensor, pairs: Tensor | None) -> Tensor:
    """1, u, and squares and products; (count, coefficients)."""
    squares = u.square().sum(1, keepdim=True) if pairs is None else u[:, pairs[0]] * u[:, pairs[1]]
    return torch.cat([torch.ones_like(u[:, :1]), u, squares], 1)


def _least_squares(features: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients of weighted least squares with a small ridge, and what is left over."""
    weighted = weight[:, None] * features
    ridge = torch.full_like(features[0], RIDGE * len(features))
    ridge[0] = 0.0
    normal = features.mT @ weighted + torch.diag(ridge)
    coefficients = torch.linalg.solve(normal, weighted.mT @ target)
    rest = target - features @ coefficients
    return coefficients, ((weight * rest.square()).sum() / weight.sum()).sqrt()


def _convex(second: Tensor, pairs: Tensor | None, dim: int) -> tuple[Tensor, Tensor | None]:
    """Positive curvatures (dim,) along axes, of which there are columns where they are no coordinates."""
    if pairs is None:
        curvature, axes = 2 * second.expand(dim), None
    elif len(second) == dim:
        curvature, axes = 2 * second, None
    else:
        matrix = second.new_zeros(dim, dim)
        matrix[pairs[0], pairs[1]] = second
        curvature, axes = torch.linalg.eigh(matrix + matrix.mT)
    return curvature.maximum(FLATTEST * curvature.abs().amax().clamp_min(1e-6)), axes


def _lowest(slope: Tensor, curvature: Tensor, axes: Tensor | None) -> Tensor:
    """Minimum of the quadratic in [-1, 1]^dim, by projected descent with Nesterov's momentum."""
    if axes is None:
        return (-slope / curvature).clamp(-1, 1)
    matrix = (axes * curvature) @ axes.mT
    at = ahead = torch.zeros_like(slope)
    rate, momentum = 1 / curvature[-1], 1.0
    for _ in range(ROUNDS):
        new = (ahead - rate * (slope + matrix @ ahead)).clamp(-1, 1)
        following = (1 + math.sqrt(1 + 4 * momentum * momentum)) / 2
        ahead = torch.lerp(at, new, 1 + (momentum - 1) / following)
        at, momentum = new, following
    return at
