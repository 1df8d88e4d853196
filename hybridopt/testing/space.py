"""Laws of space: bounds, dtype and device, and shifts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hybridopt.core import Optimizer, Query, State, project
from hybridopt.testing.compare import snapshot
from hybridopt.testing.landscape import bowl, evaluator
from hybridopt.testing.law import Case, LawError, law, require
from hybridopt.testing.walk import Box, Step, begin, box, free, fresh, start, walk

SHIFT = 2.75  # of few bits, so that adding it rounds little
SHIFTED_STEPS = 10


@law()
def asked_points_stay_in_bounds(optimizer: Optimizer[Any], case: Case) -> None:
    """In boxes of every kind, with starts inside and on the bounds."""
    evaluate = evaluator(bowl(case), case)
    for name, around in _boxes(case).items():
        running = fresh(optimizer)
        x = project(start(optimizer, case), *around)
        for step in walk(running, begin(running, case, x=x, around=around), evaluate, case.steps):
            _require_inside(step.query.x, around, f"query {step.before.step} in a box that is {name}")


@law()
def dtype_and_device_are_kept(optimizer: Optimizer[Any], case: Case) -> None:
    """Points, values and every floating tensor of a state have the problem's dtype and device."""
    optimizer = fresh(optimizer)
    state = begin(optimizer, case)
    require_alike(snapshot(state, "state"), state.x, case)
    for step in walk(optimizer, state, evaluator(bowl(case), case), case.steps):
        require_step_alike(step, state.lower, case)


@law(lambda traits, case: traits.shift_equivariant and case.dtype == torch.float64)
def shifting_the_problem_shifts_the_run(optimizer: Optimizer[Any], case: Case) -> None:
    """Start, bounds and function moved: the first 10 queries move with them (rtol 1e-9)."""
    x = start(optimizer, case)
    for around in (box(case), free(case)):
        moved = Box(around.lower + SHIFT, around.upper + SHIFT)
        here = _queries(optimizer, case, x, around, 0.0)
        there = _queries(optimizer, case, x + SHIFT, moved, SHIFT)
        for step, (query, other) in enumerate(zip(here, there, strict=True)):
            expected = query.x + SHIFT
            off = float((other.x - expected).abs().max()) if other.x.shape == expected.shape else torch.inf
            require(
                off <= 1e-9 * float(expected.abs().max()),
                f"with everything shifted by {SHIFT} query {step} is off by {off:.3g}, expected at most 1e-9 "
                "of its size, as `traits` declare shift_equivariant",
            )


def require_step_alike(step: Step, like: Tensor, case: Case) -> None:
    """Query and new state must have the dtype and the device of `like`."""
    query: Query = step.query
    require_alike(snapshot(query, "query"), like, case)
    state: State = step.after
    require_alike(snapshot(state, "state"), like, case)


def require_alike(leaves: dict[str, Any], like: Tensor, case: Case) -> None:
    """Tensors must lie on the device of `like`, floating ones have its dtype; scalars are counts."""
    for path, leaf in leaves.items():
        if not isinstance(leaf, Tensor) or leaf.ndim == 0:
            continue
        require(leaf.device == like.device, f"{path} is on {leaf.device}, expected {like.device}")
        require(
            leaf.dtype == case.dtype or not (leaf.is_floating_point() or leaf.is_complex()),
            f"{path} has dtype {leaf.dtype}, expected {case.dtype}",
        )


def _boxes(case: Case) -> dict[str, Box]:
    lower, upper = box(case)
    first = torch.arange(case.dim, device=case.device) == 0
    infinite = torch.full_like(lower, torch.inf)
    low, high = torch.full_like(lower, 1.4), torch.full_like(lower, 1.4 + 1e-3)
    return {
        "finite": Box(lower, upper),
        "finite, of one fixed variable": Box(
            torch.where(first, 1.25, lower), torch.where(first, 1.25, upper)
        ),
        "fixed in all variables": Box(low, low),
        "bounded below": Box(torch.zeros_like(lower), infinite),
        "bounded above": Box(-infinite, torch.zeros_like(lower)),
        "free in one variable, half-bounded in the others": Box(torch.where(first, -infinite, 0.5), infinite),
        "free": free(case),
        "small": Box(low, high),
        "far out, so that the start is its corner": Box(lower - 100, lower - 97),
    }


def _require_inside(x: Tensor, around: Box, what: str) -> None:
    outside = ~((x >= around.lower) & (x <= around.upper) & torch.isfinite(x))  # NaN is outside
    if outside.any():
        row, place = outside.nonzero()[0].tolist()
        raise LawError(
            f"{what}: got {float(x[row, place])!r} at [{row}, {place}], expected a finite number within "
            f"[{float(around.lower[place])!r}, {float(around.upper[place])!r}]; see hybridopt.core.project"
        )


def _queries(optimizer: Optimizer[Any], case: Case, x: Tensor, around: Box, shift: float) -> list[Query]:
    optimizer = fresh(optimizer)
    state = begin(optimizer, case, x=x, around=around)
    evaluate = evaluator(bowl(case, shift), case)
    return [step.query for step in walk(optimizer, state, evaluate, SHIFTED_STEPS)]
