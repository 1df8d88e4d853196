"""Hessian-vector products at one point, through the engine's one place that calls the objective."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hybridopt.core import Evaluation, Query
from hybridopt.evaluate import Evaluator, Objective
from hybridopt.loop import Ledger

PHASE = "certificate"


class HessianProducts:
    """Products of the Hessian at a point with rows of a matrix.

    They are exact (autograd's) where the objective can be differentiated twice, else central differences of
    its gradient.

    Parameters
    ----------
    evaluate : Evaluator
    x : Tensor, shape (dim,)
        Inside the bounds.
    sample : int
        Which minibatch or draw; -1 is all data.
    pay : callable, optional
        Told of every evaluation.

    Attributes
    ----------
    value : float
    grad : Tensor, shape (dim,)
    exact : bool
    taken : int
        Products so far.
    ledger : Ledger
        Units so far.
    """

    def __init__(
        self,
        evaluate: Evaluator,
        x: Tensor,
        sample: int = -1,
        pay: Callable[[Evaluation], None] | None = None,
    ) -> None:
        self.evaluate = evaluate
        self.x = x
        self.sample = sample
        self.pay = pay or (lambda answer: None)
        self.exact = evaluate.objective.order > 1
        self.taken = 0
        self.ledger = Ledger()
        first = self._ask(x[None], 1)
        assert first.grad is not None
        self.value = float(first.value[0])
        self.grad = first.grad[0]

    def __call__(self, vectors: Tensor) -> Tensor:
        """Rows H v of rows v; both (k, dim)."""
        self.taken += len(vectors)
        points = self.x.expand_as(vectors)
        if self.exact:
            product = self._ask(points, 2, vectors).hvp
            assert product is not None
            return product
        return self._differences(points, vectors)

    def on(self, free: Tensor) -> Callable[[Tensor], Tensor]:
        """Products on a subspace of coordinates; `free` is (dim,) of bool."""

        def restricted(vectors: Tensor) -> Tensor:
            whole = torch.zeros(len(vectors), len(free), dtype=vectors.dtype, device=vectors.device)
            whole[:, free] = vectors
            return self(whole)[:, free]

        return restricted

    def _differences(self, points: Tensor, vectors: Tensor) -> Tensor:
        """(g(x + h v) - g(x - h v)) / 2h; one-sided where a bound is in the way."""
        size = torch.finfo(points.dtype).eps ** (1 / 3) * (1 + self.x.abs().amax())
        step = size * vectors / vectors.abs().amax(1, keepdim=True).clamp_min(1e-300)
        ahead, behind = self._inside(points, step), self._inside(points, -step)
        grads = self._ask(torch.cat([ahead, behind]), 1).grad
        assert grads is not None
        there, back = grads.chunk(2)
        scale = ((ahead - behind) * vectors).sum(1, keepdim=True) / (vectors * vectors).sum(1, keepdim=True)
        return (there - back) / scale.clamp_min(1e-300)

    def _inside(self, points: Tensor, step: Tensor) -> Tensor:
        """Points + step where that lies in the box, else the points."""
        moved = points + step
        inside = ((moved >= self.evaluate.lower) & (moved <= self.evaluate.upper)).all(1, keepdim=True)
        return torch.where(inside, moved, points)

    def _ask(self, x: Tensor, order: int, direction: Tensor | None = None) -> Evaluation:
        answer = self.evaluate(Query(x, order, self.sample, direction))
        self.ledger = self.ledger.charge(answer, PHASE)
        self.pay(answer)
        return answer


def product_price(objective: Objective) -> int:
    """Units of a product, which comes with value and gradient; a difference takes two gradients."""
    return 3 if objective.order > 1 else 4
