"""A race of children beside the training: who stays, who drops out, who wins.

A mutation that opens a new valley is worse at first, so a child is not judged where it starts but after some
steps of its own, against its parent on the same minibatches. After a quarter of the calls half of the
children drop out, after half of them all but the best of the rest (successive halving). A child that is
better by more than `z` standard errors of the paired differences wins; one that still catches up gets more
time.

References
----------
K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from hybridopt.optim.escape import Escape, halved
from hybridopt.optim.stage import Child

LEAST = 4  # paired losses that a verdict rests on
EXTENSIONS = 3  # times that a child which catches up is given more time
CATCHING = 0.7  # its gap in the last quarter, as a share of the one before


@dataclass(frozen=True)
class Race:
    """A race under way.

    Attributes
    ----------
    began : int
        Steps before it.
    length : int
        Calls it is to last.
    places : tuple of int
        Of the parameters that race.
    children : tuple of Child
        Those alive.
    parent : tuple of float
        Its losses since the race began.
    origin : tuple of Tensor or None
        Its weights when the race began, until the first halving.
    cost : int
        Closures spent on children so far.
    calls : int
    extensions : int
    """

    began: int
    length: int
    places: tuple[int, ...]
    children: tuple[Child, ...]
    parent: tuple[float, ...] = ()
    origin: tuple[Tensor, ...] | None = None
    cost: int = 0
    calls: int = 0
    extensions: int = 0

    @property
    def over(self) -> bool:
        """Whether the last call was the last."""
        return self.calls >= self.length

    @property
    def at_rung(self) -> bool:
        """Whether it is time to compare."""
        return self.over or self.calls in self._rungs

    @property
    def _rungs(self) -> tuple[int, int]:
        return self.length // 4, 2 * (self.length // 4)


@dataclass(frozen=True)
class Standing:
    """How a child stands to its parent over the last calls."""

    child: Child
    gain: float
    error: float
    level: float

    def better(self, options: Escape) -> bool:
        """Whether its gain is more than margin and noise."""
        return self.gain > max(options.margin * self.level, options.z * self.error)


def ran(race: Race, children: Sequence[Child], parent: float, closures: int) -> Race:
    """Race after one more call."""
    return replace(
        race,
        children=tuple(children),
        parent=(*race.parent, parent),
        cost=race.cost + closures,
        calls=race.calls + 1,
    )


def standings(race: Race) -> list[Standing]:
    """How the children stand, best first, by the last quarter of their calls."""
    return sorted((_standing(race, child) for child in race.children), key=lambda s: -s.gain)


def halve(race: Race) -> Race:
    """Race without the worse half, and from the second rung on with the best child alone."""
    stay = halved(len(race.children)) if race.calls == race._rungs[0] else 1
    return replace(race, children=tuple(standing.child for standing in standings(race)[:stay]))


def extended(race: Race) -> Race | None:
    """Race with half its length more, if the best child is behind but catches up."""
    if race.extensions >= EXTENSIONS:
        return None
    best = standings(race)[0].child
    size = max(LEAST, len(best.losses) // 4)
    if len(best.losses) < 2 * size:
        return None
    pairs = list(zip(race.parent[-len(best.losses) :], best.losses, strict=True))
    before, now = (
        statistics.fmean(c - p for p, c in part) for part in (pairs[-2 * size : -size], pairs[-size:])
    )
    if not (math.isfinite(before) and 0 < now < CATCHING * before):
        return None
    return replace(race, length=race.length + race.length // 2, extensions=race.extensions + 1)


def _standing(race: Race, child: Child) -> Standing:
    size = min(len(child.losses), max(LEAST, len(race.parent) // 4))
    parents, losses = race.parent[-size:], child.losses[-size:]
    gains = [_difference(p, c) for p, c in zip(parents, losses, strict=True)]
    gain = statistics.fmean(gains) if gains else -math.inf
    if not math.isfinite(gain):
        return Standing(child, gain, 0.0, 0.0)
    spread = math.sqrt(sum((g - gain) ** 2 for g in gains) / max(1, size - 1))
    enough = size >= LEAST
    return Standing(
        child, gain, spread / math.sqrt(size) if enough else math.inf, abs(statistics.fmean(parents))
    )


def _difference(parent: float, child: float) -> float:
    if math.isinf(child):
        return -math.inf
    return parent - child  # +inf where only the parent is lost
