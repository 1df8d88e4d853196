"""The archive of parents that were beaten: directions in which the population has moved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Archive:
    """Parents that were beaten, in random order.

    Attributes
    ----------
    x : Tensor, shape (size, dim)
        The first `count` rows are they.
    count : Tensor, shape (), int64
    """

    x: Tensor
    count: Tensor


def empty(size: int, like: Tensor) -> Archive:
    """Archive of at most `size` rows for a population `like` this, (population, dim)."""
    x = torch.zeros(size, like.shape[1], dtype=like.dtype, device=like.device)
    return Archive(x, torch.zeros((), dtype=torch.int64, device=like.device))


def put(archive: Archive, x: Tensor, beaten: Tensor, size: int, g: torch.Generator) -> Archive:
    """Archive with the beaten rows of x too, cut to `size` rows by leaving out some at random.

    Parameters
    ----------
    archive : Archive
    x : Tensor, shape (population, dim)
    beaten : Tensor, shape (population,), bool
    size : int
        At most as many as there are rows in all.
    g : torch.Generator
    """
    filled = torch.arange(archive.x.shape[0], device=x.device) < archive.count
    known = torch.cat([filled, beaten])
    key = torch.rand(known.shape[0], generator=g, device=x.device)
    kept = torch.argsort(torch.where(known, key, 2.0))[:size]  # a random order of those that are known
    rows = torch.cat([archive.x, x]).index_select(0, kept)
    return Archive(rows, known.sum().clamp_max(size))
