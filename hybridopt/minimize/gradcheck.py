"""Does the gradient belong to the function? One directional derivative against a central difference.

A part that is detached, goes through `float()` or `math.cos` has no gradient, and descent then goes
wrong in silence. Functions with kinks and jumps must not raise a false alarm: before anything is said,
the difference is repeated at several widths and at points nearby.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hybridopt.core import Evaluation, Query, project
from hybridopt.evaluate import Evaluator
from hybridopt.rng import generator

_AGREES = 1e-3  # relative, beside rounding
_STEADY = 0.05  # differences of two widths that agree so far are believed


class GradientMismatchError(ValueError):
    """The gradient is not that of the function."""


def check_gradient(
    evaluate: Evaluator, query: Query, first: Evaluation, pay: Callable[[Evaluation], None]
) -> None:
    """Hold the gradient of the first evaluation against differences; 2 units if all is well.

    Parameters
    ----------
    evaluate : Evaluator
    query : Query
        The first that asked for gradients.
    first : Evaluation
        Its answer, whose best row is checked.
    pay : callable
        Told of every further evaluation.

    Raises
    ------
    GradientMismatchError
        If they differ there and at two points nearby, at widths that agree with one another.
    """
    assert first.grad is not None
    check = _Check(evaluate, query.sample, pay)
    row = int(first.value.argmin())
    if check.agrees(Evaluation(first.x[row], first.value[row], first.grad[row]), (check.width,), "start"):
        return
    widths = (check.width, check.width / 30, check.width / 900)
    for attempt in range(2):
        if check.agrees(check.nearby(first.x[row], f"near {attempt}"), widths, f"near {attempt}"):
            return
    raise GradientMismatchError(
        f"the gradient does not belong to the function: along a random direction it says {check.slope:.6g}, "
        f"central differences say {check.difference:.6g}; is a part of fun detached, or taken through "
        "float(), math or numpy (or is jac wrong)? Use torch operations throughout, or pass "
        "check_grad=False if the gradient is meant to differ"
    )


class _Check:
    """Differences along random directions."""

    def __init__(self, evaluate: Evaluator, sample: int, pay: Callable[[Evaluation], None]) -> None:
        self.evaluate = evaluate
        self.sample = sample
        self.pay = pay
        self.eps = max(evaluate.objective.eps, torch.finfo(evaluate.lower.dtype).eps)
        self.width = self.eps ** (1 / 3)
        self.slope = 0.0
        self.difference = 0.0

    def agrees(self, at: Evaluation, widths: tuple[float, ...], name: str) -> bool:
        """True unless differences contradict the gradient; with several widths, steady ones must."""
        x, value, grad = at.x, float(at.value), at.grad
        assert grad is not None
        if not torch.isfinite(grad).all():
            return True
        steady: list[float] = []
        for width in widths:
            direction = self._direction(x, width, name)
            pair = self._ask(torch.stack([x + width * direction, x - width * direction]), 0)
            ahead, behind = pair.value.tolist()
            self.slope, self.difference = float(grad @ direction), (ahead - behind) / (2 * width)
            rounding = 10 * self.eps * max(abs(value), abs(ahead), abs(behind)) / width
            apart = abs(self.difference - self.slope)
            if not apart > _AGREES * max(abs(self.difference), abs(self.slope)) + rounding:
                return True
            if rounding < _STEADY * apart:
                steady.append(self.difference)
        if len(widths) == 1:
            return False
        return len(steady) < 2 or max(steady) - min(steady) > _STEADY * max(map(abs, steady))

    def nearby(self, x: Tensor, name: str) -> Evaluation:
        """Value and gradient at a random point within a thousandth of the scale."""
        shift = self._random(x, name + " shift") * 1e-3 * (1 + x.abs())
        answer = self._ask(project(x + shift, self.evaluate.lower, self.evaluate.upper)[None], 1)
        assert answer.grad is not None
        return Evaluation(answer.x[0], answer.value[0], answer.grad[0])

    def _ask(self, x: Tensor, order: int) -> Evaluation:
        answer = self.evaluate(Query(x, order, self.sample))
        self.pay(answer)
        return answer

    def _direction(self, x: Tensor, width: float, name: str) -> Tensor:
        """Signs times the scale of each coordinate; 0 where there is no room on both sides."""
        direction = self._random(x, name).sign() * x.abs().clamp_min(1.0)
        reach = width * direction.abs()
        room = (x - reach >= self.evaluate.lower) & (x + reach <= self.evaluate.upper)
        return torch.where(room, direction, 0.0)

    def _random(self, x: Tensor, name: str) -> Tensor:
        """Uniform in (-1, 1)."""
        g = generator(self.evaluate.seed, "gradcheck", name, device=x.device)
        return 2 * torch.rand(x.shape, generator=g, dtype=x.dtype, device=x.device) - 1
