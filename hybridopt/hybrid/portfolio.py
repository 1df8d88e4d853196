"""The portfolio: a local search first, then several methods at once, of which the one that leads gets more.

It begins as cheaply as one local search. When that has ended, one gradient tells whether the function falls
apart along the axes; if so, that is used up first. Then every arm, a method that could run alone, has a share
of the cost: the arm with the best value three times that of each other one. A turn ends where an arm can
rest: a local search at its end, evolution after a generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hybridopt.check import check_number
from hybridopt.core import Evaluation, Optimizer, Query, State, Traits
from hybridopt.evolution.cmaes import bipop_cmaes
from hybridopt.evolution.differential import SHADE
from hybridopt.gradient.quasi_newton import FAILED
from hybridopt.hybrid.minima import Minima
from hybridopt.hybrid.multistart import MultiStart, MultiStartState
from hybridopt.hybrid.separable import Separable, SeparableState, agrees, mixed
from hybridopt.rng import child_seed

AXES, PROBE = "axes", "probe"
PROBES = 3  # and one more each time the dimension doubles: a pair of variables may stand on one side

_AXES = Separable()


@dataclass(frozen=True)
class PortfolioState(State):
    """State of `Portfolio`.

    Attributes
    ----------
    arms : dict of str to State
    spent : dict of str to int
        Units by arm.
    best : dict of str to float
        Best value by arm.
    turn : str
        The arm that asks next; "probe" and "axes" are those of separable functions.
    start, slope : Tensor, shape (dim,)
        The first point with a gradient, and that.
    agreed : int
        Probes that found the function separable; -1 once one did not, or none can be made.
    axes : SeparableState
    """

    arms: dict[str, Any]
    spent: dict[str, int]
    best: dict[str, float]
    turn: str
    start: Tensor
    slope: Tensor
    agreed: int
    axes: SeparableState

    @property
    def phase(self) -> str:
        """The arm."""
        return self.turn

    @property
    def minima(self) -> Minima | None:
        """Distinct minima that local searches found, where there is such an arm."""
        found = [arm.minima for arm in self.arms.values() if isinstance(arm, MultiStartState)]
        return found[0] if found else None


@dataclass(frozen=True, init=False)
class Portfolio:
    """Several methods that share one budget by what they find; the default of `minimize` in a box.

    Parameters
    ----------
    arms : mapping of str to Optimizer, optional
        By names for the ledger; the first one begins. By default "local", multi-start of BFGS, and
        "evolution", CMA-ES with restarts in two regimes.
    gradients : bool
        False: the default arms are "evolution" and "differential", success-history differential evolution.
    lead : float, >= 1
        Share of the leading arm, in shares of another one.

    Raises
    ------
    TypeError, ValueError
        If an arm is no optimizer, or `lead` is below 1.

    Examples
    --------
    >>> import torch, hybridopt
    >>> def rastrigin(x):
    ...     return (x**2 - 10 * torch.cos(2 * torch.pi * x) + 10).sum()
    >>> result = hybridopt.minimize(
    ...     rastrigin, bounds=[(-5.12, 4)] * 5, method=hybridopt.Portfolio(), max_evals=2000, seed=0)
    >>> round(result.fun, 6)
    0.0
    """

    arms: tuple[tuple[str, Optimizer[Any]], ...]
    lead: float

    def __init__(
        self,
        arms: Mapping[str, Optimizer[Any]] | None = None,
        *,
        gradients: bool = True,
        lead: float = 3.0,
    ) -> None:
        check_number("lead", lead, lambda value: value >= 1, "at least 1")
        named = dict(_default_arms(gradients) if arms is None else arms)
        for name, arm in named.items():
            if not hasattr(arm, "ask") or isinstance(arm, type):
                raise TypeError(f"arms must be optimizers by name, got {arm!r} for {name!r}")
        if not named or {AXES, PROBE} & named.keys():
            raise ValueError(f"arms must be one or more, not named {AXES!r} or {PROBE!r}, got {list(named)}")
        object.__setattr__(self, "arms", tuple(named.items()))
        object.__setattr__(self, "lead", lead)

    @property
    def traits(self) -> Traits:
        """Of a global method; of the highest order of its arms."""
        order = max(arm.traits.order for _, arm in self.arms)
        return Traits(order=order, stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> PortfolioState:
        arms = {name: arm.init(x, lower, upper, seed=child_seed(seed, name)) for name, arm in self.arms}
        first = self.arms[0][0]
        can_probe = isinstance(arms[first], MultiStartState) and _splits(lower, upper)
        return PortfolioState(
            arms[first].x,
            arms[first].value,
            lower,
            upper,
            seed,
            0,
            arms=arms,
            spent=dict.fromkeys(arms, 0),
            best=dict.fromkeys(arms, float("inf")),
            turn=first,
            start=x[0],
            slope=torch.zeros_like(x[0]),
            agreed=0 if can_probe else -1,
            axes=_AXES.init(x, lower, upper, seed=child_seed(seed, AXES)),
        )

    def ask(self, state: PortfolioState) -> Query:
        if state.turn == PROBE:
            return Query(self._probe(state)[0][None], order=1, sample=-1)
        if state.turn == AXES:
            return _AXES.ask(state.axes)
        return dict(self.arms)[state.turn].ask(state.arms[state.turn])

    def tell(self, state: PortfolioState, evaluation: Evaluation) -> PortfolioState:
        state = replace(state, step=state.step + 1)
        if state.turn == PROBE:
            return self._turned(self._probed(state, evaluation))
        if state.turn == AXES:
            return self._turned(replace(state, axes=_AXES.tell(state.axes, evaluation)))
        if state.step == 1 and evaluation.grad is not None:
            state = replace(state, start=evaluation.x[0], slope=evaluation.grad[0])
        name = state.turn
        arm = dict(self.arms)[name].tell(state.arms[name], evaluation)
        state = replace(
            state,
            x=arm.x,
            value=arm.value,
            arms={**state.arms, name: arm},
            spent={**state.spent, name: state.spent[name] + evaluation.cost},
            best={**state.best, name: min(state.best[name], float(evaluation.value.min()))},
        )
        return state if getattr(arm, "searching", False) else self._turned(state)

    def _turned(self, state: PortfolioState) -> PortfolioState:
        """The state in which the next arm has its turn."""
        turn = self._next(state)
        if turn == state.turn:
            return state
        arm = state.axes if turn == AXES else state.arms.get(turn, state)
        return replace(state, turn=turn, x=arm.x, value=arm.value)

    def _next(self, state: PortfolioState) -> str:
        wanted = PROBES + (len(state.lower) - 1).bit_length()
        if 0 <= state.agreed < wanted:
            return PROBE
        if state.agreed == wanted and not state.axes.done:
            return AXES
        leader = min(state.best, key=lambda name: state.best[name])
        return min(state.arms, key=lambda name: state.spent[name] / (self.lead if name == leader else 1.0))

    def _probe(self, state: PortfolioState) -> tuple[Tensor, Tensor]:
        """A mixture of the start and of the end of the first local search."""
        end = self._first_search(state).x[0]
        return mixed(end, state.start, child_seed(state.seed, PROBE, state.agreed))

    def _probed(self, state: PortfolioState, evaluation: Evaluation) -> PortfolioState:
        assert evaluation.grad is not None
        search = self._first_search(state)
        _, mask = self._probe(state)
        separable = agrees(mask, search.grad[0], state.slope, evaluation.grad[0])
        telling = int(search.status[0]) != FAILED and bool((state.slope != 0).any())
        return replace(state, agreed=state.agreed + 1 if separable and telling else -1)

    def _first_search(self, state: PortfolioState) -> Any:
        return state.arms[self.arms[0][0]].search


def _default_arms(gradients: bool) -> dict[str, Optimizer[Any]]:
    if gradients:
        return {"local": MultiStart(), "evolution": bipop_cmaes()}
    return {"evolution": bipop_cmaes(), "differential": SHADE()}


def _splits(lower: Tensor, upper: Tensor) -> bool:
    """Whether it is worth asking if the function is separable: a finite box of two variables or more."""
    width = upper - lower
    return bool(torch.isfinite(width).all()) and int((width > 0).sum()) > 1
