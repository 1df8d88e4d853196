"""The memory of scale factors and crossover rates that made successful children.

References
----------
.. [1] R. Tanabe, A. Fukunaga (2013), Success-history based parameter adaptation for differential evolution,
   IEEE Congress on Evolutionary Computation, 71-78.
.. [2] R. Tanabe, A. Fukunaga (2014), Improving the search performance of SHADE using linear population size
   reduction, IEEE Congress on Evolutionary Computation, 1658-1665.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.evolution.differential.variation import place

SPREAD = 0.1
"""Of the distributions around a remembered number [1]."""

TERMINAL = -1.0
"""In place of a remembered crossover rate: only rates of 0 succeeded, so it is 0 for good [2]."""


@dataclass(frozen=True)
class History:
    """Means of what succeeded, one generation after the other, in a ring.

    Attributes
    ----------
    scale : Tensor, shape (memory_size,)
        M_F, in (0, 1].
    rate : Tensor, shape (memory_size,)
        M_CR, in [0, 1], or `TERMINAL`.
    turn : Tensor, shape (), int64
        Which place is written next.
    """

    scale: Tensor
    rate: Tensor
    turn: Tensor


def begun(memory_size: int, like: Tensor) -> History:
    """Memory of nothing: 0.5 everywhere."""
    half = torch.full((memory_size,), 0.5, dtype=like.dtype, device=like.device)
    return History(half, half.clone(), torch.zeros((), dtype=torch.int64, device=like.device))


def draw(history: History, count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """F and CR of `count` children, each (count,), around places of the memory drawn for each."""
    m = history.scale
    u = torch.rand(2, count, generator=g, dtype=m.dtype, device=m.device)
    z = torch.randn(count, generator=g, dtype=m.dtype, device=m.device)
    at = place(u[0], m.shape[0])
    return cauchy(m[at], u[1]), normal(history.rate[at], z)


def cauchy(middle: Tensor, u: Tensor) -> Tensor:
    """F: Cauchy numbers around `middle`, drawn again where not above 0, cut off at 1, of u uniform in [0, 1).

    To draw again is to draw from what lies above 0: the inverse distribution function of the rest of u.
    """
    below = 0.5 - torch.atan(middle / SPREAD) / math.pi
    reaches_1 = 0.5 + torch.atan((1 - middle) / SPREAD) / math.pi
    share = below + (1 - below) * u
    number = middle + SPREAD * torch.tan(math.pi * (torch.minimum(share, reaches_1) - 0.5))
    number = torch.where(share >= reaches_1, 1.0, number)
    return number.clamp(torch.finfo(u.dtype).eps, 1.0)


def normal(middle: Tensor, z: Tensor) -> Tensor:
    """CR: normal numbers around `middle`, cut off at 0 and 1, of z standard normal; 0 where `TERMINAL`."""
    return torch.where(middle < 0, 0.0, (middle + SPREAD * z).clamp(0.0, 1.0))


def weights(before: Tensor, after: Tensor) -> Tensor:
    """Gains as shares of their sum, (population,): 0 where there is none.

    An infinite gain, of the first finite value of a row, counts as much as the largest finite one.
    """
    gain = torch.where(after < before, before - after, 0.0)
    finite = torch.isfinite(gain)
    largest = torch.where(finite, gain, 0.0).amax()
    unit = torch.where(largest > 0, largest, 1.0)
    gain = torch.where(finite, gain / unit, 1.0)
    return gain / gain.sum().clamp_min(torch.finfo(gain.dtype).tiny)


def remember(
    history: History, scale: Tensor, rate: Tensor, weight: Tensor, *, lehmer_rate: bool = False
) -> History:
    """Memory with the weighted means of what succeeded; as it was where nothing did (algorithm 1 of [2]).

    Parameters
    ----------
    history : History
    scale, rate, weight : Tensor, shape (population,)
        F, CR, and `weights`.
    lehmer_rate : bool
        Whether the mean of CR is Lehmer's too, with a terminal value, as in [2]; else arithmetic, as in [1].
    """
    any_success = weight.sum() > 0
    mean_rate = (weight * rate).sum()
    if lehmer_rate:
        only_0 = torch.where(weight > 0, rate, 0.0).amax() <= 0
        mean_rate = torch.where(only_0 | (history.rate < 0), TERMINAL, _lehmer(rate, weight))
    size = history.scale.shape[0]
    written = (torch.arange(size, device=weight.device) == history.turn) & any_success
    return History(
        torch.where(written, _lehmer(scale, weight), history.scale),
        torch.where(written, mean_rate, history.rate),
        (history.turn + any_success) % size,
    )


def _lehmer(number: Tensor, weight: Tensor) -> Tensor:
    """Weighted Lehmer mean, sum w v^2 / sum w v; shape ()."""
    tiny = torch.finfo(number.dtype).tiny
    mean: Tensor = (weight * number.square()).sum() / (weight * number).sum().clamp_min(tiny)
    return mean
