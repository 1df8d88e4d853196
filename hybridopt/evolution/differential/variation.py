"""Trial points of differential evolution, for a whole population at once: mutation, repair, crossover.

Pure functions of the random numbers they are given.

References
----------
.. [1] J. Zhang, A. C. Sanderson (2009), JADE: adaptive differential evolution with optional external archive,
   IEEE Transactions on Evolutionary Computation 13, 945-958.
"""

from __future__ import annotations

import torch
from torch import Tensor


def place(u: Tensor, count: Tensor | int) -> Tensor:
    """Whole numbers in [0, count), int64, of u uniform in [0, 1); 0 where count is 0."""
    drawn = (u * count).long()  # where rounding may reach count
    drawn = drawn.clamp(max=count - 1) if isinstance(count, int) else torch.minimum(drawn, count - 1)
    return drawn.clamp_min(0)


def two_others(u1: Tensor, u2: Tensor, pool: Tensor | int) -> tuple[Tensor, Tensor]:
    """Places r1 in the population and r2 in the pool, other than their row and each other.

    Parameters
    ----------
    u1, u2 : Tensor, shape (population,)
        Uniform in [0, 1).
    pool : Tensor or int
        Size of the pool, of which the population is the beginning.

    Returns
    -------
    r1, r2 : Tensor, shape (population,), int64
    """
    row = torch.arange(u1.shape[0], device=u1.device)
    r1 = place(u1, u1.shape[0] - 1)
    r1 = r1 + (r1 >= row)
    r2 = place(u2, pool - 2)
    r2 = r2 + (r2 >= torch.minimum(row, r1))
    return r1, r2 + (r2 >= torch.maximum(row, r1))


def current_to_pbest(x: Tensor, best: Tensor, other: Tensor, pooled: Tensor, scale: Tensor) -> Tensor:
    """Mutants x + F (best - x) + F (other - pooled), as in [1]; shape (population, dim).

    Parameters
    ----------
    x, best, other, pooled : Tensor, shape (population, dim)
        Parents; for each one of the best rows, another row, and one of the pool of rows and archive.
    scale : Tensor, shape (population,)
        F.
    """
    return torch.addcmul(x, (best - x).add_(other).sub_(pooled), scale[:, None])


def repaired(mutant: Tensor, x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Mutants in the box: what has left it comes back to the middle of bound and parent, as in [1]."""
    bound = mutant.clamp(lower, upper)
    middle = bound / 2 + x / 2
    return torch.where(bound == mutant, mutant, middle).clamp_(lower, upper)  # the middle may round outwards


def binomial(x: Tensor, mutant: Tensor, rate: Tensor, u: Tensor, forced: Tensor) -> Tensor:
    """Trial points: each gene of the mutant with probability CR, one in any case.

    Parameters
    ----------
    x, mutant : Tensor, shape (population, dim)
    rate : Tensor, shape (population,)
        CR.
    u : Tensor, shape (population, dim)
        Uniform in [0, 1).
    forced : Tensor, shape (population,), int64
        The gene that is the mutant's in any case.
    """
    return torch.where((u < rate[:, None].to(u)).scatter_(1, forced[:, None], True), mutant, x)


def free_gene(u: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """A gene that is not fixed, uniformly, for every u; shape (population,), int64."""
    fixed = lower == upper
    free_first = torch.argsort(fixed.to(torch.int8), stable=True)
    return free_first[place(u, (~fixed).sum())]
