"""Laws of numbers that are not finite: they never win and never make a row look stationary."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hybridopt.core import Optimizer, State
from hybridopt.testing.contract import require_values_of
from hybridopt.testing.landscape import Rows, centre, evaluator, kink, never, torn
from hybridopt.testing.law import Case, law, require
from hybridopt.testing.walk import Step, begin, fresh, start, walk


@law()
def nan_never_wins(optimizer: Optimizer[Any], case: Case) -> None:
    """Where values or gradients are not finite, states keep true values and queries finite points."""
    x = start(optimizer, case)
    _require_sound(_steps(optimizer, case, torn(case), x), torn(case), "a bowl with NaN, inf and -inf parts")
    _require_sound(_steps(optimizer, case, never, x), never, "a function that is NaN everywhere")
    x = torch.cat([centre(case)[None], x[1:]])
    _require_sound(_steps(optimizer, case, kink(case), x), kink(case), "a start with a NaN gradient")


@law()
def nan_never_looks_stationary(optimizer: Optimizer[Any], case: Case) -> None:
    """Where nothing is finite, or no gradient is, the search does not stand still."""
    x = start(optimizer, case)
    _require_moving(_steps(optimizer, case, never, x), "no value was finite")
    if optimizer.traits.order:
        x = centre(case).expand_as(x).contiguous()
        _require_moving(_steps(optimizer, case, kink(case), x), "no gradient was finite")


def _steps(optimizer: Optimizer[Any], case: Case, rows: Rows, x: Tensor) -> list[Step]:
    optimizer = fresh(optimizer)
    return list(walk(optimizer, begin(optimizer, case, x=x), evaluator(rows, case), case.steps))


def _require_sound(steps: list[Step], rows: Rows, what: str) -> None:
    for step in steps:
        _require_ranked(step.after, what)
        true = rows(step.after.x)
        require_values_of(step.after, torch.where(torch.isfinite(true), true, torch.inf))


def _require_ranked(state: State, what: str) -> None:
    bad = torch.isnan(state.value) | (state.value == -torch.inf)
    require(
        not bool(bad.any()),
        f"on {what} state.value is {state.value.tolist()} after {state.step} tells; expected finite values "
        "of finite points and +inf elsewhere",
    )
    require(
        bool(torch.isfinite(state.x).all()),
        f"on {what} state.x is not finite after {state.step} tells: {state.x.tolist()}",
    )


def _require_moving(steps: list[Step], why: str) -> None:
    first = steps[0].query.x
    require(
        any(step.query.x.shape != first.shape or not torch.equal(step.query.x, first) for step in steps),
        f"the same points were asked {len(steps)} times though {why}; expected the search to go elsewhere",
    )
