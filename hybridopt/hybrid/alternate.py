"""Phases in turn: each optimizer runs until its condition fires, then hands its rows to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hybridopt.conditions import Condition, Stalled, Trace, is_condition
from hybridopt.core import Evaluation, Optimizer, Query, State, Traits
from hybridopt.hybrid.handover import Handover, rows_only
from hybridopt.rng import child_seed


@dataclass(frozen=True)
class AlternateState(State):
    """State of `Alternate`.

    Attributes
    ----------
    inner : State
        State of the phase that runs.
    turn : int
        Phases entered so far; `turn % len(phases)` runs.
    trace : Trace
        Since the phase began.
    label : str
        Name of the phase that runs.
    entered : int
        Tells before it began.
    """

    inner: State
    turn: int
    trace: Trace
    label: str
    entered: int

    @property
    def phase(self) -> str:
        """Label of the phase, and of the phase inside it where that alternates too."""
        return f"{self.label}/{self.inner.phase}" if self.inner.phase else self.label


@dataclass(frozen=True, init=False)
class Alternate:
    """Run optimizers in turn, for ever, from whatever rows the one before found.

    Parameters
    ----------
    phases : sequence of Optimizer
        Two or more; each may be an `Alternate` itself.
    switch : Condition or sequence of Condition
        When a phase ends: one for all, or one for each. It sees the trace since its phase began.
    handover : callable, optional
        (from, its state, to, seed) -> first state of `to`; by default the rows, best first, and nothing
        else (`hybridopt.hybrid.handover.rows_only`).

    Raises
    ------
    TypeError, ValueError
        If a phase is no optimizer, or if conditions and phases differ in number.

    Examples
    --------
    A saddle: descent stands still exactly on it, a few generations leave it, descent finishes.

    >>> import torch, hybridopt
    >>> from hybridopt.conditions import AnyOf, SmallGradient, Stalled, Steps
    >>> descent = hybridopt.TorchGradient(torch.optim.SGD, lr=0.1, population_size=1)
    >>> evolution = hybridopt.GeneticAlgorithm(population_size=20)
    >>> result = hybridopt.minimize(
    ...     lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 4, x0=[0.0, 0.0], bounds=(-3, 2.5),
    ...     method=hybridopt.Alternate(
    ...         [descent, evolution], switch=[AnyOf(SmallGradient(1e-8), Stalled(30)), Steps(5)]),
    ...     max_evals=3000, seed=0)
    >>> round(result.fun, 6)
    -1.0
    """

    phases: tuple[Optimizer[Any], ...]
    switch: tuple[Condition, ...]
    handover: Handover

    def __init__(
        self,
        phases: Sequence[Optimizer[Any]],
        switch: Condition | Sequence[Condition] = Stalled(50),  # noqa: B008 - frozen
        handover: Handover = rows_only,
    ) -> None:
        if not isinstance(phases, Sequence) or isinstance(phases, str):
            raise TypeError(
                f"phases must be a sequence of optimizers, got {phases!r}; e.g. [evolution, descent]"
            )
        phases = tuple(phases)
        if len(phases) < 2:
            raise ValueError(f"phases must be two or more optimizers, got {len(phases)}; one runs by itself")
        for phase in phases:
            if isinstance(phase, type) or not all(hasattr(phase, verb) for verb in ("init", "ask", "tell")):
                raise TypeError(f"phases must be optimizers (init, ask, tell), got {phase!r} among them")
        several = isinstance(switch, Sequence) and not isinstance(switch, str)
        conditions = tuple(switch) if several else (switch,) * len(phases)  # type: ignore[arg-type]
        if len(conditions) != len(phases):
            raise ValueError(
                f"switch must be one condition or {len(phases)}, one a phase, got {len(conditions)}"
            )
        for condition in conditions:
            if not is_condition(condition):
                raise TypeError(f"switch must be a condition such as Stalled(50), got {condition!r}")
        if isinstance(handover, type) or not callable(handover):
            raise TypeError(
                "handover must be a callable (from, its state, to, seed) -> state of `to`, such as "
                f"hybridopt.hybrid.handover.rows_only, got {handover!r}"
            )
        object.__setattr__(self, "phases", phases)
        object.__setattr__(self, "switch", conditions)
        object.__setattr__(self, "handover", handover)

    @property
    def traits(self) -> Traits:
        """The highest order; stochastic if a phase is; global if a phase is."""
        parts = [phase.traits for phase in self.phases]
        return Traits(
            order=max(part.order for part in parts),
            stochastic=any(part.stochastic for part in parts),
            scope="global" if any(part.scope == "global" for part in parts) else "local",
            shift_equivariant=all(part.shift_equivariant for part in parts),
        )

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> AlternateState:
        inner = self.phases[0].init(x, lower, upper, seed=child_seed(seed, 0, 0))
        return self._enter(inner, seed, step=0, turn=0)

    def ask(self, state: AlternateState) -> Query:
        """Ask what the running phase asks, on samples that no other phase had; -1 stays all data."""
        query = self._running(state).ask(state.inner)
        return query if query.sample < 0 else query._replace(sample=state.entered + query.sample)

    def tell(self, state: AlternateState, evaluation: Evaluation) -> AlternateState:
        optimizer = self._running(state)
        inner = optimizer.tell(state.inner, evaluation)
        trace = state.trace.record(state, evaluation)
        step = state.step + 1
        if not self.switch[self._place(state.turn)](trace):
            return _around(inner, state.seed, step, state.turn, trace, state.label, state.entered)
        turn = state.turn + 1
        place, visit = self._place(turn), turn // len(self.phases)
        seed = child_seed(state.seed, place, visit)
        return self._enter(self.handover(optimizer, inner, self.phases[place], seed), state.seed, step, turn)

    def _enter(self, inner: State, seed: int, step: int, turn: int) -> AlternateState:
        place = self._place(turn)
        trace = Trace.for_conditions(self.switch[place])
        label = f"{place}:{type(self.phases[place]).__name__}"
        return _around(inner, seed, step, turn, trace, label, step)

    def _place(self, turn: int) -> int:
        return turn % len(self.phases)

    def _running(self, state: AlternateState) -> Optimizer[Any]:
        return self.phases[self._place(state.turn)]


def _around(
    inner: State, seed: int, step: int, turn: int, trace: Trace, label: str, entered: int
) -> AlternateState:
    return AlternateState(
        inner.x, inner.value, inner.lower, inner.upper, seed, step, inner, turn, trace, label, entered
    )
