"""When to stop and when to switch: one type for both, pure functions of a short memory.

A `Trace` is what conditions may look at. It lives in states and in `Progress`, so conditions resume with
them. Conditions are small frozen dataclasses; any callable from a `Trace` to a bool will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hybridopt.check import check_not_negative, check_number, check_whole
from hybridopt.core import Evaluation, State, project


@dataclass(frozen=True)
class Trace:
    """The last tells since a phase began, as a ring of fixed size, oldest first.

    Attributes
    ----------
    best : tuple of float
        Best value since the phase began, after each tell.
    grad_norm : tuple of float
        Largest component of the projected gradient x - P(x - g) of any row of each tell, 0 exactly where all
        rows are stationary points of the box; NaN where no gradient was asked for or one is not finite.
    diversity : tuple of float
        Root mean square distance of the (first 64) rows from their mean, as a share of the widths of the box;
        NaN where there is one row, or where no condition reads it.
    cost : tuple of int
        Units spent since the phase began, after each tell.
    steps : int
        Tells since the phase began.
    window : int
        Size of the ring.
    reads_diversity : bool
        Whether diversity is measured at all.
    """

    best: tuple[float, ...] = ()
    grad_norm: tuple[float, ...] = ()
    diversity: tuple[float, ...] = ()
    cost: tuple[int, ...] = ()
    steps: int = 0
    window: int = 128
    reads_diversity: bool = True

    @classmethod
    def for_conditions(cls, *conditions: Condition) -> Trace:
        """Make an empty trace that is long enough for the conditions and measures what they read."""
        needs = [getattr(condition, "needs", Needs(128, True)) for condition in conditions]
        return cls(
            window=max([need.window for need in needs], default=1),
            reads_diversity=any(need.diversity for need in needs),
        )

    def widened(self, *conditions: Condition) -> Trace:
        """The same trace, from now on long enough for these conditions too."""
        needed = Trace.for_conditions(*conditions)
        return replace(
            self,
            window=max(self.window, needed.window),
            reads_diversity=self.reads_diversity or needed.reads_diversity,
        )

    def record(self, state: State, evaluation: Evaluation) -> Trace:
        """Trace after one more tell; `state` gives the box."""
        cost = evaluation.cost
        best = _number(evaluation.value.amin())
        grad_norm = math.nan
        if evaluation.grad is not None:
            step = project(evaluation.x - evaluation.grad, state.lower, state.upper)
            grad_norm = _number((evaluation.x - step).abs().amax())
        diversity = _diversity(evaluation.x, state.lower, state.upper) if self.reads_diversity else math.nan
        if self.best:
            best = min(best, self.best[-1])
            cost += self.cost[-1]
        keep = slice(-self.window, None)
        return Trace(
            (*self.best, best)[keep],
            (*self.grad_norm, grad_norm)[keep],
            (*self.diversity, diversity)[keep],
            (*self.cost, cost)[keep],
            self.steps + 1,
            self.window,
            self.reads_diversity,
        )


@dataclass(frozen=True)
class Needs:
    """How many tells back a condition looks, and whether it reads diversity."""

    window: int = 1
    diversity: bool = False


Condition = Callable[[Trace], bool]


def is_condition(thing: object) -> bool:
    """Whether it can be asked; a class (`Stalled` for `Stalled(50)`) would answer an object, always true."""
    return callable(thing) and not isinstance(thing, type)


@dataclass(frozen=True)
class Budget:
    """True when `units` of the ledger are spent since the phase began."""

    units: int

    needs = Needs()

    def __post_init__(self) -> None:
        check_whole("Budget.units", self.units, 1)

    def __call__(self, trace: Trace) -> bool:
        return bool(trace.cost) and trace.cost[-1] >= self.units


@dataclass(frozen=True)
class Steps:
    """True after `count` tells since the phase began."""

    count: int

    needs = Needs()

    def __post_init__(self) -> None:
        check_whole("Steps.count", self.count, 1)

    def __call__(self, trace: Trace) -> bool:
        return trace.steps >= self.count


@dataclass(frozen=True)
class Target:
    """True when a value of at most `value` was found since the phase began."""

    value: float

    needs = Needs()

    def __post_init__(self) -> None:
        check_number("Target.value", self.value, lambda value: True, "not NaN")

    def __call__(self, trace: Trace) -> bool:
        return bool(trace.best) and trace.best[-1] <= self.value


@dataclass(frozen=True)
class Stalled:
    """True when the best value has not fallen by more than `rtol * |best| + atol` over `steps` tells.

    While no finite value was found nothing counts as stalled before `steps` tells, and everything after.
    """

    steps: int = 50
    rtol: float = 1e-8
    atol: float = 0.0

    def __post_init__(self) -> None:
        check_whole("Stalled.steps", self.steps, 1)
        check_not_negative("Stalled.rtol", self.rtol)
        check_not_negative("Stalled.atol", self.atol)

    @property
    def needs(self) -> Needs:
        """Looks `steps` tells back."""
        return Needs(self.steps + 1)

    def __call__(self, trace: Trace) -> bool:
        if len(trace.best) <= self.steps:
            return False
        before, now = trace.best[-1 - self.steps], trace.best[-1]
        if math.isinf(before) or math.isinf(now):
            return math.isinf(now)
        return before - now <= self.rtol * abs(before) + self.atol


@dataclass(frozen=True)
class SmallGradient:
    """True when no component of the projected gradient of any row is larger than `tol`."""

    tol: float = 1e-6

    needs = Needs()

    def __post_init__(self) -> None:
        check_not_negative("SmallGradient.tol", self.tol)

    def __call__(self, trace: Trace) -> bool:
        return bool(trace.grad_norm) and trace.grad_norm[-1] <= self.tol


@dataclass(frozen=True)
class LowDiversity:
    """True when the rows lie within `share` of the box's widths of one another (`Trace.diversity`)."""

    share: float = 1e-3

    needs = Needs(diversity=True)

    def __post_init__(self) -> None:
        check_not_negative("LowDiversity.share", self.share)

    def __call__(self, trace: Trace) -> bool:
        return bool(trace.diversity) and trace.diversity[-1] <= self.share


class _Combined:
    """A condition made of conditions."""

    def __init__(self, *conditions: Condition) -> None:
        if not conditions or not all(is_condition(c) for c in conditions):
            raise TypeError(
                f"{type(self).__name__} takes one or more conditions, got {conditions!r}; "
                f"write e.g. {type(self).__name__}(Stalled(50), Budget(1000))"
            )
        self.conditions = conditions

    @property
    def needs(self) -> Needs:
        trace = Trace.for_conditions(*self.conditions)
        return Needs(trace.window, trace.reads_diversity)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.conditions == self.conditions

    def __hash__(self) -> int:
        return hash((type(self), self.conditions))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.conditions))})"


class AnyOf(_Combined):
    """True when any of the conditions is."""

    def __call__(self, trace: Trace) -> bool:
        return any(condition(trace) for condition in self.conditions)


class AllOf(_Combined):
    """True when all of the conditions are."""

    def __call__(self, trace: Trace) -> bool:
        return all(condition(trace) for condition in self.conditions)


def _diversity(x: Tensor, lower: Tensor, upper: Tensor) -> float:
    rows = x[:64]
    if rows.shape[0] < 2:
        return math.nan
    box = upper - lower
    width = torch.where(torch.isfinite(box) & (box > 0), box, rows[0].abs().clamp_min(1.0))
    return _number((rows / width).var(0, correction=0).mean().sqrt())


def _number(scalar: Tensor) -> float:
    """The one place where the engine waits for a device."""
    return float(scalar)
