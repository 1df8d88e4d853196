"""Distinct local minima: where local searches ended, and how often each came back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.rng import generator

MOST = 1000  # minima that are remembered: the best ones
NEAR = 1e-3  # of the widths: ends as near as this to one another are one minimum
_BITS = {8: torch.int64, 4: torch.int32, 2: torch.int16}  # by bytes of a number


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
    """Minima with more ends of searches: another visit of the nearest one, if it is near, else a new one.

    Parameters
    ----------
    minima : Minima
    x : Tensor, shape (rows, dim)
    value : Tensor, shape (rows,)
    width : Tensor, shape (dim,)
        Unit of distance of every coordinate, above 0.

    Returns
    -------
    Minima
        Of the two points of a minimum that came back the better one is kept.
    """
    if not x.shape[0]:
        return minima
    if minima.x.shape[0]:
        place, distance = nearest(minima, x, width)
        known = distance <= NEAR
        minima = _visited(minima, place[known], x[known], value[known])
        x, value = x[~known], value[~known]
    order = torch.argsort(value, stable=True)
    x, value = x[order], value[order]
    new = ~duplicates(x, width)  # of several that are near to one another, the best
    found = Minima(x[new], value[new], torch.ones_like(order[new]))
    if not bool(new.all()):
        place, _ = nearest(found, x[~new], width)
        found = _visited(found, place, x[~new], value[~new])
    return _sorted(Minima(*(torch.cat([a, b]) for a, b in zip(_parts(minima), _parts(found), strict=True))))


def united(minima: Minima, others: Minima, width: Tensor) -> Minima:
    """Minima with those of another search that are new or lower; known ones are not counted again.

    Parameters
    ----------
    minima, others : Minima
    width : Tensor, shape (dim,)
        Unit of distance of every coordinate, above 0.
    """
    if not minima.x.shape[0]:
        return others
    unseen = ~torch.isin(_keys(others), _keys(minima))  # most are there already: no distances for them
    x, value = others.x[unseen], others.value[unseen]
    place, distance = nearest(minima, x, width)
    new = (distance > NEAR) | (value < minima.value[place])
    return add(minima, x[new], value[new], width)


def duplicates(x: Tensor, width: Tensor) -> Tensor:
    """Rows (rows, dim) that are near to one that stands before; bool, (rows,)."""
    apart = ((x[None] - x[:, None]).abs() / width).amax(2)
    return (apart <= NEAR).tril(-1).any(1)


def nearest(minima: Minima, x: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Place of the nearest minimum of each row (rows, dim), and its distance in the largest coordinate."""
    distance, place = ((minima.x[None] - x[:, None]).abs() / width).amax(2).min(1)
    return place, distance


def _keys(minima: Minima) -> Tensor:
    """A hash of the bits of each one's point and value; (count,), int64."""
    rows = torch.cat([minima.x, minima.value[:, None]], 1)
    bits = rows.view(_BITS[rows.element_size()]).long()
    bits = bits ^ (bits >> 29)  # simple numbers have bits at their upper end alone
    weights = generator(0, "weights", device=rows.device)
    odd = 2 * torch.randint(2**62, (rows.shape[1],), generator=weights, device=rows.device) + 1
    mixed = bits * odd
    return (mixed ^ (mixed >> 32)).sum(1)


def _visited(minima: Minima, place: Tensor, x: Tensor, value: Tensor) -> Minima:
    """Minima with more visits of those at these places (rows,), at points (rows, dim) of these values."""
    if not place.shape[0]:
        return minima
    visits = minima.visits.index_add(0, place, torch.ones_like(place))
    values = minima.value.scatter_reduce(0, place, value, "amin")
    better = (value == values[place]) & (value < minima.value[place])
    return Minima(minima.x.index_copy(0, place[better], x[better]), values, visits)


def _parts(minima: Minima) -> tuple[Tensor, Tensor, Tensor]:
    return minima.x, minima.value, minima.visits


def _sorted(minima: Minima) -> Minima:
    order = torch.argsort(minima.value, stable=True)[:MOST]
    return Minima(minima.x[order], minima.value[order], minima.visits[order])
