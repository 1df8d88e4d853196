"""Local searches that need not go on, by what BFGS knows of the curvature.

The quadratic model of a search promises how much there is to win. A search can be given up when many times
that is not enough to matter, or when the model points at a minimum that is known.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.gradient.quasi_newton import QuasiNewtonState
from hybridopt.hybrid.minima import Minima, nearest

DECREMENTS = 10.0  # a search is hopeless if so many times what the quadratic model promises is not enough
LEARNT = 2  # steps after which that model is believed
ARRIVING = 1e-4  # of the widths: as near as this to a known minimum the model must point
SMALL = 1e-2  # and promise no more than this, relative
SMOOTH = 0.8  # if at least this share of a search's trials were steps its model is believed at the end
ROUNDINGS = 8.0  # of the value: where the model promises no more, floating point carries no further


def promised(search: QuasiNewtonState) -> Tensor:
    """Twice what the quadratic model of each running row hopes to win; (rows,)."""
    return -search.running.search.slope


def believed(search: QuasiNewtonState) -> Tensor:
    """Running rows whose model has learnt enough to be believed; bool, (rows,)."""
    return search.running.pairs >= min(LEARNT, search.x.shape[1])


def standing(search: QuasiNewtonState) -> Tensor:
    """Values of the running rows, (rows,)."""
    running = search.running
    return search.value if running.whole else search.value.index_select(0, running.rows)


def hopeless(search: QuasiNewtonState, bar: Tensor) -> Tensor:
    """Running rows that will not end below a bar, one for all or (rows,); bool, (rows,)."""
    least = torch.add(standing(search), promised(search), alpha=-DECREMENTS)
    return believed(search) & (least > bar)


def spent(search: QuasiNewtonState, trials: int, width: Tensor) -> Tensor:
    """Running rows that win no more than rounding, and hardly move; bool, (rows,).

    By a model that has learnt from as many steps as there are variables. Not those that had many of so many
    trials refused: where the landscape is rough no model is true.
    """
    little = promised(search) <= ROUNDINGS * torch.finfo(search.value.dtype).eps * standing(search).abs()
    if not bool(little.any()):
        return little
    known = search.running.pairs >= max(search.x.shape[1], SMOOTH * trials)
    return little & known & ((search.running.search.direction.abs() / width).amax(1) <= ARRIVING)


def arriving(search: QuasiNewtonState, minima: Minima, width: Tensor) -> tuple[Tensor, Tensor]:
    """Running rows that run into a known minimum; and the nearest minimum of each.

    Parameters
    ----------
    search : QuasiNewtonState
    minima : Minima
        One or more.
    width : Tensor, shape (dim,)
        Unit of distance of every coordinate, above 0.

    Returns
    -------
    arriving : Tensor, shape (rows,), bool
    place : Tensor, shape (rows,), int64
        Anything where none of them does.
    """
    running = search.running
    enough = SMALL * max(1.0, abs(float(minima.value[0])))
    small = believed(search) & (promised(search) <= enough)
    if not bool(small.any()):
        return small, torch.zeros_like(running.rows)
    place, distance = nearest(minima, search.x[running.rows] + running.search.direction, width)
    return small & (distance <= ARRIVING), place
