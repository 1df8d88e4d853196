"""What is remembered from step to step: losses, the trace that conditions look at, what escapes have cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hybridopt.conditions import Trace
from hybridopt.optim.escape import Attempt, Escape
from hybridopt.optim.race import Race

RECENT = 3  # attempts whose findings still count


@dataclass(frozen=True)
class Memory:
    """What an escape knows; all of it is saved with the optimizer.

    Attributes
    ----------
    seed : int
    trace : Trace
        Of mean losses since the start or the last success; losses to be maximised count negative.
    steps : int
        Steps so far.
    pending : tuple of float
        Losses that wait for the next look; only in what is saved.
    waited : int
        Steps by the objective that wait for it; likewise.
    due : bool
        Whether the next step begins with a race.
    failures : int
        Failed attempts since the last success in which no child came to rest: they were too short.
    wasted : int
        Closures spent on failed attempts, and on curvature.
    firsts : tuple of (float, float)
        Mean and standard deviation of each parameter when it was given to the optimizer.
    history : tuple of Attempt
    race : Race or None
        The one that is under way.
    """

    seed: int
    trace: Trace
    steps: int = 0
    pending: tuple[float, ...] = ()
    waited: int = 0
    due: bool = False
    failures: int = 0
    wasted: int = 0
    firsts: tuple[tuple[float, float], ...] = ()
    history: tuple[Attempt, ...] = ()
    race: Race | None = None

    @property
    def rugged(self) -> bool:
        """Whether one of the last attempts has shown that there are other minima."""
        return any(attempt.accepted or attempt.settled for attempt in self.history[-RECENT:])


def begin(seed: int, options: Escape) -> Memory:
    """Memory of a training that begins."""
    return Memory(seed, Trace.for_conditions(options.when))


def may_try(memory: Memory, options: Escape) -> bool:
    """Whether another failure could be afforded."""
    share = options.rugged_share if memory.rugged else options.share
    return not memory.wasted or memory.wasted + options.price(memory.failures) <= share * memory.steps


def wants(memory: Memory, options: Escape) -> bool:
    """Whether the condition says that there is a reason to escape."""
    return bool(options.when(memory.trace))


def looked(memory: Memory, means: Sequence[float], steps: int, grad_norm: float) -> Memory:
    """Memory after a look at mean losses of so many steps each, and at the gradient now."""
    trace = memory.trace
    for mean in means:
        trace = trace.longer(mean, steps, grad_norm)
    return replace(memory, trace=trace, steps=memory.steps + steps * len(means))


def booked(memory: Memory, options: Escape, attempt: Attempt, every: int) -> Memory:
    """Memory after an attempt; the looks since it began, one each `every` calls, are in it already."""
    failures = 0 if attempt.accepted else memory.failures + (not attempt.settled)
    return replace(
        memory,
        trace=Trace.for_conditions(options.when) if attempt.accepted else memory.trace,
        due=False,
        steps=memory.steps + attempt.calls % every,
        failures=failures,
        wasted=memory.wasted + (0 if attempt.accepted else attempt.cost),
        history=(*memory.history, attempt),
        race=None,
    )


def finite(number: float) -> float:
    """The number, or +inf."""
    return number if math.isfinite(number) else math.inf
