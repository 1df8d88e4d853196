"""What local searches tell of a landscape: whether values foretell minima, and whether gradients do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.core import Evaluation
from hybridopt.gradient.quasi_newton_step import held
from hybridopt.hybrid.searches import Known

NEUTRAL = 0.4  # foresight before there is any
SURE = 3  # searches that weigh as much as that
DIM, CLEAR = 0.35, 0.55  # foresight that tells nothing, and that tells all there is to know
STEEPEST = 1000.0  # over the trials: slopes are ripples that are so many times as steep as values reach
SOONEST, LATEST = 6, 15  # trials after which that can be told; later ones ask for no more
EARLY = 4  # trials after which slopes are still steep where there are many minima:
RUGGED, SMOOTH = 8.0, 4.0  # so many times as values reach; less where there are few
ALIKE = 1e-9  # of the largest component: gradients that differ by no more are one,
ROUNDINGS = 8.0  # or by no more than so many roundings


def foresight(known: Known) -> float:
    """Rank correlation of the values where searches began and where they ended, as far as can be told.

    In [-1, 1]; high where values far from minima tell how low those are, so that a value is a cheap look at a
    whole search.
    """
    count = len(known.origins)
    if count < 2:
        return NEUTRAL
    ranks = torch.stack([known.origins, known.heights]).argsort(1).argsort(1).double()
    correlation = float(torch.corrcoef(ranks)[0, 1])
    return (count * correlation + SURE * NEUTRAL) / (count + SURE)


def idle(known: Known) -> bool:
    """Whether all searches ended where they began, as they do on a function of steps."""
    return len(known.origins) > 0 and bool((known.origins == known.heights).all())


def sight(known: Known) -> float:
    """How far values foretell minima, in [0, 1]."""
    return min(1.0, max(0.0, (foresight(known) - DIM) / (CLEAR - DIM)))


def symmetric(grad: Tensor, width: Tensor) -> bool:
    """Whether a function that has this gradient looks the same along two variables, or along one and back.

    Parts of a mixture, a network or a product of factors are alike in the middle of a box. Descent keeps them
    alike, and ends at a saddle.

    Parameters
    ----------
    grad : Tensor, shape (dim,)
        Not finite: as if it was so.
    width : Tensor, shape (dim,)
        Unit of distance; a variable where it is 0 is fixed.
    """
    slope = (grad * width)[width > 0]
    slope = torch.cat([slope, slope.new_zeros(1)]).sort().values
    alike = max(ALIKE, ROUNDINGS * torch.finfo(slope.dtype).eps) * slope.abs().max()
    return not bool((slope.diff() > alike).all())


@dataclass(frozen=True)
class Ripples:
    """What the trials of the first local search tell of how rough a landscape is.

    A first step of a tenth of the box shows how far values reach, and steep slopes are soon left behind.
    Where every trial has met one that, across the box, would lead through all values seen a hundred times
    over, it is that of ripples: so on Weierstrass' and Katsuura's functions, and on hardly another of BBOB's,
    however ill-conditioned.

    Attributes
    ----------
    trials : int
    gentlest : float
        The least slope that a trial has met, per width of the box.
    lowest, highest : float
        Of their values.
    steepness : float
        How many times `gentlest` would have led, across the box, through all values that the first `EARLY`
        trials saw; NaN before.
    """

    trials: int = 0
    gentlest: float = math.inf
    lowest: float = math.inf
    highest: float = -math.inf
    steepness: float = math.nan

    def seen(self, evaluation: Evaluation, lower: Tensor, upper: Tensor) -> Ripples:
        """With the trials of one more batch, in a finite box; bounds have shape (dim,)."""
        x, value, grad = evaluation.x, evaluation.value, evaluation.grad
        assert grad is not None
        rests = held((x <= lower, x >= upper), grad)  # also what is fixed
        slope = (grad.masked_fill(rests, 0.0) * (upper - lower)).norm(dim=1).amin()
        trials, gentlest = self.trials + 1, min(self.gentlest, float(slope.nan_to_num(nan=0.0)))
        lowest, highest = min(self.lowest, float(value.amin())), max(self.highest, float(value.amax()))
        reach, steepness = highest - lowest, self.steepness
        if trials == EARLY and 0 < reach < math.inf:
            steepness = gentlest / reach
        return Ripples(trials, gentlest, lowest, highest, steepness)

    @property
    def rough(self) -> bool:
        """Whether gradients tell nothing, as far as can be told."""
        if self.trials < SOONEST:
            return False
        return self.gentlest * min(self.trials, LATEST) > STEEPEST * (self.highest - self.lowest)

    @property
    def rugged(self) -> bool:
        """Whether there are many minima, it seems."""
        return self.steepness > RUGGED

    @property
    def smooth(self) -> bool:
        """Whether there are few, it seems."""
        return self.steepness < SMOOTH
