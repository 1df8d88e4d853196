"""The functions that the laws are checked on; no minimum lies at the origin or at the centre of a box."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hybridopt.autodiff import derivatives
from hybridopt.core import Evaluate, Evaluation, Query
from hybridopt.evaluate import Answer, Evaluator
from hybridopt.testing.law import Case, require

Rows = Callable[[Tensor], Tensor]


class Landscape:
    """A deterministic function of rows, (n, dim) -> (n,), as an objective of the engine."""

    draws: bool | None = False
    sampled = False
    order = 2
    eps = 0.0

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def answer(self, query: Query, seed: int) -> Answer:
        """Value and derivatives by autograd."""
        return derivatives(self.rows, query.x, query.order, query.direction)


def evaluator(rows: Rows, case: Case) -> Evaluate:
    """`Evaluate` of a function with the engine's own policy for non-finite values, and no bounds."""
    free = torch.full((case.dim,), torch.inf, dtype=case.dtype, device=case.device)
    evaluate = Evaluator(Landscape(rows), -free, free)

    def checked(query: Query) -> Evaluation:
        require(
            bool(torch.isfinite(query.x).all()),
            f"query.x is not finite: {query.x.tolist()}; expected finite points, whatever was told",
        )
        return evaluate(query)

    return checked


def centre(case: Case) -> Tensor:
    """Minimum of the functions below, shape (dim,)."""
    place = torch.arange(case.dim, dtype=case.dtype, device=case.device)
    return 0.75 - 1.375 * place.remainder(3)


def bowl(case: Case, shift: float = 0.0) -> Rows:
    """A bowl, not separable, with ripples."""
    middle = centre(case) + shift

    def rows(x: Tensor) -> Tensor:
        z = x - middle
        ripples = 1 - torch.cos(3 * z)
        return (z.square() + ripples).sum(1) + (z[:, 1:] * z[:, :-1]).sum(1) / 2

    return rows


def flat(x: Tensor) -> Tensor:
    """Zero everywhere: every point is stationary."""
    return 0 * x.sum(1)


def never(x: Tensor) -> Tensor:
    """NaN everywhere."""
    return torch.nan * x.sum(1)


def torn(case: Case) -> Rows:
    """The bowl, but NaN beyond a plane through its minimum, and -inf and +inf beyond two others."""
    smooth, middle = bowl(case), centre(case)

    def rows(x: Tensor) -> Tensor:
        z, value = x - middle, smooth(x)
        value = torch.where(z[:, 0] > 0, torch.nan, value)
        value = torch.where(z[:, 1] < -1, -torch.inf, value)
        return torch.where(z[:, 1] > 2, torch.inf, value)

    return rows


def kink(case: Case) -> Rows:
    """Distance from the centre: there the value is finite, 0, and the gradient NaN."""
    middle = centre(case)
    return lambda x: (x - middle).square().sum(1).sqrt()
