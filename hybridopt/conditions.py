"""When to stop and when to switch: one type for both, pure functions of a short memory.

A `Trace` is what conditions may look at. It lives in states and in `Progress`, so conditions resume with
them. Conditions are small frozen dataclasses; any callable from a `Trace` to a bool will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
        Empty where no condition reads it, like the next.
    diversity : tuple of float
        Root mean square distance of the (first 64) rows from their mean, as a share of the widths of the box;
        NaN where there is one row.
    cost : tuple of int
        Units spent since the phase began, after each tell.
    value : tuple of float
        Best value of each tell by itself.
    curvature : tuple of float
        Smallest eigenvalue of the Hessian as a share of the largest absolute one; empty where no condition
        reads it. Only `hybridopt.optim.Hybrid` measures it.
    steps : int
        Tells since the phase began.
    window : int
        Size of the ring.
    reads_diversity, reads_gradient, reads_curvature : bool
        Whether each is measured at all.
    """

    best: tuple[float, ...] = ()
    grad_norm: tuple[float, ...] = ()
    diversity: tuple[float, ...] = ()
    cost: tuple[int, ...] = ()
    value: tuple[float, ...] = ()
    curvature: tuple[float, ...] = ()
    steps: int = 0
    window: int = 128
    reads_diversity: bool = True
    reads_gradient: bool = True
    reads_curvature: bool = True

    @classmethod
    def for_conditions(cls, *conditions: Condition) -> Trace:
        """Make an empty trace that is long enough for the conditions and measures what they read."""
        needs = [getattr(condition, "needs", Needs(128, True, True, False)) for condition in conditions]
        return cls(
            window=max([need.window for need in needs], default=1),
            reads_diversity=any(need.diversity for need in needs),
            reads_gradient=any(need.gradient for need in needs),
            reads_curvature=any(need.curvature for need in needs),
        )

    def widened(self, *conditions: Condition) -> Trace:
        """The same trace, from now on long enough for these conditions too."""
        needed = Trace.for_conditions(*conditions)
        return replace(
            self,
            window=max(self.window, needed.window),
            reads_diversity=self.reads_diversity or needed.reads_diversity,
            reads_gradient=self.reads_gradient or needed.reads_gradient,
            reads_curvature=self.reads_curvature or needed.reads_curvature,
        )

    def record(self, state: State, evaluation: Evaluation) -> Trace:
        """Trace after one more tell; `state` gives the box."""
        value = _number(evaluation.value.amin())
        grad_norm = math.nan
        if evaluation.grad is not None and self.reads_gradient:
            step = project(evaluation.x - evaluation.grad, state.lower, state.upper)
            grad_norm = _number((evaluation.x - step).abs().amax())
        diversity = _diversity(evaluation.x, state.lower, state.upper) if self.reads_diversity else math.nan
        return self.longer(value, evaluation.cost, grad_norm, diversity)

    def longer(
        self,
        value: float,
        cost: int,
        grad_norm: float = math.nan,
        diversity: float = math.nan,
        curvature: float = math.nan,
    ) -> Trace:
        """Trace after one more tell, of these measures; `cost` is of this tell alone."""
        best, spent = (self.best[-1], self.cost[-1]) if self.steps else (value, 0)
        stay = slice(1, None) if len(self.value) >= self.window else slice(None)  # no second copy
        return Trace(
            self.best[stay] + (min(value, best),),
            self.grad_norm[stay] + (grad_norm,) if self.reads_gradient else (),
            self.diversity[stay] + (diversity,) if self.reads_diversity else (),
            self.cost[stay] + (spent + cost,),
            self.value[stay] + (value,),
            self.curvature[stay] + (curvature,) if self.reads_curvature else (),
            self.steps + 1,
            self.window,
            self.reads_diversity,
            self.reads_gradient,
            self.reads_curvature,
        )

    def with_curvature(self, curvature: float) -> Trace:
        """Trace whose last tell has this curvature."""
        return replace(self, curvature=(*self.curvature[:-1], curvature))


@dataclass(frozen=True)
class Needs:
    """How many tells back a condition looks, and which of the costlier measures it reads."""

    window: int = 1
    diversity: bool = False
    gradient: bool = False
    curvature: bool = False


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
class Plateau:
    """True when the values of the last tells surely do not fall: noise neither hides a plateau nor makes one.

    Progress is by how much the mean of the newer half of a window lies below that of the older half. In the
    last 8, 16, 32 ... tells it is looked for a window in which progress and `z` of its standard errors
    together are at most `rtol` of the mean, for so many tells as `per` says, and in proportion. So without
    noise few tells are enough, and the more noise the more it takes. Errors are estimated from the
    differences of neighbours (von Neumann et al. 1941), which a slow trend hardly enters.

    Parameters
    ----------
    steps : int
        Longest window, in tells; at least 8.
    rtol, atol : float
        Progress within `per` tells that counts as none: `rtol * |mean| + atol`.
    per : int
    z : float
        Standard errors.
    ahead : float
        It is a plateau as well if all progress to come, were it to go on slowing down, surely is at most this
        share of `|mean|` (Aitken's extrapolation from the thirds of a window).

    References
    ----------
    J. von Neumann, R. H. Kent, H. R. Bellinson and B. I. Hart, "The mean square successive difference", 1941.

    Examples
    --------
    >>> still, noisy = Trace(), Trace()
    >>> for value in (1.0, 1.1, 0.9, 1.0, 1.1, 0.95, 1.05, 0.98):
    ...     still, noisy = still.longer(1.0, 1), noisy.longer(value, 1)
    >>> Plateau()(still), Plateau()(noisy)
    (True, False)
    """

    steps: int = 256
    rtol: float = 2e-3
    atol: float = 0.0
    per: int = 10
    z: float = 3.0
    ahead: float = 0.05

    def __post_init__(self) -> None:
        check_whole("Plateau.steps", self.steps, _SHORTEST)
        check_not_negative("Plateau.rtol", self.rtol)
        check_not_negative("Plateau.atol", self.atol)
        check_whole("Plateau.per", self.per, 1)
        check_not_negative("Plateau.z", self.z)
        check_not_negative("Plateau.ahead", self.ahead)

    @property
    def needs(self) -> Needs:
        """Looks `steps` tells back."""
        return Needs(self.steps)

    def __call__(self, trace: Trace) -> bool:
        size = _SHORTEST
        while size <= min(len(trace.value), self.steps):
            # longer windows more rarely: it costs less, and errs less; Hybrid asks at every second tell
            if trace.steps // 2 % max(1, size // _SHORTEST // 2) == 0:
                values = trace.value[-size:]
                if not math.isfinite(sum(values)):
                    return not math.isfinite(values[-1])
                if self._flat(values) or (size >= _LONG and self._saturated(values)):
                    return True
            size *= 2
        return False

    def _flat(self, values: Sequence[float]) -> bool:
        half = len(values) // 2
        older, newer = sum(values[:half]) / half, sum(values[-half:]) / half
        room = (self.rtol * abs(newer) + self.atol) * half / self.per - max(0.0, older - newer)
        # asked in every look of a training: what can't be a plateau costs no more than two sums
        return room >= 0 and self.z * _error(values, half) <= room

    def _saturated(self, values: Sequence[float]) -> bool:
        third = len(values) // 3
        first, second, last = (sum(values[k : k + third]) / third for k in (0, third, 2 * third))
        fall, next_fall = first - second, second - last
        slower, ahead = fall - next_fall, self.ahead * abs(last)
        if slower <= 0 or max(0.0, next_fall) ** 2 > slower * ahead:
            return False
        error = self.z * _error(values, third)
        return slower > error and (max(0.0, next_fall) + error) ** 2 <= (slower - error) * ahead


_SHORTEST = 8
_LONG = 32  # thirds of shorter windows are too few to extrapolate from


def noise(values: Sequence[float]) -> float:
    """Standard deviation of two values or more by differences of neighbours, as `Plateau` estimates it."""
    return math.dist(values[1:], values[:-1]) / math.sqrt(2 * (len(values) - 1))


def _error(values: Sequence[float], count: int) -> float:
    """Standard error of the difference of two means of so many values each."""
    return noise(values) * math.sqrt(2 / count)


@dataclass(frozen=True)
class SmallGradient:
    """True when no component of the projected gradient of any row is larger than `tol`."""

    tol: float = 1e-6

    needs = Needs(gradient=True)

    def __post_init__(self) -> None:
        check_not_negative("SmallGradient.tol", self.tol)

    def __call__(self, trace: Trace) -> bool:
        return bool(trace.grad_norm) and trace.grad_norm[-1] <= self.tol


@dataclass(frozen=True)
class NegativeCurvature:
    """True when the Hessian has an eigenvalue below `-tol` times its largest absolute one.

    Read by `hybridopt.optim.Hybrid` alone, which pays some closures for it (`Escape.products`).
    """

    tol: float = 1e-2

    needs = Needs(curvature=True)

    def __post_init__(self) -> None:
        check_not_negative("NegativeCurvature.tol", self.tol)

    def __call__(self, trace: Trace) -> bool:
        return bool(trace.curvature) and trace.curvature[-1] < -self.tol


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
        return Needs(trace.window, trace.reads_diversity, trace.reads_gradient, trace.reads_curvature)

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
