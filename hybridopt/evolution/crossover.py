"""Crossover for whole populations: rows 0 and 1 become two children, rows 2 and 3 the next two, ...

References
----------
.. [1] L. J. Eshelman, J. D. Schaffer (1993), Real-coded genetic algorithms and interval-schemata,
   Foundations of Genetic Algorithms 2, 187-202.
.. [2] K. Deb, R. B. Agrawal (1995), Simulated binary crossover for continuous search space, Complex
   Systems 9, 115-148.
"""
# ruff: noqa: N802  (the names are DEAP's)

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hybridopt.evolution.parameters import Genes, batched, blocks, bounds, check, uniform


@batched
def cxBlend(
    population: Tensor, alpha: float, *, chosen: Tensor | None = None, generator: torch.Generator
) -> None:
    """Blend crossover [1]: children anywhere up to `alpha` of the parents' distance beyond them."""
    check("alpha", alpha)
    for a, b, crossed in _pairs(population, chosen):
        gamma = uniform(a.numel(), 0.5, 1 + 2 * alpha, a.dtype, generator).view(a.shape)
        if crossed is not None:
            gamma.mul_(crossed)
        distance = b - a
        a.addcmul_(distance, gamma)
        b.addcmul_(distance, gamma, value=-1)


@batched
def cxUniform(
    population: Tensor, indpb: float, *, chosen: Tensor | None = None, generator: torch.Generator
) -> None:
    """Uniform crossover: every gene is swapped with probability `indpb`."""
    check("indpb", indpb)
    for a, b, crossed in _pairs(population, chosen):
        _swap(a, b, torch.rand(a.shape, generator=generator, device=a.device) < indpb, crossed)


@batched
def cxOnePoint(population: Tensor, *, chosen: Tensor | None = None, generator: torch.Generator) -> None:
    """One-point crossover: the genes from a point in 1 .. dim - 1 on are swapped."""
    dim = _at_least_two_genes("cxOnePoint", population)
    gene = torch.arange(dim, device=population.device)
    for a, b, crossed in _pairs(population, chosen):
        point = torch.randint(1, dim, (len(a), 1), generator=generator, device=a.device)
        _swap(a, b, gene >= point, crossed)


@batched
def cxTwoPoint(population: Tensor, *, chosen: Tensor | None = None, generator: torch.Generator) -> None:
    """Two-point crossover: the genes between two different points in 1 .. dim are swapped."""
    dim = _at_least_two_genes("cxTwoPoint", population)
    gene = torch.arange(dim, device=population.device)
    for a, b, crossed in _pairs(population, chosen):
        first = torch.randint(1, dim + 1, (len(a), 1), generator=generator, device=a.device)
        second = torch.randint(1, dim, (len(a), 1), generator=generator, device=a.device)
        second += second >= first
        start, end = torch.minimum(first, second), torch.maximum(first, second)
        _swap(a, b, (gene >= start) & (gene < end), crossed)


@batched
def cxSimulatedBinaryBounded(
    population: Tensor,
    eta: float,
    low: Genes,
    up: Genes,
    *,
    chosen: Tensor | None = None,
    generator: torch.Generator,
) -> None:
    """Simulated binary crossover in finite bounds [2]: the larger `eta`, the nearer to their parents.

    A gene takes part with probability 1/2, and which child gets which of the two new values is tossed.
    The population lies inside the bounds.
    """
    check("eta", eta)
    low, up = bounds(low, up, population)
    for a, b, crossed in _pairs(population, chosen):
        u = torch.rand(a.shape, generator=generator, device=a.device, dtype=a.dtype)
        toss = torch.rand(a.shape, generator=generator, device=a.device)
        x1, x2 = torch.minimum(a, b), torch.maximum(a, b)
        distance, total = x2 - x1, x1 + x2
        # Where the parents agree, these are NaN and not taken.
        c1 = 0.5 * (total - _spread(u, (x1 - low) / distance, eta) * distance)
        c2 = 0.5 * (total + _spread(u, (up - x2) / distance, eta) * distance)
        c1, c2 = c1.clamp_(low, up), c2.clamp_(low, up)
        taken = (toss < 0.5) & (distance > 1e-14)
        if crossed is not None:
            taken &= crossed
        exchanged = toss < 0.25
        a.copy_(torch.where(taken, torch.where(exchanged, c2, c1), a))
        b.copy_(torch.where(taken, torch.where(exchanged, c1, c2), b))


def _spread(u: Tensor, room: Tensor, eta: float) -> Tensor:
    """Spread factor of a child whose parent lies `room` times the parents' distance from its bound."""
    alpha = 2 - (1 + 2 * room.clamp_min(0)) ** -(eta + 1)
    return torch.where(u <= 1 / alpha, u * alpha, 1 / (2 - u * alpha)) ** (1 / (eta + 1))


def _pairs(population: Tensor, chosen: Tensor | None) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Views of first and second parents, (pairs, dim), and which pairs are crossed, (pairs, 1)."""
    count, dim = len(population) // 2, population.shape[1]
    for part in blocks(count, 2 * dim, population):
        a, b = population[2 * part.start : 2 * part.stop].view(-1, 2, dim).unbind(1)
        yield a, b, None if chosen is None else chosen[part, None]


def _swap(a: Tensor, b: Tensor, genes: Tensor, crossed: Tensor | None) -> None:
    if crossed is not None:
        genes = genes & crossed
    new = torch.where(genes, b, a)
    b.copy_(torch.where(genes, a, b))
    a.copy_(new)


def _at_least_two_genes(operator: str, population: Tensor) -> int:
    dim = population.shape[1]
    if dim < 2:
        raise ValueError(
            f"{operator} cuts between genes and needs 2, got dim {dim}; take cxBlend or cxUniform"
        )
    return dim
