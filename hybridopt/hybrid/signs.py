"""What local searches tell of a landscape: whether values foretell minima, and whether gradients do."""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.hybrid.searches import Known, Searches

NEUTRAL = 0.4  # foresight before there is any
SURE = 3  # searches that weigh as much as that
DIM, CLEAR = 0.35, 0.55  # foresight that tells nothing, and that tells all there is to know
LONG = 10  # trials a variable after which a search can tell that a landscape is rough
REFUSED = 0.4  # if more than this share of them were no steps
ROUGH = 1000.0  # and the gradient at its start promised so many times what it won
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


def rough(searches: Searches, slope: Tensor) -> bool:
    """Whether the first of the searches that run has found out that its gradients tell nothing.

    Across the box the gradient at its start would lower the value a thousand times as much as all steps did,
    and many trials were refused: the gradient is that of ripples. So it is on Weierstrass' and Katsuura's
    functions, and on no smooth one of BBOB's, however ill-conditioned.

    Parameters
    ----------
    searches : Searches
    slope : Tensor, shape (dim,)
        Gradient at the start of the first row.
    """
    search, running = searches.search, searches.search.running
    trials = search.step - searches.waited  # how long the first step is to be tells nothing
    if trials < LONG * len(slope) or not bool((running.rows[:1] == 0).any()):
        return False
    if int(running.pairs[0]) > (1 - REFUSED) * trials:
        return False
    promised = (slope * searches.width).norm()
    return bool(promised > ROUGH * (searches.origin[0] - search.value[0]))
