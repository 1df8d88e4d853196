"""The loop: ask, evaluate, tell, and book every unit.

`Progress` is the whole of a run: what the optimizer knows, the best point, the ledger and the trace.
Everything that stops, reports or saves stands outside (`minimize`, `hybrid`, `runs`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Generic

import torch
from torch import Tensor

from hybridopt.conditions import Trace
from hybridopt.core import Evaluate, Evaluation, Optimizer, S


@dataclass(frozen=True)
class Ledger:
    """What was paid, in points: a value costs 1, a gradient 1 more, a Hessian-vector product 1 more.

    Attributes
    ----------
    values, grads, hvps : int
        Points whose value, gradient, Hessian-vector product was taken.
    nonfinite : int
        Points whose value or gradient was not finite.
    phases : dict of str to int
        Units by phase of the schedule.
    gains : dict of str to float
        How far each phase lowered the best value; the first finite value is no gain.
    """

    values: int = 0
    grads: int = 0
    hvps: int = 0
    nonfinite: int = 0
    phases: dict[str, int] = field(default_factory=dict)
    gains: dict[str, float] = field(default_factory=dict)

    @property
    def cost(self) -> int:
        """Units in all."""
        return self.values + self.grads + self.hvps

    def charge(self, evaluation: Evaluation, phase: str, gain: float = 0.0) -> Ledger:
        """Ledger after one more evaluation, booked to a phase that gained so much by it."""
        points = evaluation.x.shape[0]
        bad = ~torch.isfinite(evaluation.value)
        if evaluation.grad is not None:
            bad |= torch.isnan(evaluation.grad[:, 0])  # whole rows are NaN
        return Ledger(
            self.values + points,
            self.grads + points * (evaluation.grad is not None),
            self.hvps + points * (evaluation.hvp is not None),
            self.nonfinite + int(bad.sum()),
            {**self.phases, phase: self.phases.get(phase, 0) + evaluation.cost},
            {**self.gains, phase: self.gains.get(phase, 0.0) + gain},
        )


@dataclass(frozen=True)
class Progress(Generic[S]):
    """A run between two steps; a checkpoint is exactly this.

    Attributes
    ----------
    state : State
        What the optimizer knows.
    best_x : Tensor, shape (dim,)
        The point with the lowest value so far (the start before anything was evaluated).
    best_value : float
        Its value; +inf before any finite one.
    best_grad : Tensor of shape (dim,), optional
        Its gradient, where that was asked for.
    ledger : Ledger
    trace : Trace
        Memory of the conditions that may stop the run.
    seed : int
        Of the run; that of the state changes when the run begins anew.
    departures : int
        How often the run left a saddle point and began anew.
    """

    state: S
    best_x: Tensor
    best_value: float
    best_grad: Tensor | None
    ledger: Ledger
    trace: Trace
    seed: int
    departures: int = 0


def begin(state: S, trace: Trace) -> Progress[S]:
    """Progress of a run at which nothing has been evaluated yet."""
    return Progress(state, state.x[0].clone(), float("inf"), None, Ledger(), trace, state.seed)


def better(progress: Progress[S], evaluation: Evaluation) -> Progress[S]:
    """Progress with the best point of an evaluation, where that is better."""
    row = int(evaluation.value.argmin())
    value = float(evaluation.value[row])
    if not value < progress.best_value:
        return progress
    grad = None if evaluation.grad is None else evaluation.grad[row].clone()
    return replace(progress, best_x=evaluation.x[row].clone(), best_value=value, best_grad=grad)


def advance(optimizer: Optimizer[S], progress: Progress[S], evaluation: Evaluation) -> Progress[S]:
    """Progress after one tell; the phase that asked for the points pays for them."""
    found = better(progress, evaluation)
    gain = progress.best_value - found.best_value if math.isfinite(progress.best_value) else 0.0
    return replace(
        found,
        state=optimizer.tell(progress.state, evaluation),
        ledger=progress.ledger.charge(evaluation, progress.state.phase or "search", gain),
        trace=progress.trace.record(progress.state, evaluation),
    )


def iterate(optimizer: Optimizer[S], evaluate: Evaluate, progress: Progress[S]) -> Iterator[Progress[S]]:
    """Progress after each further tell, for ever."""
    while True:
        progress = advance(optimizer, progress, evaluate(optimizer.ask(progress.state)))
        yield progress
