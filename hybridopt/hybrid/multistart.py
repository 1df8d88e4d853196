"""Multi-start of local searches with clustering: start where no better point is near, and from nowhere else.

Points are drawn a few at a time. A local search starts from the best of those that have no better point
within the critical distance of multi-level single linkage, which shrinks as points are added. A search that
can't end below the best minimum any more, by what BFGS knows of the curvature, is given up; so is one that
runs into a minimum that is known.

References
----------
A. Rinnooy Kan and G. Timmer, "Stochastic global optimization methods, part II: multi level methods",
Math. Program. 39, 1987.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hybridopt.check import check_positive, check_whole
from hybridopt.core import Evaluation, Query, State, Traits
from hybridopt.gradient.bfgs import BFGS
from hybridopt.gradient.quasi_newton import FAILED, RUNNING, QuasiNewtonState, given_up
from hybridopt.hybrid.judge import arriving, hopeless
from hybridopt.hybrid.minima import Minima, add, none_yet, unit
from hybridopt.rng import child_seed
from hybridopt.start import fill

MOST = 500  # points that are remembered: the best ones
CLOSE = 0.25  # of the critical distance: no search starts so near to a minimum

_BFGS = BFGS()


@dataclass(frozen=True)
class MultiStartState(State):
    """State of `MultiStart`.

    Attributes
    ----------
    search : QuasiNewtonState
        The local searches; while none runs, points are drawn.
    points : Tensor, shape (count, dim)
        Points drawn, best first.
    values : Tensor, shape (count,)
    fresh : Tensor, shape (count,), bool
        Those that no search has started from.
    drawn : int
        Points drawn in all.
    searches : int
        Local searches begun.
    minima : Minima
    """

    search: QuasiNewtonState
    points: Tensor
    values: Tensor
    fresh: Tensor
    drawn: int
    searches: int
    minima: Minima

    @property
    def searching(self) -> bool:
        """Whether a local search runs."""
        return self.search.running.rows.shape[0] > 0

    @property
    def phase(self) -> str:
        """What the next query is for."""
        return "search" if self.searching else "points"


@dataclass(frozen=True)
class MultiStart:
    """Local searches by BFGS from all over the box, with clustering.

    Parameters
    ----------
    population_size : int, >= 1
        Local searches that run side by side: 1 finds the first minima soonest, more make larger batches.
    points : int, optional
        Points drawn before searches start anew; by default max(4, dim).
    sharpness : float, > 0
        The larger, the larger is the critical distance, and the fewer searches start.

    Raises
    ------
    TypeError, ValueError
        If an option is no such number.

    Examples
    --------
    >>> import hybridopt
    >>> result = hybridopt.minimize(
    ...     lambda x: (x**4 - 16 * x**2 + 5 * x).sum() / 2, bounds=[(-5, 4)] * 3,
    ...     method="multistart", max_evals=1500, seed=0)
    >>> round(result.fun, 4)
    -117.4985

    References
    ----------
    A. Rinnooy Kan and G. Timmer, "Stochastic global optimization methods, part II: multi level methods",
    Math. Program. 39, 1987.
    """

    population_size: int = 1
    points: int | None = None
    sharpness: float = 2.0

    def __post_init__(self) -> None:
        check_whole("population_size", self.population_size, 1)
        if self.points is not None:
            check_whole("points", self.points, 1)
        check_positive("sharpness", self.sharpness)

    @property
    def traits(self) -> Traits:
        """Of a global method that takes gradients."""
        return Traits(order=1, stochastic=True, scope="global")

    def init(self, x: Tensor, lower: Tensor, upper: Tensor, *, seed: int) -> MultiStartState:
        starts = fill(x, self.population_size, lower, upper, child_seed(seed, "starts"))
        search = _BFGS.init(starts, lower, upper, seed=child_seed(seed, "search", 0))
        none = x.new_empty(0)
        return MultiStartState(
            search.x,
            search.value,
            lower,
            upper,
            seed,
            0,
            search=search,
            points=x.new_empty(0, x.shape[1]),
            values=none,
            fresh=none.bool(),
            drawn=0,
            searches=self.population_size,
            minima=none_yet(x),
        )

    def ask(self, state: MultiStartState) -> Query:
        if state.searching:
            return _BFGS.ask(state.search)
        count = self.points or max(4, len(state.lower))
        seed = child_seed(state.seed, "points", state.drawn)
        return Query(fill(state.x[:1], count + 1, state.lower, state.upper, seed)[1:], sample=-1)

    def tell(self, state: MultiStartState, evaluation: Evaluation) -> MultiStartState:
        if not state.searching:
            return self._begun(_gathered(state, evaluation))
        search = _BFGS.tell(state.search, evaluation)
        width = unit(state.x[0], state.lower, state.upper)
        over, back = _judged(search, state.minima, width)
        ran = state.search.running.rows
        ended = ran[(search.status[ran] != RUNNING) & (search.status[ran] != FAILED)]
        x = torch.cat([state.minima.x[back], search.x[ended]])
        value = torch.cat([state.minima.value[back], search.value[ended]])
        minima = add(state.minima, x, value, width)
        search = given_up(search, over)
        return replace(
            state, x=search.x, value=search.value, step=state.step + 1, search=search, minima=minima
        )

    def _begun(self, state: MultiStartState) -> MultiStartState:
        """Searches from the best points that lie alone, if there are any."""
        chosen = (state.fresh & self._alone(state)).nonzero()[: self.population_size, 0]
        count = chosen.shape[0]
        if not count:
            return state
        seed = child_seed(state.seed, "search", state.searches)
        search = _BFGS.init(state.points[chosen], state.lower, state.upper, seed=seed)
        fresh = state.fresh.index_fill(0, chosen, False)
        return replace(
            state, x=search.x, value=search.value, search=search, fresh=fresh, searches=state.searches + count
        )

    def _alone(self, state: MultiStartState) -> Tensor:
        """Points without a better one, or a minimum, within the critical distance; bool, (count,)."""
        width = unit(state.x[0], state.lower, state.upper)
        u, best = state.points / width, state.minima.x / width
        dim, count = u.shape[1], state.drawn + 1
        share = self.sharpness * math.log(count) / count
        radius = (math.exp(math.lgamma(1 + dim / 2)) * share) ** (1 / dim) / math.sqrt(math.pi)
        near = (torch.cdist(u, u) < radius).tril(-1).any(1)  # the better ones stand first
        if best.shape[0]:
            near |= (torch.cdist(u, best) < CLOSE * radius).any(1)
        alone: Tensor = ~near & torch.isfinite(state.values)
        return alone


def _gathered(state: MultiStartState, evaluation: Evaluation) -> MultiStartState:
    """State with new points among the old, best first."""
    values = torch.cat([state.values, evaluation.value])
    order = torch.argsort(values, stable=True)[:MOST]
    new = torch.ones_like(evaluation.value, dtype=torch.bool)
    return replace(
        state,
        step=state.step + 1,
        points=torch.cat([state.points, evaluation.x])[order],
        values=values[order],
        fresh=torch.cat([state.fresh, new])[order],
        drawn=state.drawn + evaluation.x.shape[0],
    )


def _judged(search: QuasiNewtonState, minima: Minima, width: Tensor) -> tuple[Tensor, Tensor]:
    """Running rows to be given up, a mask (rows,); and the minima (places) that some of them run into."""
    rows = search.running.rows
    if not rows.shape[0] or not minima.x.shape[0]:
        none = torch.zeros_like(rows, dtype=torch.bool)
        return none, rows[none]
    lost = hopeless(search, minima.value[0])
    back, place = arriving(search, minima, width)
    return lost | back, place[back & ~lost]
