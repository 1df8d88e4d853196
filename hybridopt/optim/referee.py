"""Who decides in a race: whether it begins, who drops out, who wins, and what is booked."""

from __future__ import annotations

import logging
import math
import statistics
from dataclasses import replace

from hybridopt.optim import mutation
from hybridopt.optim.escape import Attempt
from hybridopt.optim.heat import Heat
from hybridopt.optim.race import Race, Standing, after_rung, standings, winner
from hybridopt.optim.watch import Memory, booked, looked, wants

logger = logging.getLogger(__name__)


class Referee:
    """Decides in one `step` call.

    Parameters
    ----------
    heat : Heat
        The call.
    every : int
        Calls between two looks at the parent's losses.
    """

    def __init__(self, heat: Heat, every: int) -> None:
        self.heat = heat
        self.options = heat.options
        self.ranks = heat.ranks
        self.every = every

    def opened(self, memory: Memory) -> Memory:
        """Memory with a race if one is due and there is still a reason, without one that can't go on.

        Nor does one go on whose parent's weights are no longer those that the last call left: somebody has
        set them, and children know nothing of it.
        """
        if memory.race is not None:
            if not self.heat.fits(memory.race):
                return self._booked(memory, memory.race)
            if self._moved(memory.race):
                logger.warning(
                    "weights were changed between two steps of an escape, which ends: its children would "
                    "undo that; clip or load where the closure does it, or ask optimizer.escaping first"
                )
                return self._booked(memory, memory.race)
        if not memory.due:
            return memory
        children, curvature = self.heat.children(memory.seed, len(memory.history), memory.firsts)
        cost, self.heat.source.cost = self.heat.source.cost, 0
        memory = replace(memory, due=False)
        if memory.trace.reads_curvature:
            memory = replace(memory, trace=memory.trace.with_curvature(curvature))
            if not wants(memory, self.options):
                return replace(memory, wasted=memory.wasted + cost)
        if not children:
            logger.warning(
                "Hybrid found nothing to mutate: no parameter has a dense gradient after the closure (or "
                "objective, which must return the loss tensor), or all are in groups with evolve=False"
            )
            return self._booked(memory, Race(memory.steps, 0, (), (), cost=cost))
        length = self.options.calls(memory.failures)
        plain = not curvature > mutation.SADDLE  # unknown, or a saddle: it may be long
        origin = (
            tuple(weight.to(self.options.device) for weight in self.heat.stage.weights) if plain else None
        )
        places, buffers = self.heat.places, len(self.heat.buffers)
        race = Race(memory.steps, length, places, children, origin=origin, cost=cost, buffers=buffers)
        return replace(memory, race=race)

    def judged(self, memory: Memory, race: Race) -> Memory:
        """Memory after one more call of its race."""
        memory = self._looked(memory, race)
        if not race.at_rung:
            return replace(memory, race=race)
        distances = [self.heat.stage.distance(child) for child in race.children]
        ranking = standings(race, self.ranks.means(distances, self.heat.optimizer))
        if best := winner(race, ranking, self.options):
            self.heat.stage.become(best.child)
            return self._booked(memory, race, ranking, best)
        further = after_rung(race, ranking)
        if further is None:
            return self._booked(memory, race, ranking)
        if race.origin is not None:
            children = (*further.children, *self.heat.leap(race.origin))
            further = replace(further, origin=None, children=children)
        return replace(memory, race=further)

    def _moved(self, race: Race) -> bool:
        """Whether the weights are not those that the last call left, in any process."""
        changed = float(self.heat.stage.checksums() != race.left)
        return self.ranks.means([changed], self.heat.optimizer)[0] > 0

    def _looked(self, memory: Memory, race: Race) -> Memory:
        """Memory whose trace goes on while the parent races."""
        if race.calls % self.every:
            return memory
        return looked(memory, [statistics.fmean(race.parent[-self.every :])], self.every, math.nan)

    def _booked(
        self, memory: Memory, race: Race, ranking: list[Standing] | None = None, won: Standing | None = None
    ) -> Memory:
        """Memory after the race."""
        attempt = Attempt(race.began, race.calls, race.cost, -math.inf, won is not None)
        if ranking:
            best = won or ranking[0]
            settled = race.settled + sum(standing.settled for standing in ranking)
            attempt = replace(attempt, gain=best.gain, child=best.child.kind, settled=settled)
        logger.info("escape %s: %s", "accepted" if won else "rejected", attempt)
        return booked(memory, self.options, attempt, self.every)
