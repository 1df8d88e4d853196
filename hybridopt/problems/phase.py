"""Phase retrieval: a vector from the squares of its products with known ones; its sign can't be known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hybridopt.problems.catalogue import problem
from hybridopt.problems.placement import place
from hybridopt.problems.problem import Problem, at_least, box
from hybridopt.rng import generator

SAMPLES_PER_DIMENSION = 8


@dataclass(frozen=True, eq=False)
class PhaseRetrieval:
    """Mean over samples of (<a_i, z>^2 - y_i)^2.

    Attributes
    ----------
    vectors : Tensor, shape (samples, dim)
        The a_i.
    squares : Tensor, shape (samples,)
        The y_i.
    """

    vectors: Tensor
    squares: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        """Values at rows (..., dim)."""
        return ((z @ self.vectors.to(z).T).square() - self.squares.to(z)).square().mean(-1)


@problem("phase_retrieval")
def phase_retrieval(dim: int, seed: int = 0) -> Problem:
    """Mean of (<a_i, w>^2 - <a_i, w*>^2)^2 over 8 dim normal a_i: minima 0 at w = +-w*, of length 1.

    w = x - c with c by seed, and c itself (the problem's `fun.shift`) is a local maximum with gradient
    exactly 0. There are saddles, near the vectors orthogonal to w* of length 1/sqrt(3); for finitely many
    samples none is known in closed form, so that `saddles` is None.

    References
    ----------
    J. Sun, Q. Qu, J. Wright, "A Geometric Analysis of Phase Retrieval", Found. Comput. Math. 18, 2018.
    """
    at_least("phase_retrieval", dim, 1)
    g = generator(seed, "problem", "phase_retrieval", "data")
    vectors = torch.randn(SAMPLES_PER_DIMENSION * dim, dim, generator=g, dtype=torch.float64)
    target = torch.randn(dim, generator=g, dtype=torch.float64)
    target = target / target.norm()
    lower, upper = box(dim, -3.0, 3.0)
    raw = PhaseRetrieval(vectors, (vectors @ target).square())
    fun = place(raw, lower, upper, seed=seed, name="phase_retrieval", reach=0.5)
    minima = fun.at(torch.stack([target, -target]))
    return Problem("phase_retrieval", dim, fun, lower, upper, value=0.0, x=minima)
