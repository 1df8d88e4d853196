"""Distinct local minima: where local searches ended, and how often each came back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MOST = 1000  # minima that are remembered: the best ones
NEAR = 1e-3  # of the widths: ends as near as this to one another are one minimum


@dataclass(frozen=True)
class Minima:
    """Distinct minima, best first.

    Attributes
    ----------
    x : Tensor, shape (count, dim)
    value : Tensor, shape (count,)
    visits : Tensor, shape (count,), int64
        How often a search ended there.
    """

    x: Tensor
    value: Tensor
    visits: Tensor


def none_yet(like: Tensor) -> Minima:
    """No minima, for points like these rows (n, dim)."""
    none = like.new_empty(0)
    return Minima(like.new_empty(0, like.shape[1]), none, none.long())


def add(minima: Minima, x: Tensor, value: Tensor, width: Tensor) -> Minima:
    """Minima with one more end of a search: another visit of the nearest one, if it is near, else a new one.

    Parameters
    ----------
    minima : Minima
    x : Tensor, shape (dim,)
    value : Tensor, shape ()
    width : Tensor, shape (dim,)
        Unit of distance of every coordinate, above 0.

    Returns
    -------
    Minima
        Of the two points of a minimum that came back the better one is kept.
    """
    one = torch.ones(1, dtype=torch.int64, device=x.device)
    if minima.x.shape[0]:
        place, distance = nearest(minima, x[None], width)
        if bool(distance[0] <= NEAR):
            better = value < minima.value[place]
            xs = minima.x.index_copy(0, place, torch.where(better[:, None], x, minima.x[place]))
            values = minima.value.index_copy(0, place, torch.minimum(value, minima.value[place]))
            return _sorted(Minima(xs, values, minima.visits.index_add(0, place, one)))
    xs, values = torch.cat([minima.x, x[None]]), torch.cat([minima.value, value[None]])
    return _sorted(Minima(xs, values, torch.cat([minima.visits, one])))


def nearest(minima: Minima, x: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Place of the nearest minimum of each row (rows, dim), and its distance in the largest coordinate."""
    distance, place = ((minima.x[None] - x[:, None]).abs() / width).amax(2).min(1)
    return place, distance


def _sorted(minima: Minima) -> Minima:
    order = torch.argsort(minima.value, stable=True)[:MOST]
    return Minima(minima.x[order], minima.value[order], minima.visits[order])
