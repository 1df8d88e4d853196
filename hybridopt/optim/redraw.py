"""Children that have some of their parent's hidden units drawn anew, or all of its weights.

A network that is stuck often lacks a unit or two: one is dead, two do the same. What the others have learnt
is worth keeping. So a gene is a hidden unit, with what it reads and what reads it, and a child gets some of a
newcomer's genes (uniform crossover). An optimizer knows tensors, not layers; units are found by their shapes.

References
----------
A. R. Mahmood and R. S. Sutton, "Representation search through generate and test", 2013: units of little use
are replaced by random ones.
G. Sokar et al., "The dormant neuron phenomenon in deep reinforcement learning", 2023.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedParameter

from hybridopt.optim.mutation import scale
from hybridopt.rng import generator

DORMANT = 1e-6  # of the mean second moment: below, units are dead alike
CHANCE = 5e-4  # of a mean that large, of that sign, in a draw around zero

First = tuple[float, float]


@dataclass(frozen=True)
class Layer:
    """Hidden units of a layer.

    Attributes
    ----------
    size : int
        Units.
    own : tuple of int
        Places of the tensors whose rows belong to a unit each: weights, bias, gain.
    reader : int
        Place of the tensor whose columns do: it reads the units.
    """

    size: int
    own: tuple[int, ...]
    reader: int


def layers(shapes: Sequence[torch.Size]) -> list[Layer]:
    """Hidden layers among tensors in the order of the network.

    A layer is a matrix or convolution with the vectors of its length that follow, and is read by the next
    matrix or convolution if that has as many columns, or a multiple (a flattened feature map). Where that is
    not so, as at the last one, there are no hidden units.
    """
    matrices = [place for place, shape in enumerate(shapes) if len(shape) > 1]
    found = []
    for place, reader in itertools.pairwise(matrices):
        size = shapes[place][0]
        if shapes[reader][1] % size == 0:
            vectors = (k for k in range(place + 1, reader) if tuple(shapes[k]) == (size,))
            found.append(Layer(size, (place, *vectors), reader))
    return found


def redrawn(
    parents: Sequence[Tensor],
    share: float,
    moments: Sequence[Tensor | None],
    firsts: Sequence[First],
    seed: int,
    *path: int | str,
) -> list[Tensor]:
    """Parents with a share of their hidden units drawn anew; all weights if they have no such units.

    Parameters
    ----------
    parents : sequence of Tensor
        Not empty ones.
    share : float
        In (0, 1], of at least one unit; 1 for all weights, also those of no hidden unit.
    moments : sequence of Tensor or None
        Second moments of the gradients, one a tensor. The smaller those of a unit among its layer's, the more
        probably it is drawn anew: what hardly learns is of little use.
    firsts : sequence of (float, float)
        What `first_of` told of each when the optimizer was made.
    seed, path : int, int or str
        Name of the child; the same name gives the same child.
    """
    hidden = layers([parent.shape for parent in parents])
    drawn = any(deviation for _, deviation in firsts)
    fresh = [
        _fresh(parent, first, drawn, generator(seed, *path, index, device=parent.device))
        for index, (parent, first) in enumerate(zip(parents, firsts, strict=True))
    ]
    if share >= 1 or not hidden:
        return fresh
    child = [parent.detach().clone() for parent in parents]
    for layer, chosen in zip(hidden, _chosen(hidden, share, moments, seed, *path), strict=True):
        for place in layer.own:
            rows = chosen.to(child[place].device)
            child[place][rows] = fresh[place][rows]
        columns = chosen.repeat_interleave(child[layer.reader].shape[1] // layer.size)
        columns = columns.to(child[layer.reader].device)
        child[layer.reader][:, columns] = fresh[layer.reader][:, columns]
    return child


def first_of(param: Tensor) -> First:
    """Mean and standard deviation of a tensor's entries, to draw fresh ones by."""
    if isinstance(param, UninitializedParameter) or not param.numel():
        return 0.0, 0.0
    if param.is_meta or param.layout != torch.strided:
        return 0.0, 0.0
    entries = param.detach()
    try:
        low, high = torch.aminmax(entries)
        if low == high:  # rounding would give it a deviation
            return float(low), 0.0
        entries = entries.float()
        return float(entries.mean()), float(entries.std(correction=0))
    except RuntimeError:  # fake tensors, by which memory is estimated, have no values
        return 0.0, 0.0


def _fresh(parent: Tensor, first: First, drawn: bool, g: torch.Generator) -> Tensor:
    """New weights by the first ones' mean and deviation, so gains of norms are all 1 again.

    Where none of the model was drawn (a single number, a vector of ones), and for zeros, by their size.
    """
    normal = torch.randn(parent.shape, generator=g, dtype=parent.dtype, device=parent.device)
    mean, deviation = _sure(first, parent.numel())
    if not deviation and not (drawn and mean):
        return mean + scale(torch.full_like(parent, mean)) * normal
    return mean + deviation * normal


def _sure(first: First, count: int) -> First:
    """The same without a mean that so many entries may have by chance: it would hand on a bad first draw."""
    from scipy.special import stdtrit

    mean, deviation = first
    if not deviation or abs(mean) * math.sqrt(count - 1) > deviation * stdtrit(count - 1, 1 - CHANCE):
        return first
    return 0.0, math.hypot(mean, deviation)


def _chosen(
    hidden: Sequence[Layer], share: float, moments: Sequence[Tensor | None], seed: int, *path: int | str
) -> list[Tensor]:
    """Which units of each layer are drawn anew, (units,) each."""
    sizes = [layer.size for layer in hidden]
    keys = torch.rand(sum(sizes), generator=generator(seed, *path, "units"), device="cpu")
    keys = keys * torch.cat([_activity(layer, moments) for layer in hidden])
    chosen = torch.zeros(sum(sizes), dtype=torch.bool, device="cpu")
    chosen[keys.argsort()[: max(1, round(share * sum(sizes)))]] = True
    return list(torch.split(chosen, sizes))


def _activity(layer: Layer, moments: Sequence[Tensor | None]) -> Tensor:
    """Mean second moment of each unit's own weights, as a share of their layer's; ones if not known."""
    moment = moments[layer.own[0]]
    if moment is None:
        return torch.ones(layer.size, device="cpu")
    mean = moment.detach().float().flatten(1).mean(1).cpu()
    share = (mean / mean.mean()).nan_to_num(1.0, 1.0, 1.0)
    return share.clamp_min(DORMANT)
