"""Does the gradient belong to the function? One directional derivative against a difference of values.

A part that is detached, goes through `float()` or `math.cos` has no gradient, and descent then goes
wrong in silence. One value ahead is enough where all is well. Functions with kinks and jumps must not raise a
false alarm: before anything is said, central differences are taken, at several widths and at points nearby.
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor

from hybridopt.core import Evaluation, Query, project
from hybridopt.evaluate import Evaluator
from hybridopt.rng import generator

_AGREES = 1e-3  # relative, beside rounding
_FINE = 1e-12  # rounding of values below which a difference of two neighbours tells enough
_STEADY = 0.05  # differences of two widths that agree so far are believed


class GradientMismatchError(ValueError):
    """The gradient is not that of the function."""


def check_gradient(evaluate: Evaluator, query: Query, first: Evaluation, left: float) -> list[Evaluation]:
    """Hold the gradient of the first evaluation against differences; 1 unit if all is well.

    1 more where the function curves much; 2 more where the point lies on a bound, from which it is moved
    inside, and in lower precision. What can't be paid isn't asked.

    Parameters
    ----------
    evaluate : Evaluator
    query : Query
        The first that asked for gradients.
    first : Evaluation
        Its answer, whose best row is checked.
    left : float
        Units that may be spent.

    Returns
    -------
    list of Evaluation
        What was evaluated, to be paid.

    Raises
    ------
    GradientMismatchError
        If they differ there and at two points nearby, at widths that agree with one another.
    """
    assert first.grad is not None
    check = _Check(evaluate, query.sample, left)
    row = int(first.value.argmin())
    start = Evaluation(first.x[row], first.value[row], first.grad[row])
    with contextlib.suppress(_NoRoomError):
        if check.cramped(start.x):
            start = check.nearby(start.x, "inside")
        if check.agrees_ahead(start) or check.agrees(start, (check.width,), "start"):
            return check.paid
        widths = (check.width, check.width / 30, check.width / 900)
        if not any(check.agrees(check.nearby(start.x, name), widths, name) for name in ("near 0", "near 1")):
            raise GradientMismatchError(
                "the gradient does not belong to the function: along a random direction it says "
                f"{check.slope:.6g}, central differences say {check.difference:.6g}; is a part of fun "
                "detached, or taken through float(), math or numpy (or is jac wrong)? Use torch operations "
                "throughout, or pass check_grad=False if the gradient is meant to differ"
            )
    return check.paid


class _NoRoomError(Exception):
    """The next question does not fit into the budget."""


class _Check:
    """Differences along random directions."""

    def __init__(self, evaluate: Evaluator, sample: int, left: float) -> None:
        self.evaluate = evaluate
        self.sample = sample
        self.left = left
        self.paid: list[Evaluation] = []
        self.eps = max(evaluate.objective.eps, torch.finfo(evaluate.lower.dtype).eps)
        self.width = self.eps ** (1 / 3)
        self.slope = 0.0
        self.difference = 0.0

    def agrees_ahead(self, at: Evaluation) -> bool:
        """Whether one value close by confirms the gradient; or, where it curves much, two do."""
        x, value, grad = at.x, float(at.value), at.grad
        assert grad is not None
        if not torch.isfinite(grad).all():
            return True
        if self.eps > _FINE:
            return False
        width: float = self.eps**0.5
        direction = self._direction(x, self.width, "ahead")
        ahead = float(self._ask((x + width * direction)[None], 0).value)
        slope, difference = float(grad @ direction), (ahead - value) / width
        rounding = 10 * self.eps * max(abs(value), abs(ahead)) / width
        if abs(difference - slope) <= _margin(difference, slope, rounding):
            return True
        behind = float(self._ask((x - width * direction)[None], 0).value)
        difference = (ahead - behind) / (2 * width)
        return abs(difference - slope) <= _margin(difference, slope, rounding)

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
            if not apart > _margin(self.difference, self.slope, rounding):
                return True
            if rounding < _STEADY * apart:
                steady.append(self.difference)
        if len(widths) == 1:
            return False
        return len(steady) < 2 or max(steady) - min(steady) > _STEADY * max(map(abs, steady))

    def cramped(self, x: Tensor) -> bool:
        """Whether a variable that is not fixed has no room on both sides."""
        free = self.evaluate.lower < self.evaluate.upper
        return bool((free & ~self._has_room(x, self.width * _scale(x))).any())

    def nearby(self, x: Tensor, name: str) -> Evaluation:
        """Value and gradient at a random point within a thousandth of the scale, off the bounds."""
        lower, upper = self.evaluate.lower, self.evaluate.upper
        moved = x + self._random(x, name + " shift") * 1e-3 * _scale(x)
        margin = torch.minimum(2 * self.width * _scale(x), (upper - lower) / 2)
        answer = self._ask(project(project(moved, lower + margin, upper - margin), lower, upper)[None], 1)
        assert answer.grad is not None
        return Evaluation(answer.x[0], answer.value[0], answer.grad[0])

    def _ask(self, x: Tensor, order: int) -> Evaluation:
        query = Query(x, order, self.sample)
        self.left -= query.cost
        if self.left < 0:
            raise _NoRoomError
        self.paid.append(self.evaluate(query))
        return self.paid[-1]

    def _direction(self, x: Tensor, width: float, name: str) -> Tensor:
        """Random, of the scale of each coordinate; 0 where there is no room on both sides.

        Components of unlike size, so that equal parts of a gradient do not cancel.
        """
        random = self._random(x, name)
        direction = random.sign() * (0.5 + 0.5 * random.abs()) * _scale(x)
        return torch.where(self._has_room(x, width * _scale(x)), direction, 0.0)

    def _has_room(self, x: Tensor, reach: Tensor) -> Tensor:
        return (x - reach >= self.evaluate.lower) & (x + reach <= self.evaluate.upper)

    def _random(self, x: Tensor, name: str) -> Tensor:
        """Uniform in (-1, 1)."""
        g = generator(self.evaluate.seed, "gradcheck", name, device=x.device)
        return 2 * torch.rand(x.shape, generator=g, dtype=x.dtype, device=x.device) - 1


def _margin(difference: float, slope: float, rounding: float) -> float:
    """How far apart the two may be if they agree."""
    return _AGREES * max(abs(difference), abs(slope)) + rounding


def _scale(x: Tensor) -> Tensor:
    return x.abs().clamp_min(1.0)
