"""Mutation for whole populations: the work is proportional to the genes that mutate, not to all genes.

References
----------
.. [1] K. Deb, S. Agrawal (1999), A niched-penalty approach for constraint handling in genetic algorithms,
   International Conference on Artificial Neural Networks and Genetic Algorithms.
.. [2] L. Devroye (1986), Non-Uniform Random Variate Generation, chapter X.2 (geometric gaps).
"""
# ruff: noqa: N802  (the names are DEAP's)

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hybridopt.evolution.parameters import (
    Genes,
    at,
    batched,
    blocks,
    bounds,
    check,
    genes,
    uniform,
)


@batched
def mutGaussian(
    population: Tensor,
    mu: Genes,
    sigma: Genes,
    indpb: float,
    *,
    chosen: Tensor | None = None,
    generator: torch.Generator,
) -> None:
    """Add a normal number, mean `mu` and standard deviation `sigma`, to a gene with probability `indpb`."""
    check("indpb", indpb)
    mu, sigma = genes("mu", mu, population), genes("sigma", sigma, population)
    for rows, taken in _rows(population, chosen):
        position, missed = mutated_positions(rows.numel(), indpb, generator)
        change = _normal(mu, sigma, position, rows, generator)
        _add(rows, position, change, missed, taken)


@batched
def mutPolynomialBounded(
    population: Tensor,
    eta: float,
    low: Genes,
    up: Genes,
    indpb: float,
    *,
    chosen: Tensor | None = None,
    generator: torch.Generator,
) -> None:
    """Polynomial mutation in finite bounds [1] of a gene with probability `indpb`.

    The larger `eta`, the smaller the steps. The population lies inside the bounds.
    """
    check("indpb", indpb)
    check("eta", eta)
    low, up = bounds(low, up, population)
    dim = population.shape[1]
    for rows, taken in _rows(population, chosen):
        position, missed = mutated_positions(rows.numel(), indpb, generator)
        lowest, highest = low[position % dim], up[position % dim]
        flat = rows.view(-1)
        u = torch.rand(position.shape, generator=generator, dtype=rows.dtype, device=rows.device)
        change = _polynomial(flat[position], lowest, highest, u, eta)
        _add(rows, position, change, missed, taken)
        # Rounding may pass a bound by a hair. Where positions are equal, so are the numbers written.
        flat[position] = flat[position].clamp_(lowest, highest)


def mutated_positions(n: int, indpb: float, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """Which of `n` genes mutate, each on its own with probability `indpb`.

    The gaps between the successes of a Bernoulli process are geometric, ceil(log U / log(1 - p)) [2], so a
    number is drawn for each mutated gene rather than for every gene. How many are drawn is fixed (`draws`);
    those that run past the last gene are marked as missed, and point at it.

    Returns
    -------
    position : Tensor of int64, shape (k,)
        Rising.
    missed : Tensor of bool, shape (k,)
        None where none can be.
    """
    if indpb in (0, 1):
        return torch.arange(n if indpb else 0, device=generator.device), None
    gap = uniform(draws(n, indpb), 0.5, 1.0, torch.float64, generator)
    position = gap.log_().div_(math.log1p(-indpb)).ceil_().cumsum_(0).sub_(1)
    return position.clamp(max=n - 1).long(), position >= n


def draws(n: int, indpb: float) -> int:
    """How many numbers are drawn: the chance that more of `n` genes should mutate is below 1e-11.

    That is seven standard deviations and ten above what is expected.
    """
    expected = n * indpb
    return min(n, math.ceil(expected + 7 * math.sqrt(expected * (1 - indpb)) + 10))


def _polynomial(x: Tensor, low: Tensor, up: Tensor, u: Tensor, eta: float) -> Tensor:
    """Change of genes `x`; the chances to fall and to rise are equal."""
    width = up - low
    falls = u < 0.5
    small = torch.where(falls, 2 * u, 2 * (1 - u))
    room = torch.where(falls, x - low, up - x) / width.clamp_min(torch.finfo(x.dtype).tiny)  # may be fixed
    room = room.clamp_(0, 1)
    share = 1 - (small + (1 - small) * (1 - room) ** (eta + 1)) ** (1 / (eta + 1))
    return torch.where(falls, -share, share) * width


def _rows(population: Tensor, chosen: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Blocks of rows, (rows, dim), and which of them take part, (rows,)."""
    for part in blocks(len(population), population.shape[1], population):
        yield population[part], None if chosen is None else chosen[part]


def _normal(
    mu: Tensor | float, sigma: Tensor | float, position: Tensor, rows: Tensor, generator: torch.Generator
) -> Tensor:
    """Normal numbers for flat positions; one call where all have the same parameters."""
    like: dict[str, Any] = {"generator": generator, "dtype": rows.dtype, "device": rows.device}
    if not isinstance(mu, Tensor) and not isinstance(sigma, Tensor):
        return torch.normal(mu, sigma, position.shape, **like)
    dim = rows.shape[1]
    return torch.randn(position.shape, **like).mul_(at(sigma, position, dim)).add_(at(mu, position, dim))


def _add(rows: Tensor, position: Tensor, change: Tensor, missed: Tensor | None, taken: Tensor | None) -> None:
    """Add changes at flat positions, where they did not miss and the row takes part."""
    if missed is not None:
        change.masked_fill_(missed, 0.0)
    if taken is not None:
        change.mul_(taken[position // rows.shape[1]])
    rows.view(-1).scatter_add_(0, position, change)
