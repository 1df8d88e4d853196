"""What the arms of a portfolio tell one another: where searches ended, minima, and the best point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hybridopt.core import Optimizer, State
from hybridopt.hybrid.basin_hopping import BasinHopping, BasinHoppingState
from hybridopt.hybrid.minima import Minima, united
from hybridopt.hybrid.searches import Known, Searches, SearchingState

Found = tuple[Tensor, Tensor]
"""A point (1, dim) and its value (1,)."""


def searches_of(arm: State) -> Searches | None:
    """The local searches of an arm that keeps such."""
    return arm.searches if isinstance(arm, SearchingState) else None


def learnt(known: Known | None, arm: State) -> Known | None:
    """What is known, with the minima that an arm without `Searches` found."""
    if known is None or not isinstance(arm, BasinHoppingState):
        return known
    return replace(known, minima=united(known.minima, arm.minima, arm.width))


def best(arms: Iterable[State], known: Known | None) -> Found:
    """The best point that one of the arms shows, or where a search ended."""
    points = [(arm.x, arm.value) for arm in arms]
    if known is not None:
        points.append((known.ends, known.heights))
    x, value = (torch.cat(parts) for parts in zip(*points, strict=True))
    place = value.argmin()[None]
    return x[place], value[place]


def informed(
    optimizer: Optimizer[Any], arm: Any, found: Found, minima: Minima, starts: Tensor, *, blind: bool
) -> Any:
    """An arm before its first turn, begun at the known minima if it takes gradients, else at the best point.

    Parameters
    ----------
    optimizer : Optimizer
    arm : State
        Its state.
    found : tuple of Tensor
        The best point.
    minima : Minima
        The known ones.
    starts : Tensor, shape (rows, dim)
        Where the arm was to begin. The best point replaces the first.
    blind : bool
        Whether gradients tell nothing: the best point is one like any other then, and the arm begins where it
        was to begin.
    """
    if optimizer.traits.order and minima.x.shape[0]:
        arm = optimizer.init(minima.x, arm.lower, arm.upper, seed=arm.seed)
        return optimizer.hopping(arm, minima) if isinstance(optimizer, BasinHopping) else arm
    if isinstance(optimizer, BasinHopping):
        return led(optimizer, arm, found, minima)
    if blind:
        return arm
    x = torch.cat([found[0], starts[1:]])
    return optimizer.init(x, arm.lower, arm.upper, seed=arm.seed)


def led(
    hopping: BasinHopping, arm: BasinHoppingState, found: Found, minima: Minima | None
) -> BasinHoppingState:
    """Hopping that goes on from the best point where that is better than its own.

    Parameters
    ----------
    hopping : BasinHopping
    arm : BasinHoppingState
    found : tuple of Tensor
        The best point.
    minima : Minima, optional
        The known ones; one as low as the best point is taken instead, and no search begins there.
    """
    x, value = found
    searched = minima is not None and bool((minima.value[:1] <= value).any())
    if minima is not None and searched:
        x, value = minima.x[:1], minima.value[:1]
    if not bool(arm.best_value - value > hopping.ftol * value.abs().clamp_min(1.0)):
        return arm
    return hopping.joined(arm, x, value if searched else None)
