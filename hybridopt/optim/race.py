"""A race of children beside the training: who stays, who drops out, who wins.

A mutation that opens a new valley is worse at first, so a child is not judged where it starts but after some
steps of its own, against its parent on the same minibatches. After a quarter and a half of the calls half of
the children drop out (successive halving): first those that came back to their parent or tend to a loss above
its own, by extrapolation. A child wins if it is better by a margin and surely so: by `z` standard errors of
the paired differences, and more where few of them are known or many children were tried (Student's
distribution, Bonferroni's rule). A last one that is to overtake gets more time. Children that come to rest at
a higher loss tell that there are other minima.

References
----------
K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from hybridopt.conditions import noise
from hybridopt.optim.escape import Escape, halved
from hybridopt.optim.stage import Child

LEAST = 4  # paired losses that a verdict rests on
EXTENSIONS = 6  # times that a child which catches up is given more time
TIE = 1e-2  # of the loss: a child that is so near its parent has come back to it
LEAP = "leap"  # kind of a child
EARLY = 10.0  # times the margin, for a child that is to win before the race is over
SURE = 3.0  # standard errors of what counts as a sign of other minima
NEARER = 0.5  # what remains at most of the first gap, or distance
AHEAD = 2.0  # hope of a child that is better than its parent


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
    extensions : int
        Times that it was given more length.
    settled : int
        Children that have dropped out at rest behind their parent.
    buffers : int
        Places of buffers when it began.
    left : tuple of int
        Checksums of the parent's weights after the last call.
    """

    began: int
    length: int
    places: tuple[int, ...]
    children: tuple[Child, ...]
    parent: tuple[float, ...] = ()
    origin: tuple[Tensor, ...] | None = None
    cost: int = 0
    extensions: int = 0
    settled: int = 0
    buffers: int = 0
    left: tuple[int, ...] = ()

    @property
    def calls(self) -> int:
        """Calls it has gone on for."""
        return len(self.parent)

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
    """How a child stands to its parent over a window of the last calls, and whither it goes.

    Attributes
    ----------
    child : Child
    gain : float
        Mean of parent's losses minus child's.
    error : float
        Its standard error by differences of neighbours, which a trend hardly enters; +inf if there are too
        few pairs.
    freedom : float
        Degrees of freedom of that.
    level : float
        Mean absolute loss of the parent.
    limit : float
        Where its gain tends to, if it goes on to slow down as it did over the last three windows; +inf if it
        doesn't slow down, -inf if it falls back or is too young to tell.
    fell : bool
        Whether its loss has come nearer to its parent's by a half since it began.
    near : bool
        Whether its weights have.
    plain : bool
        Whether it never had another loss than its parent, within a tie.
    """

    child: Child
    gain: float = -math.inf
    error: float = math.inf
    freedom: float = 1.0
    level: float = math.inf
    limit: float = -math.inf
    fell: bool = False
    near: bool = False
    plain: bool = False

    def better(self, margin: float, z: float, rivals: int) -> bool:
        """Whether its gain is more than margin and noise, also that of the luckiest of so many rivals."""
        if math.isinf(self.gain):
            return self.gain > 0
        certain = self._errors(z, rivals) * self.error if z and self.error else 0.0
        return self.gain > max(margin * self.level, certain)

    def _errors(self, z: float, rivals: int) -> float:
        """Standard errors that mean as much as `z` would, one child alone and the error known exactly."""
        from scipy.special import ndtr, stdtrit

        # +inf, of that sign, where the chance is too small for a double
        return abs(float(stdtrit(self.freedom, ndtr(-z) / rivals)))

    @property
    def hope(self) -> float:
        """0 for one that came back to its parent or tends to a higher loss, else the larger the better."""
        tie = TIE * self.level
        if self.child.kind == LEAP and self.gain < EARLY * tie:
            return 0.0
        if self.gain > tie:
            return AHEAD + self.gain / max(self.level, self.gain)
        if self.limit > tie:
            return 1.0 if self.limit >= self.level else self.limit / self.level  # the level may be 0
        return TIE if self.plain and not self.near else 0.0

    @property
    def settled(self) -> bool:
        """Whether it has surely come to rest elsewhere, no lower: in another minimum or on the same plain."""
        tie, doubt = TIE * self.level, SURE * self.error
        if max(self.gain, self.limit) > tie or self.near or self.child.kind == LEAP:
            return False
        behind = self.fell and self.gain < -max(tie, doubt)
        return behind or (self.plain and doubt <= tie)


def ran(race: Race, children: Sequence[Child], parent: float, closures: int) -> Race:
    """Race after one more call."""
    return replace(
        race,
        children=tuple(children),
        parent=(*race.parent, parent),
        cost=race.cost + closures,
    )


def standings(race: Race, distances: Sequence[float]) -> list[Standing]:
    """How the children stand, the most hopeful first; `distances` are from their parent, now."""
    standing = map(_standing, itertools.repeat(race), race.children, distances)
    return sorted(standing, key=lambda s: (-s.hope, -s.gain))


def winner(race: Race, ranking: Sequence[Standing], options: Escape) -> Standing | None:
    """Standing of the child that has won by now, if any."""
    best = max(ranking, key=lambda standing: standing.gain)
    # a leap on the way that the parent goes anyway must be worth it
    patient = race.over and best.child.kind != LEAP
    margin = options.margin * (1.0 if patient else EARLY)
    return best if best.better(margin, options.z, len(ranking)) else None


def after_rung(race: Race, ranking: Sequence[Standing]) -> Race | None:
    """Race without the worse half; None if it is over, or there is no more hope.

    A last child that is to overtake its parent gets more time.
    """
    best = ranking[0].hope
    if not best and race.calls > race.length // 4:
        return None
    if race.over:
        if race.extensions >= EXTENSIONS or best >= AHEAD or best <= TIE:
            return None
        longer = race.length + race.length // 2
        best_alone = (ranking[0].child,)
        return replace(race, length=longer, extensions=race.extensions + 1, children=best_alone)
    stay = halved(len(ranking))
    settled = sum(standing.settled for standing in ranking[stay:])
    return replace(
        race,
        children=tuple(standing.child for standing in ranking[:stay]),
        settled=race.settled + settled,
    )


def _standing(race: Race, child: Child, distance: float) -> Standing:
    count = len(child.losses)
    if not count:  # just born
        return Standing(child)
    size = max(LEAST, count // 4)
    gains = [_difference(p, c) for p, c in zip(race.parent[-count:], child.losses, strict=True)]
    level = statistics.fmean(map(abs, race.parent[-size:]))
    windows = [gains[end - size : end] for end in (count, count - size, count - 2 * size) if end >= size]
    if not windows or not all(math.isfinite(gain) for window in windows for gain in window):
        return Standing(child, _mean(gains[-size:]), level=level)
    now, *before = map(statistics.fmean, windows)
    late = gains[-max(size, count // 2) :]
    pairs = len(late) - 1
    return Standing(
        child,
        gain=now,
        error=noise(late) / math.sqrt(size),
        freedom=2 * pairs**2 / (3 * pairs - 1),
        level=level,
        limit=_limit(now, *before),
        fell=now > NEARER * _mean(gains[:LEAST]),
        near=distance < NEARER * child.start,
        plain=max(map(abs, gains)) <= TIE * level,
    )


def _limit(now: float, before: float = math.nan, first: float = math.nan) -> float:
    """Limit of three means at equal distances, the last first: Aitken's extrapolation."""
    step, last_step = before - first, now - before
    if not last_step > 0:
        return -math.inf if math.isnan(last_step) else now
    if not last_step < step:
        return math.inf
    return now + last_step * last_step / (step - last_step)


def _mean(gains: Sequence[float]) -> float:
    return -math.inf if -math.inf in gains else statistics.fmean(gains)


def _difference(parent: float, child: float) -> float:
    if math.isinf(child):
        return -math.inf
    return parent - child  # +inf where only the parent is lost
