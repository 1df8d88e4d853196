"""When and how to escape, what came of it, and what is remembered from step to step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hybridopt.check import check_not_negative, check_number, check_whole
from hybridopt.conditions import Condition, Stalled, Trace, is_condition

NO_PROGRESS = Stalled(10, rtol=1e-3)


@dataclass(frozen=True)
class Escape:
    """When `Hybrid` tries to escape, and how.

    Parameters
    ----------
    when : Condition
        Looked at every `every` steps, on a trace of the lowest mean loss over `every` steps since the start
        or the last escape. By default: no progress of 0.1 % in 10 such means, 100 steps.
    every : int
        Steps that are averaged, so that noise of minibatches isn't taken for progress.
    spread : tuple of float
        One child a number: its noise as a share of each tensor's size (`hybridopt.optim.mutation.scale`).
    margin : float
        How much better than its parent a child must be, as a share of the parent's `|loss|`. It must also be
        better by more than the standard deviation of the last `every` losses, as what is luck with one
        minibatch or dropout mask is not worth a jump.
    share : float
        Escapes that brought nothing never cost more than this share of the steps taken by then. Besides,
        the n-th failure in a row is followed by a rest of n times as many steps as `when` looks back.
    seed : int, optional
        Of the children; by default `torch.initial_seed()` when the optimizer is made.

    Examples
    --------
    >>> from hybridopt.conditions import Stalled
    >>> Escape(when=Stalled(5, rtol=0.01), spread=(0.1, 0.5)).price
    3
    """

    when: Condition = NO_PROGRESS
    every: int = 10
    spread: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    margin: float = 1e-3
    share: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        if not is_condition(self.when):
            raise TypeError(f"Escape.when must be a condition such as Stalled(10), got {self.when!r}")
        check_whole("Escape.every", self.every, 1)
        _check_spread(self.spread)
        object.__setattr__(self, "spread", tuple(self.spread))
        check_not_negative("Escape.margin", self.margin)
        check_number("Escape.share", self.share, lambda share: 0 < share <= 1, "in (0, 1]")
        if self.seed is not None:
            check_whole("Escape.seed", self.seed, 0)

    @property
    def price(self) -> int:
        """Closures one escape takes: the parent's and one a child."""
        return 1 + len(self.spread)


def _check_spread(spread: object) -> None:
    if not isinstance(spread, Sequence) or isinstance(spread, str):
        raise TypeError(f"Escape.spread must hold one number a child, such as (0.1, 0.3), got {spread!r}")
    if not spread:
        raise ValueError(f"Escape.spread must hold one positive number a child, got {spread!r}")
    for place, sigma in enumerate(spread):
        check_number(
            f"Escape.spread[{place}]", sigma, lambda sigma: 0 < sigma < math.inf, "positive and finite"
        )


@dataclass(frozen=True)
class Attempt:
    """One escape that was tried.

    Attributes
    ----------
    step : int
        Steps taken with a closure before it.
    cost : int
        Closures it ran.
    gain : float
        Loss of the parent minus loss of the best child on the same data; negative if every child was worse.
    accepted : bool
        Whether that child replaced its parent.
    """

    step: int
    cost: int
    gain: float
    accepted: bool


@dataclass(frozen=True)
class Memory:
    """What an escape knows; all of it is saved with the optimizer.

    Attributes
    ----------
    seed : int
    trace : Trace
        Of mean losses since the start or the last attempt; losses to be maximised count negative.
    steps : int
        Steps with a closure so far.
    pending : tuple of float
        Losses not averaged yet.
    due : bool
        Whether the next step with a closure begins with an attempt.
    noise : float
        Standard deviation of the losses averaged last.
    failures : int
        Failed attempts since the last success.
    rest_until : int
        The step before which nothing is tried.
    wasted : int
        Closures spent on failed attempts.
    history : tuple of Attempt
    """

    seed: int
    trace: Trace
    steps: int = 0
    pending: tuple[float, ...] = ()
    due: bool = False
    noise: float = 0.0
    failures: int = 0
    rest_until: int = 0
    wasted: int = 0
    history: tuple[Attempt, ...] = ()


def append(trace: Trace, mean: float, steps: int) -> Trace:
    """Trace after one more mean loss, over so many steps."""
    best = min(mean, trace.best[-1]) if trace.best else mean
    cost = steps + (trace.cost[-1] if trace.cost else 0)
    keep = slice(-trace.window, None)
    return replace(
        trace,
        best=(*trace.best, best)[keep],
        cost=(*trace.cost, cost)[keep],
        steps=trace.steps + 1,
    )
