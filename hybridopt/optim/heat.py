"""One step in which children run beside their parent, on one closure.

The children step first and the parent last, so the last thing a closure reports is the parent's own.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from hybridopt.autodiff import flatten
from hybridopt.optim import mutation, redraw
from hybridopt.optim.buffers import Buffers
from hybridopt.optim.escape import Escape
from hybridopt.optim.race import LEAP, Race, ran
from hybridopt.optim.ranks import Ranks
from hybridopt.optim.source import Source
from hybridopt.optim.stage import Child, Stage, loss_number, params_of, racing

T = TypeVar("T")
# what weights can make a closure raise
OF_WEIGHTS = (ArithmeticError, AssertionError, RuntimeError, ValueError)
logger = logging.getLogger(__name__)


class Heat:
    """One `step` call of an optimizer in a race.

    Parameters
    ----------
    optimizer : Hybrid
    source : Source
    options : Escape
    buffers : Buffers
    ranks : Ranks
    sign : float
        -1 where the base maximises.
    """

    def __init__(
        self,
        optimizer: Any,
        source: Source,
        options: Escape,
        buffers: Buffers,
        ranks: Ranks,
        sign: float,
    ) -> None:
        self.optimizer = optimizer
        self.source = source
        self.options = options
        self.ranks = ranks
        self.sign = sign
        params = params_of(optimizer)
        self.places = racing(params)
        self.buffers = buffers.found(params)
        self.stage = Stage(optimizer, self.places, self.buffers, options.device, distributed=ranks.several)

    def fits(self, race: Race) -> bool:
        """Whether the parameters, their precision, groups and the buffers are still those that raced."""
        kinds = [(param.shape, param.dtype) for param in self.stage.params]
        groups = len(self.optimizer.param_groups)
        alike = race.places == self.places and race.buffers == len(self.buffers)
        return alike and all(
            [(weight.shape, weight.dtype) for weight in child.weights] == kinds
            and len(child.inner.groups) in (0, groups)
            for child in race.children
        )

    def children(
        self, seed: int, attempt: int, firsts: Sequence[redraw.First]
    ) -> tuple[tuple[Child, ...], float]:
        """Start some round the weights as they are.

        Returns
        -------
        children : tuple of Child
        curvature : float
            Smallest eigenvalue as a share of the largest absolute one; NaN where it was not measured.
        """
        self.together(lambda: self._run_at(()))
        genome = self._genome()  # by the gradients that are there now
        if not genome:
            return (), math.nan
        weights = [self.stage.weights[place] for place in genome]
        knowledge = [None] * len(genome), [self._moment(place) for place in genome]  # every second child's
        name = (seed, "escape", attempt)
        known = dict(enumerate(firsts))  # of parameters that were appended by hand nothing is known
        first = [known.get(self.places[place], (0.0, 0.0)) for place in genome]
        curvature, downhill = self._curvature(genome, weights, seed)
        starts: dict[str, Sequence[Tensor]] = {} if downhill is None else {"curvature": downhill}
        for child, sigma in enumerate(self.options.spread):
            moments = knowledge[child % 2]
            starts[f"noise {sigma:g} ({child})"] = mutation.noise(weights, sigma, moments, *name, child)
        # at a saddle there is a way down for all weights, and no unit is at fault
        whole = not redraw.layers([weight.shape for weight in weights])
        for child, share in enumerate(self.options.redraw if not curvature < mutation.SADDLE else ()):
            moments = knowledge[child % 2]
            kind = "fresh" if whole or share >= 1 else f"redraw {share:g}"
            path = *name, "redraw", child
            starts[f"{kind} ({child})"] = redraw.redrawn(weights, share, moments, first, *path)
        made = tuple(self._newborn(kind, genome, start) for kind, start in starts.items())
        return made, curvature

    def run(self, race: Race) -> tuple[Race, Any]:
        """Let all step once; the race after it, and what the parent's step returned."""
        moved = [self._play(child) for child in race.children]
        answer, loss = self.together(lambda: self.source.parent_step(self.optimizer, self.stage))
        own = [loss_number(loss, self.sign), *(child.losses[-1] for child in moved)]
        parent, *losses = self.ranks.means(own, self.optimizer)
        moved = [
            replace(child, losses=(*child.losses[:-1], loss))
            for child, loss in zip(moved, losses, strict=True)
        ]
        return ran(race, moved, parent, self.source.cost), answer

    def leap(self, origin: Sequence[Tensor]) -> tuple[Child, ...]:
        """A child far ahead on its parent's way, with the parent's base state; none if that stands still."""
        params = self.stage.params
        ahead = mutation.leap([there.to(p.device) for there, p in zip(origin, params, strict=True)], params)
        return () if ahead is None else (self.stage.newborn(LEAP, ahead),)

    def together(self, run: Callable[[], T]) -> T:
        """Run it; raise in all processes if it raised in one."""
        return self.ranks.together(run, self.optimizer)

    def _play(self, child: Child) -> Child:
        """The child after a step, which it has lost if its closure raised."""
        moved = self._tried(child.kind, lambda: self.stage.play(child, self._child_step))
        return replace(child, losses=(*child.losses, math.inf)) if moved is None else moved

    def _child_step(self) -> float:
        return loss_number(self.source.child_step(self.optimizer), self.sign)

    def _tried(self, who: str, run: Callable[[], T]) -> T | None:
        """What comes of other weights than the parent's; None in all processes if they made one raise."""

        def guarded() -> T | None:
            try:
                return run()
            except OF_WEIGHTS as error:
                logger.warning("%r raised %r; its loss counts as infinite", who, error)
                return None

        found = self.together(guarded)
        lost = self.ranks.means([float(found is None)], self.optimizer)[0] > 0
        return None if lost else found

    def _run_at(self, weights: Iterable[tuple[int, Tensor]]) -> None:
        """Let the source make the gradients at the parent's weights, some of them replaced."""
        self.stage.show(weights)
        self.source.gradients(self.optimizer)

    def _genome(self) -> list[int]:
        """Places among the racing parameters of those that are mutated, by the gradients that are there.

        A parameter without gradient played no part in the loss; one with a sparse gradient played it with a
        few rows, and a mutation of the others would go unjudged.
        """
        fixed = {id(p) for g in self.optimizer.param_groups if not g.get("evolve", True) for p in g["params"]}
        return [
            place
            for place, param in enumerate(self.stage.params)
            if id(param) not in fixed
            and param.numel()
            and param.grad is not None
            and not param.grad.is_sparse
        ]

    def _moment(self, place: int) -> Tensor | None:
        param = self.stage.params[place]
        state = self.optimizer.state
        return mutation.second_moment(state[param], param) if param in state else None

    def _curvature(
        self, genome: Sequence[int], weights: Sequence[Tensor], seed: int
    ) -> tuple[float, list[Tensor] | None]:
        """Smallest eigenvalue of the Hessian as a share of the largest, and a child if it is negative."""
        if not self._can_measure(weights):
            return math.nan, None

        here = self._flat(genome)

        def gradient_at(there: Sequence[Tensor]) -> Tensor:
            self._run_at(zip(genome, there, strict=True))
            return self._flat(genome)

        def gradient(there: Sequence[Tensor]) -> Tensor:
            found = self._tried("curvature", lambda: gradient_at(there))
            return torch.full_like(here, torch.nan) if found is None else found

        return mutation.downhill(weights, here, gradient, self.options.products, seed)

    def _can_measure(self, weights: Sequence[Tensor]) -> bool:
        """Whether differences of gradients would tell anything, and a Krylov basis fits."""
        alike = len({weight.device for weight in weights}) == 1
        precise = all(torch.finfo(weight.dtype).eps < 1e-6 for weight in weights)
        small = sum(weight.numel() for weight in weights) <= mutation.MOST_WEIGHTS
        return bool(self.options.products) and alike and precise and small

    def _flat(self, genome: Sequence[int]) -> Tensor:
        """Gradient, flat; zero where the closure made none this time."""
        params = [self.stage.params[place] for place in genome]
        return self.sign * flatten(
            torch.zeros_like(p) if p.grad is None else p.grad.to_dense() for p in params
        )

    def _newborn(self, kind: str, genome: Sequence[int], start: Sequence[Tensor]) -> Child:
        weights = list(self.stage.weights)
        for place, weight in zip(genome, start, strict=True):
            weights[place] = weight
        return self.stage.newborn(kind, weights)
