"""The one driver of all laws: begin at rows inside a box, take some steps, and keep what was said."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hybridopt.core import Evaluate, Evaluation, Optimizer, Query, State
from hybridopt.rng import generator
from hybridopt.testing.compare import Snapshot, snapshot
from hybridopt.testing.law import Case

GIVEN = 3  # rows that an optimizer is given when it is asked how many it takes


class Box(NamedTuple):
    """Lower and upper bounds, each of shape (dim,)."""

    lower: Tensor
    upper: Tensor


class Step(NamedTuple):
    """One step: a state, what it asked, the answer, and the state after it was told."""

    before: State
    query: Query
    evaluation: Evaluation
    after: State


def box(case: Case, shift: float = 0.0) -> Box:
    """The usual box: finite, not centred at the origin or at the minimum."""
    one = torch.ones(case.dim, dtype=case.dtype, device=case.device)
    return Box(-4.5 * one + shift, 3.5 * one + shift)


def free(case: Case) -> Box:
    """No bounds."""
    infinite = torch.full((case.dim,), torch.inf, dtype=case.dtype, device=case.device)
    return Box(-infinite, infinite)


def start(optimizer: Optimizer[Any], case: Case) -> Tensor:
    """As many rows as the optimizer takes, so that it need not fill up; within the usual box."""
    around = box(case)
    few = _scatter(GIVEN, case, around)
    taken: State = fresh(optimizer).init(few, *around, seed=case.seed)
    return _scatter(taken.x.shape[0], case, around)


def fresh(optimizer: Optimizer[Any]) -> Optimizer[Any]:
    """The optimizer as another process would make it: without a memory of what it did."""
    return copy.deepcopy(optimizer)


def begin(
    optimizer: Optimizer[Any],
    case: Case,
    *,
    x: Tensor | None = None,
    around: Box | None = None,
    seed: int | None = None,
) -> State:
    """First state: by default at `start`, in the usual box, with the case's seed."""
    x = start(optimizer, case) if x is None else x
    state: State = optimizer.init(x, *(around or box(case)), seed=case.seed if seed is None else seed)
    return state


def walk(optimizer: Optimizer[Any], state: State, evaluate: Evaluate, steps: int) -> Iterator[Step]:
    """Steps from a state on."""
    for _ in range(steps):
        query = optimizer.ask(state)
        evaluation = evaluate(query)
        after = optimizer.tell(state, evaluation)
        yield Step(state, query, evaluation, after)
        state = after


def history(optimizer: Optimizer[Any], state: State, evaluate: Evaluate, steps: int) -> list[Snapshot]:
    """What was asked and known at every step of a walk."""
    return [
        snapshot(step.query, "query") | snapshot(step.after, "state")
        for step in walk(optimizer, state, evaluate, steps)
    ]


def _scatter(count: int, case: Case, around: Box) -> Tensor:
    g = generator(case.seed, "start")
    share = 0.1 + 0.8 * torch.rand(count, case.dim, generator=g, dtype=torch.float64)
    return around.lower + share.to(around.lower) * (around.upper - around.lower)
