"""The portfolio: a local search first, then several methods at once, of which the one that earns gets more.

It begins as cheaply as one local search, beside the middle if the function looks symmetric there. When that
has ended, its end is evaluated once more, which shows noise, and one gradient tells whether the function
falls apart along the axes; if so, that is used up first. On a rough landscape, where gradients tell nothing,
it is broken off, and methods lead that take values alone. Else a few more local searches tell what is worth a
try: where the values at which they began foretell those at which they ended, a value is a cheap look at a
whole search, and evolution and the trend of the minima are believed in; where not, only more searches find
out. From then on every arm, a method that could run alone, is paid for what it finds (`payment`), what local
searches find is known to all that search locally, evolution sets out from the best point of all, and hopping
goes on from there. A turn ends where an arm can rest: local searches at their end, evolution after some
generations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from hybridopt.core import Evaluation, Optimizer, Query, State, Traits
from hybridopt.evolution.cmaes import bipop_cmaes
from hybridopt.evolution.differential import SHADE
from hybridopt.gradient.quasi_newton import FAILED
from hybridopt.hybrid.basin_hopping import BasinHopping
from hybridopt.hybrid.funnel import Funnel
from hybridopt.hybrid.minima import Minima
from hybridopt.hybrid.multistart import MultiStart
from hybridopt.hybrid.payment import Account, Books
from hybridopt.hybrid.searches import Known, abandoned, joined
from hybridopt.hybrid.separable import Separable, SeparableState, agrees, mixed
from hybridopt.hybrid.sharing import Found, best, informed, learnt, led, searches_of
from hybridopt.hybrid.signs import Ripples, idle, sight, symmetric
from hybridopt.rng import child_seed
from hybridopt.start import beside, is_finite, middle

AXES, PROBE, REPEAT = "axes", "probe", "repeat"
PROBES = 3  # and one more each time the dimension doubles: a pair of variables may stand on one side
PERIOD = 15.0  # units a variable that a turn usually costs
SHORTEST = 0.5  # periods of a turn of an arm that can rest at any time
FEW, FEWEST = 6, 3  # local searches before other arms have a turn; where they mean little, or minima are many
LONGEST = 60.0  # units a variable that they may cost
NEUTRAL, DIM = 0.5, 0.3  # sight before there is any; the most where there seem to be few minima
BELIEF = {
    "local": (1.5, 0.3),
    "funnel": (0.75, 2.0),
    "evolution": (0.1, 3.0),
}  # credit to begin with, at both
BESIDE = 0.025  # of the widths, in each variable: so far from a symmetric middle the first arm begins
STEPS = 0.05  # what is left of the credit of arms that take gradients, where gradients tell nothing
NOISE = 1e-9  # relative difference of two values at one point that is no rounding
REPEATS = 4  # more values at that point where there is noise
NOISES = 2.0  # times what these and the search's own differ by: values may differ by so much from noise alone

_AXES = Separable()


@dataclass(frozen=True)
class PortfolioState(State):
    """State of `Portfolio`.

    Attributes
    ----------
    arms : dict of str to State
    books : Books
        What the arms cost and earned.
    turn : str
        The arm that asks next; "repeat" looks for noise, "probe" and "axes" are those of separable functions.
    known : Known, optional
        Where local searches ended, of all arms that keep `Searches`, and the minima that hopping found.
    starts : Tensor, shape (rows, dim)
        Where the arms were to begin.
    start, slope : Tensor, shape (dim,)
        Where the first local search began, and the gradient there.
    noisy : bool, optional
        Whether two values at one point differed; None before that is known, or where it is not asked.
    ripples : Ripples
        What the first search tells of gradients.
    agreed : int
        Probes that found the function separable; -1 once one did not, or none can be made.
    axes : SeparableState
    """

    arms: dict[str, Any]
    books: Books
    turn: str
    known: Known | None
    starts: Tensor
    start: Tensor
    slope: Tensor
    noisy: bool | None
    ripples: Ripples
    agreed: int
    axes: SeparableState

    @property
    def phase(self) -> str:
        """The arm."""
        return self.turn

    @property
    def minima(self) -> Minima | None:
        """Distinct minima that local searches found, where there is such an arm."""
        return None if self.known is None else self.known.minima


@dataclass(frozen=True, init=False)
class Portfolio:
    """Several methods that share one budget by what they find; the default of `minimize` in a box.

    Parameters
    ----------
    arms : mapping of str to Optimizer, optional
        By names for the ledger; the first one begins. By default "local", multi-start of BFGS; "hopping",
        basin hopping from the best minimum; "funnel", searches along the trend of the minima; and
        "evolution", CMA-ES with restarts in two regimes.
    gradients : bool
        False: the default arms are "evolution" and "differential", success-history differential evolution.

    Raises
    ------
    TypeError, ValueError
        If an arm is no optimizer, or there is none.

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

    def __init__(self, arms: Mapping[str, Optimizer[Any]] | None = None, *, gradients: bool = True) -> None:
        named = dict(default_arms(gradients) if arms is None else arms)
        for name, arm in named.items():
            if not hasattr(arm, "ask") or isinstance(arm, type):
                raise TypeError(f"arms must be optimizers by name, got {arm!r} for {name!r}")
        reserved = {AXES, PROBE, REPEAT}
        if not named or reserved & named.keys():
            raise ValueError(f"arms must be one or more, not named {sorted(reserved)}, got {list(named)}")
        object.__setattr__(self, "arms", tuple(named.items()))

    @property
    def traits(self) -> Traits:
        """Of a global method; of the highest order of its arms."""
        order = max(arm.traits.order for _, arm in self.arms)
        return Traits(order=order, stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> PortfolioState:
        arms = {name: arm.init(x, lower, upper, seed=child_seed(seed, name)) for name, arm in self.arms}
        first = self.arms[0][0]
        can_probe = searches_of(arms[first]) is not None and _splits(lower, upper)
        return PortfolioState(
            arms[first].x,
            arms[first].value,
            lower,
            upper,
            seed,
            0,
            arms=arms,
            books=Books(dict.fromkeys(arms, Account())),
            turn=first,
            known=None,
            starts=x,
            start=x[0],
            slope=torch.zeros_like(x[0]),
            noisy=None,
            ripples=Ripples(),
            agreed=0 if can_probe else -1,
            axes=_AXES.init(x, lower, upper, seed=child_seed(seed, AXES)),
        )

    def ask(self, state: PortfolioState) -> Query:
        if state.turn == REPEAT:
            count = 1 if state.noisy is None else REPEATS
            return Query(self._first_search(state).x[:1].repeat(count, 1), sample=-1)
        if state.turn == PROBE:
            return Query(self._probe(state)[0][None], order=1, sample=-1)
        if state.turn == AXES:
            return _AXES.ask(state.axes)
        return dict(self.arms)[state.turn].ask(state.arms[state.turn])

    def tell(self, state: PortfolioState, evaluation: Evaluation) -> PortfolioState:
        name, step = state.turn, state.step + 1
        if name == REPEAT:
            return self._turned(replace(self._repeated(state, evaluation.value), step=step))
        if name == PROBE:
            return self._turned(replace(self._probed(state, evaluation), step=step))
        if name == AXES:
            return self._turned(replace(state, step=step, axes=_AXES.tell(state.axes, evaluation)))
        if evaluation.grad is not None and state.known is None and not state.books.cost:
            state = replace(state, start=evaluation.x[0], slope=evaluation.grad[0])
            central = step == 1 and state.start.equal(middle(state.lower, state.upper))
            if central and symmetric(state.slope, state.upper - state.lower):
                return self._beside(state, evaluation.x)
        arm = dict(self.arms)[name].tell(state.arms[name], evaluation)
        searches = searches_of(arm)
        if state.known is None and searches is not None and is_finite(state.lower, state.upper):
            state = replace(state, ripples=state.ripples.seen(evaluation, state.lower, state.upper))
            if state.ripples.rough:
                searches = abandoned(searches)
                arm = replace(arm, searches=searches)
        books = state.books.booked(evaluation.cost, float(evaluation.value.min()))
        period = PERIOD * len(state.lower)
        state = replace(
            state, step=step, x=arm.x, value=arm.value, arms={**state.arms, name: arm}, books=books
        )
        if arm.searching if hasattr(arm, "searching") else books.cost < SHORTEST * period:
            return state
        known = learnt(state.known, arm) if searches is None else searches.known
        return self._turned(replace(state, known=known, books=books.closed(name, period)))

    def _beside(self, state: PortfolioState, x: Tensor) -> PortfolioState:
        """The state in which the first arm begins a little beside these rows, (rows, dim)."""
        name, optimizer = self.arms[0]
        x = beside(x, BESIDE, state.lower, state.upper, child_seed(state.seed, "beside"))
        arm = optimizer.init(x, state.lower, state.upper, seed=child_seed(state.seed, name))
        return replace(state, step=state.step + 1, x=arm.x, value=arm.value, arms={**state.arms, name: arm})

    def _turned(self, state: PortfolioState) -> PortfolioState:
        """The state in which the next arm has its turn, and knows what the others found."""
        turn = self._next(state)
        if turn in (AXES, PROBE, REPEAT):
            part = state.axes if turn == AXES else state
            return replace(state, turn=turn, x=part.x, value=part.value)
        arm, optimizer, known = state.arms[turn], dict(self.arms)[turn], state.known
        searches = searches_of(arm)
        if known is not None and searches is not None:
            begun = torch.stack([state.start, middle(state.lower, state.upper)])
            arm = replace(arm, searches=joined(searches, known, begun))
        elif known is not None and not state.books.accounts[turn].turns:
            blind = _blind(state)
            arm = informed(optimizer, arm, _best(state), known.minima, state.starts, blind=blind)
        elif isinstance(optimizer, BasinHopping):
            arm = led(optimizer, arm, _best(state), state.minima)
        return replace(state, turn=turn, arms={**state.arms, turn: arm}, x=arm.x, value=arm.value)

    def _next(self, state: PortfolioState) -> str:
        unmeasured = state.noisy is None or (state.noisy and not state.books.noise)
        if unmeasured and self._keeps_searches(state):
            return REPEAT
        wanted = PROBES + (len(state.lower) - 1).bit_length()
        if 0 <= state.agreed < wanted:
            return PROBE
        if state.agreed == wanted and not state.axes.done:
            return AXES
        first, accounts, known = self.arms[0][0], state.books.accounts, state.known
        blind = _blind(state)
        few = FEWEST if blind or state.ripples.rugged else FEW
        early = known is not None and not state.ripples.rough and len(known.origins) < few
        if early and accounts[first].spent < LONGEST * len(state.lower):
            return first
        clear = 1.0 if state.ripples.rough else NEUTRAL if known is None else sight(known)
        if state.ripples.smooth and not blind:
            clear = min(clear, DIM)
        priors = {name: _prior(name, arm, clear, blind) for name, arm in self.arms}
        period = PERIOD * len(state.lower)
        return max(accounts, key=lambda name: accounts[name].rate(priors[name], period))

    def _keeps_searches(self, state: PortfolioState) -> bool:
        return searches_of(state.arms[self.arms[0][0]]) is not None

    def _repeated(self, state: PortfolioState, values: Tensor) -> PortfolioState:
        """What more values at the end of the first search tell."""
        kind, values = torch.finfo(values.dtype), torch.cat([self._first_search(state).value[:1], values])
        apart = float(values.max() - values.min())  # NaN: none is finite
        if state.noisy:
            noise = NOISES * apart if math.isfinite(apart) else 0.0
            return replace(state, books=replace(state.books, noise=max(noise, kind.tiny)))
        rounding = 64 * kind.eps  # batches of other sizes may add up in another order
        if not apart > max(NOISE, rounding) * max(1.0, abs(float(values[0]))):
            return replace(state, noisy=False)
        return replace(state, noisy=True, agreed=-1)

    def _probe(self, state: PortfolioState) -> tuple[Tensor, Tensor]:
        """A mixture of the start and of the end of the first local search."""
        end = self._first_search(state).x[0]
        return mixed(end, state.start, child_seed(state.seed, PROBE, state.agreed))

    def _probed(self, state: PortfolioState, evaluation: Evaluation) -> PortfolioState:
        assert evaluation.grad is not None
        search = self._first_search(state)
        _, mask = self._probe(state)
        separable = agrees(mask, search.grad[0], state.slope, evaluation.grad[0])
        moved = not search.x[0].equal(state.start)
        telling = moved and int(search.status[0]) != FAILED and bool((state.slope != 0).any())
        return replace(state, agreed=state.agreed + 1 if separable and telling else -1)

    def _first_search(self, state: PortfolioState) -> Any:
        return state.arms[self.arms[0][0]].searches.search


def _best(state: PortfolioState) -> Found:
    """The best point of all."""
    return best((*state.arms.values(), state.axes), state.known)


def _blind(state: PortfolioState) -> bool:
    """Whether gradients tell nothing: they are those of ripples, of steps, or of noise."""
    idles = state.known is not None and idle(state.known)
    return bool(state.noisy) or state.ripples.rough or idles


def _prior(name: str, arm: Optimizer[Any], clear: float, blind: bool) -> float:
    """Credit that an arm begins with, by how far values foretell minima, in [0, 1]."""
    none, full = BELIEF.get(name, (1.0, 1.0))
    return (none + (full - none) * clear) * (STEPS if blind and arm.traits.order else 1.0)


def default_arms(
    gradients: bool, covariance: Literal["full", "separable"] = "full"
) -> dict[str, Optimizer[Any]]:
    """Arms for functions with gradients, or without; evolution learns a covariance of this kind."""
    evolution = bipop_cmaes(covariance=covariance)
    if gradients:
        hopping = BasinHopping(population_size=1)
        return {
            "local": MultiStart(every=False),
            "hopping": hopping,
            "funnel": Funnel(),
            "evolution": evolution,
        }
    return {"evolution": evolution, "differential": SHADE()}


def _splits(lower: Tensor, upper: Tensor) -> bool:
    """Whether it is worth asking if the function is separable: a finite box of two variables or more."""
    return is_finite(lower, upper) and int((upper > lower).sum()) > 1
